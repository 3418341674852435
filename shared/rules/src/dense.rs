//! Which rules hold for a snapshot, found from the tests that fail.
//!
//! The tests of a feature in one direction are sorted so that those that fail are the first ones; after every so many of them a
//! set of bits says which rules all of these strike out. So a snapshot costs a search in each column, some words and some
//! single bits, however many of the rules hold.

use crate::range::Conjunction;

/// Looking through a column costs as much as looking at this many rules, seen on the arms of `load-tests -- rules`.
const RULES_A_COLUMN: usize = 3;
/// Tests between two kept sets at least.
const STEP: usize = 32;

/// The tests of one feature in one direction.
#[derive(Clone, Debug)]
struct Column {
    slot: u16,
    /// Whether a value has to be at least the bound, or at most.
    at_least: bool,
    /// Those that fail first.
    bounds: Box<[f32]>,
    rules: Box<[u32]>,
    /// What the first `STEP` tests strike out, the first two times as many, and so on, and what all of them do.
    struck: Box<[u64]>,
}

/// The tests of a set.
#[derive(Clone, Debug)]
pub(crate) struct Dense {
    columns: Box<[Column]>,
    /// Rules that are on.
    on: Box<[u64]>,
    step: usize,
}

fn strike(words: &mut [u64], rule: u32) {
    words[rule as usize / 64] |= 1 << (rule % 64);
}

impl Dense {
    /// Rules that are off are `None`.
    pub(crate) fn build(rules: &[Option<&Conjunction>]) -> Self {
        let words = rules.len().div_ceil(64);
        let step = STEP.max(words);
        let mut on = vec![0u64; words];
        let mut tests: std::collections::BTreeMap<(u16, bool), Vec<(f32, u32)>> = Default::default();
        for (rule, conjunction) in (0u32..).zip(rules) {
            let Some(conjunction) = conjunction else { continue };
            strike(&mut on, rule);
            for range in &conjunction.ranges {
                // A test that bounds neither side still asks whether the feature is known.
                let (above, below) = (range.low > f32::MIN, range.high < f32::MAX);
                if above || !below {
                    tests.entry((range.slot, true)).or_default().push((range.low, rule));
                }
                if below {
                    tests.entry((range.slot, false)).or_default().push((range.high, rule));
                }
            }
        }
        let column = |((slot, at_least), mut tests): ((u16, bool), Vec<(f32, u32)>)| {
            tests.sort_by(|a, b| if at_least { b.0.total_cmp(&a.0) } else { a.0.total_cmp(&b.0) });
            let (mut struck, mut sum) = (Vec::new(), vec![0u64; words]);
            for part in tests.chunks(step) {
                part.iter().for_each(|(_, rule)| strike(&mut sum, *rule));
                struck.extend_from_slice(&sum);
            }
            let (bounds, rules): (Vec<f32>, Vec<u32>) = tests.into_iter().unzip();
            Column { slot, at_least, bounds: bounds.into(), rules: rules.into(), struck: struck.into() }
        };
        Self { columns: tests.into_iter().map(column).collect(), on: on.into(), step }
    }

    /// Whether this is the quicker way where at least so many rules would be looked at one by one.
    pub(crate) fn pays(&self, rules: u32) -> bool {
        rules as usize > self.columns.len() * RULES_A_COLUMN
    }

    /// Calls `each` with every rule all of whose tests hold, in order. `struck` is room that is used again.
    pub(crate) fn candidates(&self, slots: &[f32], struck: &mut Vec<u64>, mut each: impl FnMut(u32)) {
        let words = self.on.len();
        struck.clear();
        struck.resize(words, 0);
        for column in &self.columns {
            let value = slots.get(usize::from(column.slot)).copied().unwrap_or(f32::NAN);
            let failing = column.failing(value);
            // The last set may be of a part: all tests fail then, or it is not reached.
            let sets = if failing == column.bounds.len() {
                failing.div_ceil(self.step)
            } else {
                failing / self.step
            };
            if sets > 0 {
                let kept = &column.struck[(sets - 1) * words..sets * words];
                struck.iter_mut().zip(kept).for_each(|(struck, kept)| *struck |= kept);
            }
            for rule in column.rules[..failing].iter().skip(sets * self.step) {
                strike(struck, *rule);
            }
        }
        for (word, (on, struck)) in (0u32..).zip(self.on.iter().zip(struck.iter())) {
            let mut left = on & !struck;
            while left != 0 {
                each(word * 64 + left.trailing_zeros());
                left &= left - 1;
            }
        }
    }
}

impl Column {
    /// How many of its tests a value fails; one that is not known, or not finite, fails all.
    fn failing(&self, value: f32) -> usize {
        if !value.is_finite() {
            return self.bounds.len();
        }
        let fails = |bound: &f32| if self.at_least { value < *bound } else { value > *bound };
        // Counting a few is quicker than searching among them, for nothing has to be guessed.
        match self.bounds.len() {
            0..=64 if self.at_least => {
                self.bounds.iter().map(|bound| u32::from(value < *bound)).sum::<u32>() as usize
            }
            0..=64 => self.bounds.iter().map(|bound| u32::from(value > *bound)).sum::<u32>() as usize,
            _ => self.bounds.partition_point(fails),
        }
    }
}
