//! What a condition can be at all: whether its parts contradict each other, whether what the features can be ever lets it
//! hold, and whether it can hold of somebody of whom nothing is known.
//!
//! Asked to make a condition true, this collects what that asks of each feature, calculation and text, and says when nothing
//! is left. What it cannot follow it leaves open, so it never calls impossible what is possible.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{
    FeatureSchema,
    program::{Calc, Compare, Id, Node, Program, TextTest, TextVar, Truth},
    range::Range,
    schema::Bounds,
};

/// Looks at nodes that one rule, and all rules of a set together, may cost.
const STEPS_MAX: usize = 5_000;
const STEPS_OF_SET_MAX: usize = 2_000_000;
/// Nesting that is followed: shared expressions may nest deeper than the stack of a small thread bears this.
const DEPTH_MAX: usize = 100;

/// Whether conditions can hold, for the rules of one set.
pub(crate) struct Analysis<'a> {
    program: &'a Program,
    schema: &'a FeatureSchema,
    /// Whether what features can be counts, or only what a condition asks.
    bounded: bool,
    steps: usize,
    left_of_set: usize,
    depth: usize,
    /// What was asked for in vain, last.
    conflict: Option<String>,
}

/// What a number is, for collecting what is asked of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Number {
    Slot(u16),
    Node(Id),
}

/// What is asked so far.
#[derive(Clone, Debug, Default)]
struct Facts {
    /// From and to, both included.
    numbers: BTreeMap<Number, (f64, f64)>,
    wholes: BTreeMap<Id, (i128, i128)>,
    /// How two nodes stand to each other, as a sum of [`LESS`], [`EQUAL`] and [`GREATER`].
    relations: BTreeMap<(Id, Id), u8>,
    truths: BTreeMap<Id, bool>,
    known: BTreeMap<u16, bool>,
    known_texts: BTreeMap<u8, bool>,
    texts: BTreeMap<u8, BTreeSet<Arc<str>>>,
}

const LESS: u8 = 1;
const EQUAL: u8 = 2;
const GREATER: u8 = 4;

fn relation(compare: Compare) -> u8 {
    match compare {
        Compare::Less => LESS,
        Compare::LessEqual => LESS | EQUAL,
        Compare::Greater => GREATER,
        Compare::GreaterEqual => GREATER | EQUAL,
        Compare::Equal => EQUAL,
        Compare::NotEqual => LESS | GREATER,
    }
}

fn negated(compare: Compare) -> Compare {
    match compare {
        Compare::Less => Compare::GreaterEqual,
        Compare::LessEqual => Compare::Greater,
        Compare::Greater => Compare::LessEqual,
        Compare::GreaterEqual => Compare::Less,
        Compare::Equal => Compare::NotEqual,
        Compare::NotEqual => Compare::Equal,
    }
}

/// What either of two sides allows.
fn either(a: Facts, b: &Facts) -> Facts {
    fn both<K: Ord + Copy, V: Copy>(
        a: BTreeMap<K, V>,
        b: &BTreeMap<K, V>,
        join: impl Fn(V, V) -> Option<V>,
    ) -> BTreeMap<K, V> {
        a.into_iter().filter_map(|(key, value)| Some((key, join(value, *b.get(&key)?)?))).collect()
    }
    let same = |a: bool, b: bool| (a == b).then_some(a);
    let texts = a.texts.into_iter().filter_map(|(which, mut texts)| {
        texts.extend(b.texts.get(&which)?.iter().cloned());
        Some((which, texts))
    });
    Facts {
        numbers: both(a.numbers, &b.numbers, |a, b| Some((a.0.min(b.0), a.1.max(b.1)))),
        wholes: both(a.wholes, &b.wholes, |a, b| Some((a.0.min(b.0), a.1.max(b.1)))),
        relations: both(a.relations, &b.relations, |a, b| Some(a | b)),
        truths: both(a.truths, &b.truths, same),
        known: both(a.known, &b.known, same),
        known_texts: both(a.known_texts, &b.known_texts, same),
        texts: texts.collect(),
    }
}

impl<'a> Analysis<'a> {
    pub(crate) fn new(program: &'a Program, schema: &'a FeatureSchema, left_of_set: usize) -> Self {
        Self { program, schema, bounded: false, steps: 0, left_of_set, depth: 0, conflict: None }
    }

