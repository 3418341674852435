//! What became of everybody.

use std::{collections::BTreeMap, path::Path};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use stockade_model::{Decision, Level, Restriction, Scope, SupplierId, Timestamp, time::DAY_MS};
use stockade_simulator::market::{Deal, Kind, Member};

use super::{
    play::{GRANT, Played},
    promise::{self, Promises},
};

/// Whose offers were withheld for no longer than this were hit by a day's incident.
const INCIDENT_MS: i64 = DAY_MS;

/// Figures by kind.
pub(super) struct Measured {
    pub(super) attack: Value,
    pub(super) honest: Value,
    pub(super) false_alarms: Value,
    /// Everybody who came.
    pub(super) courses: Vec<CourseRow>,
}

/// What one supplier did, and what became of it.
#[derive(Debug, serde::Serialize)]
pub(super) struct CourseRow {
    supplier: String,
    kind: &'static str,
    fraud: bool,
    opened_at: String,
    orders: usize,
    /// Orders that came to harm by its intent.
    harmed: usize,
    /// When the first sign of harm was there to be seen.
    first_sign_at: String,
    capped_at: String,
    withheld_at: String,
    /// Rules that capped or withheld all of it, in the order in which they first did.
    rules: String,
}

impl CourseRow {
    fn of(member: &Member, opened: Timestamp, course: &Course, deals: &[Deal]) -> Self {
        let at = |at: Option<Timestamp>| at.map(|at| at.to_string()).unwrap_or_default();
        let rules: Vec<&str> = course.alarms.iter().map(|(rule, _)| rule.as_str()).collect();
        Self {
            supplier: member.supplier.to_string(),
            kind: member.kind.as_str(),
            fraud: member.kind.is_attack(),
            opened_at: opened.to_string(),
            orders: deals.len(),
            harmed: deals.iter().filter(|deal| deal.harmed.is_some()).count(),
            first_sign_at: at(deals.iter().filter_map(|deal| deal.harmed).min()),
            capped_at: at(course.first(|level| level == Level::Cap)),
            withheld_at: at(course.first(Level::withholds)),
            rules: rules.join("+"),
        }
    }
}

/// Writes what became of everybody, one row each.
pub(super) fn write_csv(courses: &[CourseRow], path: &Path) -> Result<()> {
    let mut writer =
        csv::Writer::from_path(path).with_context(|| format!("cannot write {}", path.display()))?;
    for course in courses {
        writer.serialize(course)?;
    }
    Ok(writer.flush()?)
}

/// What was in force for a supplier from a moment on.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Stretch {
    from: Timestamp,
    /// On all of it.
    whole: Option<Level>,
    /// On a part of it.
    part: Option<Level>,
}

/// The course of one supplier.
#[derive(Debug, Default)]
struct Course {
    stretches: Vec<Stretch>,
    /// Rules that withheld or capped all of it, each once, with the level.
    alarms: Vec<(String, Level)>,
}

impl Course {
    fn add(&mut self, decision: &Decision) {
        let hardest = |narrow: bool| {
            let of = |r: &&Restriction| (r.scope != Scope::Supplier) == narrow;
            decision.in_force.iter().filter(of).map(|r| r.level).max()
        };
        self.stretches.push(Stretch { from: decision.at, whole: hardest(false), part: hardest(true) });
        for restriction in decision.in_force.iter().filter(|r| r.scope == Scope::Supplier) {
            let rule = restriction.rule.as_ref().map_or("a person", |rule| rule.id.as_str());
            let alarm = (rule.to_owned(), restriction.level);
            let counts = restriction.level.withholds() || restriction.level == Level::Cap;
            if counts && !self.alarms.contains(&alarm) {
                self.alarms.push(alarm);
            }
        }
    }

