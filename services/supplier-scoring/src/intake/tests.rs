//! Silence as evidence: what is promised and not kept is told once, and taken back when it turns out otherwise.

use proptest::prelude::*;
use stockade_fold::Host;
use stockade_log::Record;
use stockade_model::{Envelope, EventId, OrderId, SupplierId};

use super::*;

const PLACED: i64 = 700 * 24;

/// Intake alone, with a clock in hours since the order was placed.
struct Desk {
    intake: Host<Intake>,
    offset: u64,
    told: Vec<Outcome>,
}

impl Desk {
    fn new() -> Self {
        let intake = Host::new("intake", Topic::EventsInbox, 0, 1, 1, Intake::default());
        Self { intake, offset: 0, told: Vec::new() }
    }

    /// `kind` is said of the order at `hour`; what intake makes of it is kept.
    fn say(&mut self, hour: i64, kind: OrderEventKind, change: impl FnOnce(&mut OrderEvent)) {
        let at = Timestamp::from_ms((PLACED + hour) * HOUR_MS);
        let id = EventId::new(&format!("e-{}", self.offset)).unwrap();
        let mut event = OrderEvent::bare(id, "shop", kind, at, SupplierId::new("s").unwrap());
        event.order = Some(OrderId::new("o").unwrap());
        event.buyer = Some(BuyerId::new("b").unwrap());
        event.quantity = Some(1);
        change(&mut event);
        let payload = Payload::OrderEvent(event);
        let headers = Envelope::new(payload.kind(), "", "test").headers();
        let headers = headers.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        let value = payload.encode().into();
        let record =
            Record { offset: self.offset, time_ms: at.ms(), key: Default::default(), headers, value };
        self.offset += 1;
        for output in self.intake.apply(&record, &mut Vec::new()) {
            let headers = output.headers.iter().map(|(name, value)| (*name, value.as_bytes()));
            let kind = Envelope::from_headers(headers).unwrap().kind;
            if let Payload::Outcome(outcome) = Payload::decode(&kind, &output.value).unwrap() {
                self.told.push(outcome);
            }
        }
    }

    fn placed(&mut self, ship: Option<i64>, deliver: Option<i64>) {
        let at = |hour: i64| Timestamp::from_ms((PLACED + hour) * HOUR_MS);
        self.say(0, OrderEventKind::Placed, |event| {
            (event.ship_by, event.deliver_by) = (ship.map(at), deliver.map(at));
        });
    }

    /// Time goes on, and other orders are heard of: the platform is not deaf.
    fn wait(&mut self, hour: i64) {
        for kind in [OrderEventKind::Shipped, OrderEventKind::Delivered] {
            let order = OrderId::new(&format!("other-{hour}")).unwrap();
            self.say(hour, kind, |event| event.order = Some(order));
        }
    }

    /// An order whose hand-over, promised for the 48th hour, was given up three days later.
    fn without_a_hand_over() -> Self {
        let mut desk = Self::new();
        desk.placed(Some(48), None);
        desk.wait(48 + 80);
        desk.wait(48 + 90);
        desk
    }

    fn tells_late_of_a_hand_over_in_time(&mut self) {
        self.say(48 + 100, OrderEventKind::Shipped, |event| {
            event.time = Timestamp::from_ms((PLACED + 47) * HOUR_MS);
        });
    }

    /// What silence said and did not take back: kind, whether hopeless.
    fn silences(&self) -> Vec<(OrderEventKind, bool)> {
        let mut standing = Vec::new();
        for outcome in self.told.iter().filter(|outcome| outcome.event.kind.is_derived()) {
            let what = (outcome.event.kind, outcome.event.late);
            if outcome.withdrawn {
                let place = standing.iter().position(|known| *known == what).expect("was said before");
                standing.remove(place);
            } else {
                assert!(!standing.contains(&what), "{what:?} was said twice");
                standing.push(what);
            }
        }
        standing
    }

    /// How often the order is held to have done harm, in all.
    fn harms(&self) -> i64 {
        let tells = |outcome: &&Outcome| outcome.order.as_ref().is_some_and(|order| order.tells);
        self.told.iter().filter(tells).map(|outcome| if outcome.withdrawn { -1 } else { 1 }).sum()
    }
}

