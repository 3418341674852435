//! Which rules may hold for a snapshot, found without looking at the others.
//!
//! A rule that is a conjunction is entered under one of its tests of a feature against a constant. The tests of a feature
//! are sorted by their constants, so those that hold are the first ones; what an event costs grows with how many of the
//! entered tests hold, not with how many rules there are.

use crate::program::{Compare, Snapshot, Test};

/// Rules entered under tests of one feature.
#[derive(Clone, Debug, Default)]
struct Column {
    slot: u16,
    /// `feature > bound` or `>=`, the smallest bound first; `true` includes the bound.
    above: Vec<(f64, bool, u32)>,
    /// `feature < bound` or `<=`, the largest bound first.
    below: Vec<(f64, bool, u32)>,
}

/// The index of a set.
#[derive(Clone, Debug, Default)]
pub(crate) struct Index {
    columns: Vec<Column>,
    /// Rules without such a test.
    others: Vec<u32>,
}

impl Index {
    /// Enters each rule under the best of its tests: one that most suppliers fail, for most features are zero for most of
    /// them. Returns which test that is, for the rule need not try it again.
    pub(crate) fn build(rules: &[Vec<Test>]) -> (Self, Vec<Option<usize>>) {
        let mut index = Self::default();
        let mut entered = Vec::with_capacity(rules.len());
        for (rule, tests) in rules.iter().enumerate() {
            let best = tests
                .iter()
                .enumerate()
                .filter_map(|(at, test)| Some((rank(*test)?, at)))
                .min_by(|a, b| a.0.total_cmp(&b.0))
                .map(|(_, at)| at);
            entered.push(best);
            match best {
                Some(at) => index.enter(rule as u32, tests[at]),
                None => index.others.push(rule as u32),
            }
        }
        for column in &mut index.columns {
            column.above.sort_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(&a.1)));
            column.below.sort_by(|a, b| b.0.total_cmp(&a.0).then(b.1.cmp(&a.1)));
        }
        (index, entered)
    }

    fn enter(&mut self, rule: u32, test: Test) {
        let at = match self.columns.iter().position(|column| column.slot == test.slot) {
            Some(at) => at,
            None => {
                self.columns.push(Column { slot: test.slot, ..Column::default() });
                self.columns.len() - 1
            }
        };
        let column = &mut self.columns[at];
        match test.compare {
            Compare::Greater => column.above.push((test.bound, false, rule)),
            Compare::GreaterEqual => column.above.push((test.bound, true, rule)),
            Compare::Less => column.below.push((test.bound, false, rule)),
            _ => column.below.push((test.bound, true, rule)),
        }
    }

    /// Calls `each` with every rule whose entered test holds, and with those that have none.
    #[inline]
    pub(crate) fn candidates(&self, snapshot: &Snapshot<'_>, mut each: impl FnMut(u32)) {
        for column in &self.columns {
            let Some(value) = snapshot.feature(usize::from(column.slot)) else { continue };
            for (bound, included, rule) in &column.above {
                if value < *bound {
                    break;
                }
                if value > *bound || *included {
                    each(*rule);
                }
            }
            for (bound, included, rule) in &column.below {
                if value > *bound {
                    break;
                }
                if value < *bound || *included {
                    each(*rule);
                }
            }
        }
        self.others.iter().for_each(|rule| each(*rule));
    }
}

/// The smaller, the fewer suppliers are thought to pass; none for tests that cannot be entered.
fn rank(test: Test) -> Option<f64> {
    match test.compare {
        Compare::Greater | Compare::GreaterEqual if test.bound > 0.0 => Some(1.0 / (1.0 + test.bound)),
        Compare::Less | Compare::LessEqual => Some(2.0),
        Compare::Greater | Compare::GreaterEqual => Some(3.0),
        Compare::Equal | Compare::NotEqual => None,
    }
}