    /// When all of it was first at a level that `wanted` holds of.
    fn first(&self, wanted: impl Fn(Level) -> bool) -> Option<Timestamp> {
        self.stretches.iter().find(|s| s.whole.is_some_and(&wanted)).map(|s| s.from)
    }
    /// When a part of it was first withheld.
    fn partly(&self) -> Option<Timestamp> {
        self.stretches.iter().find(|s| s.part.is_some_and(Level::withholds)).map(|s| s.from)
    }
    /// Milliseconds at such a level until `end`, and the longest time without a break.
    fn spent(&self, end: Timestamp, wanted: impl Fn(Level) -> bool) -> (i64, i64) {
        let ends = self.stretches.iter().skip(1).map(|s| s.from).chain([end]);
        let (mut all, mut run, mut longest) = (0, 0, 0);
        for (stretch, until) in self.stretches.iter().zip(ends) {
            let length = (until.ms() - stretch.from.ms()).max(0);
            run = if stretch.whole.is_some_and(&wanted) { run + length } else { 0 };
            all += if run > 0 { length } else { 0 };
            longest = run.max(longest);
        }
        (all, longest)
    }
}

impl Measured {
    pub(super) fn of(played: &Played, promises: &Promises) -> Self {
        let mut courses: BTreeMap<&SupplierId, Course> = BTreeMap::new();
        for decision in &played.decisions {
            courses.entry(&decision.supplier).or_default().add(decision);
        }
        let members = played.market.members();
        let mut deals: Vec<Vec<Deal>> = vec![Vec::new(); members.len()];
        for deal in played.market.deals() {
            deals[deal.supplier].push(*deal);
        }
        let none = Course::default();
        let end = played.market.end();
        let (mut attacks, mut honest) = (BTreeMap::new(), BTreeMap::new());
        let mut alarms: BTreeMap<String, (u64, u64)> = BTreeMap::new();
        let (mut supplier_ms, mut rows) = (0, Vec::new());
        for (member, deals) in members.iter().zip(&deals) {
            // Who never came has done nothing, and nothing was done to it.
            let Some(opened) = member.opened else { continue };
            let course = courses.get(&member.supplier).unwrap_or(&none);
            rows.push(CourseRow::of(member, opened, course, deals));
            if member.kind.is_attack() {
                for name in ["all", member.kind.as_str()] {
                    attacks.entry(name.to_owned()).or_insert_with(AttackRow::default).add(course, deals);
                }
            } else {
                let days_ms = end.ms() - opened.ms();
                supplier_ms += days_ms;
                for name in names(member) {
                    honest.entry(name).or_insert_with(HonestRow::default).add(course, days_ms, end);
                }
                for (rule, level) in &course.alarms {
                    let count = alarms.entry(rule.clone()).or_default();
                    if level.withholds() { count.0 += 1 } else { count.1 += 1 }
                }
            }
        }
        let years = supplier_ms as f64 / (365.25 * DAY_MS as f64);
        let rules: BTreeMap<String, Value> = alarms
            .into_iter()
            .map(|(rule, (withheld, capped))| {
                let rate = |count: u64| round(count as f64 / years * 10_000.0, 1);
                let figures = json!({
                    "withheld": withheld, "capped": capped,
                    "withheld_per_10000_supplier_years": rate(withheld),
                    "capped_per_10000_supplier_years": rate(capped),
                    "accepted": promise::held(promises.get(&rule).copied(), withheld + capped, years),
                });
                (rule, figures)
            })
            .collect();
        Self {
            attack: attacks.into_iter().map(|(name, row)| (name, row.json())).collect(),
            honest: honest.into_iter().map(|(name, row)| (name, row.json())).collect(),
            false_alarms: json!({ "supplier_years": round(years, 1), "rules": rules }),
            courses: rows,
        }
    }
}

/// Rows that an honest supplier counts in.
fn names(member: &Member) -> Vec<String> {
    let mut names = vec!["all".to_owned(), member.kind.as_str().to_owned()];
    if member.kind != Kind::Plain {
        names.push("odd".to_owned());
    }
    names
}

