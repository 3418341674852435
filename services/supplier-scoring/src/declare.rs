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
use stockade_model::hash;
use stockade_rules::{Feature, FeatureSchema, RuleSet, Vocabulary, parse_duration_ms};
use stockade_windows::{Entity, Measure, Plan, Reading, Windows, poisson_lower, wilson_lower};

use crate::{
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
const WINDOWS_MAX: usize = 16;
const MEASURES_MAX: usize = 64;
/// Features, the score included: a score record then stays below 320 bytes for ids of ordinary length.
const FEATURES_MAX: usize = 72;
/// Work per event, in updates of a tally: what a declaration may cost. The default costs about half of it.
const COST_MAX: usize = 400;
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
    let read = |source: &str| {
        FeatureSet::compile(source)
            .map(|features| features.schema)
            .map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
    };
    let check_model = |source: &str, schema: &FeatureSchema| Model::read(source, schema).map(drop);
    Vocabulary { initial: FeatureSet::default_set().schema, read, check_model }
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
    /// Slots of two features before it.
    Ratio(usize, usize),
    Score,
}

/// A compiled declaration.
#[derive(Clone, Debug)]
pub struct FeatureSet {
    /// Content hash of the source, hex, 16 digits.
    pub version: String,
    schema: Arc<FeatureSchema>,
    pub(crate) plan: Arc<Plan>,
    pub(crate) plan_id: u32,
    takes: Vec<Take>,
    /// In which order they are taken: a ratio after what it divides.
    order: Vec<usize>,
}

/// Compiles the parts of one declaration, collecting what is wrong.
struct Compiler<'a> {
    declared: &'a BTreeMap<String, MeasureSpec>,
    windows_ms: Vec<i64>,
    measures: Vec<Measure>,
    numbers: FxHashMap<&'a str, usize>,
    errors: Vec<FeatureError>,
}

