//! Turns at work that keeps a core busy, such as reading a batch of a thousand rows: only so many at once, and whose turn is
//! next is decided by what each caller had, not by who came first or most often.
//!
//! Deficit round robin (Shreedhar and Varghese, "Efficient Fair Queueing Using Deficit Round-Robin", 1995): callers who wait
//! stand in a ring, and each time one is passed it may have a quantum of bytes more. So a caller with a thousand batches waiting
//! delays the batch of another by one quantum of its own, whatever the sizes. A caller has a queue only while it waits, so there
//! is one for each of them and no need to share queues by hash; all together are bounded. Where as many wait as may, whoever has
//! nothing waiting takes the place of the newest of the caller with the most: so a few callers cannot keep all others out.
//!
//! Callers who are trusted, new and suspect wait apart ([`Turns::of`]), each kind within the bounds, and get turns in rotation. Where the
//! bytes at work are bounded, half of them is for those who are trusted: the others have no more than the other half, however many
//! they are, and those who are trusted have all of it while nobody else asks.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::{Problem, limits::Trust};

/// Bytes that a caller may have in each round.
const QUANTUM: usize = 64 << 10;

/// Bounds of waiting.
#[derive(Clone, Copy, Debug)]
pub struct TurnsConfig {
    /// At what, for the figures.
    pub at: &'static str,
    /// Turns at once.
    pub at_once: usize,
    /// Bytes of those who have a turn, after which nobody else gets one; half of them those who are not trusted have at most.
    pub at_once_bytes: usize,
    /// Waiting altogether, of each kind.
    pub waiting_max: usize,
    /// Bytes of all of a kind that wait, which are in memory.
    pub waiting_bytes_max: usize,
    /// Waiting of one caller.
    pub of_a_caller_max: usize,
    /// Whoever has waited longer is sent away: its own client will hardly wait for the answer any more.
    pub patience: Duration,
}

impl Default for TurnsConfig {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            at: "reading",
            // The other half of the cores is for everybody whose work is short.
            at_once: (cores / 2).max(1),
            at_once_bytes: usize::MAX,
            waiting_max: 1_024,
            waiting_bytes_max: 64 << 20,
            of_a_caller_max: 64,
            patience: Duration::from_secs(5),
        }
    }
}

impl TurnsConfig {
    /// For what is on its way through the log and the fold behind it, which go through one thing after the other: the next should be
    /// there when one is done, and whoever comes in between should not wait for many.
    pub fn at_log() -> Self {
        Self {
            at: "log",
            at_once: usize::MAX,
            at_once_bytes: 4 * QUANTUM,
            // They wait with what was read of them in hand, which is more than their bytes.
            waiting_bytes_max: 32 << 20,
            ..Self::default()
        }
    }

    /// Whether one of a kind may have a turn beside those who have.
    fn has_room(&self, rings: &Rings, trust: Trust) -> bool {
        let bytes: usize = rings.of.iter().map(|ring| ring.working_bytes).sum();
        let trusted = rings.of[Trust::Trusted as usize].working_bytes;
        let half = self.at_once_bytes / 2;
        let has_bytes = match trust {
            Trust::Trusted => bytes < self.at_once_bytes || trusted < half,
            Trust::New | Trust::Suspect => bytes < self.at_once_bytes && bytes - trusted < half,
        };
        has_bytes && rings.at_work() < self.at_once
    }
}

/// Hands out turns. Cheap to clone.
#[derive(Clone)]
pub struct Turns {
    config: TurnsConfig,
    /// Of which kind those are who ask here.
    trust: Trust,
    rings: Arc<Mutex<Rings>>,
}

/// One who waits.
struct Waiting {
    number: u64,
    bytes: usize,
    called: oneshot::Sender<Turn>,
}

/// All of one caller that waits.
#[derive(Default)]
struct Queue {
    waiting: VecDeque<Waiting>,
    /// Bytes that it may have at once.
    credit: usize,
}

#[derive(Default)]
struct Ring {
    queues: HashMap<Arc<str>, Queue>,
    /// Callers that wait, in the order of their turns; each once.
    order: VecDeque<Arc<str>>,
    waiting: usize,
    waiting_bytes: usize,
    working: usize,
    working_bytes: usize,
    /// Of the next that waits.
    next_number: u64,
}

/// Those who are trusted, new and suspect.
#[derive(Default)]
struct Rings {
    of: [Ring; Trust::COUNT],
    /// Of which kind the last was that had waited.
    last: usize,
}

