//! Random draws with the shapes that trade has. Every actor has a stream of its own, so what becomes of one changes no
//! draw of another.

/// A stream of draws.
#[derive(Clone, Debug)]
pub(super) struct Draw(fastrand::Rng);

/// Mixes numbers into one, evenly (the finaliser of SplitMix64).
pub(super) fn mix(of: &[u64]) -> u64 {
    of.iter().fold(0x9e37_79b9_7f4a_7c15, |state, number| {
        let mut z = (state ^ number).wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    })
}

impl Draw {
    /// The stream called `of`.
    pub(super) fn new(of: &[u64]) -> Self {
        Self(fastrand::Rng::with_seed(mix(of)))
    }
    /// Evenly from 0 to 1.
    pub(super) fn share(&mut self) -> f64 {
        self.0.f64()
    }
    /// Whether something happens that happens in a share `p` of cases.
    pub(super) fn chance(&mut self, p: f64) -> bool {
        self.0.f64() < p
    }
    /// Evenly from `low` to `high`.
    pub(super) fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.0.f64()
    }
    /// Evenly by order of magnitude from `low` to `high`, both above 0.
    pub(super) fn scale(&mut self, low: f64, high: f64) -> f64 {
        (self.between(low.ln(), high.ln())).exp()
    }
    /// A whole number, both ends included.
    pub(super) fn whole(&mut self, low: i64, high: i64) -> i64 {
        self.0.i64(low..=high.max(low))
    }
    /// A place in something of `len`, which is above 0; the first places are the popular ones.
    pub(super) fn popular(&mut self, len: usize) -> usize {
        let share = self.0.f64();
        ((share * share * len as f64) as usize).min(len.saturating_sub(1))
    }
    /// A place in something of `len`, evenly.
    pub(super) fn place(&mut self, len: usize) -> usize {
        self.0.usize(..len.max(1))
    }
    fn normal(&mut self) -> f64 {
        let (radius, angle) = (1.0 - self.0.f64(), self.0.f64());
        (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
    }
    /// Log-normal with this median; `sigma` is the standard deviation of the logarithm.
    pub(super) fn around(&mut self, median: f64, sigma: f64) -> f64 {
        median * (sigma * self.normal()).exp()
    }
    /// Waiting time with this mean.
    pub(super) fn wait(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.0.f64()).ln()
    }
    /// How often something happens that happens `mean` times (Poisson).
    pub(super) fn count(&mut self, mean: f64) -> u32 {
        if mean > 50.0 {
            return (mean + mean.sqrt() * self.normal()).round().max(0.0) as u32;
        }
        let (limit, mut product, mut count) = ((-mean).exp(), self.0.f64(), 0);
        while product > limit {
            product *= self.0.f64();
            count += 1;
        }
        count
    }
}
