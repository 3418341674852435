//! `stockade train`, and `stockade model` for what is done with a trained model.

use crate::output::{complain, say};
use std::{io::Read as _, path::PathBuf, time::Instant};

use anyhow::{Context as _, Result};
use clap::Subcommand;
use hyper::Method;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use stockade_histories::Mapping;
use stockade_model::{SupplierId, Timestamp, hash};
use stockade_supplier_scoring::{DEFAULT_FEATURES, Example, FeatureSet, FitOptions, Model, Origin, fit};

use crate::{
    acts,
    client::Server,
    evaluate::{
        run::{Run, opening},
        set_delay,
    },
    inputs::{read, refused},
    replay::inputs::{Handling, Inputs},
};

/// Of orders that ended well one in this many is learnt from, and stands for as many.
const GOOD_ONE_IN: u64 = 16;

/// Flags of `train`.
#[derive(clap::Args)]
pub struct TrainArgs {
    /// The history: delimited text with a header, plain, gzip or zip. Where the mapping joins several files, their directory, or
    /// NAME=FILE for each.
    #[arg(long, required = true)]
    input: Vec<PathBuf>,
    /// How its columns become suppliers and events, and which rows are frauds.
    #[arg(long)]
    mapping: PathBuf,
    /// What becomes of rows that are refused.
    #[command(flatten)]
    handling: Handling,
    /// How long after their stamp labels become known; the mapping's own when absent.
    #[arg(long)]
    label_delay: Option<String>,
    /// Learn from orders from this moment on; what is before only warms up.
    #[arg(long, value_parser = |text: &str| Timestamp::parse(text))]
    from: Option<Timestamp>,
    /// Learn from orders whose label was known before this moment.
    #[arg(long, value_parser = |text: &str| Timestamp::parse(text))]
    until: Option<Timestamp>,
    /// Features to learn from; the default ones when absent.
    #[arg(long)]
    features: Option<PathBuf>,
    /// Where the model is written.
    #[arg(long)]
    out: PathBuf,
    /// Print one JSON object on the last line.
    #[arg(long)]
    json: bool,
}

/// An order with its supplier's vector right after it.
struct Seen {
    at: Timestamp,
    key: (SupplierId, String),
    slots: Vec<f32>,
}

