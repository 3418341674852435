//! Fitting: gradient boosting of stumps on the logistic loss, with Newton steps on histograms.
//!
//! J. Friedman, "Greedy function approximation: a gradient boosting machine", Annals of Statistics 29 (2001), with the
//! second-order leaf values and gain of T. Chen and C. Guestrin, "XGBoost", KDD 2016, eqs. 5 and 7. Calibration by J. Platt,
//! "Probabilistic outputs for support vector machines" (1999), on examples later than those learnt from.

use stockade_rules::FeatureSchema;

use super::{Figures, File, KIND, Model, Origin, Table, sigmoid};

/// Cuts per feature.
const CUTS: usize = 32;
/// Added to the sum of second derivatives of a leaf.
const LAMBDA: f64 = 10.0;
/// Weight of examples a leaf needs.
const LEAF_WEIGHT_MIN: f64 = 50.0;
/// Bad examples needed on both sides of the split in time.
const BAD_MIN: usize = 50;

/// One order with its vector.
#[derive(Clone, Debug)]
pub struct Example {
    /// Feature vector.
    pub slots: Vec<f32>,
    /// Whether it turned out bad.
    pub bad: bool,
    /// How many it stands for.
    pub weight: f64,
}

/// How to fit.
#[derive(Clone, Copy, Debug)]
pub struct FitOptions {
    /// Stumps.
    pub rounds: usize,
    /// Share of a stump's step that is taken.
    pub rate: f64,
    /// Share of examples, the latest, that are held out to calibrate and to measure.
    pub held_out: f64,
}

impl Default for FitOptions {
    fn default() -> Self {
        Self { rounds: 400, rate: 0.1, held_out: 0.25 }
    }
}

/// The features of a vector that a model may read: not the scores that models and cards make.
fn readable(schema: &FeatureSchema) -> Vec<usize> {
    let own = |name: &str| name == crate::declare::SCORE || name.starts_with("model.");
    (0..schema.features().len()).filter(|slot| !own(&schema.features()[*slot].name)).collect()
}

struct Binned {
    table: Table,
    /// Place of each example.
    places: Vec<u8>,
}

fn bin(name: &str, slot: usize, examples: &[Example]) -> Binned {
    let mut values: Vec<f32> =
        examples.iter().map(|e| e.slots[slot]).filter(|value| !value.is_nan()).collect();
    values.sort_unstable_by(f32::total_cmp);
    let mut cuts: Vec<f32> = (1..=CUTS)
        .filter_map(|cut| values.get(cut * values.len() / (CUTS + 1)).copied())
        .filter(|cut| values.first().is_some_and(|first| cut > first))
        .collect();
    // The rare large values are where the bad ones are, and quantiles miss them.
    let distinct = || {
        let mut distinct = values.clone();
        distinct.dedup();
        distinct
    };
    cuts.extend(
        distinct().into_iter().rev().take(CUTS).filter(|cut| values.first().is_some_and(|first| cut > first)),
    );
    cuts.sort_unstable_by(f32::total_cmp);
    cuts.dedup();
    let len = cuts.len();
    let table = Table {
        feature: name.to_owned(),
        cuts,
        adds: vec![0.0; len + 1],
        unknown: 0.0,
        shares: vec![0.0; len + 2],
    };
    let places = examples.iter().map(|e| table.place(e.slots[slot]) as u8).collect();
    Binned { table, places }
}

#[derive(Clone, Copy, Default)]
struct Sums {
    gradient: f64,
    hessian: f64,
    weight: f64,
}

impl Sums {
    fn plus(self, other: Self) -> Self {
        Self {
            gradient: self.gradient + other.gradient,
            hessian: self.hessian + other.hessian,
            weight: self.weight + other.weight,
        }
    }
    fn minus(self, other: Self) -> Self {
        self.plus(Self { gradient: -other.gradient, hessian: -other.hessian, weight: -other.weight })
    }
    fn gain(self) -> f64 {
        self.gradient * self.gradient / (self.hessian + LAMBDA)
    }
    fn step(self) -> f64 {
        -self.gradient / (self.hessian + LAMBDA)
    }
}

