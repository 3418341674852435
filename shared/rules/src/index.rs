//! Which rules may hold for a snapshot, found without looking at the others.
//!
//! A rule that is a conjunction is entered under one of its tests of a feature against a constant. The tests of a feature
//! are sorted by their constants, so those that hold are the first ones; what an event costs grows with how many of the
//! entered tests hold, not with how many rules there are. What else a rule tests lies side by side with that of the others,
//! four or five numbers each, and is looked at without a branch.
//!
//! Where much holds, as when everything goes wrong at once, that would be all rules, one after the other. Then it is the other
//! way round: every test that fails strikes its rule out of a set of bits, see [`crate::dense`].

use crate::{
    dense::Dense,
    range::{Conjunction, Range},
};

/// Sets of fewer rules are not worth asking how much of them holds.
const MANY: usize = 64;

/// Rules entered under tests of one feature.
#[derive(Clone, Debug, Default)]
struct Column {
    slot: u16,
    /// Rules for values from a bound on, the smallest bound first.
    above: Vec<(f32, u32)>,
    /// Rules for values up to a bound, the largest bound first.
    below: Vec<(f32, u32)>,
}

/// The tests in the middle of a column, and how many rules are entered up to them. Side by side, for they are asked of every
/// snapshot.
#[derive(Clone, Copy, Debug)]
struct Middle {
    slot: u16,
    above: (f32, u32),
    below: (f32, u32),
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
    middles: Vec<Middle>,
    /// Rules without a test that could be entered.
    others: Vec<u32>,
    rests: Vec<Rest>,
    ranges: Vec<Range>,
    /// For sets of many rules.
    dense: Option<Dense>,
}

impl Index {
    /// Enters each rule under the best of its tests: one that most suppliers fail, for most features are zero for most of
    /// them. Rules that are off are `None` and not entered.
    pub(crate) fn build<'a>(rules: impl Iterator<Item = Option<&'a Conjunction>>) -> Self {
        let mut index = Self::default();
        let rules: Vec<Option<&Conjunction>> = rules.collect();
        for (rule, conjunction) in rules.iter().enumerate() {
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
        let half = |entered: &[(f32, u32)], none: f32| {
            let middle = entered.len() / 2;
            entered.get(middle).map_or((none, 0), |(bound, _)| (*bound, middle as u32 + 1))
        };
        let middle = |column: &Column| Middle {
            slot: column.slot,
            above: half(&column.above, f32::INFINITY),
            below: half(&column.below, f32::NEG_INFINITY),
        };
        index.middles = index.columns.iter().map(middle).collect();
        index.dense = (rules.len() >= MANY).then(|| Dense::build(&rules));
        index
    }

    /// Rules that would at least be looked at, by the tests in the middle of each column alone.
    fn at_least(&self, slots: &[f32]) -> u32 {
        let of = |middle: &Middle| {
            let value = slots.get(usize::from(middle.slot)).copied().unwrap_or(f32::NAN);
            let above = if value >= middle.above.0 { middle.above.1 } else { 0 };
            above + if value <= middle.below.0 { middle.below.1 } else { 0 }
        };
        self.middles.iter().map(of).sum()
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
    pub(crate) fn candidates(&self, slots: &[f32], struck: &mut Vec<u64>, mut each: impl FnMut(u32)) {
        if let Some(dense) = self.dense.as_ref().filter(|dense| dense.pays(self.at_least(slots))) {
            dense.candidates(slots, struck, each);
            return;
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Rules of up to five tests over twelve features, some of them off, some without tests.
    fn rules(random: &mut fastrand::Rng, count: usize) -> Vec<Option<Conjunction>> {
        let range = |random: &mut fastrand::Rng| {
            let (slot, a, b) = (random.u16(0..12), random.f32() * 100.0, random.f32() * 100.0);
            let (low, high) = match random.u8(0..8) {
                0 => (a.min(b), a.max(b)),
                1 => (1.0, 0.0),
                2 => (f32::MIN, f32::MAX),
                3..=5 => (a, f32::MAX),
                _ => (f32::MIN, b),
            };
            Range { low, high, slot }
        };
        let rule = |random: &mut fastrand::Rng| {
            let tests = random.usize(0..6);
            let ranges = (0..tests).map(|_| range(random)).collect();
            (random.u8(0..10) > 0).then(|| Conjunction { ranges, parts: Box::default() })
        };
        (0..count).map(|_| rule(random)).collect()
    }

    #[test]
    fn both_ways_find_what_looking_at_every_rule_finds() {
        let mut random = fastrand::Rng::with_seed(31);
        let mut struck = Vec::new();
        for count in [0, 1, 63, 64, 65, 300, 2_500] {
            let rules = rules(&mut random, count);
            let index = Index::build(rules.iter().map(Option::as_ref));
            let refs: Vec<Option<&Conjunction>> = rules.iter().map(Option::as_ref).collect();
            let dense = Dense::build(&refs);
            for _ in 0..60 {
                let around = random.f32() * 100.0;
                let value = |random: &mut fastrand::Rng| match random.u8(0..12) {
                    0 => f32::NAN,
                    1 => f32::INFINITY,
                    2 => 0.0,
                    _ => around + random.f32() * 20.0,
                };
                let known = random.usize(10..13);
                let slots: Vec<f32> = (0..known).map(|_| value(&mut random)).collect();
                let holds = |(at, rule): (usize, &Option<Conjunction>)| {
                    let held = rule.as_ref()?.ranges.iter().all(|range| range.holds(&slots));
                    held.then_some(at as u32)
                };
                let naive: Vec<u32> = rules.iter().enumerate().filter_map(holds).collect();
                let mut found = Vec::new();
                index.candidates(&slots, &mut struck, |rule| found.push(rule));
                found.sort_unstable();
                assert_eq!(found, naive, "{count} rules, {slots:?}");
                found.clear();
                dense.candidates(&slots, &mut struck, |rule| found.push(rule));
                assert_eq!(found, naive, "{count} rules, {slots:?}");
            }
        }
    }
}
