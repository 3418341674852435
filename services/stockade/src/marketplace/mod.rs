//! A marketplace that nobody tuned the rules to, played through the real folds in event time, and what came of it for
//! every kind of attacker and of honest supplier.

mod measure;
#[cfg(test)]
mod mistakes;
mod play;
mod promise;
mod table;

use crate::output::say;
use std::time::Instant;

use anyhow::Result;
use serde_json::{Value, json};
use stockade_model::Timestamp;
use stockade_rules::RuleSet;
use stockade_simulator::market::{Plan, Spread};
use stockade_supplier_scoring::DEFAULT_FEATURES;

/// Honest and ordinary suppliers of the hard marketplace at scale 1.
const PLAIN: f64 = 250.0;
/// Suppliers of each odd kind, and attackers of each kind, at scale 1.
const OF_EACH: f64 = 10.0;
/// Days that the hard marketplace is played.
const HARD_DAYS: u32 = 120;
/// Days that the honest one is.
const HONEST_DAYS: u32 = 365;
/// Suppliers of the honest one.
const HONEST_SUPPLIERS: usize = 1_000;

/// Which marketplace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Name {
    /// Honest suppliers, odd ones, and frauds that react.
    Hard,
    /// Honest suppliers only, with rates of bad outcomes up to twice the mean of their peers.
    Honest,
}

/// Flags that say which marketplace is played.
#[derive(clap::Args, Clone, Debug)]
pub struct Which {
    /// Play a marketplace of the simulator.
    #[arg(long, value_enum)]
    pub(crate) marketplace: Option<Name>,
    /// Decides everything about the marketplace.
    #[arg(long, default_value_t = 1, requires = "marketplace")]
    seed: u64,
    /// How much larger than usual the hard marketplace is: 1 is 450 honest suppliers and ten of each attack.
    #[arg(long, default_value_t = 1.0, requires = "marketplace", value_parser = scale)]
    scale: f64,
    /// Suppliers of the honest marketplace [default: 1000].
    #[arg(long, requires = "marketplace")]
    suppliers: Option<usize>,
    /// Days that are played [default: 120 of the hard marketplace, 365 of the honest one].
    #[arg(long, requires = "marketplace", value_parser = clap::value_parser!(u32).range(30..=3_650))]
    days: Option<u32>,
}

fn scale(text: &str) -> Result<f64, String> {
    let scale: f64 = text.parse().map_err(|_| format!("{text} is not a number"))?;
    if (0.1..=100.0).contains(&scale) { Ok(scale) } else { Err("must be 0.1 to 100".to_owned()) }
}

impl Which {
    /// What to play; the hard marketplace if none was named.
    fn plan(&self) -> Result<Plan> {
        let name = self.marketplace.unwrap_or(Name::Hard);
        let start = Timestamp::parse("2026-01-05T00:00:00Z").map_err(|error| anyhow::anyhow!("{error}"))?;
        let many = |count: f64| ((count * self.scale).round() as usize).max(1);
        Ok(match name {
            Name::Hard => {
                anyhow::ensure!(
                    self.suppliers.is_none(),
                    "--suppliers is for `--marketplace honest`; the hard marketplace is sized by --scale"
                );
                Plan {
                    seed: self.seed,
                    start,
                    days: self.days.unwrap_or(HARD_DAYS),
                    plain: many(PLAIN),
                    of_each_odd: many(OF_EACH),
                    of_each_attack: many(OF_EACH),
                    spread: Spread::Wide,
                }
            }
            Name::Honest => {
                let suppliers = self.suppliers.unwrap_or(HONEST_SUPPLIERS);
                anyhow::ensure!(suppliers > 0, "--suppliers must be at least 1");
                Plan {
                    seed: self.seed,
                    start,
                    days: self.days.unwrap_or(HONEST_DAYS),
                    plain: suppliers,
                    of_each_odd: 0,
                    of_each_attack: 0,
                    spread: Spread::UpToTwice,
                }
            }
        })
    }
    fn name(&self) -> &'static str {
        match self.marketplace {
            Some(Name::Honest) => "honest",
            _ => "hard",
        }
    }
}

