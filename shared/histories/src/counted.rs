//! Times that a file does not say but counts: so many days after the same buyer's last order, at such an hour.

use anyhow::Result;
use rustc_hash::FxHashMap;
use stockade_model::{
    Timestamp,
    time::{DAY_MS, HOUR_MS},
};

use crate::{
    refusals::Refusals,
    rows::{Entry, Rows},
};

/// How a time is counted.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Counted {
    /// Name of the column that is added, in RFC 3339.
    pub(crate) into: String,
    /// The day of every buyer's first order.
    pub(crate) from: Timestamp,
    /// Column of the buyer.
    pub(crate) per: String,
    /// Column of the days since the buyer's order before; empty for the first.
    pub(crate) days: String,
    /// Column of the hour of the day.
    #[serde(default)]
    pub(crate) hour: Option<String>,
}

/// Rows with the counted time behind their cells. Holds a number for each buyer.
pub(crate) struct Counting {
    pub(crate) inner: Box<dyn Rows>,
    pub(crate) from: Timestamp,
    /// Places of buyer, days and hour.
    pub(crate) places: (usize, usize, Option<usize>),
    pub(crate) days: FxHashMap<String, i64>,
}

impl Rows for Counting {
    fn next(&mut self, refusals: &mut Refusals) -> Result<Option<Entry>> {
        let Some(mut entry) = self.inner.next(refusals)? else { return Ok(None) };
        let cell = |place: usize| entry.record.get(place).unwrap_or_default().trim();
        let number = |text: &str| text.parse::<f64>().ok().filter(|number| number.is_finite());
        let (buyer, days, hour) = self.places;
        let more = number(cell(days)).unwrap_or(0.0).round() as i64;
        let hours = hour.and_then(|hour| number(cell(hour))).unwrap_or(0.0).round() as i64;
        let day = match self.days.get_mut(cell(buyer)) {
            Some(day) => {
                *day = day.saturating_add(more);
                *day
            }
            None => {
                self.days.insert(cell(buyer).to_owned(), 0);
                0
            }
        };
        let at = self.from.plus_ms(day.saturating_mul(DAY_MS)).plus_ms(hours.saturating_mul(HOUR_MS));
        entry.record.push_field(&at.to_string());
        Ok(Some(entry))
    }
}
