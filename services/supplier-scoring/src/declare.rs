//! Measures and features as people declare them: YAML, checked as a whole, compiled into a plan of windows.
//!
//! A *measure* says which events count: types, properties, whose doing. A *feature* is a number rules and models read: a
//! measure over a window, a rate of two, a comparison with peers, a fact about the supplier, or one feature divided by
//! another. The order of features is that of the slots in a score record; new ones go to the end.

use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock},
};

use rustc_hash::FxHashMap;
use serde::Deserialize;
use stockade_model::{hash, time::HOUR_MS};
use stockade_rules::{
    Binding, Bounds, Feature, FeatureSchema, RuleSet, Take as Read, Vocabulary, parse_duration_ms,
};
use stockade_windows::{Entity, Measure, Plan, Reading, Windows, poisson_lower, wilson_lower};

mod compile;

use compile::Compiler;

use crate::{
    evidence::{ALTERNATIVES, Evidence, Test},
    facts::{Fact, View},
    history::{Kind, flag},
    model::Model,
};

/// Standard deviations of the bounds of rates: 97.5 % one-sided.
const Z: f64 = 1.96;
/// Standard deviations of the bound of a comparison with peers: 95 % one-sided.
const Z_PEERS: f64 = 1.645;
/// Longest declaration, in bytes.
const SOURCE_BYTES_MAX: usize = 256 * 1024;
/// Longest window: what `supplier.events` retains.
const WINDOW_MS_MAX: i64 = 90 * stockade_model::time::DAY_MS;
/// Events remembered per supplier.
const ENTRIES_MAX: usize = 4_096;
/// Distinct parties counted exactly.
const DISTINCT_MAX: usize = 1_024;
/// A reading that may be off by more than this share of itself is unknown.
const ERROR_SHARE_MAX: f64 = 0.1;
/// The feature that every declaration ends with.
pub(crate) const SCORE: &str = "score.total";

/// The features a new installation starts with.
pub const DEFAULT_FEATURES: &str = include_str!("../features/default.yaml");

#[allow(clippy::expect_used, reason = "a constant of this crate, compiled by a test")]
static DEFAULT: LazyLock<FeatureSet> =
    LazyLock::new(|| FeatureSet::compile(DEFAULT_FEATURES).expect("the default features compile"));

/// The default features, and how rules learn of others.
pub fn vocabulary() -> Vocabulary {
    let read = |source: &str, windows: &[Binding]| {
        let source = if source.is_empty() { DEFAULT_FEATURES } else { source };
        FeatureSet::compile_with(source, windows)
            .map(|features| features.schema)
            .map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
    };
    let check_model = |source: &str, schema: &FeatureSchema| Model::read(source, schema).map(drop);
    Vocabulary::new(FeatureSet::default_set().schema, read, check_model)
}

/// What is wrong with a declaration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, serde::Serialize)]
#[error("{}{detail}", .name.as_ref().map(|name| format!("{name}: ")).unwrap_or_default())]
pub struct FeatureError {
    /// Stable code: `syntax`, `unknown_name`, `refers_to_itself`, `too_costly`, `too_large`, `bad_window`, `bad_feature`.
    pub code: &'static str,
    /// The measure or feature, when it is about one.
    pub name: Option<String>,
    /// What is wrong and what to do.
    pub detail: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Declaration {
    measures: BTreeMap<String, MeasureSpec>,
    features: Vec<FeatureSpec>,
    /// Sequential tests against peers: each is the features `evidence.<test>`, its odds in powers of ten, and
    /// `evidence.<test>_seen` and `_expected`; all together are `evidence.total`.
    #[serde(default)]
    tests: BTreeMap<String, TestSpec>,
}

/// A sequential test: which outcomes are evidence, and of what rate they are evidence against.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TestSpec {
    /// Types of outcome, any of them.
    events: Vec<Kind>,
    /// Properties, all of them.
    #[serde(default, rename = "where")]
    having: Vec<Property>,
    /// Properties, none of them.
    #[serde(default)]
    unless: Vec<Property>,
    /// Only this one's doing.
    #[serde(default)]
    cause: Option<Doing>,
    /// None of these ones' doing.
    #[serde(default)]
    not_cause: Vec<Doing>,
    /// Up to how many times the peers' rate is no fraud, 1 to 10.
    tolerates: f64,
    /// Up to how many times the tolerated rate is looked for, 1.5 to 20; less where one cause, such as a storm, makes many
    /// orders go wrong at once.
    #[serde(default = "all_alternatives")]
    up_to: f64,
    /// Its part of what all tests together may raise in false alarms; 1 when absent.
    #[serde(default = "one")]
    share: f64,
    /// Age and the share of orders for which it has usually happened by then, until peers are known, the youngest first.
    usual: Vec<(String, f64)>,
    /// What is counted, in words that follow a number, such as `orders not handed over`.
    meaning: String,
}

