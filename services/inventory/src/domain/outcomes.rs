//! What became of the rows of a request, as it is remembered for a day: a request of a thousand rows that were all taken is
//! remembered by what it asked for and little more.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use stockade_fold::{Packer, Unpacker};
use stockade_model::{RowOutcome, RowStatus};

const STATUSES: [RowStatus; 5] =
    [RowStatus::Applied, RowStatus::Replayed, RowStatus::Superseded, RowStatus::Conflict, RowStatus::Invalid];

/// Whether units are told; whether more is said than usual.
const AVAILABLE: u64 = 8;
const WORDS: u64 = 16;

/// Outcomes of the rows of one request. Cheap to clone, and read when they are asked for.
#[derive(Clone, Default)]
pub struct Outcomes(Arc<[u8]>);

impl Outcomes {
    /// Those of `rows`.
    pub fn of(rows: &[RowOutcome]) -> Self {
        let mut bytes = Vec::with_capacity(rows.len() * 12 + 8);
        let mut to = Packer::new(&mut bytes);
        to.number(rows.len() as u64);
        for row in rows {
            let usual =
                row.code.is_none() && row.detail.is_none() && row.field.is_none() && row.stock.is_none();
            let status = STATUSES.iter().position(|status| *status == row.status).unwrap_or_default() as u64;
            let available = if row.available.is_some() { AVAILABLE } else { 0 };
            to.number(status | available | if usual { 0 } else { WORDS });
            if !usual {
                to.bytes(&stockade_fold::row_bytes(row));
                continue;
            }
            to.number(row.row as u64);
            to.text(&row.subject);
            if let Some(available) = row.available {
                to.signed(available);
            }
        }
        Self(bytes.into())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        if self.0.is_empty() { 0 } else { Unpacker::new(&self.0).number() as usize }
    }

    /// Bytes that they take.
    pub fn bytes(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The outcomes, in the order of the rows.
    pub fn rows(&self) -> Vec<RowOutcome> {
        if self.0.is_empty() {
            return Vec::new();
        }
        let mut from = Unpacker::new(&self.0);
        let row = |from: &mut Unpacker<'_>| {
            let head = from.number();
            if head & WORDS != 0 {
                return from.read(|from| rmp_serde::from_slice(from.bytes()));
            }
            let status =
                STATUSES.get((head & (AVAILABLE - 1)) as usize).copied().unwrap_or(RowStatus::Invalid);
            let place = from.number() as usize;
            let subject = from.text();
            let available = (head & AVAILABLE != 0).then(|| from.signed());
            RowOutcome::ok(place, subject, status, available)
        };
        (0..from.number()).map(|_| row(&mut from)).collect()
    }
}

impl std::fmt::Debug for Outcomes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.rows()).finish()
    }
}

/// Stored as the list of outcomes that it is.
impl Serialize for Outcomes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.rows().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Outcomes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::of(&Vec::deserialize(deserializer)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_come_back_and_usual_ones_cost_little() {
        let usual: Vec<RowOutcome> = (0..1_000)
            .map(|row| RowOutcome::ok(row, &format!("l-{row:05}"), RowStatus::Applied, Some(7)))
            .collect();
        let kept = Outcomes::of(&usual);
        assert_eq!(kept.rows(), usual);
        assert!(kept.0.len() < 13_000, "{} bytes", kept.0.len());
        let mut mixed = usual[..3].to_vec();
        mixed.push(RowOutcome::refused(3, "größe", RowStatus::Conflict, "sku_changed", "the detail"));
        mixed.push(RowOutcome { stock: Some(RowStatus::Superseded), ..usual[4].clone() });
        mixed.push(RowOutcome::ok(5, "", RowStatus::Superseded, None));
        mixed.push(RowOutcome::ok(6, "x", RowStatus::Replayed, Some(-4)));
        let kept = Outcomes::of(&mixed);
        assert_eq!(kept.rows(), mixed);
        let stored = stockade_fold::row_bytes(&kept);
        assert_eq!(stored, stockade_fold::row_bytes(&mixed), "stored as ever");
        assert_eq!(rmp_serde::from_slice::<Outcomes>(&stored).unwrap().rows(), mixed);
        assert!(Outcomes::default().rows().is_empty() && Outcomes::of(&[]).rows().is_empty());
    }
}