    /// Steps that a whole set may take.
    pub(crate) const fn of_set() -> usize {
        STEPS_OF_SET_MAX
    }
    /// Steps that are left of those.
    pub(crate) fn left(&self) -> usize {
        self.left_of_set
    }

    /// What the parts of a condition ask for that cannot be all at once, if they contradict each other whatever the
    /// features are.
    pub(crate) fn contradiction(&mut self, root: Id) -> Option<String> {
        self.run(root, false)
    }

    /// The same with regard to what features can be, and with constant parts.
    pub(crate) fn never_holds(&mut self, root: Id) -> Option<String> {
        self.run(root, true)
    }

    fn run(&mut self, root: Id, bounded: bool) -> Option<String> {
        (self.bounded, self.conflict) = (bounded, None);
        self.steps = STEPS_MAX.min(self.left_of_set);
        let budget = self.steps;
        let possible = self.ask(root, true, Facts::default());
        self.left_of_set -= budget - self.steps;
        match possible {
            Some(_) => None,
            None => Some(self.conflict.take().unwrap_or_else(|| "its parts rule each other out".to_owned())),
        }
    }

    fn node(&self, id: Id) -> &'a Node {
        &self.program.nodes[id as usize]
    }

    /// What else is so when a node is `want` and all of `facts` is so; none if that cannot be.
    fn ask(&mut self, id: Id, want: bool, facts: Facts) -> Option<Facts> {
        let Some(steps) = self.steps.checked_sub(1).filter(|_| self.depth < DEPTH_MAX) else {
            return Some(facts);
        };
        (self.steps, self.depth) = (steps, self.depth + 1);
        let found = self.ask_anew(id, want, facts);
        self.depth -= 1;
        found
    }

    fn ask_anew(&mut self, id: Id, want: bool, mut facts: Facts) -> Option<Facts> {
        if facts.truths.insert(id, want).is_some_and(|known| known != want) {
            return None;
        }
        match self.node(id) {
            // A constant part contradicts nothing; that it never holds is another matter.
            Node::Known(truth) => (!self.bounded || *truth == Truth::from(want)).then_some(facts),
            Node::Test { slot, compare, bound } => {
                let compare = if want { *compare } else { negated(*compare) };
                let facts = self.knows(*slot, true, facts)?;
                self.narrow_slot(*slot, compare, bound.get(), facts)
            }
            Node::Numbers(compare, a, b) => {
                let compare = if want { *compare } else { negated(*compare) };
                let facts = self.is_number(*a, facts)?;
                let facts = self.is_number(*b, facts)?;
                match (self.node(*a), self.node(*b)) {
                    (_, Node::Number(bound)) => self.narrow(*a, compare, bound.get(), facts),
                    (Node::Number(bound), _) => self.narrow(*b, compare.flipped(), bound.get(), facts),
                    _ => self.relate(*a, *b, compare, facts),
                }
            }
            Node::Wholes(compare, a, b) => {
                let compare = if want { *compare } else { negated(*compare) };
                match (self.node(*a), self.node(*b)) {
                    (Node::Never, _) | (_, Node::Never) => (!self.bounded).then_some(facts),
                    (_, Node::Whole(bound)) => Self::narrow_whole(*a, compare, *bound, facts),
                    (Node::Whole(bound), _) => Self::narrow_whole(*b, compare.flipped(), *bound, facts),
                    _ => self.relate(*a, *b, compare, facts),
                }
            }
            Node::All(ids) if want => self.all(ids, true, facts),
            Node::Any(ids) if !want => self.all(ids, false, facts),
            Node::All(ids) | Node::Any(ids) => self.any(ids.iter().map(|id| vec![(*id, want)]), &facts),
            Node::One(ids) if want => self.any(ids.iter().map(|id| vec![(*id, true)]), &facts),
            Node::Not(a) => self.ask(*a, !want, facts),
            Node::Same(a, b) => {
                let pairs = [true, false].map(|side| vec![(*a, side), (*b, side == want)]);
                self.any(pairs.into_iter(), &facts)
            }
            Node::ChooseTruth(condition, yes, no) => {
                let ways = [vec![(*condition, true), (*yes, want)], vec![(*condition, false), (*no, want)]];
                self.any(ways.into_iter(), &facts)
            }
            Node::Text(which, test) => self.text(*which, test, want, facts),
            Node::KnowsSlot(slot) => self.knows(*slot, want, facts),
            Node::KnowsText(which) => self.knows_text(*which, want, facts),
            _ => Some(facts),
        }
    }

    /// All of them; twice, so that what one asks is known to those before it.
    fn all(&mut self, ids: &[Id], want: bool, mut facts: Facts) -> Option<Facts> {
        for _ in 0..2 {
            for id in ids {
                facts = self.ask(*id, want, facts)?;
            }
        }
        Some(facts)
    }

    /// Any of several ways, each of which asks for several nodes at once.
    fn any(&mut self, ways: impl Iterator<Item = Vec<(Id, bool)>>, facts: &Facts) -> Option<Facts> {
        let mut joined: Option<Facts> = None;
        for way in ways {
            let mut found = Some(facts.clone());
            for (id, want) in way {
                found = found.and_then(|found| self.ask(id, want, found));
            }
            joined = match (joined, found) {
                (Some(joined), Some(found)) => Some(either(joined, &found)),
                (joined, found) => joined.or(found),
            };
        }
        joined
    }

    fn name(&self, slot: u16) -> &'a str {
        self.schema.features().get(usize::from(slot)).map_or("a feature", |feature| feature.name.as_str())
    }

    fn knows(&mut self, slot: u16, want: bool, mut facts: Facts) -> Option<Facts> {
        if facts.known.insert(slot, want).is_some_and(|known| known != want) {
            self.conflict = Some(format!("{} would have to be known and unknown", self.name(slot)));
            return None;
        }
        Some(facts)
    }

    fn knows_text(&mut self, which: TextVar, want: bool, mut facts: Facts) -> Option<Facts> {
        if facts.known_texts.insert(which as u8, want).is_some_and(|known| known != want) {
            self.conflict = Some("a text would have to be known and unknown".to_owned());
            return None;
        }
        Some(facts)
    }

    /// What a comparison of a number asks of what it is made of.
    fn is_number(&mut self, id: Id, facts: Facts) -> Option<Facts> {
        match self.node(id) {
            Node::Slot(slot) => self.knows(*slot, true, facts),
            Node::Number(bits) => (!self.bounded || !bits.get().is_nan()).then_some(facts),
            Node::Calc(_, a, b) => {
                let Some(steps) = self.steps.checked_sub(1) else { return Some(facts) };
                self.steps = steps;
                let facts = self.is_number(*a, facts)?;
                self.is_number(*b, facts)
            }
            _ => Some(facts),
        }
    }

    fn narrow_slot(&mut self, slot: u16, compare: Compare, bound: f64, mut facts: Facts) -> Option<Facts> {
        let bounds =
            self.schema.features().get(usize::from(slot)).map_or(Bounds::ANY, |feature| feature.bounds);
        let asked = match Range::of(slot, compare, bound) {
            Some(range) => (f64::from(range.low), f64::from(range.high)),
            None => (f64::from(f32::MIN), f64::from(f32::MAX)),
        };
        let known = facts.numbers.get(&Number::Slot(slot)).copied();
        let known =
            known.unwrap_or(if self.bounded { (bounds.low, bounds.high) } else { (f64::MIN, f64::MAX) });
        let (mut low, mut high) = (known.0.max(asked.0), known.1.min(asked.1));
        if bounds.whole {
            (low, high) = (low.ceil(), high.floor());
        }
        let only_what_is_excluded = compare == Compare::NotEqual && low == high && low == bound;
        if low > high || only_what_is_excluded {
            self.conflict = Some(self.no_value(self.name(slot), compare, bound, known));
            return None;
        }
        facts.numbers.insert(Number::Slot(slot), (low, high));
        Some(facts)
    }

    fn no_value(&self, name: &str, compare: Compare, bound: f64, known: (f64, f64)) -> String {
        let bound = crate::explain::number(bound);
        let asked = format!("{name} would have to be {} {bound}", compare.sign());
        let shown = |value: f64| (value.abs() < f64::from(f32::MAX)).then(|| crate::explain::number(value));
        match (shown(known.0), shown(known.1)) {
            (Some(low), Some(high)) if low == high => format!("{asked}, and is {low}"),
            (Some(low), Some(high)) => format!("{asked}, and lies from {low} to {high}"),
            (Some(low), None) => format!("{asked}, and is at least {low}"),
            (None, Some(high)) => format!("{asked}, and is at most {high}"),
            (None, None) => asked,
        }
    }

    fn narrow(&mut self, id: Id, compare: Compare, bound: f64, mut facts: Facts) -> Option<Facts> {
        if let Node::Slot(slot) = self.node(id) {
            return self.narrow_slot(*slot, compare, bound, facts);
        }
        let asked = match compare {
            Compare::Less => (f64::MIN, bound.next_down()),
            Compare::LessEqual => (f64::MIN, bound),
            Compare::Greater => (bound.next_up(), f64::MAX),
            Compare::GreaterEqual => (bound, f64::MAX),
            Compare::Equal => (bound, bound),
            Compare::NotEqual => (f64::MIN, f64::MAX),
        };
        let key = Number::Node(id);
        let known = facts.numbers.get(&key).copied().unwrap_or_else(|| self.extent(id));
        let (low, high) = (known.0.max(asked.0), known.1.min(asked.1));
        if low > high || (compare == Compare::NotEqual && low == high && low == bound) {
            self.conflict = Some(self.no_value("what is calculated", compare, bound, known));
            return None;
        }
        facts.numbers.insert(key, (low, high));
        Some(facts)
    }

    /// From where to where a calculation can come out, as far as is easily told.
    fn extent(&mut self, id: Id) -> (f64, f64) {
        const OPEN: (f64, f64) = (f64::MIN, f64::MAX);
        let Some(steps) = self.steps.checked_sub(1).filter(|_| self.bounded) else { return OPEN };
        self.steps = steps;
        match self.node(id) {
            Node::Slot(slot) => {
                let feature = self.schema.features().get(usize::from(*slot));
                feature.map_or(OPEN, |feature| (feature.bounds.low, feature.bounds.high))
            }
            Node::Number(bits) if bits.get().is_finite() => (bits.get(), bits.get()),
            Node::Calc(calc @ (Calc::Add | Calc::Subtract | Calc::Multiply), a, b) => {
                let (a, b) = (self.extent(*a), self.extent(*b));
                let ends = match calc {
                    Calc::Add => [a.0 + b.0, a.1 + b.1, a.0 + b.0, a.1 + b.1],
                    Calc::Subtract => [a.0 - b.1, a.1 - b.0, a.0 - b.1, a.1 - b.0],
                    _ => [a.0 * b.0, a.0 * b.1, a.1 * b.0, a.1 * b.1],
                };
                let low = ends.into_iter().fold(f64::INFINITY, f64::min);
                let high = ends.into_iter().fold(f64::NEG_INFINITY, f64::max);
                // What is not finite is unknown, so it is at no end.
                (low.max(f64::MIN), high.min(f64::MAX))
            }
            _ => OPEN,
        }
    }

    fn narrow_whole(id: Id, compare: Compare, bound: i128, mut facts: Facts) -> Option<Facts> {
        const OPEN: (i128, i128) = (i128::MIN, i128::MAX);
        let asked = match compare {
            Compare::Less => (OPEN.0, bound.saturating_sub(1)),
            Compare::LessEqual => (OPEN.0, bound),
            Compare::Greater => (bound.saturating_add(1), OPEN.1),
            Compare::GreaterEqual => (bound, OPEN.1),
            Compare::Equal => (bound, bound),
            Compare::NotEqual => OPEN,
        };
        let known = facts.wholes.get(&id).copied().unwrap_or(OPEN);
        let (low, high) = (known.0.max(asked.0), known.1.min(asked.1));
        if low > high || (compare == Compare::NotEqual && low == high && low == bound) {
            return None;
        }
        facts.wholes.insert(id, (low, high));
        Some(facts)
    }

    fn relate(&mut self, a: Id, b: Id, compare: Compare, mut facts: Facts) -> Option<Facts> {
        let (key, compare) = if a <= b { ((a, b), compare) } else { ((b, a), compare.flipped()) };
        let possible = if a == b { EQUAL } else { LESS | EQUAL | GREATER };
        let known = facts.relations.get(&key).copied().unwrap_or(possible) & relation(compare);
        facts.relations.insert(key, known);
        (known != 0).then_some(facts)
    }

    fn text(&mut self, which: TextVar, test: &TextTest, want: bool, facts: Facts) -> Option<Facts> {
        let mut facts = self.knows_text(which, true, facts)?;
        let named: Option<BTreeSet<Arc<str>>> = match test {
            TextTest::Compare(Compare::Equal, text) if want => Some([text.clone()].into()),
            TextTest::Compare(Compare::NotEqual, text) if !want => Some([text.clone()].into()),
            TextTest::OneOf(texts) if want => Some(texts.iter().cloned().collect()),
            _ => None,
        };
        let key = which as u8;
        if let Some(named) = named {
            let known = facts.texts.remove(&key);
            facts.texts.insert(
                key,
                match known {
                    Some(known) => known.intersection(&named).cloned().collect(),
                    None => named,
                },
            );
        }
        if let Some(texts) = facts.texts.get_mut(&key) {
            texts.retain(|text| self.program.text_test(test, text) == want);
            if texts.is_empty() {
                self.conflict = Some("a text would have to be two texts".to_owned());
                return None;
            }
        }
        Some(facts)
    }
}