impl FeatureSet {
    /// Compiles a declaration. All problems are reported together; a declaration with any is not one.
    pub fn compile(source: &str) -> Result<Self, Vec<FeatureError>> {
        let whole = |code, detail: String| vec![FeatureError { code, name: None, detail }];
        if source.len() > SOURCE_BYTES_MAX {
            let detail = format!("{} bytes, at most {SOURCE_BYTES_MAX} are allowed", source.len());
            return Err(whole("too_large", detail));
        }
        let Declaration { measures, features } = serde_saphyr::from_str(source)
            .map_err(|e| whole("syntax", format!("the declaration does not parse: {e}")))?;
        let mut lengths: Vec<i64> = features.iter().flat_map(FeatureSpec::windows_ms).collect();
        lengths.sort_unstable();
        lengths.dedup();
        let mut compiler = Compiler {
            declared: &measures,
            windows_ms: lengths,
            measures: Vec::new(),
            numbers: FxHashMap::default(),
            errors: Vec::new(),
        };
        compiler.bounds(features.len());
        compiler.measures();
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
            takes.push(compiler.feature(spec, &names).unwrap_or(Take::Score));
        }
        let order = compiler.order(&features, &takes);
        compiler.cost();
        let Compiler { windows_ms, measures, errors, .. } = compiler;
        if !errors.is_empty() {
            return Err(errors);
        }
        takes.push(Take::Score);
        let mut schema: Vec<Feature> = features
            .into_iter()
            .map(|spec| Feature { name: spec.name, unit: spec.unit, meaning: spec.meaning })
            .collect();
        schema.push(Feature {
            name: SCORE.to_owned(),
            unit: "points".to_owned(),
            meaning: "the supplier's score, 0 (trusted) to 1000".to_owned(),
        });
        let version = RuleSet::version_of(source);
        let plan = Plan {
            windows_ms,
            measures,
            retain_ms: WINDOW_MS_MAX,
            late_max_ms: WINDOW_MS_MAX,
            entries_max: ENTRIES_MAX,
            distinct_max: DISTINCT_MAX,
        };
        Ok(Self {
            plan_id: hash::stable64(&version) as u32,
            version,
            schema: Arc::new(FeatureSchema::new(schema)),
            plan: Arc::new(plan),
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
            Take::Rate(hits, trials) => Some(count(hits)? / some(read(trials)?.count)?),
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

impl FeatureSpec {
    fn windows_ms(&self) -> Vec<i64> {
        let ages = self.cohort_rate_low.iter().flat_map(|cohort| cohort.known.iter().map(|(age, _)| age));
        let windows = self.window.iter().chain(ages);
        windows.filter_map(|text| parse_duration_ms(text)).filter(|ms| *ms <= WINDOW_MS_MAX).collect()
    }
}

impl<'a> Compiler<'a> {
    fn error(&mut self, code: &'static str, name: &str, detail: impl Into<String>) {
        self.errors.push(FeatureError { code, name: Some(name.to_owned()), detail: detail.into() });
    }

    fn bounds(&mut self, features: usize) {
        for (what, count, most) in [
            ("window lengths", self.windows_ms.len(), WINDOWS_MAX),
            ("measures", self.declared.len(), MEASURES_MAX),
            ("features", features + 1, FEATURES_MAX),
        ] {
            if count > most {
                let detail = format!("{count} {what}, at most {most} are allowed");
                self.errors.push(FeatureError { code: "too_large", name: None, detail });
            }
        }
        self.windows_ms.truncate(WINDOWS_MAX);
    }

    fn measures(&mut self) {
        let flags = |properties: &[Property]| properties.iter().fold(0, |bits, p| bits | p.flag());
        for (name, spec) in self.declared.iter().take(MEASURES_MAX) {
            self.numbers.insert(name, self.measures.len());
            self.measures.push(Measure {
                kinds: spec.events.iter().fold(0, |bits, kind| bits | 1 << *kind as u32),
                all_of: flags(&spec.having) | spec.cause.map_or(0, Doing::flag),
                none_of: flags(&spec.unless) | spec.not_cause.iter().fold(0, |bits, d| bits | d.flag()),
                entity: match spec.per {
                    Per::Supplier => Entity::Whole,
                    Per::Sku => Entity::Subject,
                    Per::Region => Entity::Place,
                },
                ..Measure::default()
            });
        }
    }

    /// Finds a measure and keeps it for a window.
    fn over(&mut self, feature: &str, measure: &str, window: &str) -> Option<Over> {
        let Some(number) = self.numbers.get(measure).copied() else {
            self.error("unknown_name", feature, format!("no measure is called {measure}"));
            return None;
        };
        let length_ms = parse_duration_ms(window);
        let Some(index) = length_ms.and_then(|ms| self.windows_ms.iter().position(|known| *known == ms))
        else {
            let detail = format!("{window:?} is not a window: write 30s to 90d, such as 24h");
            self.error("bad_window", feature, detail);
            return None;
        };
        self.measures[number].windows |= 1 << index;
        Some(Over { measure: number, window: index, entity: self.measures[number].entity })
    }

    fn feature(&mut self, spec: &'a FeatureSpec, names: &FxHashMap<&str, usize>) -> Option<Take> {
        let valid = |name: &str| {
            let part = |part: &str| {
                part.starts_with(|c: char| c.is_ascii_lowercase())
                    && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
            };
            name.len() <= 64 && name.split_once('.').is_some_and(|(group, rest)| part(group) && part(rest))
        };
        if !valid(&spec.name) || spec.name == SCORE {
            self.error(
                "bad_feature",
                &spec.name,
                "a name is group.name in small letters, and score.total is taken",
            );
        }
        let kinds = [
            spec.count.is_some(),
            spec.distinct.is_some(),
            spec.sum.is_some(),
            spec.mean.is_some(),
            spec.spread.is_some(),
            spec.min.is_some(),
            spec.max.is_some(),
            spec.rate.is_some(),
            spec.rate_low.is_some(),
            spec.cohort_rate_low.is_some(),
            spec.excess_low.is_some(),
            spec.fact.is_some(),
            spec.ratio.is_some(),
            spec.model.is_some(),
        ];
        if kinds.iter().filter(|set| **set).count() != 1 {
            let detail = "needs exactly one of count, distinct, sum, mean, spread, min, max, rate, rate_low, \
                          cohort_rate_low, excess_low, fact, model, ratio";
            self.error("bad_feature", &spec.name, detail);
            return None;
        }
        if let Some(fact) = spec.fact {
            return Some(Take::Fact(fact));
        }
        if let Some(standing) = spec.model {
            return Some(Take::Model(standing));
        }
        if let Some([over, under]) = &spec.ratio {
            let mut slot = |name: &String| {
                let slot = names.get(name.as_str()).copied();
                if slot.is_none() {
                    self.error("unknown_name", &spec.name, format!("no feature is called {name}"));
                }
                slot
            };
            return Some(Take::Ratio(slot(over)?, slot(under)?));
        }
        let Some(window) = spec.window.as_deref() else {
            self.error("bad_window", &spec.name, "needs `in`, the length of its window, such as 24h");
            return None;
        };
        let name = spec.name.as_str();
        if let Some(measure) = &spec.distinct {
            let over = self.whole(name, measure, window)?;
            self.measures[over.measure].distinct = true;
            return Some(Take::Distinct(over));
        }
        for (measure, take) in [(&spec.min, Take::Min as fn(Over) -> Take), (&spec.max, Take::Max)] {
            if let Some(measure) = measure {
                let over = self.whole(name, measure, window)?;
                self.measures[over.measure].extremes = true;
                return Some(take(over));
            }
        }
        for (measure, take) in [
            (&spec.count, Take::Count as fn(Over) -> Take),
            (&spec.sum, Take::Sum),
            (&spec.mean, Take::Mean),
            (&spec.spread, Take::Spread),
        ] {
            if let Some(measure) = measure {
                return self.over(name, measure, window).map(take);
            }
        }
        for (pair, take) in [
            (&spec.rate, Take::Rate as fn(Over, Over) -> Take),
            (&spec.rate_low, Take::RateLow),
            (&spec.excess_low, Take::ExcessLow),
        ] {
            if let Some([first, second]) = pair {
                return Some(take(self.over(name, first, window)?, self.over(name, second, window)?));
            }
        }
        let cohort = spec.cohort_rate_low.as_ref()?;
        let hits = self.over(name, &cohort.hits, window)?;
        let mut ages = Vec::new();
        for (age, known) in &cohort.known {
            if !(0.0..=1.0).contains(known) {
                self.error("bad_feature", name, format!("{known} is not a share from 0 to 1"));
            }
            ages.push((self.over(name, &cohort.orders, age)?, *known));
        }
        if ages.last().is_none_or(|(over, _)| over.window != hits.window)
            || !ages.is_sorted_by(|a, b| a.0.window < b.0.window)
        {
            self.error("bad_feature", name, "`known` lists ages in rising order, the last equal to `in`");
        }
        Some(Take::CohortRateLow(hits, ages))
    }

    /// A measure that is kept for the supplier as a whole.
    fn whole(&mut self, feature: &str, measure: &str, window: &str) -> Option<Over> {
        let over = self.over(feature, measure, window)?;
        if over.entity != Entity::Whole {
            self.error("bad_feature", feature, "measures per sku or region have counts, sums and rates only");
            return None;
        }
        Some(over)
    }

    /// Slots in an order in which every ratio follows what it divides.
    fn order(&mut self, features: &[FeatureSpec], takes: &[Take]) -> Vec<usize> {
        let mut order: Vec<usize> = Vec::new();
        let mut placed = vec![false; takes.len()];
        loop {
            let before = order.len();
            for (slot, take) in takes.iter().enumerate() {
                let ready = match take {
                    Take::Ratio(over, under) => placed[*over] && placed[*under],
                    _ => true,
                };
                if !placed[slot] && ready {
                    placed[slot] = true;
                    order.push(slot);
                }
            }
            if order.len() == before {
                break;
            }
        }
        for (slot, _) in placed.iter().enumerate().filter(|(_, placed)| !**placed) {
            self.error(
                "refers_to_itself",
                &features[slot].name,
                "divides, in the end, itself; break the circle",
            );
        }
        order
    }

    fn cost(&mut self) {
        let of = |measure: &Measure| {
            let windows = measure.windows.count_ones() as usize;
            let each = if measure.entity == Entity::Whole { 1 } else { 3 };
            windows * each + 4 * usize::from(measure.distinct) + 4 * usize::from(measure.extremes)
        };
        let cost: usize = self.measures.iter().map(of).sum();
        if cost > COST_MAX {
            let detail = format!(
                "every event would touch up to {cost} tallies, at most {COST_MAX} are allowed; use fewer measures or windows"
            );
            self.errors.push(FeatureError { code: "too_costly", name: None, detail });
        }
    }
}

#[cfg(test)]
mod tests;