fn all_alternatives() -> f64 {
    ALTERNATIVES.iter().copied().fold(0.0, f64::max)
}

fn one() -> f64 {
    1.0
}

/// A property an event may have.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Property {
    LowPrice,
    Implausible,
    Credible,
    Late,
    LowRating,
    Market,
    Explained,
    PatternKnown,
    Duplicate,
    ReusedTracking,
    Bare,
    Again,
}

impl Property {
    const fn flag(self) -> u16 {
        match self {
            Self::LowPrice => flag::LOW_PRICE,
            Self::Implausible => flag::IMPLAUSIBLE,
            Self::Credible => flag::CREDIBLE,
            Self::Late => flag::LATE,
            Self::LowRating => flag::LOW_RATING,
            Self::Market => flag::MARKET,
            Self::Explained => flag::EXPLAINED,
            Self::PatternKnown => flag::PATTERN,
            Self::Duplicate => flag::DUPLICATE,
            Self::ReusedTracking => flag::REUSED_TRACKING,
            Self::Bare => flag::BARE,
            Self::Again => flag::AGAIN,
        }
    }
}

/// Whose doing an event is.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Doing {
    Supplier,
    Buyer,
    Carrier,
    Platform,
}

impl Doing {
    const fn flag(self) -> u16 {
        match self {
            Self::Supplier => flag::OWN,
            Self::Buyer => flag::BUYERS,
            Self::Carrier => flag::CARRIERS,
            Self::Platform => flag::PLATFORMS,
        }
    }
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Per {
    #[default]
    Supplier,
    Sku,
    Region,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MeasureSpec {
    /// Types of event, any of them.
    events: Vec<Kind>,
    /// Properties, all of them.
    #[serde(default, rename = "where")]
    having: Vec<Property>,
    /// Properties, none of them.
    #[serde(default)]
    unless: Vec<Property>,
    /// Only this one's doing.
    #[serde(default)]
    cause: Option<Doing>,
    /// None of these ones' doing.
    #[serde(default)]
    not_cause: Vec<Doing>,
    #[serde(default)]
    per: Per,
    /// The measure that these events are part of, for rates that rules bind; `orders` when absent.
    #[serde(default)]
    of: Option<String>,
    /// What `distinct` counts; buyers for order outcomes and listings for submissions when absent.
    #[serde(default)]
    counterparty: Who,
}

/// Counterparties.
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Who {
    #[default]
    Party,
    Sku,
    Region,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct FeatureSpec {
    name: String,
    unit: String,
    meaning: String,
    #[serde(default, rename = "in")]
    window: Option<String>,
    count: Option<String>,
    distinct: Option<String>,
    sum: Option<String>,
    mean: Option<String>,
    spread: Option<String>,
    min: Option<String>,
    max: Option<String>,
    rate: Option<[String; 2]>,
    rate_low: Option<[String; 2]>,
    cohort_rate_low: Option<Cohort>,
    excess_low: Option<[String; 2]>,
    fact: Option<Fact>,
    model: Option<Standing>,
    ratio: Option<[String; 2]>,
    /// What is counted, for the odds of a test; nobody declares it.
    #[serde(skip)]
    counted: Option<String>,
}

/// Hits per order of a window, where of younger orders only a part of what goes wrong is known.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Cohort {
    hits: String,
    orders: String,
    /// Age and the share of an order's defects that is known by then, the youngest first.
    known: Vec<(String, f64)>,
}

/// Whose score: what a model makes of the other features of the same vector, 0 to 1000.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Standing {
    Champion,
    Challenger,
}

/// A measure over a window, by number.
#[derive(Clone, Copy, Debug)]
struct Over {
    measure: usize,
    window: usize,
    entity: Entity,
}

#[derive(Clone, Debug)]
enum Take {
    Count(Over),
    Distinct(Over),
    Sum(Over),
    Mean(Over),
    Spread(Over),
    Min(Over),
    Max(Over),
    Rate(Over, Over),
    RateLow(Over, Over),
    /// Hits, and orders younger than each age with the share known of those of that age.
    CohortRateLow(Over, Vec<(Over, f64)>),
    ExcessLow(Over, Over),
    Fact(Fact),
    Model(Standing),
    /// A test by number.
    Evidence(usize, OfTest),
    EvidenceTotal,
    /// Slots of two features before it.
    Ratio(usize, usize),
    Score,
}

impl Take {
    /// What values it can have. What cannot be told from the declaration is left open: the values of a measure may be
    /// anything, and so may a ratio of features.
    fn bounds(&self) -> Bounds {
        match self {
            Self::Count(_) | Self::Distinct(_) => Bounds::COUNT,
            Self::Rate(..) | Self::RateLow(..) | Self::CohortRateLow(..) => Bounds::SHARE,
            Self::Spread(_) | Self::ExcessLow(..) => Bounds::POSITIVE,
            Self::Fact(fact) => fact.bounds(),
            Self::Model(_) | Self::Score => Bounds::POINTS,
            Self::Evidence(_, OfTest::Seen | OfTest::Expected) => Bounds::POSITIVE,
            // Powers of ten: nothing bounds them.
            Self::Evidence(_, OfTest::Odds) | Self::EvidenceTotal => Bounds::ANY,
            Self::Sum(_) | Self::Mean(_) | Self::Min(_) | Self::Max(_) | Self::Ratio(..) => Bounds::ANY,
        }
    }

