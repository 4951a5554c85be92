//! Order-2 Rényi entropy of a batch of latents, estimated with Gaussian Parzen windows: the "minimal latent
//! entropy" loss of MLE-UVAD (arXiv 2603.23868).
//!
//! With latents z₁..z_N in R^d and a_ij = −‖z_i − z_j‖² / (4σ²):
//!
//! ```text
//! V      = 1/N² Σ_ij exp(a_ij)                 information potential, the Gaussian's constant dropped
//! L_MLE  = −log V = −logsumexp_ij(a) + 2 log N
//! W      = softmax of a over all N² pairs
//! ∂L/∂z_i = (1/σ²) Σ_j W_ij (z_i − z_j)
//! ```

mod pairs;
mod reference;

use std::fmt;
use std::str::FromStr;

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::fused;
use crate::NnError;
use pairs::Pairs;

/// Smallest σ², in the latents' squared units; keeps a_ij finite when all latents coincide.
const SIGMA2_FLOOR: f32 = 1e-8;

/// How the Parzen window's width σ follows the latents. The pull is strongest at distance σ√2 and dies
/// beyond a few σ, so σ must be of the order of the pairwise distance or outliers are not pulled at all.
///
/// All three are choices of ours: the paper's σ is not public.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "Written")]
pub enum Bandwidth {
    /// σ² = median pairwise squared distance / 2, smoothed over batches, no gradient through it. The loss then
    /// still rewards shrinking all latents.
    Median,
    /// σ² = mean pairwise squared distance / 2, with its gradient: scale-free exactly.
    Mean,
    /// σ itself.
    Fixed(f64),
}

impl fmt::Display for Bandwidth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Median => f.write_str("median"),
            Self::Mean => f.write_str("mean"),
            Self::Fixed(sigma) => write!(f, "{sigma}"),
        }
    }
}

impl From<Bandwidth> for String {
    fn from(value: Bandwidth) -> Self {
        value.to_string()
    }
}

/// The rule as a user writes it: its name, or σ as a number.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected `median`, `mean` or a positive number (σ)")]
enum Written {
    Sigma(f64),
    Rule(String),
}

impl TryFrom<Written> for Bandwidth {
    type Error = NnError;

    fn try_from(written: Written) -> Result<Self, NnError> {
        match written {
            Written::Sigma(sigma) => sigma.to_string().parse(),
            Written::Rule(text) => text.parse(),
        }
    }
}

impl FromStr for Bandwidth {
    type Err = NnError;

    fn from_str(text: &str) -> Result<Self, NnError> {
        match text {
            "median" => Ok(Self::Median),
            "mean" => Ok(Self::Mean),
            _ => match text.parse::<f64>() {
                Ok(sigma) if sigma.is_finite() && sigma > 0.0 => Ok(Self::Fixed(sigma)),
                _ => Err(NnError::Setting {
                    key: "bandwidth",
                    value: text.to_owned(),
                    expected: "`median`, `mean` or a positive number (σ)",
                }),
            },
        }
    }
}

/// The loss, with the running bandwidth that [`Bandwidth::Median`] keeps from batch to batch.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RenyiEntropy {
    bandwidth: Bandwidth,
    /// Share of the old σ² kept at each batch.
    momentum: f32,
    sigma2: Option<f32>,
}

/// What one batch gives.
#[derive(Debug, Clone)]
pub struct EntropyTerms {
    /// L_MLE, one value in [0, log N]: 0 when all latents coincide, log N when all are far apart.
    pub loss: Tensor<1>,
    /// Mean squared distance of two different latents of the batch; collapse shows here.
    pub mean_distance2: f32,
    /// The σ² that was used, in the latents' own units.
    pub sigma2: f32,
}

impl RenyiEntropy {
    /// A loss with the given bandwidth rule; `Median` keeps .9 of the old σ² at each batch.
    pub fn new(bandwidth: Bandwidth) -> Self {
        Self { bandwidth, momentum: 0.9, sigma2: None }
    }

    /// The smoothed σ² that the median rule holds, to be stored in a checkpoint.
    pub fn running_sigma2(&self) -> Option<f32> {
        self.sigma2
    }

