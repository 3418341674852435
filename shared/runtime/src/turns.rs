//! Turns at work that keeps a core busy, such as reading a batch of a thousand rows: only so many at once, and whose turn is
//! next is decided by what each caller had, not by who came first or most often.
//!
//! Deficit round robin (Shreedhar and Varghese, "Efficient Fair Queueing Using Deficit Round-Robin", 1995): callers who wait
//! stand in a ring, and each time one is passed it may have a quantum of bytes more. So a caller with a thousand batches waiting
//! delays the batch of another by one quantum of its own, whatever the sizes. A caller has a queue only while it waits, so there
//! is one for each of them and no need to share queues by hash; all together are bounded. Where as many wait as may, whoever has
//! nothing waiting takes the place of the newest of the caller with the most: so a few callers cannot keep all others out.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::Problem;

/// Bytes that a caller may have in each round.
const QUANTUM: usize = 64 << 10;

/// Bounds of waiting.
#[derive(Clone, Copy, Debug)]
pub struct TurnsConfig {
    /// At what, for the figures.
    pub at: &'static str,
    /// Turns at once.
    pub at_once: usize,
    /// Bytes of those who have a turn, after which nobody else gets one.
    pub at_once_bytes: usize,
    /// Waiting altogether.
    pub waiting_max: usize,
    /// Bytes of all that wait, which are in memory.
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
        Self { at: "log", at_once: usize::MAX, at_once_bytes: 4 * QUANTUM, ..Self::default() }
    }

    fn has_room(&self, ring: &Ring) -> bool {
        ring.working < self.at_once && ring.working_bytes < self.at_once_bytes
    }
}

/// Hands out turns. Cheap to clone.
#[derive(Clone)]
pub struct Turns {
    config: TurnsConfig,
    ring: Arc<Mutex<Ring>>,
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
        let mut ring = self.turns.ring.lock();
        // Whoever was called has left it already.
        if ring.leave(&self.caller, self.number) {
            self.turns.tell(&ring);
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
        let mut ring = self.turns.ring.lock();
        ring.working -= 1;
        ring.working_bytes -= self.bytes;
        drop(ring);
        self.turns.pass_on();
    }
}

impl Turns {
    /// Turns within bounds.
    pub fn new(config: TurnsConfig) -> Self {
        Self { config, ring: Arc::default() }
    }

    /// Waits for a turn at work on `bytes` for a caller. Refused with 429 `too_many_waiting` where the caller has too many that wait,
    /// with 503 `overloaded` where all together are too many or it took too long.
    pub async fn wait(&self, caller: &str, bytes: usize) -> Result<Turn, Problem> {
        let (_place, called) = {
            let mut ring = self.ring.lock();
            if self.config.has_room(&ring) && ring.order.is_empty() {
                return Ok(self.begin(&mut ring, bytes));
            }
            let caller: Arc<str> = caller.into();
            let (number, called) = ring.join(&self.config, &caller, bytes).map_err(|full| match full {
                Full::OfCaller(waiting) => too_many_waiting(waiting),
                Full::OfAll => overloaded("too much waits already"),
            })?;
            self.tell(&ring);
            (Place { turns: self, caller, number }, called)
        };
        match tokio::time::timeout(self.config.patience, called).await {
            Ok(Ok(turn)) => Ok(turn),
            Ok(Err(_)) => Err(overloaded("others wait who have less waiting than you")),
            Err(_) => Err(overloaded("its turn did not come in time")),
        }
    }

    fn tell(&self, ring: &Ring) {
        metrics::gauge!(crate::metrics::TURNS_WAITING, "at" => self.config.at).set(ring.waiting as f64);
    }

    fn begin(&self, ring: &mut Ring, bytes: usize) -> Turn {
        ring.working += 1;
        ring.working_bytes += bytes;
        Turn { turns: self.clone(), bytes }
    }

    /// Gives turns to whoever is next, as many as there is room for.
    fn pass_on(&self) {
        loop {
            let mut ring = self.ring.lock();
            let next = if self.config.has_room(&ring) { ring.next() } else { None };
            self.tell(&ring);
            let Some(next) = next else { return };
            let turn = self.begin(&mut ring, next.bytes);
            drop(ring);
            // One that went away in between gives its turn back, which passes it on.
            let _ = next.called.send(turn);
        }
    }

    /// Those that have a turn now.
    pub fn at_work(&self) -> usize {
        self.ring.lock().working
    }

