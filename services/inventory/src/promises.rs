//! What is promised of orders whose order system promises nothing, by category: the marketplace's own terms.
//!
//! They are written into the event before it is recorded, so that folds and replays see what held when the order was placed,
//! whatever the terms are later.

use std::collections::BTreeMap;

use stockade_model::{OrderEvent, OrderEventKind, time::HOUR_MS};

/// Days that a promise may lie ahead of its order; what lies further is a slip of the pen, such as a wrong year.
pub(crate) const AHEAD_DAYS_MAX: u32 = 400;
/// The same in hours.
const HOURS_MAX: u32 = AHEAD_DAYS_MAX * 24;

/// Promises by category.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Promises {
    /// Of orders of a category that is not named, or of none; nothing is promised of them when it is empty.
    pub otherwise: Promise,
    /// Of orders of a category.
    pub categories: BTreeMap<String, Promise>,
}

/// What is promised of an order, from the time it was placed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Promise {
    /// Hours until it is handed over.
    pub ship_hours: Option<u32>,
    /// Hours until it is delivered.
    pub deliver_hours: Option<u32>,
}

impl Promises {
    /// What is wrong with them, each in a sentence; nothing when they can be kept.
    pub fn problems(&self) -> Vec<String> {
        let named = self.categories.iter().map(|(name, promise)| (format!("categories.{name}"), promise));
        let all = [("otherwise".to_owned(), &self.otherwise)].into_iter().chain(named);
        all.filter_map(|(name, promise)| {
            let of = promise.problem()?;
            Some(format!("`promises.{name}`: {of}"))
        })
        .collect()
    }

    /// Writes into an order that is placed what it is promised, where its order system said nothing.
    pub fn stamp(&self, event: &mut OrderEvent) {
        if event.kind != OrderEventKind::Placed || event.ship_by.is_some() || event.deliver_by.is_some() {
            return;
        }
        let of = event.category.as_ref().and_then(|category| self.categories.get(category));
        let promise = of.unwrap_or(&self.otherwise);
        let after = |hours: Option<u32>| Some(event.time.plus_ms(i64::from(hours?) * HOUR_MS));
        (event.ship_by, event.deliver_by) = (after(promise.ship_hours), after(promise.deliver_hours));
    }
}

impl Promise {
    fn problem(&self) -> Option<String> {
        let hours = [self.ship_hours, self.deliver_hours];
        if hours.into_iter().flatten().any(|hours| !(1..=HOURS_MAX).contains(&hours)) {
            return Some(format!("promise 1 to {HOURS_MAX} hours"));
        }
        let (ship, deliver) = self.ship_hours.zip(self.deliver_hours)?;
        (deliver < ship).then(|| {
            format!(
                "delivery after {deliver} hours is before the hand-over after {ship}; were the two swapped?"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use stockade_model::{EventId, SupplierId, Timestamp};

    use super::*;

    fn promises() -> Promises {
        let of = |ship, deliver| Promise { ship_hours: Some(ship), deliver_hours: deliver };
        Promises {
            otherwise: of(48, Some(240)),
            categories: BTreeMap::from([("furniture".to_owned(), of(240, None))]),
        }
    }

    /// Hours until hand-over and delivery of an event in a category, after `change`.
    fn stamped(
        kind: OrderEventKind,
        category: Option<&str>,
        change: impl FnOnce(&mut OrderEvent),
    ) -> (Option<i64>, Option<i64>) {
        let (id, supplier) = (EventId::new("e").unwrap(), SupplierId::new("s").unwrap());
        let at = Timestamp::from_ms(1_000 * HOUR_MS);
        let mut event = OrderEvent::bare(id, "shop", kind, at, supplier);
        event.category = category.map(str::to_owned);
        change(&mut event);
        promises().stamp(&mut event);
        let hours = |by: Option<Timestamp>| by.map(|by| (by.ms() - at.ms()) / HOUR_MS);
        (hours(event.ship_by), hours(event.deliver_by))
    }

    #[test]
    fn an_order_without_a_promise_gets_that_of_its_category() {
        use OrderEventKind::{Placed, Shipped};
        assert_eq!(stamped(Placed, Some("furniture"), |_| ()), (Some(240), None));
        assert_eq!(stamped(Placed, Some("toys"), |_| ()), (Some(48), Some(240)));
        assert_eq!(stamped(Placed, None, |_| ()), (Some(48), Some(240)));
        assert_eq!(stamped(Shipped, None, |_| ()), (None, None), "promises are made when an order is placed");
        let sent = |event: &mut OrderEvent| event.deliver_by = Some(Timestamp::from_ms(1_007 * HOUR_MS));
        assert_eq!(stamped(Placed, None, sent), (None, Some(7)), "what is sent stands as it is");
    }

    #[test]
    fn promises_that_cannot_be_kept_are_named() {
        assert_eq!(promises().problems(), Vec::<String>::new());
        let mut wrong = promises();
        wrong.otherwise = Promise { ship_hours: Some(0), deliver_hours: None };
        wrong.categories.insert("toys".to_owned(), Promise { ship_hours: Some(9), deliver_hours: Some(3) });
        let problems = wrong.problems();
        assert!(
            problems[0].contains("promises.otherwise") && problems[0].contains("1 to 9600"),
            "{problems:?}"
        );
        assert!(
            problems[1].contains("promises.categories.toys") && problems[1].contains("swapped"),
            "{problems:?}"
        );
    }
}