/// Fits a model to a labelled history.
pub fn train(args: &TrainArgs) -> Result<()> {
    let features =
        args.features.as_deref().map(read).transpose()?.unwrap_or_else(|| DEFAULT_FEATURES.to_owned());
    let set = FeatureSet::compile(&features).map_err(refused)?;
    let mut mapping = Mapping::parse(&read(&args.mapping)?)?;
    anyhow::ensure!(mapping.fraud.is_some(), "the mapping has no `fraud`: say which rows are frauds");
    let delay_ms = set_delay(&mut mapping, args.label_delay.as_deref())?;
    let data = fingerprint(&args.input, &mapping)?;
    let mut inputs = Inputs::open(&args.input, mapping, &args.handling)?;
    let mut run = Run::open(opening(&features, None, None))?;
    let until = args.until;
    let from = args.from;
    let mut seen: Vec<Seen> = Vec::new();
    run.play(&mut inputs, &mut |supplier, order, at, record| {
        let known = until.is_none_or(|until| at.plus_ms(delay_ms) <= until);
        if known && from.is_none_or(|from| at >= from) {
            seen.push(Seen { at, key: (supplier, order), slots: record.slots.clone() });
        }
    })?;
    if let Err(error) = inputs.finish() {
        // Nothing else is printed of a history that was mostly refused, and the error says that the reasons are above.
        inputs.refusals.lines().iter().for_each(|line| complain(format_args!("{line}")));
        return Err(error);
    }
    let examples: Vec<Example> = seen
        .iter()
        .map(|seen| (seen, inputs.frauds.contains(&seen.key)))
        // Chosen by the order alone, so that the sample is the same every time.
        .filter(|(seen, bad)| *bad || hash::stable64(&seen.key.1).is_multiple_of(GOOD_ONE_IN))
        .map(|(seen, bad)| Example {
            slots: seen.slots.clone(),
            bad,
            weight: if bad { 1.0 } else { GOOD_ONE_IN as f64 },
        })
        .collect();
    let times = |pick: fn(&[Timestamp]) -> Option<&Timestamp>| {
        let times: Vec<Timestamp> = seen.iter().map(|seen| seen.at).collect();
        pick(&times).map(ToString::to_string).unwrap_or_default()
    };
    let origin = Origin {
        data,
        features: set.version.clone(),
        label_delay: args.label_delay.clone().unwrap_or_else(|| "as mapped".to_owned()),
        from: times(|times| times.first()),
        until: times(|times| times.last()),
        orders: seen.len() as u64,
        bad: examples.iter().filter(|example| example.bad).count() as u64,
    };
    let source = fit(set.schema(), &examples, origin, FitOptions::default())
        .map_err(|why| anyhow::anyhow!("{why}"))?;
    std::fs::write(&args.out, &source).with_context(|| format!("cannot write {}", args.out.display()))?;
    let model = Model::read(&source, set.schema()).map_err(|why| anyhow::anyhow!("{why}"))?;
    let begun = Instant::now();
    let sum: f64 = examples.iter().map(|example| model.probability(&example.slots)).sum();
    let inference_ns = begun.elapsed().as_nanos() as f64 / examples.len() as f64;
    anyhow::ensure!(sum.is_finite(), "the model answers with no number");
    let report = json!({
        "model": args.out.display().to_string(), "version": model.version, "origin": model.origin(),
        "held_out": model.held_out(), "read": inputs.notes(), "refused": inputs.refused(), "inference_ns": inference_ns.round(),
    });
    if args.json {
        say!("{report}");
    } else {
        crate::output::figures(&report);
    }
    Ok(())
}

/// SHA-256 of the files of a history, one behind the other, hex.
fn fingerprint(paths: &[PathBuf], mapping: &Mapping) -> Result<String> {
    let (mut digest, mut buffer) = (Sha256::new(), vec![0; 1 << 16]);
    for path in stockade_histories::files(paths, mapping)?.values() {
        let mut file =
            std::fs::File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
        loop {
            let read = file.read(&mut buffer)?;
            if read == 0 {
                break;
            }
            digest.update(&buffer[..read]);
        }
    }
    Ok(hash::hex(&digest.finalize()))
}

/// What to do with models of a running server.
#[derive(Subcommand)]
pub enum Command {
    /// Which model is champion, challenger and former champion.
    Show(Server),
    /// Let a model file run beside the champion, as challenger.
    Publish {
        /// The model file.
        file: PathBuf,
        /// Where, and who.
        #[command(flatten)]
        server: Server,
    },
    /// Make the challenger champion.
    Promote(Server),
    /// Bring the former champion back; the champion becomes challenger.
    Rollback(Server),
}

/// Runs the command.
pub fn run(command: Command) -> Result<()> {
    let (path, server, body, role, how) = match command {
        Command::Show(server) => {
            let body = server.ask(Method::GET, "/v1/models", &[], Vec::new())?.json()?;
            say!("{}", serde_json::to_string_pretty(&body)?);
            return Ok(());
        }
        Command::Publish { file, server } => {
            let body = std::fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
            ("/v1/models", server, body, "challenger", "runs beside the champion, as challenger")
        }
        Command::Promote(server) => ("/v1/models:promote", server, Vec::new(), "champion", "is champion now"),
        Command::Rollback(server) => {
            ("/v1/models:rollback", server, Vec::new(), "champion", "is champion again")
        }
    };
    let body = server.ask(Method::POST, path, &[], body)?.json()?;
    say!("{}", acts::model(&body, role, how));
    Ok(())
}