    /// Whether it counts what people say of orders, and whether it counts outcomes that somebody else attests.
    fn vouched(&self, measures: &[Measure], tests: &[Test]) -> (bool, bool) {
        let kinds = |over: &Over| measures[over.measure].kinds;
        let kinds = match self {
            Take::Count(over) | Take::Distinct(over) | Take::Sum(over) | Take::Mean(over) => kinds(over),
            Take::Spread(over) | Take::Min(over) | Take::Max(over) => kinds(over),
            // What a rate is of says nothing of who vouches for the hits.
            Take::Rate(hits, _) | Take::RateLow(hits, _) | Take::ExcessLow(hits, _) => kinds(hits),
            Take::CohortRateLow(hits, _) => kinds(hits),
            Take::Evidence(number, _) => tests[*number].kinds,
            Take::Fact(_) | Take::Model(_) | Take::Ratio(..) | Take::EvidenceTotal | Take::Score => 0,
        };
        (kinds & Kind::CLAIMS != 0, kinds & Kind::ATTESTED != 0)
    }
}

/// What a feature says of a test.
#[derive(Clone, Copy, Debug)]
enum OfTest {
    Odds,
    Seen,
    Expected,
}

/// A compiled declaration.
#[derive(Clone, Debug)]
pub struct FeatureSet {
    /// Content hash of the source, hex, 16 digits.
    pub version: String,
    schema: Arc<FeatureSchema>,
    pub(crate) plan: Arc<Plan>,
    pub(crate) plan_id: u32,
    pub(crate) tests: Arc<[Test]>,
    takes: Vec<Take>,
    /// In which order they are taken: a ratio after what it divides.
    order: Vec<usize>,
}

impl FeatureSet {
    /// Compiles a declaration. All problems are reported together; a declaration with any is not one.
    pub fn compile(source: &str) -> Result<Self, Vec<FeatureError>> {
        Self::compile_with(source, &[])
    }