/// Fits a model to examples in order of time; answers the model file. The error says what is missing.
pub fn fit(
    schema: &FeatureSchema,
    examples: &[Example],
    origin: Origin,
    options: FitOptions,
) -> Result<String, String> {
    let split = ((examples.len() as f64) * (1.0 - options.held_out)) as usize;
    let (learn, later) = examples.split_at(split.min(examples.len()));
    for (what, part) in [("to learn from", learn), ("held out", later)] {
        let bad = part.iter().filter(|e| e.bad).count();
        if bad < BAD_MIN {
            return Err(format!("{bad} bad orders {what}, at least {BAD_MIN} are needed; give more history"));
        }
    }
    let weight =
        |part: &[Example], bad: bool| part.iter().filter(|e| !bad || e.bad).map(|e| e.weight).sum::<f64>();
    let share = weight(learn, true) / weight(learn, false);
    let base = (share / (1.0 - share)).ln();
    let mut binned: Vec<Binned> =
        readable(schema).into_iter().map(|slot| bin(&schema.features()[slot].name, slot, learn)).collect();
    let mut odds = vec![base; learn.len()];
    for _ in 0..options.rounds {
        let sums: Vec<Sums> = learn
            .iter()
            .zip(&odds)
            .map(|(e, odds)| {
                let p = sigmoid(*odds);
                Sums {
                    gradient: e.weight * (p - f64::from(u8::from(e.bad))),
                    hessian: e.weight * p * (1.0 - p),
                    weight: e.weight,
                }
            })
            .collect();
        let Some((which, cut, steps)) = best_split(&binned, &sums) else { break };
        let Binned { table, places } = &mut binned[which];
        let steps = steps.map(|step| step * options.rate);
        for (place, add) in table.adds.iter_mut().enumerate() {
            *add += steps[usize::from(place > cut)];
        }
        table.unknown += steps[2];
        let unknown = table.adds.len();
        for (odds, place) in odds.iter_mut().zip(places.iter()) {
            let place = usize::from(*place);
            *odds += if place == unknown { steps[2] } else { steps[usize::from(place > cut)] };
        }
    }
    let mut tables = Vec::new();
    for Binned { mut table, places } in binned {
        for (place, example) in places.iter().zip(learn) {
            table.shares[usize::from(*place)] += example.weight;
        }
        let all: f64 = table.shares.iter().sum();
        table.shares.iter_mut().for_each(|share| *share /= all);
        if table.adds.iter().chain([&table.unknown]).any(|add| *add != 0.0) {
            tables.push(table);
        }
    }
    let kind = KIND.to_owned();
    let score = Table {
        feature: "score".to_owned(),
        cuts: Vec::new(),
        adds: vec![0.0],
        unknown: 0.0,
        shares: vec![1.0, 0.0],
    };
    let mut file =
        File { kind, origin, held_out: Figures::default(), base, tables, score, calibration: [1.0, 0.0] };
    let text = |file: &File| serde_json::to_string(file).map_err(|e| e.to_string());
    let raw = Model::read(&text(&file)?, schema)?;
    let scored: Vec<(f64, bool, f64)> = later
        .iter()
        .map(|e| {
            let p = raw.probability(&e.slots);
            ((p / (1.0 - p)).ln(), e.bad, e.weight)
        })
        .collect();
    file.calibration = calibrate(&scored);
    file.held_out = figures(&scored, file.calibration);
    let model = Model::read(&text(&file)?, schema)?;
    let scores: Vec<(f32, f64)> =
        learn.iter().map(|e| (model.probability(&e.slots) as f32, e.weight)).collect();
    file.score = tenths(scores);
    text(&file)
}

/// Where scores lie, cut so that about a tenth of the weight lies in each place.
fn tenths(mut scores: Vec<(f32, f64)>) -> Table {
    scores.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let all: f64 = scores.iter().map(|(_, weight)| weight).sum();
    let (mut cuts, mut below): (Vec<f32>, f64) = (Vec::new(), 0.0);
    for (score, weight) in &scores {
        let rises = cuts.last().is_none_or(|last| score > last)
            && scores.first().is_some_and(|first| *score > first.0);
        if rises && below >= all * (cuts.len() + 1) as f64 / 10.0 {
            cuts.push(*score);
        }
        below += weight;
    }
    let len = cuts.len();
    let (adds, shares) = (vec![0.0; len + 1], vec![0.0; len + 2]);
    let mut table = Table { feature: "score".to_owned(), cuts, adds, unknown: 0.0, shares };
    for (score, weight) in scores {
        let place = table.place(score);
        table.shares[place] += weight / all;
    }
    table
}