    /// Takes up a stored [`Self::running_sigma2`].
    pub fn resume(&mut self, sigma2: Option<f32>) {
        self.sigma2 = sigma2;
    }

    /// The loss of one batch of latents `[N, d]`.
    ///
    /// # Errors
    /// [`NnError::BatchTooSmall`] for N < 2, [`NnError::NotFinite`] where a latent is NaN or infinite.
    pub fn forward(&mut self, latents: Tensor<2>) -> Result<EntropyTerms, NnError> {
        let [n, _] = latents.dims();
        if n < 2 {
            return Err(NnError::BatchTooSmall { got: n, needed: 2 });
        }
        match fused::apply(&latents, &[], |latents, _, wanted| self.evaluate(latents, n, wanted)) {
            Some((loss, numbers)) => {
                let (mean_distance2, sigma2) = numbers?;
                Ok(EntropyTerms { loss, mean_distance2, sigma2 })
            }
            None => reference::forward(self, latents),
        }
    }

    /// The loss by our kernels, with the mean squared distance and σ².
    fn evaluate(
        &mut self,
        latents: &[f32],
        n: usize,
        wanted: bool,
    ) -> (f64, Vec<f32>, Result<(f32, f32), NnError>) {
        let mut gradient = vec![0.0; if wanted { latents.len() } else { 0 }];
        let Some(pairs) = Pairs::new(latents, n) else {
            return (f64::NAN, gradient, Err(NnError::NotFinite { what: "latents" }));
        };
        let mean = pairs.mean() as f32;
        let sigma2 = self.sigma2(|| pairs.median(), mean);
        let follows = matches!(self.bandwidth, Bandwidth::Mean) && sigma2 > SIGMA2_FLOOR;
        let potential = pairs.potential(sigma2);
        let loss = potential.loss();
        if wanted {
            pairs.gradient(potential, follows, &mut gradient);
        }
        (loss, gradient, Ok((mean, sigma2)))
    }

    /// σ² by the rule, from the pairs' median and mean squared distance.
    fn sigma2(&mut self, median: impl FnOnce() -> f32, mean: f32) -> f32 {
        match self.bandwidth {
            Bandwidth::Median => self.smooth((median() / 2.0).max(SIGMA2_FLOOR)),
            Bandwidth::Mean => (mean / 2.0).max(SIGMA2_FLOOR),
            Bandwidth::Fixed(sigma) => (sigma * sigma) as f32,
        }
    }

    fn smooth(&mut self, now: f32) -> f32 {
        let next = self.sigma2.map_or(now, |old| self.momentum * old + (1.0 - self.momentum) * now);
        self.sigma2 = Some(next);
        next
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};
    use proptest::prelude::*;
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn gaussian(n: usize, d: usize, seed: u64) -> Vec<f32> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut normal = || {
            let (u, v): (f64, f64) = (rng.random::<f64>().max(1e-300), rng.random());
            ((-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()) as f32
        };
        (0..n * d).map(|_| normal()).collect()
    }

    fn latents(values: &[f32], n: usize, device: &Device) -> Tensor<2> {
        Tensor::from_data(TensorData::new(values.to_vec(), [n, values.len() / n]), device)
    }

    fn loss(values: &[f32], n: usize, bandwidth: Bandwidth) -> f32 {
        let terms = RenyiEntropy::new(bandwidth).forward(latents(values, n, &Device::default())).unwrap();
        terms.loss.into_scalar()
    }

    /// The loss and its gradient by the formulas of the module's head, pair by pair in f64.
    fn reference(values: &[f32], n: usize, sigma2: f64) -> (f64, Vec<f64>) {
        let d = values.len() / n;
        let z: Vec<f64> = values.iter().map(|&v| f64::from(v)).collect();
        let a = |i: usize, j: usize| {
            let d2: f64 = (0..d).map(|k| (z[i * d + k] - z[j * d + k]).powi(2)).sum();
            (-d2 / (4.0 * sigma2)).exp()
        };
        let total: f64 = (0..n * n).map(|p| a(p / n, p % n)).sum();
        let mut gradient = vec![0.0; n * d];
        for i in 0..n {
            for j in 0..n {
                let w = a(i, j) / total;
                (0..d).for_each(|k| gradient[i * d + k] += w * (z[i * d + k] - z[j * d + k]) / sigma2);
            }
        }
        (2.0 * (n as f64).ln() - total.ln(), gradient)
    }

