//! From what was declared to what is taken, collecting everything that is wrong on the way.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;
use stockade_rules::parse_duration_ms;
use stockade_windows::{Counterparty, Entity, Measure};

use super::{Doing, FeatureError, FeatureSpec, MeasureSpec, Over, Per, Property, SCORE, Take, TestSpec, Who};
use crate::evidence::{AGES, AGES_DAYS, ALTERNATIVES, TESTS_MAX, Test, age_class, age_width};
use crate::history::Kind;

/// The kinds of event that are counted, a bit each.
fn kinds(events: &[Kind]) -> u32 {
    events.iter().fold(0, |bits, kind| bits | 1 << *kind as u32)
}

/// The flags that an event must have, or must not have: what properties stand for, and whose doing it is.
fn flags<'a>(properties: &[Property], doings: impl IntoIterator<Item = &'a Doing>) -> u16 {
    let of_properties = properties.iter().fold(0, |bits, property| bits | property.flag());
    doings.into_iter().fold(of_properties, |bits, doing| bits | doing.flag())
}

const WINDOWS_MAX: usize = 16;
const MEASURES_MAX: usize = 64;
/// Declared features, the score included; those of tests and of windows that rules bind come beside them.
const FEATURES_MAX: usize = 72;
/// Windows that rules bind beside the declared features.
const BOUND_MAX: usize = 32;
/// Work per event, in updates of a tally, counted as if every measure counted every event; the default declaration is at 60.
const COST_MAX: usize = 400;

/// Compiles the parts of one declaration, collecting what is wrong.
pub(super) struct Compiler<'a> {
    declared: &'a BTreeMap<String, MeasureSpec>,
    pub(super) windows_ms: Vec<i64>,
    pub(super) measures: Vec<Measure>,
    numbers: FxHashMap<&'a str, usize>,
    pub(super) errors: Vec<FeatureError>,
}

impl<'a> Compiler<'a> {
    /// One for measures and the window lengths that features ask for, in rising order.
    pub(super) fn new(declared: &'a BTreeMap<String, MeasureSpec>, windows_ms: Vec<i64>) -> Self {
        let (measures, numbers, errors) = (Vec::new(), FxHashMap::default(), Vec::new());
        Self { declared, windows_ms, measures, numbers, errors }
    }

    pub(super) fn error(&mut self, code: &'static str, name: &str, detail: impl Into<String>) {
        self.errors.push(FeatureError { code, name: Some(name.to_owned()), detail: detail.into() });
    }

    pub(super) fn bounds(&mut self, features: usize, bound: usize) {
        for (what, count, most) in [
            ("window lengths", self.windows_ms.len(), WINDOWS_MAX),
            ("measures", self.declared.len(), MEASURES_MAX),
            ("features", features + 1, FEATURES_MAX),
            ("windows bound by rules", bound, BOUND_MAX),
        ] {
            if count > most {
                let detail = format!("{count} {what}, at most {most} are allowed");
                self.errors.push(FeatureError { code: "too_large", name: None, detail });
            }
        }
        self.windows_ms.truncate(WINDOWS_MAX);
    }

    /// The tests, in the order of their names.
    pub(super) fn tests(&mut self, declared: &BTreeMap<String, TestSpec>) -> Vec<Test> {
        if declared.len() > TESTS_MAX {
            let detail = format!("{} tests, at most {TESTS_MAX} are allowed", declared.len());
            self.errors.push(FeatureError { code: "too_large", name: None, detail });
        }
        let shares: f64 = declared.values().map(|spec| spec.share).sum();
        declared.iter().map(|(name, spec)| self.test(name, spec, shares)).collect()
    }