impl Rings {
    /// Who is next, and of which kind; gone from its ring.
    fn next(&mut self, config: &TurnsConfig) -> Option<(Waiting, Trust)> {
        for step in 1..=Trust::COUNT {
            let at = (self.last + step) % Trust::COUNT;
            let trust = Trust::ALL[at];
            if config.has_room(self, trust)
                && let Some(next) = self.of[at].next()
            {
                self.last = at;
                return Some((next, trust));
            }
        }
        None
    }

    fn at_work(&self) -> usize {
        self.of.iter().map(|ring| ring.working).sum()
    }

    fn waiting(&self) -> usize {
        self.of.iter().map(|ring| ring.waiting).sum()
    }
}

/// Why nobody more may wait.
#[derive(Debug, PartialEq, Eq)]
enum Full {
    /// So many of the caller do already.
    OfCaller(usize),
    /// Too much of all does.
    OfAll,
}

impl Ring {
    /// Begins to wait; the answer is by what number, and what tells that it has its turn.
    fn join(
        &mut self,
        config: &TurnsConfig,
        caller: &Arc<str>,
        bytes: usize,
    ) -> Result<(u64, oneshot::Receiver<Turn>), Full> {
        let of_caller = self.queues.get(caller).map_or(0, |queue| queue.waiting.len());
        if of_caller >= config.of_a_caller_max {
            return Err(Full::OfCaller(of_caller));
        }
        while self.waiting >= config.waiting_max || self.waiting_bytes + bytes > config.waiting_bytes_max {
            if of_caller > 0 || bytes > config.waiting_bytes_max || !self.make_room(config, bytes) {
                return Err(Full::OfAll);
            }
        }
        let (called, call) = oneshot::channel();
        let number = self.next_number;
        self.next_number += 1;
        if !self.queues.contains_key(caller) {
            self.order.push_back(caller.clone());
        }
        self.queues.entry(caller.clone()).or_default().waiting.push_back(Waiting { number, bytes, called });
        self.waiting += 1;
        self.waiting_bytes += bytes;
        Ok((number, call))
    }

    /// Sends away the newest of the caller with the most that waits: in number, or where it is bytes that there are too many of, in
    /// bytes. Not where that is no more than what it would be for.
    fn make_room(&mut self, config: &TurnsConfig, bytes: usize) -> bool {
        let by_number = self.waiting >= config.waiting_max;
        let has = |queue: &Queue| {
            if by_number { queue.waiting.len() } else { queue.waiting.iter().map(|one| one.bytes).sum() }
        };
        let most = self.queues.iter().map(|(caller, queue)| (has(queue), caller)).max();
        let needed = if by_number { 1 } else { bytes };
        let Some((_, caller)) = most.filter(|(most, _)| *most > needed) else { return false };
        let caller = caller.clone();
        let newest = self.queues.get(&caller).and_then(|queue| queue.waiting.back()).map(|one| one.number);
        newest.is_some_and(|newest| self.leave(&caller, newest))
    }

    /// Waits no longer; whether it did.
    fn leave(&mut self, caller: &Arc<str>, number: u64) -> bool {
        let Some(queue) = self.queues.get_mut(caller) else { return false };
        // They stand in the order of their numbers.
        let Ok(at) = queue.waiting.binary_search_by_key(&number, |one| one.number) else { return false };
        let gone = queue.waiting.remove(at);
        let is_last = queue.waiting.is_empty();
        self.waiting -= 1;
        self.waiting_bytes -= gone.map_or(0, |gone| gone.bytes);
        if is_last {
            self.forget(caller);
        }
        true
    }

    /// Who is next; gone from the ring.
    fn next(&mut self) -> Option<Waiting> {
        loop {
            let caller = self.order.front()?.clone();
            let Some(queue) = self.queues.get_mut(&caller) else {
                self.order.pop_front();
                continue;
            };
            // Whoever has gone away takes no turn and costs its caller nothing.
            while let Some(gone) = queue.waiting.pop_front_if(|first| first.called.is_closed()) {
                self.waiting -= 1;
                self.waiting_bytes -= gone.bytes;
            }
            let affordable = queue.waiting.front().is_some_and(|first| first.bytes <= queue.credit);
            if affordable && let Some(first) = queue.waiting.pop_front() {
                queue.credit -= first.bytes;
                self.waiting -= 1;
                self.waiting_bytes -= first.bytes;
                if queue.waiting.is_empty() {
                    self.forget(&caller);
                }
                return Some(first);
            }
            if queue.waiting.is_empty() {
                self.forget(&caller);
                continue;
            }
            queue.credit += QUANTUM;
            self.order.rotate_left(1);
        }
    }

