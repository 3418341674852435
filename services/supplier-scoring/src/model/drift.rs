//! How far live vectors are from those a model was trained on.

use std::sync::Arc;

use super::{Model, Table};

/// Vectors between two looks; after each the counts are halved, so that old ones fade.
pub const LOOK_EVERY: u32 = 2_000;
/// A share below this is taken to be this.
const SHARE_MIN: f64 = 1e-4;

/// Counts of live vectors by the places of a model's tables.
pub struct Drift {
    model: Arc<Model>,
    counts: Vec<Vec<f64>>,
    /// The same of the score.
    score: Vec<f64>,
    seen: u32,
}

impl Drift {
    /// Nothing seen yet.
    pub fn new(model: Arc<Model>) -> Self {
        let counts = model.tables().map(|(table, _)| vec![0.0; table.shares.len()]).collect();
        let score = vec![0.0; model.score_table().shares.len()];
        Self { model, counts, score, seen: 0 }
    }

    /// Version of the model it is about.
    pub fn version(&self) -> &str {
        &self.model.version
    }

    /// Counts a vector; every two thousand the population stability index of each feature, and of
    /// the score as `score`: the sum over places of
    /// (live - trained) ln(live / trained). Below 0.1 nothing has moved, above 0.25 much has.
    pub fn see(&mut self, slots: &[f32]) -> Option<Vec<(String, f64)>> {
        for ((table, slot), counts) in self.model.tables().zip(&mut self.counts) {
            counts[table.place(slots.get(slot).copied().unwrap_or(f32::NAN))] += 1.0;
        }
        let probability = self.model.probability(slots) as f32;
        self.score[self.model.score_table().place(probability)] += 1.0;
        self.seen += 1;
        if self.seen < LOOK_EVERY {
            return None;
        }
        self.seen = 0;
        let tables = self.model.tables().map(|(table, _)| table).zip(&mut self.counts);
        let score = (self.model.score_table(), &mut self.score);
        Some(
            tables
                .chain([score])
                .map(|(table, counts)| (table.feature.clone(), index(table, counts)))
                .collect(),
        )
    }
}

/// The index of one table; its counts are halved.
fn index(table: &Table, counts: &mut [f64]) -> f64 {
    let all: f64 = counts.iter().sum();
    let places = counts.iter().zip(&table.shares).map(|(count, trained)| {
        let (live, trained) = ((count / all).max(SHARE_MIN), trained.max(SHARE_MIN));
        (live - trained) * (live / trained).ln()
    });
    let index = places.sum();
    counts.iter_mut().for_each(|count| *count /= 2.0);
    index
}
