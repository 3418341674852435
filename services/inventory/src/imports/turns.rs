//! Turns at what imports share: the processors while files are read, and the log. A turn is short, a slice of a file or one chunk,
//! and whoever has more to do asks anew and stands behind all who wait by then. Each supplier's imports are worked at one after the
//! other, so that is round robin over suppliers, and as turns are of one size nothing else has to be reckoned.
//!
//! Suppliers who are trusted, new and suspect wait apart. Those who are not trusted never have all turns at once, so a trusted
//! supplier waits for turns of its like alone, however many of the others there are.

use std::{collections::VecDeque, sync::Arc};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use stockade_runtime::Trust;

/// Hands out turns. Cheap to clone.
#[derive(Clone)]
pub(super) struct Turns {
    at_once: usize,
    ring: Arc<Mutex<Ring>>,
}

#[derive(Default)]
struct Ring {
    waiting: [VecDeque<oneshot::Sender<Turn>>; Trust::COUNT],
    working: [usize; Trust::COUNT],
    /// Of which kind the last turn was.
    last: usize,
}

impl Ring {
    /// Who is next, and of which kind; gone from the ring.
    fn next(&mut self, at_once: usize) -> Option<(oneshot::Sender<Turn>, Trust)> {
        let working: usize = self.working.iter().sum();
        if working >= at_once {
            return None;
        }
        // With one turn there is none to keep back; then the kinds go by turns.
        let others_max = at_once.saturating_sub(1).max(1);
        let others = working - self.working[Trust::Trusted as usize];
        for step in 1..=Trust::COUNT {
            let at = (self.last + step) % Trust::COUNT;
            let kind = Trust::ALL[at];
            if kind != Trust::Trusted && others >= others_max {
                continue;
            }
            while let Some(called) = self.waiting[at].pop_front() {
                // Whoever has gone away takes no turn.
                if !called.is_closed() {
                    self.last = at;
                    return Some((called, kind));
                }
            }
        }
        None
    }
}

/// A turn; it ends when this is dropped, and the next begins.
pub(super) struct Turn {
    turns: Turns,
    kind: Trust,
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.turns.ring.lock().working[self.kind as usize] -= 1;
        self.turns.pass_on();
    }
}

impl Turns {
    /// So many at once.
    pub(super) fn new(at_once: usize) -> Self {
        Self { at_once: at_once.max(1), ring: Arc::default() }
    }

    fn ask(&self, kind: Trust) -> oneshot::Receiver<Turn> {
        let (call, called) = oneshot::channel();
        self.ring.lock().waiting[kind as usize].push_back(call);
        self.pass_on();
        called
    }

    /// Waits for a turn; `None` never but where turns are handed out no more.
    pub(super) async fn wait(&self, kind: Trust) -> Option<Turn> {
        self.ask(kind).await.ok()
    }

    /// The same on a thread that may wait.
    fn wait_here(&self, kind: Trust) -> Option<Turn> {
        self.ask(kind).blocking_recv().ok()
    }

    /// Gives turns to whoever is next, as many as there are.
    fn pass_on(&self) {
        loop {
            let mut ring = self.ring.lock();
            let Some((called, kind)) = ring.next(self.at_once) else { return };
            ring.working[kind as usize] += 1;
            drop(ring);
            // One that went away in between gives its turn back, which passes it on.
            let _ = called.send(Turn { turns: self.clone(), kind });
        }
    }
}

/// Rows of a slice: some hundredths of a second.
const SLICE_ROWS: u64 = 2_000;

/// Work at one file, slice by slice, on a thread that may wait.
pub(super) struct Slices<'a> {
    turns: &'a Turns,
    /// How far its supplier is known by now.
    kind: &'a dyn Fn() -> Trust,
    began: Trust,
    turn: Option<Turn>,
    rows: u64,
}

impl<'a> Slices<'a> {
    /// Waits for the first slice of a supplier who counts as `began`.
    pub(super) fn begin(turns: &'a Turns, began: Trust, kind: &'a dyn Fn() -> Trust) -> Self {
        Self { turns, kind, began, turn: turns.wait_here(began), rows: 0 }
    }

