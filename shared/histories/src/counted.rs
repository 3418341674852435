//! Times that a file does not say but counts: so many days after the same buyer's last order, at such an hour.

use rustc_hash::FxHashMap;
use stockade_model::{
    Timestamp,
    time::{DAY_MS, HOUR_MS},
};

use crate::{
    refusals::{Refusal, Refusals},
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
    pub(crate) counted: Counted,
    /// Places of buyer, days and hour.
    pub(crate) places: (usize, usize, Option<usize>),
    pub(crate) days: FxHashMap<String, i64>,
}

impl Counting {
    /// The time of a row. One that cannot be read does not move its buyer's clock.
    fn time(&mut self, record: &csv::StringRecord) -> Result<Timestamp, Refusal> {
        let cell = |place: usize| record.get(place).unwrap_or_default().trim();
        let number = |place: usize, name: &str| match cell(place) {
            "" => Ok(0),
            text => match text.parse::<f64>() {
                Ok(number) if number.is_finite() => Ok(number.round() as i64),
                _ => {
                    let detail = "the time of the order is counted from this, and it is no number; correct it, or empty the cell where it means nought";
                    Err(Refusal::new(name, text, "not_a_number", detail))
                }
            },
        };
        let (buyer, days, hour) = self.places;
        let more = number(days, &self.counted.days)?;
        let hours = match (hour, &self.counted.hour) {
            (Some(hour), Some(name)) => number(hour, name)?,
            _ => 0,
        };
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
        let from = self.counted.from;
        Ok(from.plus_ms(day.saturating_mul(DAY_MS)).plus_ms(hours.saturating_mul(HOUR_MS)))
    }
}

impl Rows for Counting {
    fn next(&mut self, refusals: &mut Refusals) -> anyhow::Result<Option<Entry>> {
        loop {
            let Some(mut entry) = self.inner.next(refusals)? else { return Ok(None) };
            match self.time(&entry.record) {
                Ok(time) => {
                    entry.record.push_field(&time.to_string());
                    return Ok(Some(entry));
                }
                Err(refusal) => refusals.refuse(refusal.on(entry.line), &entry.record)?,
            }
        }
    }
}
