//! A confirmation that is taken back.

use super::*;
use Action::Reopened;

#[test]
fn who_confirmed_takes_it_back_and_the_review_waits_as_before() {
    let mut court = Court::new();
    court.rule(10, "a", Quarantine, Scope::Supplier, 1.0);
    let (id, review) = (court.id(), format!("v{}", court.id()));
    let confirm = |actor: &str| Proposal::Confirm {
        supplier: acme(),
        restriction: court_id(&review),
        actor: actor.to_owned(),
        reason: "seen".to_owned(),
    };
    let reopen = |actor: &str| Proposal::Reopen {
        supplier: acme(),
        restriction: court_id(&review),
        actor: actor.to_owned(),
        reason: "the wrong one".to_owned(),
    };
    let confirmed_by =
        |court: &Court| court.last().in_force[0].confirmed.as_ref().map(|confirmed| confirmed.actor.clone());
    assert_eq!(court.ask(11, reopen("ann")), Err("not_confirmed"));
    assert_eq!(court.claim(12, "ann"), Ok(Some(review.clone())));
    assert_eq!(court.settle(13, &review, Finding::Uphold, "ann"), Ok(None));
    assert_eq!(court.ask(14, reopen("bob")), Err("confirmed_by_another"));
    assert_eq!(court.ask(15, reopen("ann")), Ok(None));
    assert_eq!((court.last().action, confirmed_by(&court)), (Reopened, None));
    assert_eq!(court.levels(), [Quarantine], "what buyers see is as it was");
    assert_eq!(court.day("a").confirmed, 0);
    court.moved();
    let opened = court.effects.iter().rev().find_map(|effect| match effect {
        ArbiterEffect::Review(ReviewChange::Open(held)) if held.id == review => Some(held.clone()),
        _ => None,
    });
    let opened = opened.expect("the review is open");
    assert_eq!(
        (opened.opened_at.ms(), &opened.claim, &opened.restriction.unwrap().confirmed),
        (10, &None, &None)
    );
    assert_eq!(court.claim(16, "bob"), Ok(Some(review.clone())), "and anybody may be given it");
    assert_eq!(court.ask(17, reopen("ann")), Err("not_confirmed"));

    // What somebody else had found before stands again, and nothing waits.
    court.ask(20, confirm("ann")).unwrap();
    court.ask(21, confirm("bob")).unwrap();
    assert_eq!((confirmed_by(&court), court.day("a").confirmed), (Some("bob".to_owned()), 1));
    assert_eq!(court.ask(22, reopen("bob")), Ok(None));
    assert_eq!((confirmed_by(&court), court.day("a").confirmed), (Some("ann".to_owned()), 1));
    assert_eq!(court.claim(23, "cem"), Err("nothing_to_review"));

    // A party cannot make itself a judge by taking back what makes it one.
    let (restriction, actor, text) = (id, "acme".to_owned(), "why".to_owned());
    let appeal =
        court.ask(30, Proposal::Appeal { supplier: acme(), restriction, actor, text }).unwrap().unwrap();
    assert_eq!(court.ask(31, reopen("ann")), Err("appealed_already"));
    assert_eq!(court.settle(32, &appeal, Finding::Release, "ann"), Err("own_decision"));
    assert_eq!(court.settle(33, &appeal, Finding::Release, "bob"), Ok(None), "who took it back is none");
    assert_eq!(court.ask(34, reopen("ann")), Err("nothing_in_force"));
}

/// The restriction that a review of a rule's decision is about.
fn court_id(review: &str) -> String {
    review[1..].to_owned()
}
