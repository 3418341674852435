//! Which rules may hold for a snapshot, found without looking at the others.
//!
//! A rule that is a conjunction is entered under one of its tests of a feature against a constant. The tests of a feature
//! are sorted by their constants, so those that hold are the first ones; what an event costs grows with how many of the
//! entered tests hold, not with how many rules there are. What else a rule tests lies side by side with that of the others,
//! four or five numbers each, and is looked at without a branch.

use crate::range::{Conjunction, Range};

/// Rules entered under tests of one feature.
#[derive(Clone, Debug, Default)]
struct Column {
    slot: u16,
    /// Rules for values from a bound on, the smallest bound first.
    above: Vec<(f32, u32)>,
    /// Rules for values up to a bound, the largest bound first.
    below: Vec<(f32, u32)>,
}

/// What is looked at of a rule once its entered test holds.
#[derive(Clone, Copy, Debug)]
struct Rest {
    /// Where its other tests begin.
    first: u32,
    count: u32,
}

/// The index of a set.
#[derive(Clone, Debug, Default)]
pub(crate) struct Index {
    columns: Vec<Column>,
    /// Rules without a test that could be entered.
    others: Vec<u32>,
    rests: Vec<Rest>,
    ranges: Vec<Range>,
}

impl Index {
    /// Enters each rule under the best of its tests: one that most suppliers fail, for most features are zero for most of
    /// them. Rules that are off are `None` and not entered.
    pub(crate) fn build<'a>(rules: impl Iterator<Item = Option<&'a Conjunction>>) -> Self {
        let mut index = Self::default();
        for (rule, conjunction) in rules.enumerate() {
            let first = index.ranges.len() as u32;
            if let Some(conjunction) = conjunction {
                let ranges = conjunction.ranges.iter().enumerate();
                let ranked = ranges.filter_map(|(at, range)| Some((rank(*range)?, at)));
                let best = ranked.min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, at)| at);
                match best {
                    Some(at) => index.enter(rule as u32, conjunction.ranges[at]),
                    None => index.others.push(rule as u32),
                }
                let others = conjunction.ranges.iter().enumerate().filter(|(at, _)| Some(*at) != best);
                index.ranges.extend(others.map(|(_, range)| *range));
            }
            index.rests.push(Rest { first, count: index.ranges.len() as u32 - first });
        }
        for column in &mut index.columns {
            column.above.sort_by(|a, b| a.0.total_cmp(&b.0));
            column.below.sort_by(|a, b| b.0.total_cmp(&a.0));
        }
        index
    }

    fn enter(&mut self, rule: u32, range: Range) {
        let at = match self.columns.iter().position(|column| column.slot == range.slot) {
            Some(at) => at,
            None => {
                self.columns.push(Column { slot: range.slot, ..Column::default() });
                self.columns.len() - 1
            }
        };
        let column = &mut self.columns[at];
        if range.high == f32::MAX {
            column.above.push((range.low, rule));
        } else {
            column.below.push((range.high, rule));
        }
    }

    /// Calls `each` with every rule all of whose tests hold, and with those that have none.
    #[inline]
    pub(crate) fn candidates(&self, slots: &[f32], mut each: impl FnMut(u32)) {
        let mut try_rule = |rule: u32| {
            let rest = self.rests[rule as usize];
            let ranges = &self.ranges[rest.first as usize..(rest.first + rest.count) as usize];
            // Without a branch in between: which tests hold is what a processor cannot guess.
            if ranges.iter().fold(true, |all, range| all & range.holds(slots)) {
                each(rule);
            }
        };
        for column in &self.columns {
            let Some(value) = slots.get(usize::from(column.slot)).filter(|value| value.is_finite()) else {
                continue;
            };
            for (_, rule) in column.above.iter().take_while(|(low, _)| value >= low) {
                try_rule(*rule);
            }
            for (_, rule) in column.below.iter().take_while(|(high, _)| value <= high) {
                try_rule(*rule);
            }
        }
        self.others.iter().for_each(|rule| try_rule(*rule));
    }
}

/// The smaller, the fewer suppliers are thought to pass; none for tests that cannot be entered.
fn rank(range: Range) -> Option<f32> {
    match (range.low > f32::MIN, range.high < f32::MAX) {
        (true, false) if range.low > 0.0 => Some(1.0 / (1.0 + range.low)),
        (false, true) => Some(2.0),
        (true, false) => Some(3.0),
        _ => None,
    }
}
