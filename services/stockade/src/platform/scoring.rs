//! The scoring service in this process: its folds, and what becomes of what they say.

use anyhow::Result;
use stockade_supplier_scoring::{
    FeatureSet, Intake, IntakeEffect, Links, Peers, Scoring, ScoringEffect, intake_spec, links_spec,
    metrics::{ModelsView, ScoringFigures},
    peers_spec, scoring_spec,
};

use super::{Runner, views::Scores};

/// `keep` says whether scores are kept here, or followed from the log by whoever needs them.
pub(super) fn start_scoring(
    runner: &mut Runner<'_>,
    partitions: u32,
    scores: Scores,
    models: ModelsView,
    keep: bool,
) -> Result<()> {
    runner.fold(
        intake_spec(partitions),
        |_| Intake::default(),
        |_, effects: Vec<IntakeEffect>| {
            stockade_supplier_scoring::metrics::known_events(&effects);
        },
    )?;
    runner.fold(peers_spec(partitions), |_| Peers::default(), |_, _| {})?;
    runner.fold(links_spec(partitions), |_| Links::default(), |_, _| {})?;
    let features = FeatureSet::default_set();
    // Every partition says so by itself, and one line is enough.
    let mut told = None;
    let mut figures = ScoringFigures::new(&features, models);
    runner.fold(
        scoring_spec(partitions),
        move |_| Scoring::new(&features),
        move |partition, effects: Vec<ScoringEffect>| {
            let mut made = Vec::with_capacity(effects.len());
            for effect in effects {
                figures.see(partition, &effect);
                match effect {
                    ScoringEffect::Scored(record) => made.push((record.supplier.clone(), record)),
                    ScoringEffect::Linked(supplier, edges) => {
                        scores.write().links.insert(supplier, edges);
                    }
                    ScoringEffect::ChampionInForce(_) | ScoringEffect::Predicted(..) => {}
                    ScoringEffect::FeaturesInForce(features) => {
                        if told.as_ref() != Some(&features.version) {
                            tracing::info!(version = features.version, "features in force");
                            told = Some(features.version.clone());
                        }
                    }
                }
            }
            if keep {
                scores.write().scores.extend(made);
            }
        },
    )
}