/// Attackers of a kind.
#[derive(Debug, Default)]
struct AttackRow {
    /// Those who did harm or were caught.
    attackers: u64,
    /// Who did no harm within the play and was left alone: nothing can be said of them.
    idle: u64,
    caught: u64,
    withheld: u64,
    capped: u64,
    partly: u64,
    in_time: u64,
    /// Orders and money that came to harm: in all, and placed before the attacker was caught.
    harmed: (u64, i64),
    before: (u64, i64),
    /// From the first sign of harm, and from the first harmed order, to being caught.
    days_from_sign: Vec<f64>,
    days_from_order: Vec<f64>,
}

impl AttackRow {
    fn add(&mut self, course: &Course, deals: &[Deal]) {
        let harmed = || deals.iter().filter(|deal| deal.harmed.is_some());
        let withheld = course.first(Level::withholds);
        let capped = course.first(|level| level == Level::Cap);
        // A part that was withheld was enough where next to nothing came to harm after it.
        let partly = course
            .partly()
            .filter(|at| harmed().next().is_some() && harmed().filter(|deal| deal.at > *at).count() <= GRANT);
        let caught_at = [withheld, capped, partly].into_iter().flatten().min();
        if caught_at.is_none() && harmed().next().is_none() {
            self.idle += 1;
            return;
        }
        self.attackers += 1;
        self.withheld += u64::from(withheld.is_some());
        self.capped += u64::from(withheld.is_none() && capped.is_some());
        self.partly += u64::from(withheld.is_none() && capped.is_none() && partly.is_some());
        self.caught += u64::from(caught_at.is_some());
        let before = |at: Timestamp| harmed().filter(move |deal| deal.at <= at);
        let early = capped.is_some_and(|at| before(at).count() <= GRANT);
        self.in_time += u64::from(withheld.is_some() || partly.is_some() || early);
        let end = caught_at.unwrap_or(Timestamp::from_ms(i64::MAX));
        let sum = |row: &mut (u64, i64), deal: &Deal| *row = (row.0 + 1, row.1 + deal.minor);
        harmed().for_each(|deal| sum(&mut self.harmed, deal));
        before(end).for_each(|deal| sum(&mut self.before, deal));
        let days = |from: Option<Timestamp>| {
            let (from, at) = (from?, caught_at?);
            Some(((at.ms() - from.ms()) as f64 / DAY_MS as f64).max(0.0))
        };
        self.days_from_sign.extend(days(harmed().filter_map(|deal| deal.harmed).min()));
        self.days_from_order.extend(days(harmed().map(|deal| deal.at).min()));
    }

    /// Money in whole units of the currency.
    fn json(mut self) -> Value {
        let attackers = self.attackers.max(1) as f64;
        json!({
            "attackers": self.attackers, "idle": self.idle,
            "caught": self.caught, "withheld": self.withheld, "capped": self.capped, "partly": self.partly,
            "caught_in_time": self.in_time,
            "caught_share": round(self.caught as f64 / attackers, 4),
            "caught_in_time_share": round(self.in_time as f64 / attackers, 4),
            "orders_harmed": self.harmed.0, "orders_before": self.before.0,
            "money_harmed": self.harmed.1 / 100, "money_before": self.before.1 / 100,
            "days_from_sign": median(&mut self.days_from_sign),
            "days_from_first_order": median(&mut self.days_from_order),
        })
    }
}

/// Honest suppliers of a kind.
#[derive(Debug, Default)]
struct HonestRow {
    suppliers: u64,
    withheld: u64,
    longer: u64,
    capped: u64,
    dimmed: u64,
    partly: u64,
    supplier_ms: i64,
    withheld_ms: i64,
    capped_ms: i64,
    rules: BTreeMap<String, u64>,
}