/// A finished play.
pub(crate) struct Outcome {
    /// Figures by kind, as they are printed with `--json`.
    pub(crate) report: Value,
    /// Restrictions that withheld offers.
    pub(crate) lockouts: Vec<crate::lockouts::Lockout>,
    /// What became of every supplier.
    courses: Vec<measure::CourseRow>,
}

/// Plays a marketplace under `rules` and `features`.
pub(crate) fn play(which: &Which, features: &str, rules: &str, show: bool) -> Result<Outcome> {
    let begun = Instant::now();
    let plan = which.plan()?;
    let played = play::run(&plan, features, rules, show)?;
    let measured = measure::Measured::of(&played, &promise::promises(rules));
    let mut report = json!({
        "marketplace": which.name(),
        "seed": plan.seed,
        "days": plan.days,
        "rules": RuleSet::version_of(rules),
        "inputs": played.inputs,
        "orders": played.market.deals().len(),
        "dead_letters": played.dead_letters,
        "attack": measured.attack,
        "honest": measured.honest,
        "false_alarms": measured.false_alarms,
        "seconds": (begun.elapsed().as_secs_f64() * 10.0).round() / 10.0,
    });
    if plan.of_each_attack == 0 {
        report["attack"] = json!({});
    }
    let (lockouts, courses) = (crate::lockouts::of(&played.decisions), measured.courses);
    Ok(Outcome { report, lockouts, courses })
}

/// Where more than the table is written.
#[derive(Clone, Copy)]
pub(crate) struct Files<'a> {
    /// Restrictions that withheld offers.
    pub(crate) lockouts: Option<&'a std::path::Path>,
    /// What became of every supplier.
    pub(crate) courses: Option<&'a std::path::Path>,
}

/// Plays it, and prints a table by kind or, on the last line, one JSON object.
pub(crate) fn evaluate(
    which: &Which,
    features: &str,
    rules: &str,
    files: Files<'_>,
    as_json: bool,
) -> Result<()> {
    let outcome = play(which, features, rules, true)?;
    if let Some(path) = files.lockouts {
        crate::lockouts::write_csv(&outcome.lockouts, path)?;
    }
    if let Some(path) = files.courses {
        measure::write_csv(&outcome.courses, path)?;
    }
    crate::output::write(format_args!("{}", table::one(&outcome.report)));
    if as_json {
        say!("{}", outcome.report);
    }
    Ok(())
}

/// Whether two sets say the same, whatever comments they have.
fn are_the_same(one: &str, other: &str) -> bool {
    one == other || matches!((RuleSet::read(one), RuleSet::read(other)), (Ok(one), Ok(other)) if one == other)
}

/// Plays it under two rule sets at once, or once where they are the same, and prints what each caught and whom each hurt, side by side.
pub(crate) fn compare(which: &Which, tried: &str, against: &str, as_json: bool) -> Result<()> {
    if are_the_same(tried, against) {
        crate::output::complain(format_args!(
            "note: both sets have the same rules, so the marketplace is played once"
        ));
        let of_tried = play(which, DEFAULT_FEATURES, tried, true)?.report;
        let mut of_against = of_tried.clone();
        of_against["rules"] = json!(RuleSet::version_of(against));
        return show(&of_against, &of_tried, as_json);
    }
    let (tried, against) = std::thread::scope(|scope| {
        let other = scope.spawn(|| play(which, DEFAULT_FEATURES, against, false));
        let tried = play(which, DEFAULT_FEATURES, tried, true);
        let other = other.join().map_err(|_| anyhow::anyhow!("the play under the other set panicked"))?;
        anyhow::Ok((tried?, other?))
    })?;
    show(&against.report, &tried.report, as_json)
}

fn show(against: &Value, tried: &Value, as_json: bool) -> Result<()> {
    crate::output::write(format_args!("{}", table::two(against, tried)));
    if as_json {
        say!("{}", json!({ "against": against, "tried": tried }));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::are_the_same;

    #[test]
    fn sets_that_differ_in_comments_only_are_the_same() {
        let starter = stockade_lockout::STARTER_RULES;
        assert!(are_the_same(starter, &format!("# mine\n{starter}")));
        assert!(!are_the_same(starter, &starter.replacen("mode: live", "mode: shadow", 1)));
        assert!(!are_the_same(starter, "no set"));
    }
}