    fn gradient(values: &[f32], n: usize, bandwidth: Bandwidth) -> Vec<f32> {
        let z = latents(values, n, &Device::default().autodiff()).require_grad();
        let terms = RenyiEntropy::new(bandwidth).forward(z.clone()).unwrap();
        crate::tensor_values(z.grad(&terms.loss.backward()).unwrap()).unwrap()
    }

    #[test]
    fn value_and_gradient_are_the_published_formulas() {
        for (n, d, sigma) in [(2, 1, 1.0), (7, 3, 0.8), (32, 16, 3.0)] {
            let values = gaussian(n, d, n as u64);
            let (expected, by_hand) = reference(&values, n, sigma * sigma);
            assert!((f64::from(loss(&values, n, Bandwidth::Fixed(sigma))) - expected).abs() < 1e-4);
            for (got, want) in gradient(&values, n, Bandwidth::Fixed(sigma)).iter().zip(by_hand) {
                assert!((f64::from(*got) - want).abs() < 1e-5, "{got} against {want}");
            }
        }
    }

    #[test]
    fn mean_rule_has_the_gradient_of_its_finite_differences() {
        let (n, d) = (12, 4);
        let values = gaussian(n, d, 5);
        let of = |v: &[f32]| {
            let sum: f64 = (0..n * n)
                .map(|p| (0..d).map(|k| f64::from(v[p / n * d + k] - v[p % n * d + k]).powi(2)).sum::<f64>())
                .sum();
            reference(v, n, sum / (n * (n - 1)) as f64 / 2.0).0
        };
        let got = gradient(&values, n, Bandwidth::Mean);
        for k in [0, 7, 23, 47] {
            let (mut up, mut down) = (values.clone(), values.clone());
            up[k] += 1e-2;
            down[k] -= 1e-2;
            let slope = (of(&up) - of(&down)) / f64::from(up[k] - down[k]);
            assert!((f64::from(got[k]) - slope).abs() < 1e-4, "{} against {slope}", got[k]);
        }
    }

    #[test]
    fn kernels_and_burns_operations_agree() {
        type Path = fn(&mut RenyiEntropy, Tensor<2>) -> Result<EntropyTerms, NnError>;
        let run = |path: Path, rule, n, values: &[f32]| {
            let z = latents(values, n, &Device::flex().autodiff()).require_grad();
            let terms = path(&mut RenyiEntropy::new(rule), z.clone()).unwrap();
            let gradient = crate::tensor_values(z.grad(&terms.loss.backward()).unwrap()).unwrap();
            (terms.loss.into_scalar::<f32>(), terms.mean_distance2, terms.sigma2, gradient)
        };
        for (n, d) in [(2, 1), (7, 3), (64, 32), (97, 256)] {
            let values = gaussian(n, d, 4);
            for rule in [Bandwidth::Median, Bandwidth::Mean, Bandwidth::Fixed(2.0)] {
                let got = run(RenyiEntropy::forward, rule, n, &values);
                let want = run(reference::forward, rule, n, &values);
                assert!((got.0 - want.0).abs() < 1e-5, "{} against {}", got.0, want.0);
                assert!((got.1 / want.1 - 1.0).abs() < 1e-5 && (got.2 / want.2 - 1.0).abs() < 1e-5);
                let largest = want.3.iter().fold(0f32, |m, v| m.max(v.abs()));
                for (g, w) in got.3.iter().zip(&want.3) {
                    assert!((g - w).abs() <= 1e-4 * largest + 1e-7, "{g} against {w}: {rule}, {n}");
                }
            }
        }
    }

