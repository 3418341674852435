use super::*;
use crate::FeatureSet;

/// Orders that go bad by two features, one of them sometimes unknown.
fn examples(count: usize) -> Vec<Example> {
    let schema = FeatureSet::default_set().schema().clone();
    let (rate, age) =
        (schema.slot("frauds.rate_30d_low").unwrap(), schema.slot("supplier.age_days").unwrap());
    let mut random = fastrand::Rng::with_seed(1);
    (0..count)
        .map(|_| {
            let mut slots = vec![0.0; schema.features().len()];
            slots[rate] = if random.u32(0..4) == 0 { f32::NAN } else { random.f32() * 0.5 };
            slots[age] = random.f32() * 400.0;
            let odds = -4.0 + if slots[rate].is_nan() { 1.0 } else { 8.0 * f64::from(slots[rate]) }
                - 2.0 * f64::from(slots[age] / 400.0);
            Example { slots, bad: random.f64() < sigmoid(odds), weight: 1.0 }
        })
        .collect()
}

fn origin() -> Origin {
    let text = || "x".to_owned();
    Origin {
        data: text(),
        features: text(),
        label_delay: text(),
        from: text(),
        until: text(),
        orders: 1,
        bad: 1,
    }
}

#[test]
fn a_fitted_model_ranks_is_calibrated_and_says_why() {
    let schema = FeatureSet::default_set().schema().clone();
    let all = examples(40_000);
    let source = fit(&schema, &all, origin(), FitOptions::default()).unwrap();
    assert_eq!(fit(&schema, &all, origin(), FitOptions::default()).unwrap(), source, "the same every time");
    let model = Model::read(&source, &schema).unwrap();
    let held_out = model.held_out();
    assert!(held_out.auc > 0.75, "{held_out:?}");
    assert!((held_out.expected_to_seen - 1.0).abs() < 0.01, "{held_out:?}");
    let of = |rate: f32| {
        let mut slots = vec![0.0; schema.features().len()];
        slots[schema.slot("frauds.rate_30d_low").unwrap()] = rate;
        slots[schema.slot("supplier.age_days").unwrap()] = 200.0;
        slots
    };
    // About the probabilities the examples were drawn with.
    for (rate, truth) in [(0.05, -4.6), (0.25, -3.0), (0.45, -1.4), (f32::NAN, -4.0)] {
        let (found, truth) = (model.probability(&of(rate)), sigmoid(truth));
        assert!((found / truth).ln().abs() < 0.35, "{rate}: {found} for {truth}");
    }
    let slots = of(0.45);
    let additions = model.additions(&slots);
    assert_eq!(additions[0].feature, "frauds.rate_30d_low");
    let [slope, shift] = model.file.calibration;
    let sum: f64 = additions.iter().map(|addition| addition.log_odds).sum();
    assert!((sigmoid(slope * model.file.base + shift + sum) - model.probability(&slots)).abs() < 1e-9);
}

#[test]
fn a_model_that_does_not_fit_is_refused() {
    let schema = FeatureSet::default_set().schema().clone();
    let source = fit(&schema, &examples(20_000), origin(), FitOptions::default()).unwrap();
    for (from, to, says) in [
        ("frauds.rate_30d_low", "frauds.rate_31d_low", "not declared"),
        ("boosted_stumps/1", "oracle/9", "kind oracle/9"),
        ("\"unknown\":", "\"unknwon\":", "does not parse"),
        ("\"calibration\":[", "\"calibration\":[-", "calibration"),
    ] {
        let wrong = Model::read(&source.replacen(from, to, 1), &schema).unwrap_err();
        assert!(wrong.contains(says), "{wrong}");
    }
    let few = fit(&schema, &examples(300), origin(), FitOptions::default()).unwrap_err();
    assert!(few.contains("at least 50 are needed"), "{few}");
}

#[test]
fn drift_is_small_on_the_same_population_and_large_on_another() {
    let schema = FeatureSet::default_set().schema().clone();
    let all = examples(20_000);
    let source = fit(&schema, &all, origin(), FitOptions::default()).unwrap();
    let model = std::sync::Arc::new(Model::read(&source, &schema).unwrap());
    let of = |shift: f32| {
        let mut drift = Drift::new(model.clone());
        let found = all[..2_000].iter().find_map(|example| {
            let slots: Vec<f32> = example.slots.iter().map(|value| value + shift).collect();
            drift.see(&slots)
        });
        let found = found.unwrap();
        let score = found.iter().find(|(name, _)| name == "score").unwrap().1;
        (found.iter().map(|(_, index)| *index).fold(0.0, f64::max), score)
    };
    let (same, moved) = (of(0.0), of(0.3));
    assert!(same.0 < 0.1 && moved.0 > 0.25 && moved.1 > 0.25, "{same:?} {moved:?}");
}

#[test]
fn rankings_agree_with_the_textbook() {
    // Values of scikit-learn for y = [0, 0, 1, 1], scores = [0.1, 0.4, 0.35, 0.8].
    let mut scored = vec![(0.1, false, 1.0), (0.4, false, 1.0), (0.35, true, 1.0), (0.8, true, 1.0)];
    let (precision, area) = ranking(&mut scored).unwrap();
    assert!((precision - 0.833_333).abs() < 1e-5 && (area - 0.75).abs() < 1e-9);
    let mut weighted = vec![(1.0, true, 1.0), (1.0, false, 3.0)];
    assert_eq!(ranking(&mut weighted), Some((0.25, 0.5)));
    assert_eq!(ranking(&mut [(1.0, true, 1.0)]), None);
}
