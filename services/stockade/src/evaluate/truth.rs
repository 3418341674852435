//! Who was really compromised, and when.

use std::{collections::BTreeMap, path::Path};

use anyhow::{Context as _, Result};
use stockade_histories::TruthColumns;
use stockade_model::{SupplierId, Timestamp};

/// A time in which a supplier was compromised: from the first moment, until before the second.
pub(super) type Window = (Timestamp, Timestamp);

/// All windows, overlapping ones of one supplier merged, in order of time.
#[derive(Debug, Default)]
pub(super) struct Truth(pub(super) BTreeMap<SupplierId, Vec<Window>>);

impl Truth {
    /// Reads a CSV file with a header.
    pub(super) fn read(path: &Path, columns: &TruthColumns) -> Result<Self> {
        let mut records =
            csv::Reader::from_path(path).with_context(|| format!("cannot open {}", path.display()))?;
        let header = records.headers()?.clone();
        let column = |name: &str| {
            header.iter().position(|known| known.trim() == name).with_context(|| {
                format!(
                    "the mapping's truth names column {name}, {} has {}",
                    path.display(),
                    header.iter().collect::<Vec<_>>().join(", ")
                )
            })
        };
        let (from, until) = (column(&columns.from)?, column(&columns.until)?);
        let (name, prefix) =
            columns.supplier.as_column().context("the mapping's truth needs a column for the supplier")?;
        let supplier = column(name)?;
        let mut truth = Self::default();
        for (row, record) in records.records().enumerate() {
            let record = record?;
            let cell = |index: usize| record.get(index).unwrap_or("").trim();
            let of_row = || format!("{}, row {}", path.display(), row + 1);
            let id = SupplierId::new(&format!("{prefix}{}", cell(supplier)))
                .map_err(|e| anyhow::anyhow!("{}: {e}", of_row()))?;
            let time =
                |index| Timestamp::parse(cell(index)).map_err(|e| anyhow::anyhow!("{}: {e}", of_row()));
            let window = (time(from)?, time(until)?);
            anyhow::ensure!(window.0 < window.1, "{}: it ends before it begins", of_row());
            truth.0.entry(id).or_default().push(window);
        }
        for windows in truth.0.values_mut() {
            *windows = merged(std::mem::take(windows));
        }
        Ok(truth)
    }

    /// The window of `supplier` that `at` lies in.
    pub(super) fn at(&self, supplier: &SupplierId, at: Timestamp) -> Option<Window> {
        let windows = self.0.get(supplier)?;
        windows.iter().find(|(from, until)| *from <= at && at < *until).copied()
    }
}

fn merged(mut windows: Vec<Window>) -> Vec<Window> {
    windows.sort_unstable();
    let mut merged: Vec<Window> = Vec::new();
    for (from, until) in windows {
        match merged.last_mut() {
            Some(last) if from <= last.1 => last.1 = last.1.max(until),
            _ => merged.push((from, until)),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlapping_windows_are_one() {
        let at = Timestamp::from_ms;
        let windows = vec![(at(5), at(9)), (at(1), at(3)), (at(8), at(12)), (at(3), at(4))];
        assert_eq!(merged(windows), [(at(1), at(4)), (at(5), at(12))]);
    }
}