    /// So many rows are done: behind the last of a slice the next is waited for.
    pub(super) fn did(&mut self, rows: u64) {
        self.rows += rows;
        if self.rows >= SLICE_ROWS {
            self.rows = 0;
            self.turn = None;
            self.turn = self.turns.wait_here(self.began);
        }
    }

    /// Whether something is in force against its supplier by now that was not when it began: it has to begin anew, among its like.
    pub(super) fn fell(&self) -> bool {
        self.rows == 0 && (self.kind)() > self.began
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether it is called.
    fn called(asked: &mut oneshot::Receiver<Turn>) -> Option<Turn> {
        asked.try_recv().ok()
    }

    #[test]
    fn a_trusted_suppliers_file_waits_for_no_slice_of_all_that_others_have_queued() {
        let turns = Turns::new(2);
        let mut fakes: Vec<_> = (0..1_000)
            .map(|number| turns.ask(if number % 2 == 0 { Trust::New } else { Trust::Suspect }))
            .collect();
        let at_work = fakes.iter_mut().filter_map(called).collect::<Vec<_>>();
        assert_eq!(at_work.len(), 1, "those who are not trusted have all turns but one");
        for slice in 0..50 {
            let turn = called(&mut turns.ask(Trust::Trusted));
            assert!(turn.is_some(), "slice {slice} is not waited for");
        }
        drop(at_work);
        let next: Vec<_> = fakes.iter_mut().filter_map(called).collect();
        assert_eq!(next.len(), 1, "and the others go on");
    }

    #[test]
    fn a_small_file_of_a_trusted_supplier_waits_for_one_slice_of_each_large_one() {
        let turns = Turns::new(2);
        let _new = called(&mut turns.ask(Trust::New)).unwrap();
        let mut at_work = called(&mut turns.ask(Trust::Trusted)).unwrap();
        let mut large: VecDeque<_> = (0..4).map(|_| turns.ask(Trust::Trusted)).collect();
        let mut small = turns.ask(Trust::Trusted);
        for slice in 0..4 {
            assert!(called(&mut small).is_none(), "slice {slice}");
            // The one at work has more to do and asks anew.
            drop(at_work);
            at_work = called(&mut large.pop_front().unwrap()).unwrap();
            large.push_back(turns.ask(Trust::Trusted));
        }
        drop(at_work);
        assert!(called(&mut small).is_some());
    }

    #[test]
    fn with_one_turn_the_kinds_go_by_turns() {
        let turns = Turns::new(1);
        let mut at_work = called(&mut turns.ask(Trust::Suspect)).unwrap();
        let mut others: Vec<_> =
            (0..100).flat_map(|_| [turns.ask(Trust::New), turns.ask(Trust::Suspect)]).collect();
        let mut honest = turns.ask(Trust::Trusted);
        let mut before = 0;
        loop {
            drop(at_work);
            if called(&mut honest).is_some() {
                break;
            }
            at_work = others.iter_mut().find_map(called).unwrap();
            before += 1;
        }
        assert!(before <= 2, "{before} went before");
    }

    #[test]
    fn whoever_goes_away_takes_no_turn() {
        let turns = Turns::new(1);
        let first = called(&mut turns.ask(Trust::New)).unwrap();
        drop(turns.ask(Trust::New));
        let mut next = turns.ask(Trust::New);
        drop(first);
        drop(called(&mut next).unwrap());
        assert_eq!(turns.ring.lock().working, [0; Trust::COUNT]);
    }

    #[test]
    fn a_file_gives_its_turn_to_others_between_slices_and_ends_where_its_supplier_falls() {
        let turns = Turns::new(1);
        let kind = std::cell::Cell::new(Trust::New);
        let now = || kind.get();
        let mut slices = Slices::begin(&turns, Trust::New, &now);
        let mut other = turns.ask(Trust::Trusted);
        slices.did(SLICE_ROWS - 1);
        assert!(called(&mut other).is_none());
        // Whoever is called holds the turn that this one would wait for, so it is let go beside.
        let beside = std::thread::spawn(move || drop(other.blocking_recv()));
        slices.did(1);
        beside.join().unwrap();
        assert!(!slices.fell());
        kind.set(Trust::Suspect);
        assert!(slices.fell());
    }
}
