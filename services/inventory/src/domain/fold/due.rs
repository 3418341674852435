//! What time brings, in the order in which it does: derived from the tables.

use stockade_fold::RowKey;
use stockade_model::{BasketId, OrderId, ReservationId, SupplierId, Timestamp};

use crate::domain::key::Of;

/// What is due.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum What {
    Reservation(Of<ReservationId>),
    Order(Of<OrderId>),
    Outcome(SupplierId),
    Stock(SupplierId),
    Choice(BasketId),
    Passed(Of<ReservationId>),
}

/// What is due when.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Due {
    pub(super) at: Timestamp,
    pub(super) what: What,
}

impl Due {
    pub(super) fn new(at: Timestamp, what: What) -> Self {
        Self { at, what }
    }
}

/// Bytes that sort as what they mean: replicas do what is due in one millisecond in the same order, whatever build they are of.
impl RowKey for Due {
    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.at.sort_bytes().to_vec();
        let (kind, supplier, rest) = match &self.what {
            What::Reservation(key) => (0, key.supplier.as_str(), key.id.as_str()),
            What::Order(key) => (1, key.supplier.as_str(), key.id.as_str()),
            What::Outcome(supplier) => (2, supplier.as_str(), ""),
            What::Stock(supplier) => (3, supplier.as_str(), ""),
            // A basket is no supplier's.
            What::Choice(basket) => (4, "", basket.as_str()),
            What::Passed(key) => (5, key.supplier.as_str(), key.id.as_str()),
        };
        bytes.push(kind);
        bytes.extend(supplier.as_bytes());
        // No id holds it, and it is before whatever one may hold.
        bytes.push(0);
        bytes.extend(rest.as_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (at, rest) = bytes.split_first_chunk::<8>()?;
        let at = Timestamp::of_sort_bytes(*at);
        let (kind, rest) = rest.split_first()?;
        let (supplier, id) = std::str::from_utf8(rest).ok()?.split_once('\0')?;
        if *kind == 4 {
            return Some(Self { at, what: What::Choice(BasketId::of_record(id).ok()?) });
        }
        let supplier = SupplierId::of_record(supplier).ok()?;
        let what = match kind {
            0 => What::Reservation(Of { supplier, id: ReservationId::of_record(id).ok()? }),
            1 => What::Order(Of { supplier, id: OrderId::of_record(id).ok()? }),
            2 => What::Outcome(supplier),
            3 => What::Stock(supplier),
            5 => What::Passed(Of { supplier, id: ReservationId::of_record(id).ok()? }),
            _ => return None,
        };
        Some(Self { at, what })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_comes_back_and_sorts_as_it_is_meant() {
        let ids = ["a", "a+", "a-b", "a.", "a0", "b"].map(|id| SupplierId::new(id).unwrap());
        let mut all = Vec::new();
        for ms in [-5, 0, 1, 255, 256, 1_700_000_000_000] {
            for supplier in &ids {
                all.push(What::Outcome(supplier.clone()));
                all.push(What::Stock(supplier.clone()));
                for id in ["x", "x-1", "y"] {
                    all.push(What::Order(Of::new(supplier, &OrderId::new(id).unwrap())));
                    all.push(What::Reservation(Of::new(supplier, &ReservationId::new(id).unwrap())));
                    all.push(What::Passed(Of::new(supplier, &ReservationId::new(id).unwrap())));
                    all.push(What::Choice(BasketId::new(id).unwrap()));
                }
            }
            all.iter().for_each(|what| {
                let due = Due::new(Timestamp::from_ms(ms), what.clone());
                assert_eq!(Due::from_bytes(&due.to_bytes()), Some(due));
            });
        }
        let mut due: Vec<Due> = all
            .into_iter()
            .enumerate()
            .map(|(at, what)| Due::new(Timestamp::from_ms(at as i64 % 3), what))
            .collect();
        let mut by_bytes = due.clone();
        due.sort();
        by_bytes.sort_by_key(Due::to_bytes);
        assert_eq!(due, by_bytes);
    }
}