/// Whether a condition can be true of somebody of whom no feature is known.
pub(crate) fn holds_of_the_unknown(program: &Program, root: Id) -> bool {
    let mut seen = BTreeMap::new();
    may_be(program, root, &mut seen) & TRUE != 0
}

/// What a node may come out as, as a sum of these; a number that is known counts as true, one that is not as unknown.
const TRUE: u8 = 1;
const FALSE: u8 = 2;
const UNKNOWN: u8 = 4;

fn may_be(program: &Program, id: Id, seen: &mut BTreeMap<Id, u8>) -> u8 {
    if let Some(known) = seen.get(&id) {
        return *known;
    }
    let node = &program.nodes[id as usize];
    let children = node.children();
    let of: Vec<u8> = children.iter().map(|child| may_be(program, *child, seen)).collect();
    let any = |bit: u8| of.iter().any(|bits| bits & bit != 0);
    let all = |bit: u8| of.iter().all(|bits| bits & bit != 0);
    let when = |holds: bool, bit: u8| if holds { bit } else { 0 };
    let result = match node {
        Node::Known(Truth::True) | Node::Whole(_) | Node::Now => TRUE,
        Node::Known(Truth::False) => FALSE,
        Node::Known(Truth::Unknown) | Node::Test { .. } | Node::Slot(_) | Node::Never => UNKNOWN,
        Node::Number(bits) => {
            if bits.get().is_nan() {
                UNKNOWN
            } else {
                TRUE
            }
        }
        // What a listing is called says nothing about who offers it, so it counts as anything.
        Node::Text(..) => TRUE | FALSE | UNKNOWN,
        Node::KnowsSlot(_) => FALSE,
        Node::KnowsText(_) => TRUE | FALSE,
        Node::All(_) => when(all(TRUE), TRUE) | when(any(FALSE), FALSE) | when(any(UNKNOWN), UNKNOWN),
        Node::Any(_) => when(any(TRUE), TRUE) | when(all(FALSE), FALSE) | when(any(UNKNOWN), UNKNOWN),
        Node::One(_) => when(any(TRUE), TRUE) | FALSE | when(any(UNKNOWN), UNKNOWN),
        Node::Not(_) => when(any(TRUE), FALSE) | when(any(FALSE), TRUE) | when(any(UNKNOWN), UNKNOWN),
        Node::Same(..) => {
            let decided = of.iter().all(|bits| bits & (TRUE | FALSE) != 0);
            when(decided, TRUE | FALSE) | when(any(UNKNOWN), UNKNOWN)
        }
        Node::ChooseTruth(..) | Node::ChooseNumber(..) | Node::ChooseWhole(..) => {
            let (yes, no) = (when(of[0] & TRUE != 0, of[1]), when(of[0] & FALSE != 0, of[2]));
            yes | no | (of[0] & UNKNOWN)
        }
        Node::Numbers(..) | Node::Wholes(..) => when(all(TRUE), TRUE | FALSE) | when(any(UNKNOWN), UNKNOWN),
        // Calculations are known when all of their parts are, and may fail even then.
        _ => when(all(TRUE), TRUE) | UNKNOWN,
    };
    seen.insert(id, result);
    result
}