    /// The same with windows that rules bind: those that no declared feature is get slots of their own, before the score.
    pub fn compile_with(source: &str, bound: &[Binding]) -> Result<Self, Vec<FeatureError>> {
        let whole = |code, detail: String| vec![FeatureError { code, name: None, detail }];
        if source.len() > SOURCE_BYTES_MAX {
            let detail = format!("{} bytes, at most {SOURCE_BYTES_MAX} are allowed", source.len());
            return Err(whole("too_large", detail));
        }
        let Declaration { measures, mut features, tests } = stockade_yaml::read(source)
            .map_err(|error| whole("syntax", format!("the declaration does not parse: {error}")))?;
        let declared = features.len();
        let (of_tests, evidence) = FeatureSpec::of_tests(&tests);
        features.extend(of_tests);
        let mut windows: Vec<Option<Binding>> = features.iter().map(|spec| spec.binding(&measures)).collect();
        for binding in bound {
            if !windows.iter().flatten().any(|known| known == binding) {
                features.push(FeatureSpec::of_binding(binding, &measures));
                windows.push(Some(binding.clone()));
            }
        }
        let measure_names = measures.keys().cloned().collect();
        let mut lengths: Vec<i64> = features.iter().flat_map(FeatureSpec::windows_ms).collect();
        lengths.sort_unstable();
        lengths.dedup();
        let mut compiler = Compiler::new(&measures, lengths);
        let automatic = declared + evidence.len();
        compiler.bounds(declared, features.len() - automatic);
        compiler.measures();
        let tests = compiler.tests(&tests);
        let names: FxHashMap<&str, usize> =
            features.iter().enumerate().map(|(slot, feature)| (feature.name.as_str(), slot)).collect();
        let mut takes = Vec::new();
        for (slot, spec) in features.iter().enumerate() {
            if names.get(spec.name.as_str()) != Some(&slot) {
                compiler.error(
                    "bad_feature",
                    &spec.name,
                    "is declared twice; give each feature its own name",
                );
            }
            let automatic = slot.checked_sub(declared).and_then(|number| evidence.get(number)).copied();
            let take = match automatic {
                Some((Some(number), what)) => Some(Take::Evidence(number, what)),
                Some((None, _)) => Some(Take::EvidenceTotal),
                None => compiler.feature(spec, &names, slot < declared),
            };
            takes.push(take.unwrap_or(Take::Score));
        }
        let order = compiler.order(&features, &takes);
        compiler.cost();
        let Compiler { windows_ms, measures, errors, .. } = compiler;
        if !errors.is_empty() {
            return Err(errors);
        }
        let vouched: Vec<(bool, bool)> = takes.iter().map(|take| take.vouched(&measures, &tests)).collect();
        takes.push(Take::Score);
        let version = RuleSet::version_of(source);
        let plan_name = features[automatic..].iter().fold(version.clone(), |name, spec| name + &spec.name);
        let mut schema: Vec<Feature> = features
            .into_iter()
            .zip(windows)
            .zip(vouched)
            .zip(&takes)
            .map(|(((spec, window), (claims, attested)), take)| {
                let FeatureSpec { name, unit, meaning, counted, .. } = spec;
                Feature { name, unit, meaning, window, bounds: take.bounds(), counted, claims, attested }
            })
            .collect();
        schema.push(Feature {
            bounds: Bounds::POINTS,
            name: SCORE.to_owned(),
            unit: "points".to_owned(),
            meaning: "the supplier's score, 0 (trusted) to 1000".to_owned(),
            ..Feature::default()
        });
        let plan = Plan {
            windows_ms,
            measures,
            retain_ms: WINDOW_MS_MAX,
            late_max_ms: WINDOW_MS_MAX,
            entries_max: ENTRIES_MAX,
            distinct_max: DISTINCT_MAX,
        };
        Ok(Self {
            plan_id: hash::stable64(&plan_name) as u32,
            version,
            schema: Arc::new(FeatureSchema::new(schema).with_measures(measure_names)),
            plan: Arc::new(plan),
            tests: tests.into(),
            takes,
            order,
        })
    }

    /// The features of a new installation.
    pub fn default_set() -> Self {
        DEFAULT.clone()
    }

    /// The features with their slots.
    pub fn schema(&self) -> &Arc<FeatureSchema> {
        &self.schema
    }