    #[test]
    fn bits_do_not_depend_on_the_number_of_threads() {
        let values = gaussian(150, 70, 8);
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| (loss(&values, 150, Bandwidth::Mean), gradient(&values, 150, Bandwidth::Median)))
        };
        assert_eq!(run(1), run(3));
    }

    /// Z ~ N(0, I_d): E exp(−‖z−z'‖²/4σ²) = (1 + 1/σ²)^(−d/2), so −log V → (d/2) log(1 + 1/σ²); adding the
    /// Gaussian's constant (d/2) log(4πσ²) gives (d/2) log(4π(1+σ²)).
    #[test]
    fn gaussian_latents_give_the_closed_form() {
        let (n, d, sigma) = (3000, 2, 1.3f64);
        let got = f64::from(loss(&gaussian(n, d, 1), n, Bandwidth::Fixed(sigma)));
        let full = got + d as f64 / 2.0 * (4.0 * std::f64::consts::PI * sigma * sigma).ln();
        let expected = d as f64 / 2.0 * (4.0 * std::f64::consts::PI * (1.0 + sigma * sigma)).ln();
        assert!((full - expected).abs() < 0.03, "{full} against {expected}");
    }

    #[test]
    fn coincident_latents_have_no_entropy_and_distant_ones_log_n() {
        for rule in [Bandwidth::Median, Bandwidth::Mean, Bandwidth::Fixed(1.0)] {
            assert!(loss(&[0.25; 24], 8, rule).abs() < 1e-5, "{rule}");
        }
        let far: Vec<f32> = (0..8).map(|i| i as f32 * 1e3).collect();
        assert!((loss(&far, 8, Bandwidth::Fixed(1.0)) - 8f32.ln()).abs() < 1e-5);
    }

    #[test]
    fn distances_survive_latents_far_from_the_origin() {
        let near = gaussian(16, 8, 3);
        let far: Vec<f32> = near.iter().map(|v| v + 300.0).collect();
        let gap = loss(&near, 16, Bandwidth::Fixed(2.0)) - loss(&far, 16, Bandwidth::Fixed(2.0));
        assert!(gap.abs() < 1e-3, "{gap}");
    }

    #[test]
    fn median_rule_smooths_over_batches_and_can_be_taken_up_again() {
        let device = Device::default();
        let mut entropy = RenyiEntropy::new(Bandwidth::Median);
        let first = entropy.forward(latents(&gaussian(16, 4, 1), 16, &device)).unwrap().sigma2;
        let mut resumed = RenyiEntropy::new(Bandwidth::Median);
        resumed.resume(entropy.running_sigma2());
        let wide: Vec<f32> = gaussian(16, 4, 2).iter().map(|v| v * 10.0).collect();
        let second = entropy.forward(latents(&wide, 16, &device)).unwrap().sigma2;
        assert!(second > 5.0 * first && second < 20.0 * first);
        assert_eq!(second, resumed.forward(latents(&wide, 16, &device)).unwrap().sigma2);
    }

    #[test]
    fn nan_and_single_latents_are_errors() {
        let device = Device::default();
        let mut entropy = RenyiEntropy::new(Bandwidth::Median);
        assert!(matches!(
            entropy.forward(latents(&[1.0], 1, &device)),
            Err(NnError::BatchTooSmall { got: 1, .. })
        ));
        let error = entropy.forward(latents(&[1.0, f32::NAN], 2, &device));
        assert!(matches!(error, Err(NnError::NotFinite { .. })));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn mean_rule_ignores_scale_and_every_rule_ignores_shift_and_order(
            seed in 0u64..1000, n in 3usize..20, d in 1usize..6, scale in 0.1f32..20.0
        ) {
            let values = gaussian(n, d, seed);
            let scaled: Vec<f32> = values.iter().map(|v| v * scale).collect();
            let base = loss(&values, n, Bandwidth::Mean);
            prop_assert!((loss(&scaled, n, Bandwidth::Mean) - base).abs() < 2e-3);
            let mut turned = values.clone();
            turned.rotate_left(d);
            turned.iter_mut().for_each(|v| *v += 3.0);
            for rule in [Bandwidth::Median, Bandwidth::Mean, Bandwidth::Fixed(1.5)] {
                let (a, b) = (loss(&values, n, rule), loss(&turned, n, rule));
                prop_assert!((a - b).abs() < 2e-3 && a >= -1e-4 && a <= (n as f32).ln() + 1e-4);
            }
        }
    }
}
