//! `stockade evaluate`: a labelled history through the real scoring and lockout code in event time, and how well it did.
//!
//! The same folds as in production run on one partition each under the scheduler of the simulator, on a log in memory.
//! Labels reach the folds only as events, after the label delay; the truth file and the final labels are read for
//! measuring alone.

mod measures;
pub(crate) mod run;
mod truth;

use std::{path::PathBuf, time::Instant};

use anyhow::{Context as _, Result};
use rustc_hash::FxHashMap;
use stockade_histories::Mapping;
use stockade_lockout::STARTER_RULES;
use stockade_model::{SupplierId, Timestamp, time::DAY_MS};
use stockade_rules::RuleSet;
use stockade_runtime::telemetry;
use stockade_supplier_scoring::{DEFAULT_FEATURES, FeatureSet, Model, vocabulary};

use crate::{
    inputs::{read, refused},
    lockouts,
    marketplace::{self, Which},
    replay::inputs::{Handling, Inputs},
};
use measures::Order;
use run::{Run, opening};
use truth::Truth;

/// Flags of `evaluate`.
#[derive(clap::Args)]
pub struct Args {
    /// The history: delimited text with a header, plain, gzip or zip. Where the mapping joins several files, their directory, or
    /// NAME=FILE for each.
    #[arg(long, required_unless_present = "marketplace", requires = "mapping")]
    input: Vec<PathBuf>,
    /// How its columns become suppliers and events.
    #[arg(long, conflicts_with = "marketplace")]
    mapping: Option<PathBuf>,
    /// What becomes of rows that are refused.
    #[command(flatten)]
    handling: Handling,
    /// Instead of a history.
    #[command(flatten)]
    marketplace: Which,
    /// Who was compromised when, read as the mapping's `truth` says. Without it only lock-outs are listed.
    #[arg(long, conflicts_with = "marketplace")]
    truth: Option<PathBuf>,
    /// How long after their stamp labels become known, such as 0d, 1d or 7d; the mapping's own when absent.
    #[arg(long, conflicts_with = "marketplace")]
    label_delay: Option<String>,
    /// Measure from this moment on; what is before only warms up.
    #[arg(long, value_parser = |text: &str| Timestamp::parse(text), conflicts_with = "marketplace")]
    from: Option<Timestamp>,
    /// Rules to judge by; the starter set when absent.
    #[arg(long)]
    rules: Option<PathBuf>,
    /// Features to judge by; the default ones when absent.
    #[arg(long)]
    features: Option<PathBuf>,
    /// A trained model to run as champion; its points are then what transactions are ranked by.
    #[arg(long, conflicts_with = "marketplace")]
    model: Option<PathBuf>,
    /// Where lock-outs are written as CSV: supplier,locked_at,released_at,level,reason,rule,scope,vouched.
    #[arg(long)]
    lockouts: Option<PathBuf>,
    /// Where the course of every supplier of a marketplace is written as CSV: who it is, what it did and what became of it.
    #[arg(long, requires = "marketplace")]
    courses: Option<PathBuf>,
    /// Print one JSON object on the last line.
    #[arg(long)]
    json: bool,
}

/// Runs the evaluation.
pub fn run(args: &Args) -> Result<()> {
    telemetry::logs("warn", telemetry::LogFormat::Text);
    let features = args.features.as_deref().map(read).transpose()?;
    let features = features.unwrap_or_else(|| DEFAULT_FEATURES.to_owned());
    let rules = args.rules.as_deref().map(read).transpose()?.unwrap_or_else(|| STARTER_RULES.to_owned());
    let set = FeatureSet::compile(&features).map_err(refused)?;
    // As publishing compiles them: windows that rules bind get slots of their own, so the slots are those of the rules.
    let judged = vocabulary().compile(&features, &rules).map_err(refused)?;
    if args.marketplace.marketplace.is_some() {
        let files =
            marketplace::Files { lockouts: args.lockouts.as_deref(), courses: args.courses.as_deref() };
        return marketplace::evaluate(&args.marketplace, &features, &rules, files, args.json);
    }
    let (false, Some(mapping)) = (args.input.is_empty(), &args.mapping) else {
        anyhow::bail!("give a history with --input and --mapping, or a marketplace with --marketplace");
    };
    let mut mapping = Mapping::parse(&read(mapping)?)?;
    let delay_ms = set_delay(&mut mapping, args.label_delay.as_deref())?;
    let model = args.model.as_deref().map(read).transpose()?;
    if let Some(source) = &model {
        Model::read(source, set.schema()).map_err(|why| anyhow::anyhow!("{why}"))?;
    }
    let truth = match (&args.truth, &mapping.truth) {
        (None, _) => None,
        (Some(_), None) => {
            anyhow::bail!("the mapping has no `truth`: say in which columns supplier, from and until are")
        }
        (Some(path), Some(columns)) => Some(Truth::read(path, columns)?),
    };
    let mut inputs = Inputs::open(&args.input, mapping, &args.handling)?;
    let begun = Instant::now();
    let mut run = Run::open(opening(&features, Some(&rules), model.as_deref()))?;
    let slot = judged.schema().slot(if model.is_some() { "model.champion" } else { "score.total" });
    let mut orders: FxHashMap<(SupplierId, String), Order> = FxHashMap::default();
    run.play(&mut inputs, &mut |supplier, order, at, record| {
        let score = slot.and_then(|slot| record.slots.get(slot)).copied().unwrap_or(0.0);
        orders.entry((supplier, order)).or_insert(Order { at, score });
    })?;

    let mut decisions = Vec::new();
    crate::decisions::read(&run.log, 0, |_, decision| {
        decisions.push(decision);
        Ok(())
    })?;
    let lockouts = lockouts::of(&decisions);
    if let Some(path) = &args.lockouts {
        lockouts::write_csv(&lockouts, path)?;
    }
    let span = measures::Span {
        from: args.from.unwrap_or(run.first),
        until: run.last,
        delay_ms,
        seen_ms: 10 * DAY_MS,
    };
    let mut report = measures::report(&lockouts, truth.as_ref(), &orders, &inputs.frauds, &span);
    report["afterwards"] = measures::afterwards(&lockouts, &orders, &run.spoiled, &run.regions);
    report["rules"] = RuleSet::version_of(&rules).into();
    report["features"] = set.version.into();
    report["label_delay"] = args.label_delay.clone().unwrap_or_else(|| "as mapped".to_owned()).into();
    report["read"] = inputs.notes().into();
    report["refused_by_validation"] = inputs.refusals.count().into();
    report["refused"] = inputs.refused();
    report["inputs"] = run.made.into();
    report["seconds"] = ((begun.elapsed().as_secs_f64() * 100.0).round() / 100.0).into();
    measures::print(&report, args.json);
    inputs.finish()
}

/// Sets when labels become known; answers how long that is, in milliseconds.
pub(crate) fn set_delay(mapping: &mut Mapping, delay: Option<&str>) -> Result<i64> {
    let Some(text) = delay else { return Ok(0) };
    mapping.delay_labels(text);
    if text == "0d" {
        return Ok(0);
    }
    stockade_rules::parse_duration_ms(text)
        .with_context(|| format!("--label-delay {text} is not a duration such as 0d, 1d or 7d"))
}