    /// A feature vector, all but the score; NaN is unknown.
    pub(crate) fn slots(&self, view: &View<'_>) -> Vec<f32> {
        let mut slots = vec![f32::NAN; self.takes.len()];
        for slot in &self.order {
            let value = self.take(&self.takes[*slot], view, &slots);
            slots[*slot] = value.filter(|value| value.is_finite()).map_or(f32::NAN, |value| value as f32);
        }
        for (slot, take) in self.takes.iter().enumerate() {
            let Take::Model(standing) = take else { continue };
            let model = match standing {
                Standing::Champion => &view.models.champion,
                Standing::Challenger => &view.models.challenger,
            };
            if let Some(model) = model {
                slots[slot] = (model.probability(&slots) * 1_000.0) as f32;
            }
        }
        slots
    }

    fn take(&self, take: &Take, view: &View<'_>, slots: &[f32]) -> Option<f64> {
        let read = |over: &Over| read(view, over);
        let count = |over: &Over| read(over).map(|reading| reading.count as f64);
        match take {
            Take::Count(over) => count(over),
            Take::Distinct(over) => read(over).map(|reading| reading.parties as f64),
            Take::Sum(over) => read(over).map(|reading| reading.sum as f64),
            Take::Mean(over) => read(over).and_then(|r| Some(r.sum as f64 / some(r.count)?)),
            Take::Spread(over) => {
                let reading = read(over).filter(|reading| reading.whole)?;
                let (n, sum) = (some(reading.count)?, reading.sum as f64);
                Some((reading.squares as f64 / n - (sum / n) * (sum / n)).max(0.0).sqrt())
            }
            Take::Min(over) => read(over).filter(|reading| reading.whole)?.min.map(|value| value as f64),
            Take::Max(over) => read(over).filter(|reading| reading.whole)?.max.map(|value| value as f64),
            // A share of a whole, as its lower bound is: of orders before the window there may be more hits in it than orders.
            Take::Rate(hits, trials) => Some((count(hits)? / some(read(trials)?.count)?).min(1.0)),
            Take::RateLow(hits, trials) => wilson_lower(count(hits)?, count(trials)?, Z),
            Take::CohortRateLow(hits, ages) => {
                let (mut exposure, mut younger) = (0.0, 0.0);
                for (over, known) in ages {
                    let all = count(over)?;
                    exposure += (all - younger).max(0.0) * known;
                    younger = all;
                }
                wilson_lower(count(hits)?, exposure.max(count(hits)?), Z)
            }
            Take::ExcessLow(observed, expected) => {
                let expected = read(expected)?.sum as f64 / crate::peers::EXPECTED_SCALE;
                (expected > 0.0).then_some(poisson_lower(count(observed)?, Z_PEERS) / expected)
            }
            Take::Fact(fact) => fact.take(view),
            Take::EvidenceTotal => view.evidence.map(Evidence::total),
            Take::Evidence(number, what) => {
                let evidence = view.evidence?;
                let (seen, expected) = evidence.counts(*number);
                Some(match what {
                    OfTest::Odds => evidence.odds(*number, &self.tests[*number]),
                    OfTest::Seen => seen,
                    OfTest::Expected => expected,
                })
            }
            Take::Ratio(over, under) => {
                let (over, under) = (f64::from(slots[*over]), f64::from(slots[*under]));
                (under != 0.0).then_some(over / under)
            }
            // Taken last, see `slots`: a model reads the others.
            Take::Model(_) | Take::Score => None,
        }
    }
}

fn some(count: u64) -> Option<f64> {
    (count > 0).then_some(count as f64)
}

/// What a measure says, unless a full log has made it too uncertain.
fn read(view: &View<'_>, over: &Over) -> Option<Reading> {
    let windows: &Windows = view.windows;
    let reading = match over.entity {
        Entity::Whole => windows.read(over.measure, over.window),
        Entity::Subject => windows.read_each(over.measure, over.window, view.subject.sku?),
        Entity::Place => windows.read_each(over.measure, over.window, u64::from(view.subject.place?)),
    };
    let sure = reading.error as f64 <= ERROR_SHARE_MAX * reading.count as f64;
    (sure && (over.entity == Entity::Whole || reading.whole)).then_some(reading)
}

/// What the events of a measure are part of.
fn part_of<'a>(measure: &str, measures: &'a BTreeMap<String, MeasureSpec>) -> &'a str {
    measures.get(measure).and_then(|spec| spec.of.as_deref()).unwrap_or("orders")
}

