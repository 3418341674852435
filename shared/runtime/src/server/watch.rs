//! Where a connection is, and what has passed its deadline.

use std::sync::{
    Arc,
    atomic::{AtomicU8, AtomicU64, Ordering},
};

use tokio::time::Instant;

use super::{Connections, peers::Peer};

/// Why a connection was cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    Head,
    Idle,
    Stalled,
    /// Somebody else needed its place.
    Room,
}

impl Cut {
    pub(super) fn label(self) -> &'static str {
        match self {
            Cut::Head => "head",
            Cut::Idle => "idle",
            Cut::Stalled => "stalled",
            Cut::Room => "room",
        }
    }
}

const WAITING: u8 = 0;
const HEAD: u8 = 1;
const BUSY: u8 = 2;
/// No deadline.
const NEVER: u64 = u64::MAX;

/// Where a connection is, as its socket and its service see it. Times are milliseconds since it opened.
pub(super) struct Watch {
    opened: Instant,
    phase: AtomicU8,
    read_by_ms: AtomicU64,
    write_by_ms: AtomicU64,
    head_ms: u64,
    idle_ms: u64,
    idle_without_key_ms: u64,
    stall_ms: u64,
    peer: Arc<Peer>,
}

impl Watch {
    pub(super) fn new(bounds: &Connections, opened: Instant, peer: Arc<Peer>) -> Self {
        Self {
            opened,
            // Nothing has come yet, and a whole head is due: a peer that says nothing gets no more time than a slow one.
            phase: AtomicU8::new(HEAD),
            read_by_ms: AtomicU64::new(bounds.head_deadline_ms),
            write_by_ms: AtomicU64::new(NEVER),
            head_ms: bounds.head_deadline_ms,
            idle_ms: bounds.idle_ms,
            idle_without_key_ms: bounds.idle_without_key_ms.min(bounds.idle_ms),
            stall_ms: bounds.stall_ms,
            peer,
        }
    }

    fn now_ms(&self) -> u64 {
        self.opened.elapsed().as_millis() as u64
    }

    pub(super) fn received(&self) {
        if self.phase.load(Ordering::Relaxed) == WAITING {
            self.phase.store(HEAD, Ordering::Relaxed);
            self.read_by_ms.store(self.now_ms() + self.head_ms, Ordering::Relaxed);
        }
    }

    pub(super) fn asked(&self) {
        self.phase.store(BUSY, Ordering::Relaxed);
        self.peer.set_busy(true);
        self.read_by_ms.store(NEVER, Ordering::Relaxed);
    }

    pub(super) fn answered(&self) {
        self.phase.store(WAITING, Ordering::Relaxed);
        self.peer.set_busy(false);
        self.read_by_ms.store(self.now_ms() + self.patience_ms(), Ordering::Relaxed);
    }

    /// How long it may be idle now: a while only for whoever has shown a valid key, last as well.
    fn patience_ms(&self) -> u64 {
        if self.peer.has_key() || self.peer.is_trusted() { self.idle_ms } else { self.idle_without_key_ms }
    }

    /// The peer took some of an answer.
    pub(super) fn sent(&self) {
        self.write_by_ms.store(NEVER, Ordering::Relaxed);
        if self.phase.load(Ordering::Relaxed) == WAITING {
            self.read_by_ms.store(self.now_ms() + self.patience_ms(), Ordering::Relaxed);
        }
    }

    /// Something waits for the peer to take it.
    pub(super) fn stuck(&self) {
        if self.write_by_ms.load(Ordering::Relaxed) == NEVER {
            self.write_by_ms.store(self.now_ms() + self.stall_ms, Ordering::Relaxed);
        }
    }

    /// The shortest of the deadlines: one that is set from now on lies at least that far ahead.
    pub(super) fn shortest_ms(&self) -> u64 {
        self.head_ms.min(self.idle_without_key_ms).min(self.stall_ms)
    }

    /// What has passed its deadline, or in how many milliseconds to look again.
    pub(super) fn look(&self) -> Result<u64, Cut> {
        let now_ms = self.now_ms();
        let (read_by, write_by) =
            (self.read_by_ms.load(Ordering::Relaxed), self.write_by_ms.load(Ordering::Relaxed));
        if write_by <= now_ms {
            return Err(Cut::Stalled);
        }
        if read_by <= now_ms {
            let waiting = self.phase.load(Ordering::Relaxed) == WAITING;
            return Err(if waiting { Cut::Idle } else { Cut::Head });
        }
        Ok((read_by.min(write_by) - now_ms).min(self.shortest_ms()).max(1))
    }
}