#[test]
fn what_is_not_handed_over_is_overdue_once_and_missing_once() {
    let mut desk = Desk::new();
    desk.placed(Some(48), None);
    desk.wait(59);
    assert_eq!(desk.silences(), [], "scans travel for twelve hours");
    desk.wait(61);
    assert_eq!(desk.silences(), [(OrderEventKind::Overdue, false)]);
    assert_eq!(desk.harms(), 0, "being late is no harm yet");
    desk.wait(48 + 73);
    desk.wait(48 + 200);
    assert_eq!(desk.silences(), [(OrderEventKind::Overdue, false), (OrderEventKind::Overdue, true)]);
    assert_eq!(desk.harms(), 1);
}

#[test]
fn a_hand_over_in_time_that_is_told_late_takes_everything_back() {
    let mut desk = Desk::without_a_hand_over();
    assert_eq!(desk.silences().len(), 2);
    desk.tells_late_of_a_hand_over_in_time();
    assert_eq!((desk.silences(), desk.harms()), (vec![], 0));
}

#[test]
fn who_claims_after_silence_was_taken_back_is_heard() {
    let mut desk = Desk::without_a_hand_over();
    desk.tells_late_of_a_hand_over_in_time();
    desk.say(48 + 300, OrderEventKind::Refunded, |event| event.cause = OutcomeCause::Supplier);
    assert_eq!(desk.harms(), 1);
}

#[test]
fn harm_that_somebody_vouches_for_stands_when_silence_is_taken_back() {
    let mut desk = Desk::without_a_hand_over();
    desk.say(48 + 95, OrderEventKind::Refunded, |event| event.cause = OutcomeCause::Supplier);
    desk.tells_late_of_a_hand_over_in_time();
    assert_eq!(desk.harms(), 1);
}

#[test]
fn nobody_is_blamed_while_the_platform_hears_of_no_hand_over_at_all() {
    let mut desk = Desk::new();
    desk.placed(Some(48), None);
    for hour in [60, 70, 100, 130] {
        let other = OrderId::new(&format!("other-{hour}")).unwrap();
        desk.say(hour, OrderEventKind::Placed, |event| event.order = Some(other));
    }
    assert_eq!(desk.silences(), []);
    desk.wait(131);
    desk.wait(138);
    assert!(!desk.silences().is_empty(), "others' hand-overs are heard again");
}

proptest! {
    /// Whatever is said of an order in whatever order: silence is told and taken back in pairs, and the order did harm once
    /// if its silence stands as hopeless or somebody vouched for harm, and else not at all.
    #[test]
    fn an_order_did_harm_once_or_not_at_all(
        ship in proptest::option::of(1i64..72), deliver in proptest::option::of(72i64..200),
        said in proptest::collection::vec((0u8..6, 0i64..60, 0i64..150), 0..12),
    ) {
        let mut desk = Desk::new();
        desk.placed(ship, deliver);
        let (mut hour, mut vouched) = (0, false);
        for (what, later, ago) in said {
            hour += later;
            let time = Timestamp::from_ms((PLACED + (hour - ago).max(0)) * HOUR_MS);
            let own = |event: &mut OrderEvent| (event.time, event.cause) = (time, OutcomeCause::Supplier);
            match what {
                0 => desk.wait(hour),
                1 => desk.say(hour, OrderEventKind::Shipped, |event| event.time = time),
                2 => desk.say(hour, OrderEventKind::Delivered, |event| event.time = time),
                3 => desk.say(hour, OrderEventKind::Cancelled, own),
                4 => desk.say(hour, OrderEventKind::Refunded, own),
                _ => desk.say(hour, OrderEventKind::Complaint, |event| event.cause = OutcomeCause::Carrier),
            }
            vouched |= matches!(what, 3 | 4);
            let hopeless = desk.silences().iter().any(|(_, long)| *long);
            prop_assert_eq!(desk.harms(), i64::from(hopeless || vouched));
        }
    }
}
