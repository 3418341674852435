//! Tests of features against constants, and conjunctions of them: what most rules are.

use crate::program::{Compare, Id, Node, Program, Scratch, Snapshot, Truth};

/// A test of one feature against a constant, which most conditions are made of, as the values of four bytes that pass it:
/// from `low` to `high`, both included. NaN passes none, and infinities stand outside of every range, so that what is
/// unknown passes no test.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Range {
    pub(crate) low: f32,
    pub(crate) high: f32,
    pub(crate) slot: u16,
}

impl Range {
    /// The range of a comparison; none for `!=`, which has two.
    pub(crate) fn of(slot: u16, compare: Compare, bound: f64) -> Option<Self> {
        // The nearest values of four bytes on either side of the bound, or the bound itself.
        let near = bound as f32;
        let at_least = if f64::from(near) < bound { near.next_up() } else { near };
        let at_most = if f64::from(near) > bound { near.next_down() } else { near };
        let exact = f64::from(near) == bound;
        let (low, high) = match compare {
            Compare::GreaterEqual => (at_least, f32::MAX),
            Compare::Greater => (if exact { near.next_up() } else { at_least }, f32::MAX),
            Compare::LessEqual => (f32::MIN, at_most),
            Compare::Less => (f32::MIN, if exact { near.next_down() } else { at_most }),
            Compare::Equal if exact => (near, near),
            Compare::Equal => (1.0, 0.0),
            Compare::NotEqual => return None,
        };
        Some(Self { low, high, slot })
    }
    /// Whether it holds; unknown does not.
    #[inline]
    pub(crate) fn holds(self, slots: &[f32]) -> bool {
        let Some(value) = slots.get(usize::from(self.slot)) else { return false };
        (*value >= self.low) & (*value <= self.high)
    }
    #[inline]
    pub(crate) fn truth(self, slots: &[f32]) -> Truth {
        match slots.get(usize::from(self.slot)) {
            Some(value) if value.is_finite() => ((*value >= self.low) & (*value <= self.high)).into(),
            _ => Truth::Unknown,
        }
    }
}

/// A conjunction: its tests side by side, and what is no test.
#[derive(Clone, Debug, Default)]
pub(crate) struct Conjunction {
    pub(crate) ranges: Box<[Range]>,
    pub(crate) parts: Box<[Id]>,
}

impl Conjunction {
    /// The conjunction that `parts` are; tests among them become ranges.
    pub(crate) fn of(parts: &[Id], node: impl Fn(Id) -> Node) -> Self {
        let (mut ranges, mut rest) = (Vec::new(), Vec::new());
        for part in parts {
            let range = match node(*part) {
                Node::Test { slot, compare, bound } => Range::of(slot, compare, bound.get()),
                _ => None,
            };
            match range {
                Some(range) => ranges.push(range),
                None => rest.push(*part),
            }
        }
        Self { ranges: ranges.into(), parts: rest.into() }
    }

    /// What it says.
    #[inline]
    pub(crate) fn truth(&self, program: &Program, snapshot: &Snapshot<'_>, scratch: &mut Scratch) -> Truth {
        let mut result = Truth::True;
        for range in &self.ranges {
            match range.truth(snapshot.slots) {
                Truth::True => {}
                Truth::False => return Truth::False,
                Truth::Unknown => result = Truth::Unknown,
            }
        }
        if self.parts.is_empty() {
            return result;
        }
        scratch.begin(program);
        match program.joined(&self.parts, Truth::False, snapshot, scratch) {
            Truth::True => result,
            other => other,
        }
    }
}
