use std::sync::Arc;

use stockade_model::{AttemptFailure, Timestamp};

use super::*;
use crate::{
    Effect, View,
    endpoint::{Delivery, Try},
    samples::{self, endpoint},
};

fn supplier(id: &str) -> EndpointOwner {
    EndpointOwner::Supplier { supplier: id.parse().unwrap() }
}

/// A delivery that waits since `next`; where `took_ms` is said it was tried before.
fn owed(endpoint: &str, number: u64, next: i64, took_ms: Option<u64>) -> Effect {
    let tried = took_ms.map(|latency_ms| Try {
        at: Timestamp::from_ms(i64::try_from(number).unwrap()),
        status: Some(200),
        failure: None,
        detail: String::new(),
        latency_ms,
    });
    let delivery = Delivery { tries: tried.into_iter().collect(), ..samples::delivery(number, next) };
    Effect::Delivery { endpoint: endpoint.to_owned(), delivery: Arc::new(delivery) }
}

fn turns(at_once: usize) -> Turns {
    Turns::new(&WebhooksConfig { at_once, ..WebhooksConfig::default() })
}

/// The endpoints that are sent to now.
fn begun(view: &View, turns: &mut Turns) -> Vec<String> {
    let due = view.due(Timestamp::from_ms(1_000), turns, |_| true).0;
    due.into_iter().map(|it| it.endpoint.id.clone()).collect()
}

/// A view of owners with so many endpoints, to each of which much is owed since long ago.
fn behind(owners: &[EndpointOwner], endpoints: usize) -> View {
    let view = View::default();
    for (which, owner) in owners.iter().enumerate() {
        for at in 0..endpoints {
            let id = format!("{which}-{at}");
            let told = [Effect::Endpoint(Arc::new(endpoint(&id, owner)))];
            view.hear(told.into_iter().chain((0..5).map(|number| owed(&id, number, 0, None))).collect());
        }
    }
    view
}

#[test]
fn many_owners_with_slow_endpoints_leave_places_to_operators_and_their_turn_to_everybody_else() {
    let many: Vec<EndpointOwner> = (0..16).map(|at| supplier(&format!("s-{at}"))).collect();
    let view = behind(&many, 4);
    let mut turns = turns(64);
    let first = begun(&view, &mut turns);
    assert_eq!(first.len(), 48, "a quarter is the operators'");
    // What happens later, to somebody who was told nothing yet and to operators.
    for (id, owner) in [("late", supplier("honest")), ("ops", EndpointOwner::Operators)] {
        view.hear(vec![Effect::Endpoint(Arc::new(endpoint(id, &owner))), owed(id, 900, 900, None)]);
    }
    assert_eq!(begun(&view, &mut turns), ["ops"], "no place is free but theirs");
    // One place is given back, by an owner to whom more is owed, and since longer.
    turns.end(&first[0]);
    assert_eq!(begun(&view, &mut turns), ["late"], "whoever was served longest ago is next");
    turns.end("late");
    assert_eq!(begun(&view, &mut turns).len(), 1, "a place is not left idle");
}

#[test]
fn whoever_was_served_longest_ago_is_next_however_much_is_owed_to_others_and_since_when() {
    let owners: Vec<EndpointOwner> = ["a", "b", "c"].into_iter().map(supplier).collect();
    let view = behind(&owners, 2);
    let mut turns = turns(1);
    let mut order = String::new();
    for _ in 0..6 {
        let next = begun(&view, &mut turns);
        assert_eq!(next.len(), 1);
        order.push_str(&next[0][..1]);
        turns.end(&next[0]);
    }
    assert_eq!(order, "012012");
}

#[test]
fn every_owner_has_one_attempt_before_any_has_a_second_and_none_has_more_than_four() {
    let owners: Vec<EndpointOwner> = ["a", "b", "c"].into_iter().map(supplier).collect();
    let view = behind(&owners, 6);
    let mut some = turns(8);
    let first = begun(&view, &mut some);
    let of = |who: &str| first.iter().filter(|id| id.starts_with(who)).count();
    assert_eq!((of("0-"), of("1-"), of("2-")), (2, 2, 2), "{first:?}");
    let mut many = turns(1_000);
    assert_eq!(begun(&view, &mut many).len(), 12);
    assert!(begun(&view, &mut many).is_empty());
    many.clear();
    assert_eq!(begun(&view, &mut many).len(), 12);
}

#[test]
fn slow_endpoints_of_an_owner_share_one_place_until_they_are_quick_and_its_quick_ones_have_theirs() {
    let owner = supplier("acme");
    let view = behind(std::slice::from_ref(&owner), 4);
    let slow_ms = WebhooksConfig::default().deadline_ms / 2;
    for id in ["0-0", "0-1", "0-2"] {
        view.hear(vec![owed(id, 50, 500, Some(slow_ms))]);
    }
    let mut turns = turns(64);
    assert_eq!(begun(&view, &mut turns), ["0-3", "0-0"]);
    turns.end("0-0");
    view.hear(vec![owed("0-0", 51, 500, Some(slow_ms))]);
    assert_eq!(begun(&view, &mut turns), ["0-1"], "one after the other, whatever is owed to the first");
    // It is the last attempt that counts, and it was quick.
    for id in ["0-0", "0-1", "0-2"] {
        turns.end(id);
        view.hear(vec![owed(id, 60, 500, Some(20))]);
    }
    assert_eq!(begun(&view, &mut turns).len(), 3);
}

#[test]
fn what_was_not_sent_waited_as_long_as_what_was_slow() {
    let view = behind(&[supplier("acme")], 3);
    for id in ["0-0", "0-1", "0-2"] {
        let Effect::Delivery { endpoint, delivery } = owed(id, 70, 500, Some(0)) else { continue };
        let mut delivery = (*delivery).clone();
        delivery.tries[0].failure = Some(AttemptFailure::Unsent);
        view.hear(vec![Effect::Delivery { endpoint, delivery: Arc::new(delivery) }]);
    }
    assert_eq!(begun(&view, &mut turns(64)).len(), 1);
}

#[test]
fn whoever_has_no_right_takes_no_place_and_no_installation_is_too_small_for_others() {
    let view = behind(&[supplier("gone"), supplier("here")], 1);
    for at_once in 1..=3 {
        let mut turns = turns(at_once);
        let here = |owner: &EndpointOwner| *owner == supplier("here");
        let (due, next) = view.due(Timestamp::from_ms(1_000), &mut turns, here);
        assert_eq!((due.len(), next), (1, None), "{at_once} at once");
        assert_eq!(due[0].endpoint.owner, supplier("here"));
    }
}

#[test]
fn when_owners_were_served_is_known_of_so_many_only() {
    let mut turns = turns(64);
    for at in 0..=SERVED_MAX {
        let id = format!("w-{at}");
        assert!(turns.take(&endpoint(&id, &supplier(&format!("s-{at}"))), None));
        turns.end(&id);
    }
    assert!(turns.served.len() <= ALL_MAX, "{}", turns.served.len());
    assert_eq!(turns.served(&supplier(&format!("s-{SERVED_MAX}"))), SERVED_MAX as u64 + 1);
    assert!(turns.own.is_empty() && turns.under_way.is_empty());
}
