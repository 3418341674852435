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
async fn ask(turns: &Turns, caller: &str, bytes: usize) -> tokio::task::JoinHandle<Result<Turn, Problem>> {
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
    let ring = &turns.rings.lock().of[Trust::Trusted as usize];
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
    let ring = &turns.rings.lock().of[Trust::Trusted as usize];
    assert_eq!((ring.working, ring.working_bytes), (0, 0));
}

#[tokio::test]
async fn half_of_the_bytes_is_for_those_who_are_trusted_and_all_of_it_while_nobody_else_asks() {
    let turns = Turns::new(TurnsConfig { at_once: 100, at_once_bytes: 100, ..turns(1).config });
    let (new, suspect) = (turns.of(Trust::New), turns.of(Trust::Suspect));
    let others = [new.wait("n", 30).await.unwrap(), suspect.wait("s", 30).await.unwrap()];
    let waits = [ask(&new, "n", 10).await, ask(&suspect, "t", 10).await];
    assert_eq!(turns.waiting(), 2, "the others have no more than half, and one that began below it");
    // However much the others have, these go at once.
    let trusted = [turns.wait("a", 40).await.unwrap(), turns.wait("b", 40).await.unwrap()];
    let next = ask(&turns, "a", 10).await;
    assert_eq!(turns.waiting(), 3, "and those who are trusted no more than all of it");
    drop(others);
    for task in waits {
        drop(task.await.unwrap().unwrap());
    }
    drop(next.await.unwrap().unwrap());
    let more = turns.wait("c", 1_000).await.unwrap();
    assert_eq!(turns.at_work(), 3, "what the others leave is theirs too");
    let other = ask(&new, "n", 10).await;
    assert_eq!(turns.waiting(), 1, "nor do the others go beside what is too much altogether");
    drop((trusted, more));
    drop(other.await.unwrap().unwrap());
    assert_eq!((turns.waiting(), turns.at_work()), (0, 0));
}

#[tokio::test]
async fn whoever_is_not_trusted_takes_no_place_of_whoever_is() {
    let turns = Turns::new(TurnsConfig { waiting_max: 2, at_once_bytes: 10, ..turns(100).config });
    let busy = turns.wait("a", 10).await.unwrap();
    let suspect = turns.of(Trust::Suspect);
    let flood = [ask(&suspect, "s", 1).await, ask(&suspect, "t", 1).await];
    let refused = suspect.wait("u", 1).await.err().map(|problem| problem.code);
    assert_eq!(refused, Some("overloaded"));
    let honest = [ask(&turns, "b", 1).await, ask(&turns, "c", 1).await];
    assert_eq!(turns.waiting(), 4);
    drop(busy);
    for task in honest.into_iter().chain(flood) {
        drop(task.await.unwrap().unwrap());
    }
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
        let ring = &turns.rings.lock().of[Trust::Trusted as usize];
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