    fn test(&mut self, name: &str, spec: &TestSpec, shares: f64) -> Test {
        let place = format!("tests.{name}");
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        let clash = name == "total" || name.ends_with("_seen") || name.ends_with("_expected");
        if clash || !name.starts_with(|c: char| c.is_ascii_lowercase()) || !name.chars().all(plain) {
            let detail = "a test's name has small letters, digits and _, and is not `total` nor ends in `_seen` or `_expected`";
            self.error("bad_test", &place, detail);
        }
        if !(1.0..=10.0).contains(&spec.tolerates) {
            let detail = format!(
                "`tolerates: {}` is not a multiple of the peers' rate from 1 to 10; below 1 the usual would be a crime",
                spec.tolerates
            );
            self.error("bad_test", &place, detail);
        }
        if !(ALTERNATIVES[0]..=ALTERNATIVES[ALTERNATIVES.len() - 1]).contains(&spec.up_to) {
            let detail =
                format!("`up_to: {}` is a multiple of the tolerated rate from 1.5 to 20", spec.up_to);
            self.error("bad_test", &place, detail);
        }
        if !(spec.share > 0.0 && spec.share <= 100.0) {
            self.error("bad_test", &place, format!("`share: {}` is above 0 and at most 100", spec.share));
        }
        if spec.events.is_empty() || spec.events.iter().any(|kind| !kind.is_outcome()) {
            self.error("bad_test", &place, "`events` lists outcomes of orders, at least one");
        }
        if spec.meaning.is_empty() {
            self.error("bad_test", &place, "`meaning` says what is counted, in words that follow a number");
        }
        Test {
            name: name.to_owned(),
            id: stockade_model::hash::stable64(name),
            kinds: kinds(&spec.events),
            all_of: flags(&spec.having, &spec.cause),
            none_of: flags(&spec.unless, &spec.not_cause),
            tolerates: spec.tolerates,
            up_to: spec.up_to,
            share: spec.share / shares,
            usual: self.usual(&place, &spec.usual),
        }
    }

    /// The usual hazard by class of age of what is declared as the share of orders by age.
    fn usual(&mut self, place: &str, declared: &[(String, f64)]) -> [f64; AGES] {
        let mut hazards = [0.0; AGES];
        let (mut days_before, mut share_before) = (0, 0.0);
        for (age, share) in declared {
            let days = parse_duration_ms(age).map_or(0, |ms| ms / stockade_model::time::DAY_MS);
            let known = AGES_DAYS.contains(&days) && days > days_before;
            if !known || !(share_before..=1.0).contains(share) {
                let detail = format!(
                    "`usual` lists ages of {AGES_DAYS:?} days in rising order, each with the share of orders by then, 0 to 1 and rising; got {age}: {share}"
                );
                self.error("bad_test", place, detail);
                return hazards;
            }
            let per_day = (share - share_before) / (days - days_before) as f64;
            for day in days_before..days {
                if let Some(class) = age_class(day) {
                    hazards[class] += per_day / age_width(class);
                }
            }
            (days_before, share_before) = (days, *share);
        }
        if share_before <= 0.0 {
            self.error(
                "bad_test",
                place,
                "`usual` says for which share of orders it usually happens, above 0",
            );
        }
        hazards
    }

    pub(super) fn measures(&mut self) {
        for (name, spec) in self.declared.iter().take(MEASURES_MAX) {
            self.numbers.insert(name, self.measures.len());
            self.measures.push(Measure {
                kinds: kinds(&spec.events),
                all_of: flags(&spec.having, &spec.cause),
                none_of: flags(&spec.unless, &spec.not_cause),
                entity: match spec.per {
                    Per::Supplier => Entity::Whole,
                    Per::Sku => Entity::Subject,
                    Per::Region => Entity::Place,
                },
                distinct_of: match spec.counterparty {
                    Who::Party => Counterparty::Party,
                    Who::Sku => Counterparty::Subject,
                    Who::Region => Counterparty::Place,
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

    /// What a feature is taken from; `declared` ones have a name that people gave.
    pub(super) fn feature(
        &mut self,
        spec: &'a FeatureSpec,
        names: &FxHashMap<&str, usize>,
        declared: bool,
    ) -> Option<Take> {
        let valid = |name: &str| {
            let part = |part: &str| {
                part.starts_with(|c: char| c.is_ascii_lowercase())
                    && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
            };
            name.len() <= 64 && name.split_once('.').is_some_and(|(group, rest)| part(group) && part(rest))
        };
        if declared && (!valid(&spec.name) || spec.name == SCORE) {
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
    pub(super) fn order(&mut self, features: &[FeatureSpec], takes: &[Take]) -> Vec<usize> {
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

    pub(super) fn cost(&mut self) {
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