    /// A caller that waits for nothing keeps no credit.
    fn forget(&mut self, caller: &Arc<str>) {
        self.queues.remove(caller);
        self.order.retain(|other| other != caller);
    }
}

/// A place in the ring; whoever waits no longer, for whatever reason, has none.
struct Place<'a> {
    turns: &'a Turns,
    caller: Arc<str>,
    number: u64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut rings = self.turns.rings.lock();
        // Whoever was called has left it already.
        if rings.of[self.turns.trust as usize].leave(&self.caller, self.number) {
            self.turns.tell(&rings);
        }
    }
}

/// A turn; it ends when this is dropped, and the next begins.
pub struct Turn {
    turns: Turns,
    bytes: usize,
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut rings = self.turns.rings.lock();
        let ring = &mut rings.of[self.turns.trust as usize];
        ring.working -= 1;
        ring.working_bytes -= self.bytes;
        drop(rings);
        self.turns.pass_on();
    }
}

impl Turns {
    /// Turns within bounds; whoever asks for one is trusted.
    pub fn new(config: TurnsConfig) -> Self {
        Self { config, trust: Trust::Trusted, rings: Arc::default() }
    }

    /// The same turns for those of another kind.
    #[must_use]
    pub fn of(&self, trust: Trust) -> Self {
        Self { trust, ..self.clone() }
    }

    /// Waits for a turn at work on `bytes` for a caller. Refused with 429 `too_many_waiting` where the caller has too many that wait,
    /// with 503 `overloaded` where all together are too many or it took too long.
    pub async fn wait(&self, caller: &str, bytes: usize) -> Result<Turn, Problem> {
        let (_place, called) = {
            let mut rings = self.rings.lock();
            let at = self.trust as usize;
            if self.config.has_room(&rings, self.trust) && rings.of[at].order.is_empty() {
                return Ok(self.begin(&mut rings, bytes));
            }
            let caller: Arc<str> = caller.into();
            let joined = rings.of[at].join(&self.config, &caller, bytes);
            let (number, called) = joined.map_err(|full| match full {
                Full::OfCaller(waiting) => too_many_waiting(waiting),
                Full::OfAll => overloaded("too much waits already"),
            })?;
            self.tell(&rings);
            (Place { turns: self, caller, number }, called)
        };
        match tokio::time::timeout(self.config.patience, called).await {
            Ok(Ok(turn)) => Ok(turn),
            Ok(Err(_)) => Err(overloaded("others wait who have less waiting than you")),
            Err(_) => Err(overloaded("its turn did not come in time")),
        }
    }

    fn tell(&self, rings: &Rings) {
        metrics::gauge!(crate::metrics::TURNS_WAITING, "at" => self.config.at).set(rings.waiting() as f64);
    }

    fn begin(&self, rings: &mut Rings, bytes: usize) -> Turn {
        let ring = &mut rings.of[self.trust as usize];
        ring.working += 1;
        ring.working_bytes += bytes;
        Turn { turns: self.clone(), bytes }
    }

    /// Gives turns to whoever is next, as many as there is room for.
    fn pass_on(&self) {
        loop {
            let mut rings = self.rings.lock();
            let next = rings.next(&self.config);
            self.tell(&rings);
            let Some((next, trust)) = next else { return };
            let turn = self.of(trust).begin(&mut rings, next.bytes);
            drop(rings);
            // One that went away in between gives its turn back, which passes it on.
            let _ = next.called.send(turn);
        }
    }

    /// Those that have a turn now.
    pub fn at_work(&self) -> usize {
        self.rings.lock().at_work()
    }

    /// Those that wait now.
    pub fn waiting(&self) -> usize {
        self.rings.lock().waiting()
    }
}

fn too_many_waiting(waiting: usize) -> Problem {
    metrics::counter!(crate::metrics::TURNS_REFUSED).increment(1);
    let detail = format!(
        "{waiting} of your requests wait for their turn already; wait for their answers before you send more"
    );
    Problem::new(axum::http::StatusCode::TOO_MANY_REQUESTS, "too_many_waiting", detail)
        .with_header(axum::http::header::RETRY_AFTER, "1")
}

fn overloaded(why: &str) -> Problem {
    metrics::counter!(crate::metrics::TURNS_REFUSED).increment(1);
    let detail = format!("the server is busy with large requests and {why}; send it again in a second");
    Problem::unavailable("overloaded", detail)
}

#[cfg(test)]
mod tests;