impl FeatureSpec {
    /// The features that tests are, and what each says of which test; the last one is all of them.
    fn of_tests(tests: &BTreeMap<String, TestSpec>) -> (Vec<Self>, Vec<(Option<usize>, OfTest)>) {
        let (mut specs, mut takes) = (Vec::new(), Vec::new());
        if tests.is_empty() {
            return (specs, takes);
        }
        let mut add = |name: String, unit: &str, meaning: String, counted: Option<String>| {
            let unit = unit.to_owned();
            specs.push(Self { name, unit, meaning, counted, ..Self::default() });
        };
        for (number, (name, test)) in tests.iter().enumerate() {
            let what = &test.meaning;
            let odds = format!("odds against chance by {what}, compared with peers");
            add(format!("evidence.{name}"), "powers of ten", odds, Some(what.clone()));
            add(
                format!("evidence.{name}_seen"),
                "count",
                format!("{what}, weighted, since it stands out"),
                None,
            );
            let expected =
                format!("what peers' orders of the same ages would have brought of {what} since then");
            add(format!("evidence.{name}_expected"), "count", expected, None);
            takes.extend([OfTest::Odds, OfTest::Seen, OfTest::Expected].map(|what| (Some(number), what)));
        }
        let all = "odds against chance by all tests together".to_owned();
        add("evidence.total".to_owned(), "powers of ten", all, Some("outcomes gone wrong".to_owned()));
        takes.push((None, OfTest::Odds));
        (specs, takes)
    }

    /// The window that a declared feature is, as rules may bind it.
    fn binding(&self, measures: &BTreeMap<String, MeasureSpec>) -> Option<Binding> {
        let of_part = |pair: &'_ Option<[String; 2]>| {
            pair.as_ref().filter(|[hits, of]| part_of(hits, measures) == of).map(|[hits, _]| hits.clone())
        };
        let (measure, take) = [
            (self.count.clone(), Read::Count),
            (self.distinct.clone(), Read::Buyers),
            (self.sum.clone(), Read::Sum),
            (self.mean.clone(), Read::Mean),
            (of_part(&self.rate), Read::Rate),
            (of_part(&self.rate_low), Read::RateLow),
        ]
        .into_iter()
        .find_map(|(measure, take)| Some((measure?, take)))?;
        Some(Binding { measure, take, window_ms: parse_duration_ms(self.window.as_deref()?)? })
    }

    /// The feature that a window would be if it were declared.
    fn of_binding(binding: &Binding, measures: &BTreeMap<String, MeasureSpec>) -> Self {
        let (measure, of) = (binding.measure.clone(), part_of(&binding.measure, measures));
        let hours = binding.window_ms as f64 / HOUR_MS as f64;
        let what = match binding.take {
            Read::Count => measure.clone(),
            Read::Buyers => format!("distinct counterparties of {measure}"),
            Read::Sum => format!("sum of {measure}"),
            Read::Mean => format!("mean of {measure}"),
            Read::Rate => format!("{measure} of {of}"),
            Read::RateLow => format!("Wilson lower bound of {measure} of {of}"),
        };
        let mut spec = FeatureSpec {
            name: binding.to_string(),
            unit: binding.take.unit().to_owned(),
            meaning: format!("{what} in {hours} hours"),
            window: Some(format!("{}s", binding.window_ms / 1_000)),
            ..FeatureSpec::default()
        };
        let pair = [measure.clone(), of.to_owned()];
        match binding.take {
            Read::Count => spec.count = Some(measure),
            Read::Buyers => spec.distinct = Some(measure),
            Read::Sum => spec.sum = Some(measure),
            Read::Mean => spec.mean = Some(measure),
            Read::Rate => spec.rate = Some(pair),
            Read::RateLow => spec.rate_low = Some(pair),
        }
        spec
    }

    fn windows_ms(&self) -> Vec<i64> {
        let ages = self.cohort_rate_low.iter().flat_map(|cohort| cohort.known.iter().map(|(age, _)| age));
        let windows = self.window.iter().chain(ages);
        windows.filter_map(|text| parse_duration_ms(text)).filter(|ms| *ms <= WINDOW_MS_MAX).collect()
    }
}

#[cfg(test)]
mod tests;