impl HonestRow {
    fn add(&mut self, course: &Course, supplier_ms: i64, end: Timestamp) {
        let (withheld_ms, longest_ms) = course.spent(end, Level::withholds);
        self.suppliers += 1;
        self.supplier_ms += supplier_ms;
        self.withheld += u64::from(course.first(Level::withholds).is_some());
        self.longer += u64::from(longest_ms > INCIDENT_MS);
        self.capped += u64::from(course.first(|level| level == Level::Cap).is_some());
        self.dimmed += u64::from(course.first(|level| level == Level::Dim).is_some());
        self.partly += u64::from(course.partly().is_some());
        self.withheld_ms += withheld_ms;
        self.capped_ms += course.spent(end, |level| level == Level::Cap).0;
        for (rule, _) in &course.alarms {
            *self.rules.entry(rule.clone()).or_default() += 1;
        }
    }

    fn json(self) -> Value {
        let per_1000 = |ms: i64| round(ms as f64 / self.supplier_ms.max(1) as f64 * 1_000.0, 2);
        let share = |count: u64| round(count as f64 / self.suppliers.max(1) as f64, 4);
        json!({
            "suppliers": self.suppliers,
            "withheld": self.withheld, "withheld_over_a_day": self.longer, "capped": self.capped,
            "dimmed": self.dimmed, "partly": self.partly,
            "withheld_share": share(self.withheld), "withheld_over_a_day_share": share(self.longer),
            "capped_share": share(self.capped),
            "withheld_days_per_1000": per_1000(self.withheld_ms),
            "capped_days_per_1000": per_1000(self.capped_ms),
            "rules": self.rules,
        })
    }
}

fn median(values: &mut [f64]) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len().saturating_sub(1) / 2).map(|value| round(*value, 2))
}

fn round(value: f64, digits: i32) -> f64 {
    let scale = 10f64.powi(digits);
    (value * scale).round() / scale
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(days: i64) -> Timestamp {
        Timestamp::from_ms(days * DAY_MS)
    }

    fn course(stretches: &[(i64, Option<Level>)]) -> Course {
        let stretch =
            |(day, whole): &(i64, Option<Level>)| Stretch { from: at(*day), whole: *whole, part: None };
        Course { stretches: stretches.iter().map(stretch).collect(), alarms: Vec::new() }
    }

    fn deal(day: i64, harmed: Option<i64>) -> Deal {
        Deal { supplier: 0, at: at(day), minor: 10_000, harmed: harmed.map(at) }
    }

    #[test]
    fn time_at_a_level_is_counted_with_its_longest_stretch() {
        let quarantined = Some(Level::Quarantine);
        let course = course(&[(1, quarantined), (2, Some(Level::Lockout)), (5, None), (8, quarantined)]);
        assert_eq!(course.spent(at(10), Level::withholds), (6 * DAY_MS, 4 * DAY_MS));
        assert_eq!(course.spent(at(10), |level| level == Level::Cap), (0, 0));
        assert_eq!(course.first(|level| level == Level::Lockout), Some(at(2)));
    }

    #[test]
    fn harm_is_told_apart_by_when_the_attacker_was_caught() {
        let deals = [deal(1, None), deal(2, Some(4)), deal(3, Some(5)), deal(9, Some(12))];
        let mut row = AttackRow::default();
        row.add(&course(&[(6, Some(Level::Cap)), (7, Some(Level::Quarantine))]), &deals);
        row.add(&course(&[(6, Some(Level::Limit))]), &deals[..1]);
        assert_eq!((row.attackers, row.idle, row.caught, row.withheld, row.capped), (1, 1, 1, 1, 0));
        assert_eq!((row.harmed, row.before), ((3, 30_000), (2, 20_000)));
        assert_eq!((row.days_from_sign.as_slice(), row.days_from_order.as_slice()), (&[2.0][..], &[4.0][..]));
    }

    #[test]
    fn a_cap_that_comes_after_much_harm_is_not_in_time() {
        let deals: Vec<Deal> = (0..20).map(|day| deal(day, Some(day + 2))).collect();
        let mut row = AttackRow::default();
        row.add(&course(&[(15, Some(Level::Cap))]), &deals);
        assert_eq!((row.caught, row.capped, row.in_time), (1, 1, 0));
        row.add(&course(&[(2, Some(Level::Cap))]), &deals);
        assert_eq!((row.caught, row.capped, row.in_time), (2, 2, 1));
    }
}