/// The table and the place to split after, with the steps of both sides and of the unknown.
fn best_split(binned: &[Binned], sums: &[Sums]) -> Option<(usize, usize, [f64; 3])> {
    let mut best: Option<(f64, usize, usize, [f64; 3])> = None;
    for (which, Binned { table, places }) in binned.iter().enumerate() {
        let mut histogram = [Sums::default(); 256];
        for (place, sum) in places.iter().zip(sums) {
            let of = &mut histogram[usize::from(*place)];
            *of = of.plus(*sum);
        }
        let unknown = histogram[table.adds.len()];
        let known = histogram[..table.adds.len()].iter().fold(Sums::default(), |all, of| all.plus(*of));
        let before = known.plus(unknown).gain();
        let mut left = Sums::default();
        for (place, of) in histogram[..table.cuts.len()].iter().enumerate() {
            left = left.plus(*of);
            let right = known.minus(left);
            if left.weight < LEAF_WEIGHT_MIN || right.weight < LEAF_WEIGHT_MIN {
                continue;
            }
            let gain = left.gain() + right.gain() + unknown.gain() - before;
            if gain > best.as_ref().map_or(1e-9, |best| best.0) {
                best = Some((gain, which, place, [left.step(), right.step(), unknown.step()]));
            }
        }
    }
    best.map(|(_, which, place, steps)| (which, place, steps))
}

/// Slope and shift of the log-odds that fit the labels best: Newton's method on the logistic loss.
fn calibrate(scored: &[(f64, bool, f64)]) -> [f64; 2] {
    let (mut slope, mut shift) = (1.0, 0.0);
    for _ in 0..50 {
        let (mut g, mut h) = ([0.0; 2], [[1e-6, 0.0], [0.0, 1e-6]]);
        for (odds, bad, weight) in scored {
            let p = sigmoid(slope * odds + shift);
            let (error, spread) = (weight * (p - f64::from(u8::from(*bad))), weight * p * (1.0 - p));
            g = [g[0] + error * odds, g[1] + error];
            h[0][0] += spread * odds * odds;
            h[0][1] += spread * odds;
            h[1][1] += spread;
        }
        let determinant = h[0][0] * h[1][1] - h[0][1] * h[0][1];
        let step = [
            (h[1][1] * g[0] - h[0][1] * g[1]) / determinant,
            (h[0][0] * g[1] - h[0][1] * g[0]) / determinant,
        ];
        if !step.iter().all(|s| s.is_finite()) {
            break;
        }
        (slope, shift) = (slope - step[0], shift - step[1]);
        if step.iter().all(|s| s.abs() < 1e-9) {
            break;
        }
    }
    // A slope that is not positive would turn the order around: then the model has learnt nothing that holds.
    if slope > 0.0 { [slope, shift] } else { [1.0, 0.0] }
}

fn figures(scored: &[(f64, bool, f64)], [slope, shift]: [f64; 2]) -> Figures {
    let mut ranked = scored.to_vec();
    let (average_precision, auc) = ranking(&mut ranked).unwrap_or_default();
    let (mut loss, mut expected, mut all, mut bad) = (0.0, 0.0, 0.0, 0.0);
    for (odds, is_bad, weight) in scored {
        let p = sigmoid(slope * odds + shift).clamp(1e-12, 1.0 - 1e-12);
        loss -= weight * if *is_bad { p.ln() } else { (1.0 - p).ln() };
        expected += weight * p;
        all += weight;
        bad += weight * f64::from(u8::from(*is_bad));
    }
    Figures {
        orders: all.round() as u64,
        bad: bad.round() as u64,
        average_precision,
        auc,
        log_loss: loss / all,
        expected_to_seen: expected / bad,
    }
}

/// Average precision and area under the ROC curve of weighted scores against labels, the latter between equal scores
/// counted half; `None` without both kinds. Equal scores are one step, as in scikit-learn.
pub fn ranking(scored: &mut [(f64, bool, f64)]) -> Option<(f64, f64)> {
    let of = |scored: &[(f64, bool, f64)], bad: bool| -> f64 {
        scored.iter().filter(|s| s.1 == bad).map(|s| s.2).sum()
    };
    let (positives, negatives) = (of(scored, true), of(scored, false));
    if positives <= 0.0 || negatives <= 0.0 {
        return None;
    }
    scored.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
    let (mut hits_so_far, mut misses_so_far, mut precision, mut area) = (0.0, 0.0, 0.0, 0.0);
    for step in scored.chunk_by(|a, b| a.0 == b.0) {
        let (hits, misses) = (of(step, true), of(step, false));
        area += misses * (hits_so_far + hits / 2.0);
        (hits_so_far, misses_so_far) = (hits_so_far + hits, misses_so_far + misses);
        precision += hits / positives * (hits_so_far / (hits_so_far + misses_so_far));
    }
    Some((precision, area / (positives * negatives)))
}
