//! The compiled form: a graph of scalar operations without duplicates, evaluated without allocating.
//!
//! Numbers are doubles and NaN is *unknown*: under [`crate::lang::Arithmetic::FiniteOrUnknown`] no calculation yields a
//! number that is not finite, so NaN is free to mean that. Whole numbers, durations and timestamps are exact, in 128 bits
//! with the bounds of their types. An error is unknown too: to a rule both say that nothing is known.

use std::sync::Arc;

use crate::lang::{Instant, Length};

/// What a condition says about a snapshot.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Truth {
    /// It holds.
    True,
    /// It does not.
    False,
    /// Data it depends on is missing, or it cannot be computed.
    Unknown,
}

impl From<bool> for Truth {
    fn from(value: bool) -> Self {
        if value { Truth::True } else { Truth::False }
    }
}

impl Truth {
    fn not(self) -> Self {
        match self {
            Truth::True => Truth::False,
            Truth::False => Truth::True,
            Truth::Unknown => Truth::Unknown,
        }
    }
}

/// What rules judge: one feature vector and what it is about.
#[derive(Clone, Copy, Debug)]
pub struct Snapshot<'a> {
    /// The features by slot; what is not finite is unknown, as is what is beyond the end.
    pub slots: &'a [f32],
    /// Record time, milliseconds since 1970.
    pub now_ms: i64,
    /// The supplier.
    pub supplier: &'a str,
    /// The listing that the causing record was about, and its SKU.
    pub listing: Option<(&'a str, &'a str)>,
}

impl<'a> Snapshot<'a> {
    /// One of features alone, at the beginning of time.
    pub fn of(slots: &'a [f32]) -> Self {
        Self { slots, now_ms: 0, supplier: "", listing: None }
    }

    /// Whether a feature is known, be it only that and not its value.
    pub(crate) fn knows(&self, slot: usize) -> bool {
        self.slots
            .get(slot)
            .is_some_and(|value| value.is_finite() || value.to_bits() == Self::CONCEALED.to_bits())
    }

    /// A slot that is known and whose value is kept from a rule, to see what it says without.
    pub(crate) const CONCEALED: f32 = f32::from_bits(0x7fc5_ea1d);

    /// A feature, if it is known.
    pub fn feature(&self, slot: usize) -> Option<f64> {
        self.slots.get(slot).map(|value| f64::from(*value)).filter(|value| value.is_finite())
    }

    pub(crate) fn text(&self, which: TextVar) -> Option<&'a str> {
        match which {
            TextVar::Supplier => Some(self.supplier),
            TextVar::Listing => self.listing.map(|(listing, _)| listing),
            TextVar::Sku => self.listing.map(|(_, sku)| sku),
        }
    }
}

/// A text that rules may read, in the order of [`crate::schema::TEXTS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum TextVar {
    Supplier,
    Listing,
    Sku,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Compare {
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    Equal,
    NotEqual,
}

impl Compare {
    pub(crate) fn parse(sign: &str) -> Option<Self> {
        Some(match sign {
            "<" => Self::Less,
            "<=" => Self::LessEqual,
            ">" => Self::Greater,
            ">=" => Self::GreaterEqual,
            "==" => Self::Equal,
            "!=" => Self::NotEqual,
            _ => return None,
        })
    }
    /// How it is written.
    pub(crate) fn sign(self) -> &'static str {
        match self {
            Self::Less => "<",
            Self::LessEqual => "<=",
            Self::Greater => ">",
            Self::GreaterEqual => ">=",
            Self::Equal => "==",
            Self::NotEqual => "!=",
        }
    }
    /// The comparison with its sides swapped.
    pub(crate) fn flipped(self) -> Self {
        match self {
            Self::Less => Self::Greater,
            Self::LessEqual => Self::GreaterEqual,
            Self::Greater => Self::Less,
            Self::GreaterEqual => Self::LessEqual,
            other => other,
        }
    }
    #[inline]
    pub(crate) fn holds<T: PartialOrd + Copy>(self, a: T, b: T) -> bool {
        match self {
            Self::Less => a < b,
            Self::LessEqual => a <= b,
            Self::Greater => a > b,
            Self::GreaterEqual => a >= b,
            Self::Equal => a == b,
            Self::NotEqual => a != b,
        }
    }
}

