//! The scorecard: a list of ramps. Each feature adds points between two of its values; the points add up to the score.
//!
//! Weights add up to 1000, so the score needs no clipping. Unknown adds nothing. Points are judgement, written down:
//! they are what the default rules and the simulated marketplace were tuned with, and a fitted model goes beside them.

use stockade_rules::FeatureSchema;

struct Ramp {
    feature: &'static str,
    /// Value that adds nothing.
    none: f32,
    /// Value that adds everything.
    all: f32,
    points: u16,
}

const fn ramp(feature: &'static str, none: f32, all: f32, points: u16) -> Ramp {
    Ramp { feature, none, all, points }
}

const CARD: [Ramp; 11] = [
    ramp("frauds.rate_30d_low", 0.01, 0.2, 180),
    ramp("cancellations.rate_7d_low", 0.03, 0.3, 180),
    ramp("claims.rate_30d_low", 0.03, 0.25, 130),
    ramp("prices.low_rate_24h_low", 0.05, 0.5, 120),
    ramp("stock.implausible_24h", 0.0, 8.0, 100),
    ramp("account.payout_changed_hours", 72.0, 0.0, 60),
    ramp("listings.new_1h", 20.0, 200.0, 50),
    ramp("supplier.age_days", 30.0, 0.0, 50),
    ramp("account.new_device_hours", 72.0, 0.0, 40),
    ramp("account.dormant_days", 14.0, 90.0, 30),
    ramp("links.strength", 0.0, 1.5, 60),
];

/// What one feature adds to a score.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Contribution {
    /// The feature.
    pub feature: &'static str,
    /// Its value; NaN for unknown.
    pub value: f32,
    /// Points added, of at most `of`.
    pub points: u16,
    /// Points it can add.
    pub of: u16,
}

/// What each feature of the card adds for `slots` of `schema`; the points add up to the score. A feature of the card that
/// the declaration in force leaves out adds nothing.
pub fn contributions(schema: &FeatureSchema, slots: &[f32]) -> Vec<Contribution> {
    CARD.iter()
        .map(|ramp| {
            let slot = schema.slot(ramp.feature);
            let value = slot.and_then(|slot| slots.get(slot)).copied().unwrap_or(f32::NAN);
            let share = if value.is_nan() {
                0.0
            } else {
                ((value - ramp.none) / (ramp.all - ramp.none)).clamp(0.0, 1.0)
            };
            let points = (share * f32::from(ramp.points)).round() as u16;
            Contribution { feature: ramp.feature, value, points, of: ramp.points }
        })
        .collect()
}

/// How much of the card could be judged: the share of its points whose features are known, 0 to 1. A low score of low
/// confidence is a supplier nobody knows, not a good one.
pub fn confidence(contributions: &[Contribution]) -> f64 {
    let points = |known: bool| -> f64 {
        contributions.iter().filter(|c| !known || !c.value.is_nan()).map(|c| f64::from(c.of)).sum()
    };
    if contributions.is_empty() { 0.0 } else { points(true) / points(false) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FeatureSet;

    #[test]
    fn the_card_names_known_features_and_its_points_add_up_to_a_thousand() {
        let features = FeatureSet::default_set();
        for ramp in &CARD {
            assert!(features.schema().slot(ramp.feature).is_some(), "{}", ramp.feature);
        }
        assert_eq!(CARD.iter().map(|ramp| ramp.points).sum::<u16>(), 1_000);
    }

    #[test]
    fn nothing_known_is_no_points() {
        let features = FeatureSet::default_set();
        let unknown = vec![f32::NAN; features.schema().features().len()];
        assert!(contributions(features.schema(), &[]).iter().all(|c| c.points == 0));
        assert!(contributions(features.schema(), &unknown).iter().all(|c| c.points == 0));
        assert_eq!(confidence(&contributions(features.schema(), &unknown)), 0.0);
        let known = vec![0.0; unknown.len()];
        assert_eq!(confidence(&contributions(features.schema(), &known)), 1.0);
    }
}