    /// Those that wait now.
    pub fn waiting(&self) -> usize {
        self.ring.lock().waiting
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
mod tests {
    use super::*;

    fn turns(at_once: usize) -> Turns {
        Turns::new(TurnsConfig {
            at: "reading",
            at_once,
            at_once_bytes: usize::MAX,
            waiting_max: 10_000,
            waiting_bytes_max: usize::MAX / 2,
            of_a_caller_max: 1_000,
            patience: Duration::from_secs(3_600),
        })
    }

    /// Begins to wait: whoever is not called yet is a task that stands in the ring.
    async fn ask(
        turns: &Turns,
        caller: &str,
        bytes: usize,
    ) -> tokio::task::JoinHandle<Result<Turn, Problem>> {
        let before = turns.waiting();
        let (own, caller) = (turns.clone(), caller.to_owned());
        let task = tokio::spawn(async move { own.wait(&caller, bytes).await });
        while turns.waiting() == before && !task.is_finished() {
            tokio::task::yield_now().await;
        }
        task
    }

    #[tokio::test]
    async fn one_of_another_caller_waits_for_a_quantum_and_not_for_all_that_came_before() {
        let turns = turns(1);
        let busy = turns.wait("flood", 1).await.unwrap();
        let mut flood = Vec::new();
        for _ in 0..100 {
            let (own, before) = (turns.clone(), turns.waiting());
            flood.push(tokio::spawn(async move { own.wait("flood", QUANTUM / 2).await.map(drop) }));
            while turns.waiting() == before {
                tokio::task::yield_now().await;
            }
        }
        let honest = ask(&turns, "honest", QUANTUM).await;
        drop(busy);
        let turn = honest.await.unwrap().unwrap();
        drop(turn);
        let mut before = 0;
        for task in &flood {
            before += usize::from(task.is_finished());
        }
        assert!(before <= 3, "{before} of the flood went before");
        flood.iter().for_each(tokio::task::JoinHandle::abort);
    }

    #[tokio::test]
    async fn whoever_goes_away_takes_no_turn_and_what_it_had_is_passed_on() {
        let turns = turns(1);
        let first = turns.wait("a", 1).await.unwrap();
        let gone = ask(&turns, "a", 1).await;
        gone.abort();
        let _ = gone.await;
        let next = ask(&turns, "b", 1).await;
        drop(first);
        let turn = next.await.unwrap().unwrap();
        assert_eq!(turns.waiting(), 0);
        drop(turn);
        let ring = turns.ring.lock();
        let left = (ring.working, ring.working_bytes, ring.queues.len(), ring.order.len());
        assert_eq!(left, (0, 0, 0, 0), "nothing is left behind");
    }

    #[tokio::test]
    async fn where_bytes_bound_those_at_work_many_short_ones_go_at_once_and_a_long_one_alone() {
        let bounds = TurnsConfig { at_once: 10, at_once_bytes: 100, ..turns(1).config };
        let turns = Turns::new(bounds);
        let short = [turns.wait("a", 40).await.unwrap(), turns.wait("b", 40).await.unwrap()];
        let long = turns.wait("c", 1_000).await.unwrap();
        let next = [ask(&turns, "a", 40).await, ask(&turns, "d", 40).await];
        drop(short);
        assert_eq!(turns.waiting(), 2, "the long one is enough by itself");
        drop(long);
        for turn in next {
            drop(turn.await.unwrap().unwrap());
        }
        let ring = turns.ring.lock();
        assert_eq!((ring.working, ring.working_bytes), (0, 0));
    }

    #[tokio::test]
    async fn waiting_is_bounded_in_number_and_in_bytes() {
        let bounds =
            TurnsConfig { waiting_max: 3, waiting_bytes_max: 100, of_a_caller_max: 2, ..turns(1).config };
        let turns = Turns::new(bounds);
        let busy = turns.wait("a", 1).await.unwrap();
        let tasks = [ask(&turns, "a", 1).await, ask(&turns, "a", 1).await, ask(&turns, "b", 1).await];
        let code = async |caller: &str, bytes| {
            turns.wait(caller, bytes).await.err().map(|problem| (problem.status, problem.code))
        };
        assert_eq!(code("a", 1).await, Some((429, "too_many_waiting")));
        assert_eq!(code("b", 1).await, Some((503, "overloaded")), "too many");
        drop(busy);
        for task in tasks {
            drop(task.await.unwrap().unwrap());
        }
        let busy = turns.wait("a", 1).await.unwrap();
        assert_eq!(code("a", 101).await, Some((503, "overloaded")), "too much");
        drop(busy);
        assert!(turns.wait("a", 101).await.is_ok(), "what need not wait is not kept");
    }

    #[tokio::test]
    async fn whoever_waited_in_vain_takes_no_place_from_others() {
        let bounds = TurnsConfig { waiting_max: 2, patience: Duration::from_millis(1), ..turns(1).config };
        let turns = Turns::new(bounds);
        let busy = turns.wait("a", 1).await.unwrap();
        for _ in 0..2 {
            let tasks = [ask(&turns, "a", 10).await, ask(&turns, "b", 10).await];
            for task in tasks {
                assert_eq!(task.await.unwrap().err().map(|problem| problem.code), Some("overloaded"));
            }
            let ring = turns.ring.lock();
            let left = (ring.waiting, ring.waiting_bytes, ring.queues.len(), ring.order.len());
            assert_eq!(left, (0, 0, 0, 0), "though no turn has ended");
        }
        drop(busy);
    }

    #[tokio::test]
    async fn where_as_many_wait_as_may_the_newest_of_the_most_makes_room_and_is_told() {
        let turns = Turns::new(TurnsConfig { waiting_max: 4, ..turns(1).config });
        let busy = turns.wait("flood", 1).await.unwrap();
        let mut flood = Vec::new();
        for _ in 0..4 {
            flood.push(ask(&turns, "flood", 1).await);
        }
        let mut honest = std::pin::pin!(turns.wait("honest", 1));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(honest.as_mut().poll(&mut context).is_pending());
        let newest = flood.pop().unwrap().await.unwrap();
        assert_eq!(newest.err().map(|problem| (problem.status, problem.code)), Some((503, "overloaded")));
        assert_eq!(turns.waiting(), 4);
        drop(busy);
        let others = async {
            for task in flood {
                drop(task.await.unwrap().unwrap());
            }
        };
        tokio::join!(others, async { drop(honest.await.unwrap()) });
        assert_eq!((turns.waiting(), turns.at_work()), (0, 0));
    }

    proptest::proptest! {
        /// Whoever has nothing waiting is refused only where nobody has more waiting than that one would have; and what is counted is
        /// what waits.
        #[test]
        fn who_has_nothing_waiting_is_refused_only_where_nobody_has_more_than_it_would_have(
            asks in proptest::collection::vec((0u8..8, 1usize..30, 0u8..4), 1..200),
        ) {
            let bounds = TurnsConfig { waiting_max: 12, waiting_bytes_max: 100, of_a_caller_max: 5, ..turns(1).config };
            let mut ring = Ring::default();
            let mut receivers = Vec::new();
            for (caller, bytes, then) in asks {
                let caller: Arc<str> = caller.to_string().into();
                let of = |ring: &Ring| -> Vec<(usize, usize)> {
                    let bytes = |queue: &Queue| queue.waiting.iter().map(|one| one.bytes).sum();
                    ring.queues.values().map(|queue| (queue.waiting.len(), bytes(queue))).collect()
                };
                let had_nothing = !ring.queues.contains_key(&caller);
                match ring.join(&bounds, &caller, bytes) {
                    Ok((number, receiver)) => receivers.push((caller, number, receiver)),
                    Err(Full::OfAll) if had_nothing => {
                        let all = of(&ring);
                        let many = ring.waiting >= bounds.waiting_max && all.iter().any(|(count, _)| *count > 1);
                        let large = ring.waiting < bounds.waiting_max && all.iter().any(|(_, had)| *had > bytes);
                        proptest::prop_assert!(!many && !large, "{bytes} bytes are refused beside {all:?}");
                    }
                    Err(_) => {}
                }
                match then {
                    // One gives up, or is called.
                    0 => if let Some((caller, number, _)) = receivers.pop() {
                        ring.leave(&caller, number);
                    },
                    1 => drop(ring.next()),
                    _ => {}
                }
                let all = of(&ring);
                proptest::prop_assert_eq!(ring.waiting, all.iter().map(|(count, _)| count).sum::<usize>());
                proptest::prop_assert_eq!(ring.waiting_bytes, all.iter().map(|(_, bytes)| bytes).sum::<usize>());
                proptest::prop_assert!(all.iter().all(|(count, _)| (1..=bounds.of_a_caller_max).contains(count)));
                proptest::prop_assert!(ring.waiting <= bounds.waiting_max && ring.waiting_bytes <= bounds.waiting_bytes_max);
                proptest::prop_assert_eq!(ring.order.len(), ring.queues.len());
            }
        }

        /// Of callers that always have something waiting each gets the same bytes, but for a quantum and what is longest.
        #[test]
        fn callers_that_wait_all_the_time_get_the_same_bytes(
            sizes in proptest::collection::vec(1usize..4 * QUANTUM, 2..5),
            turns in 50usize..300,
        ) {
            let mut ring = Ring::default();
            let mut had = vec![0; sizes.len()];
            let name = |caller: usize| -> Arc<str> { caller.to_string().into() };
            let mut receivers = Vec::new();
            for (caller, bytes) in sizes.iter().enumerate() {
                ring.order.push_back(name(caller));
                let queue = ring.queues.entry(name(caller)).or_default();
                for number in 0..=turns {
                    let (called, receiver) = oneshot::channel();
                    receivers.push(receiver);
                    queue.waiting.push_back(Waiting { number: number as u64, bytes: *bytes, called });
                    ring.waiting += 1;
                    ring.waiting_bytes += bytes;
                }
            }
            for _ in 0..turns {
                let before: Vec<usize> = (0..sizes.len()).map(|at| ring.queues[&name(at)].waiting.len()).collect();
                ring.next().unwrap();
                for (at, before) in before.iter().enumerate() {
                    had[at] += (before - ring.queues[&name(at)].waiting.len()) * sizes[at];
                }
            }
            let longest = sizes.iter().max().unwrap();
            let (least, most) = (had.iter().min().unwrap(), had.iter().max().unwrap());
            proptest::prop_assert!(most - least <= longest + 2 * QUANTUM + longest, "{had:?} of {sizes:?}");
        }
    }
}