/// A double that can be a key of a hash map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Bits(u64);

impl From<f64> for Bits {
    fn from(value: f64) -> Self {
        Self(value.to_bits())
    }
}
impl Bits {
    pub(crate) fn get(self) -> f64 {
        f64::from_bits(self.0)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Calc {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Math {
    Negate,
    Ceil,
    Floor,
    Round,
    Trunc,
    Abs,
    Sign,
    Sqrt,
}

/// Types of exact numbers, with the bounds of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Exact {
    Int,
    Uint,
    /// Nanoseconds.
    Duration,
    /// Nanoseconds since 1970.
    Timestamp,
}

impl Exact {
    pub(crate) fn within(self, value: i128) -> Option<i128> {
        let inside = match self {
            Self::Int | Self::Duration => i64::try_from(value).is_ok(),
            Self::Uint => u64::try_from(value).is_ok(),
            Self::Timestamp => Instant::from_nanos(value).is_some(),
        };
        inside.then_some(value)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum TextTest {
    Compare(Compare, Arc<str>),
    OneOf(Arc<[Arc<str>]>),
    Starts(Arc<str>),
    Ends(Arc<str>),
    Contains(Arc<str>),
    /// Number of a compiled expression.
    Matches(usize),
}

pub(crate) type Id = u32;

/// An operation; those before `Number` yield a truth, those before `Whole` a number, the rest an exact number.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Node {
    Known(Truth),
    Test {
        slot: u16,
        compare: Compare,
        bound: Bits,
    },
    Numbers(Compare, Id, Id),
    Wholes(Compare, Id, Id),
    All(Arc<[Id]>),
    Any(Arc<[Id]>),
    One(Arc<[Id]>),
    Not(Id),
    Same(Id, Id),
    ChooseTruth(Id, Id, Id),
    Text(TextVar, TextTest),
    /// Whether a feature or a text is known; never unknown itself.
    KnowsSlot(u16),
    KnowsText(TextVar),

    Number(Bits),
    Slot(u16),
    Calc(Calc, Id, Id),
    Math(Math, Id),
    Greatest(Arc<[Id]>),
    Least(Arc<[Id]>),
    FromWhole(Id),
    ChooseNumber(Id, Id, Id),

    Whole(i128),
    Never,
    Now,
    Exact(Calc, Exact, Id, Id),
    /// Of a number, or of an exact one, when it is within the bounds of another type.
    Truncate(Exact, Id),
    Convert(Exact, Id),
    Seconds(Id),
    DateField(&'static str, Option<Arc<str>>, Id),
    SpanField(&'static str, Id),
    ChooseWhole(Id, Id, Id),
}

impl Node {
    pub(crate) fn children(&self) -> Vec<Id> {
        match self {
            Node::Numbers(_, a, b)
            | Node::Wholes(_, a, b)
            | Node::Same(a, b)
            | Node::Calc(_, a, b)
            | Node::Exact(_, _, a, b) => {
                vec![*a, *b]
            }
            Node::All(ids) | Node::Any(ids) | Node::One(ids) | Node::Greatest(ids) | Node::Least(ids) => {
                ids.to_vec()
            }
            Node::Not(a)
            | Node::Math(_, a)
            | Node::FromWhole(a)
            | Node::Truncate(_, a)
            | Node::Convert(_, a)
            | Node::Seconds(a)
            | Node::DateField(_, _, a)
            | Node::SpanField(_, a) => vec![*a],
            Node::ChooseTruth(a, b, c) | Node::ChooseNumber(a, b, c) | Node::ChooseWhole(a, b, c) => {
                vec![*a, *b, *c]
            }
            _ => Vec::new(),
        }
    }
}

/// Operations in an order in which each follows those it uses.
#[derive(Clone, Debug, Default)]
pub(crate) struct Program {
    pub(crate) nodes: Vec<Node>,
    pub(crate) patterns: Vec<regex::Regex>,
    /// Where the result of a node that is used more than once is kept; `u32::MAX` for the others.
    memo: Vec<u32>,
    memos: usize,
}

/// Room for results that are used more than once, kept from one evaluation to the next.
#[derive(Clone, Debug, Default)]
pub struct Scratch {
    epoch: u32,
    stamps: Vec<u32>,
    truths: Vec<Truth>,
    numbers: Vec<f64>,
    wholes: Vec<Option<i128>>,
    /// Rules that a test has struck out.
    pub(crate) struck: Vec<u64>,
}

impl Scratch {
    /// Forgets the last snapshot.
    pub(crate) fn begin(&mut self, program: &Program) {
        self.epoch = self.epoch.wrapping_add(1);
        if self.stamps.len() < program.memos || self.epoch == 0 {
            self.stamps = vec![0; program.memos];
            self.truths = vec![Truth::Unknown; program.memos];
            self.numbers = vec![f64::NAN; program.memos];
            self.wholes = vec![None; program.memos];
            self.epoch = 1;
        }
    }
}

impl Program {
    /// Finds out which results are used more than once; `roots` are used from outside.
    pub(crate) fn finish(&mut self, roots: &[Id]) {
        let mut uses = vec![0u32; self.nodes.len()];
        for child in self.nodes.iter().flat_map(Node::children).chain(roots.iter().copied()) {
            uses[child as usize] += 1;
        }
        self.memo = vec![u32::MAX; self.nodes.len()];
        self.memos = 0;
        for (id, node) in self.nodes.iter().enumerate() {
            // What is one step to compute is quicker computed again.
            if uses[id] > 1 && (!node.children().is_empty() || matches!(node, Node::Text(..))) {
                self.memo[id] = self.memos as u32;
                self.memos += 1;
            }
        }
    }

    #[inline]
    fn kept(&self, id: Id, scratch: &Scratch) -> (u32, bool) {
        let memo = self.memo[id as usize];
        (memo, memo != u32::MAX && scratch.stamps[memo as usize] == scratch.epoch)
    }

    pub(crate) fn truth(&self, id: Id, snapshot: &Snapshot<'_>, scratch: &mut Scratch) -> Truth {
        if let Node::Test { slot, compare, bound } = &self.nodes[id as usize] {
            return match snapshot.feature(usize::from(*slot)) {
                Some(value) => compare.holds(value, bound.get()).into(),
                None => Truth::Unknown,
            };
        }
        let (memo, kept) = self.kept(id, scratch);
        if kept {
            return scratch.truths[memo as usize];
        }
        let truth = self.truth_anew(id, snapshot, scratch);
        if memo != u32::MAX {
            scratch.stamps[memo as usize] = scratch.epoch;
            scratch.truths[memo as usize] = truth;
        }
        truth
    }

    fn truth_anew(&self, id: Id, snapshot: &Snapshot<'_>, scratch: &mut Scratch) -> Truth {
        match &self.nodes[id as usize] {
            Node::Known(truth) => *truth,
            Node::Numbers(compare, a, b) => {
                let (a, b) = (self.number(*a, snapshot, scratch), self.number(*b, snapshot, scratch));
                if a.is_nan() || b.is_nan() { Truth::Unknown } else { compare.holds(a, b).into() }
            }
            Node::Wholes(compare, a, b) => {
                match (self.whole(*a, snapshot, scratch), self.whole(*b, snapshot, scratch)) {
                    (Some(a), Some(b)) => compare.holds(a, b).into(),
                    _ => Truth::Unknown,
                }
            }
            Node::All(ids) => self.joined(ids, Truth::False, snapshot, scratch),
            Node::Any(ids) => self.joined(ids, Truth::True, snapshot, scratch),
            Node::One(ids) => {
                let mut count = 0;
                for id in ids.iter() {
                    match self.truth(*id, snapshot, scratch) {
                        Truth::True => count += 1,
                        Truth::False => {}
                        Truth::Unknown => return Truth::Unknown,
                    }
                }
                (count == 1).into()
            }
            Node::Not(a) => self.truth(*a, snapshot, scratch).not(),
            Node::Same(a, b) => {
                match (self.truth(*a, snapshot, scratch), self.truth(*b, snapshot, scratch)) {
                    (Truth::Unknown, _) | (_, Truth::Unknown) => Truth::Unknown,
                    (a, b) => (a == b).into(),
                }
            }
            Node::ChooseTruth(condition, yes, no) => match self.truth(*condition, snapshot, scratch) {
                Truth::True => self.truth(*yes, snapshot, scratch),
                Truth::False => self.truth(*no, snapshot, scratch),
                Truth::Unknown => Truth::Unknown,
            },
            Node::Text(which, test) => match snapshot.text(*which) {
                Some(text) => self.text_test(test, text).into(),
                None => Truth::Unknown,
            },
            Node::KnowsSlot(slot) => snapshot.knows(usize::from(*slot)).into(),
            Node::KnowsText(which) => snapshot.text(*which).is_some().into(),
            // The compiler asks for a truth only where there is one.
            _ => Truth::Unknown,
        }
    }

    pub(crate) fn joined(
        &self,
        ids: &[Id],
        decisive: Truth,
        snapshot: &Snapshot<'_>,
        scratch: &mut Scratch,
    ) -> Truth {
        let mut result = decisive.not();
        for id in ids {
            match self.truth(*id, snapshot, scratch) {
                truth if truth == decisive => return decisive,
                Truth::Unknown => result = Truth::Unknown,
                _ => {}
            }
        }
        result
    }

    pub(crate) fn text_test(&self, test: &TextTest, text: &str) -> bool {
        match test {
            TextTest::Compare(compare, other) => compare.holds(text, &**other),
            TextTest::OneOf(known) => known.iter().any(|known| **known == *text),
            TextTest::Starts(part) => text.starts_with(&**part),
            TextTest::Ends(part) => text.ends_with(&**part),
            TextTest::Contains(part) => text.contains(&**part),
            TextTest::Matches(pattern) => self.patterns[*pattern].is_match(text),
        }
    }

    /// NaN is unknown.
    fn number(&self, id: Id, snapshot: &Snapshot<'_>, scratch: &mut Scratch) -> f64 {
        match &self.nodes[id as usize] {
            Node::Number(bits) => return bits.get(),
            Node::Slot(slot) => return snapshot.feature(usize::from(*slot)).unwrap_or(f64::NAN),
            _ => {}
        }
        let (memo, kept) = self.kept(id, scratch);
        if kept {
            return scratch.numbers[memo as usize];
        }
        let number = self.number_anew(id, snapshot, scratch);
        let number = if number.is_finite() { number } else { f64::NAN };
        if memo != u32::MAX {
            scratch.stamps[memo as usize] = scratch.epoch;
            scratch.numbers[memo as usize] = number;
        }
        number
    }

    fn number_anew(&self, id: Id, snapshot: &Snapshot<'_>, scratch: &mut Scratch) -> f64 {
        match &self.nodes[id as usize] {
            Node::Calc(calc, a, b) => {
                let (a, b) = (self.number(*a, snapshot, scratch), self.number(*b, snapshot, scratch));
                match calc {
                    Calc::Add => a + b,
                    Calc::Subtract => a - b,
                    Calc::Multiply => a * b,
                    Calc::Divide => a / b,
                    Calc::Remainder => f64::NAN,
                }
            }
            Node::Math(math, a) => {
                let a = self.number(*a, snapshot, scratch);
                match math {
                    Math::Negate => -a,
                    Math::Ceil => a.ceil(),
                    Math::Floor => a.floor(),
                    Math::Round => a.round(),
                    Math::Trunc => a.trunc(),
                    Math::Abs => a.abs(),
                    Math::Sign if a == 0.0 || a.is_nan() => a,
                    Math::Sign => a.signum(),
                    Math::Sqrt => a.sqrt(),
                }
            }
            Node::Greatest(ids) | Node::Least(ids) => {
                let greatest = matches!(&self.nodes[id as usize], Node::Greatest(_));
                let mut best = f64::NAN;
                for (at, id) in ids.iter().enumerate() {
                    let value = self.number(*id, snapshot, scratch);
                    if value.is_nan() {
                        return value;
                    }
                    if at == 0 || (greatest && value > best) || (!greatest && value < best) {
                        best = value;
                    }
                }
                best
            }
            Node::FromWhole(a) => self.whole(*a, snapshot, scratch).map_or(f64::NAN, |value| value as f64),
            Node::ChooseNumber(condition, yes, no) => match self.truth(*condition, snapshot, scratch) {
                Truth::True => self.number(*yes, snapshot, scratch),
                Truth::False => self.number(*no, snapshot, scratch),
                Truth::Unknown => f64::NAN,
            },
            _ => f64::NAN,
        }
    }

    fn whole(&self, id: Id, snapshot: &Snapshot<'_>, scratch: &mut Scratch) -> Option<i128> {
        if let Node::Whole(value) = &self.nodes[id as usize] {
            return Some(*value);
        }
        let (memo, kept) = self.kept(id, scratch);
        if kept {
            return scratch.wholes[memo as usize];
        }
        let whole = self.whole_anew(id, snapshot, scratch);
        if memo != u32::MAX {
            scratch.stamps[memo as usize] = scratch.epoch;
            scratch.wholes[memo as usize] = whole;
        }
        whole
    }

    fn whole_anew(&self, id: Id, snapshot: &Snapshot<'_>, scratch: &mut Scratch) -> Option<i128> {
        match &self.nodes[id as usize] {
            Node::Now => Instant::from_ms(snapshot.now_ms).map(Instant::nanos),
            Node::Exact(calc, ty, a, b) => {
                let (a, b) = (self.whole(*a, snapshot, scratch), self.whole(*b, snapshot, scratch));
                let (a, b) = (a?, b?);
                let result = match calc {
                    Calc::Add => a.checked_add(b),
                    Calc::Subtract => a.checked_sub(b),
                    Calc::Multiply => a.checked_mul(b),
                    Calc::Divide => a.checked_div(b),
                    Calc::Remainder if *ty == Exact::Int && a == i128::from(i64::MIN) && b == -1 => None,
                    Calc::Remainder => a.checked_rem(b),
                };
                result.and_then(|value| ty.within(value))
            }
            Node::Truncate(ty, a) => {
                let value = self.number(*a, snapshot, scratch);
                let inside = match ty {
                    Exact::Uint => value >= 0.0 && value < 2f64.powi(64),
                    _ => value > -2f64.powi(63) && value < 2f64.powi(63),
                };
                inside.then_some(value as i128)
            }
            Node::Convert(ty, a) => self.whole(*a, snapshot, scratch).and_then(|value| ty.within(value)),
            Node::Seconds(a) => {
                let at = Instant::from_nanos(self.whole(*a, snapshot, scratch)?)?;
                Some(i128::from(at.seconds()))
            }
            Node::DateField(field, zone, a) => {
                let at = Instant::from_nanos(self.whole(*a, snapshot, scratch)?)?;
                at.field(field, zone.as_deref()).ok().map(i128::from)
            }
            Node::SpanField(field, a) => {
                let span = i64::try_from(self.whole(*a, snapshot, scratch)?).ok().map(Length::from_nanos)?;
                Some(i128::from(span.field(field)))
            }
            Node::ChooseWhole(condition, yes, no) => match self.truth(*condition, snapshot, scratch) {
                Truth::True => self.whole(*yes, snapshot, scratch),
                Truth::False => self.whole(*no, snapshot, scratch),
                Truth::Unknown => None,
            },
            _ => None,
        }
    }
}
