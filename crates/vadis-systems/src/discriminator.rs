//! The semantic discriminator of paper 002: a small network that tells frames with a pseudo-anomaly from normal ones by
//! the features that a pretrained network has of them.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use vadis_kernels::{multiply, multiply_transposed};
use vadis_nn::NnError;
use vadis_nn::optim::{OptimiserState, Sgd, Step};
use vadis_nn::segment::NamedTensor;
use vadis_nn::weights::WeightFile;

use crate::SystemError;

/// Least deviation of a feature that is divided by.
const FLOOR: f32 = 1e-6;
/// Largest number of features and of hidden units that a file may claim.
const MAX_SIZE: usize = 1 << 14;

/// How the discriminator is trained. The defaults are the paper's but for `hidden`, which is ours.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DiscriminatorConfig {
    /// Units between the features and the output.
    pub hidden: usize,
    /// Learning rate.
    pub rate: f64,
    /// Share of the velocity kept at each update.
    pub momentum: f32,
    /// Share of the weights added to the gradient.
    pub weight_decay: f32,
    /// Frames of an update.
    pub batch: usize,
    /// Times that every frame is seen.
    pub epochs: usize,
}

impl Default for DiscriminatorConfig {
    fn default() -> Self {
        let (rate, momentum, weight_decay) = (0.02, 0.9, 1e-3);
        Self { hidden: 256, rate, momentum, weight_decay, batch: 16, epochs: 20 }
    }
}

/// Features – hidden units – one output, with ReLU between: 0 for a normal frame, 1 for one with a pseudo-anomaly. Each
/// feature is standardised over the training frames first (ours).
#[derive(Debug, Clone, PartialEq)]
pub struct Discriminator {
    mean: Vec<f32>,
    deviation: Vec<f32>,
    hidden: usize,
    /// First weight `[hidden][features]` and bias, second weight `[hidden]` and bias.
    parameters: Vec<f32>,
}

impl Discriminator {
    /// Trains by binary cross-entropy on the features of `normal` frames and of `pseudo`-anomalous ones, each
    /// `[frames][features]` in one slice. The same seed gives the same bytes. Gives the mean loss of each epoch too.
    ///
    /// # Errors
    /// [`SystemError::Setting`] for settings that cannot be, [`SystemError::TooFewFrames`] if a class has no frame,
    /// [`SystemError::Nn`] for slices that are not whole frames or not finite, [`SystemError::Diverged`].
    pub fn train(
        config: &DiscriminatorConfig,
        features: usize,
        normal: &[f32],
        pseudo: &[f32],
        seed: u64,
    ) -> Result<(Self, Vec<f64>), SystemError> {
        check(config, features)?;
        for examples in [normal, pseudo] {
            if examples.is_empty() {
                return Err(SystemError::TooFewFrames { got: 0, needed: 1, system: "the discriminator" });
            }
            check_frames(examples, features)?;
        }
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut network = Self::new(config.hidden, features, [normal, pseudo], &mut rng);
        let [zeros, ones] = [normal, pseudo].map(|examples| examples.len() / features);
        let examples: Vec<f32> = normal
            .chunks_exact(features)
            .chain(pseudo.chunks_exact(features))
            .flat_map(|f| network.standardised(f))
            .collect();
        let targets: Vec<f32> = (0..zeros + ones).map(|i| if i < zeros { 0.0 } else { 1.0 }).collect();
        let mut order: Vec<usize> = (0..targets.len()).collect();
        let sgd = Sgd { momentum: config.momentum, weight_decay: config.weight_decay };
        let (mut state, mut losses) = (sgd.state(network.parameters.len()), Vec::new());
        for _ in 0..config.epochs {
            order.shuffle(&mut rng);
            let mut sum = 0.0;
            for batch in order.chunks(config.batch) {
                let x: Vec<f32> = batch
                    .iter()
                    .flat_map(|&i| &examples[i * features..(i + 1) * features])
                    .copied()
                    .collect();
                let y: Vec<f32> = batch.iter().map(|&i| targets[i]).collect();
                sum += network.step(&sgd, &mut state, config.rate, &x, &y) * batch.len() as f64;
            }
            losses.push(sum / targets.len() as f64);
        }
        match losses.iter().all(|loss| loss.is_finite()) && network.parameters.iter().all(|p| p.is_finite()) {
            true => Ok((network, losses)),
            false => Err(SystemError::Diverged { step: state.steps, what: "the discriminator's loss" }),
        }
    }

    /// PyTorch's default initialisation: uniform in ±1/√(fan in).
    fn new(hidden: usize, features: usize, examples: [&[f32]; 2], rng: &mut ChaCha8Rng) -> Self {
        use rand::Rng;
        let [mean, deviation] = moments(features, examples);
        let mut parameters = vec![0.0; hidden * (features + 2) + 1];
        let (first, second) = parameters.split_at_mut(hidden * (features + 1));
        for (part, fan_in) in [(first, features), (second, hidden)] {
            let bound = 1.0 / (fan_in as f32).sqrt();
            part.fill_with(|| rng.random_range(-bound..=bound));
        }
        Self { mean, deviation, hidden, parameters }
    }

    /// Length of a frame's features.
    pub fn features(&self) -> usize {
        self.mean.len()
    }

    /// The probability in [0, 1] that a frame holds what does not belong there, by its features.
    ///
    /// # Errors
    /// [`SystemError::Nn`] if there are not [`Discriminator::features`] of them or they are not finite.
    pub fn score(&self, features: &[f32]) -> Result<f64, SystemError> {
        check_frames(features, self.features())?;
        if features.len() != self.features() {
            let (expected, got) = (self.features(), features.len());
            return Err(NnError::Shape { what: "a frame's features", axis: 0, expected, got }.into());
        }
        let x = self.standardised(features);
        let hidden = self.activated(&x);
        Ok(sigmoid(f64::from(self.logits(&hidden)[0])))
    }

    fn standardised(&self, features: &[f32]) -> Vec<f32> {
        let of_training = self.mean.iter().zip(&self.deviation);
        features.iter().zip(of_training).map(|(v, (mean, deviation))| (v - mean) / deviation).collect()
    }

    /// First weight and bias, second weight and bias.
    fn parts(&self) -> [&[f32]; 4] {
        let (weight, rest) = self.parameters.split_at(self.hidden * self.features());
        let (bias, rest) = rest.split_at(self.hidden);
        let (second, last) = rest.split_at(self.hidden);
        [weight, bias, second, last]
    }

    /// The hidden units of frames `x`, `[frames][hidden]`.
    fn activated(&self, x: &[f32]) -> Vec<f32> {
        let [weight, bias, _, _] = self.parts();
        let mut hidden = vec![0.0; x.len() / self.features() * self.hidden];
        multiply_transposed(x, weight, self.features(), &mut hidden);
        for units in hidden.chunks_exact_mut(self.hidden) {
            units.iter_mut().zip(bias).for_each(|(unit, bias)| *unit = (*unit + bias).max(0.0));
        }
        hidden
    }

    fn logits(&self, hidden: &[f32]) -> Vec<f32> {
        let [_, _, weight, bias] = self.parts();
        let logit = |units: &[f32]| units.iter().zip(weight).map(|(u, w)| u * w).sum::<f32>() + bias[0];
        hidden.chunks_exact(self.hidden).map(logit).collect()
    }

    /// One update by the mean cross-entropy of a batch, which it gives.
    fn step(&mut self, sgd: &Sgd, state: &mut OptimiserState, rate: f64, x: &[f32], targets: &[f32]) -> f64 {
        let (loss, gradient) = self.gradient(x, targets);
        sgd.update(state, &mut self.parameters, &gradient, Step::of(rate));
        loss
    }

    /// The mean cross-entropy of a batch of standardised frames, and its gradient by the parameters.
    fn gradient(&self, x: &[f32], targets: &[f32]) -> (f64, Vec<f32>) {
        let (frames, size) = (targets.len(), self.hidden);
        let hidden = self.activated(x);
        let logits = self.logits(&hidden);
        // −y ln σ(z) − (1 − y) ln(1 − σ(z)), and σ(z) − y.
        let loss = |(&z, &y): (&f32, &f32)| f64::from(z.max(0.0) - z * y) + f64::from(-z.abs()).exp().ln_1p();
        let total: f64 = logits.iter().zip(targets).map(loss).sum();
        let slope = |(&z, &y): (&f32, &f32)| (sigmoid(f64::from(z)) as f32 - y) / frames as f32;
        let slopes: Vec<f32> = logits.iter().zip(targets).map(slope).collect();
        let second = self.parts()[2];
        let mut gradient = vec![0.0; self.parameters.len()];
        let (first, rest) = gradient.split_at_mut(size * self.features());
        let (bias, rest) = rest.split_at_mut(size);
        // [hidden][frames]: what reaches the hidden units.
        let mut back = vec![0.0; size * frames];
        for (frame, (units, slope)) in hidden.chunks_exact(size).zip(&slopes).enumerate() {
            for (unit, value) in units.iter().enumerate() {
                rest[unit] += slope * value;
                let reached = if *value > 0.0 { slope * second[unit] } else { 0.0 };
                bias[unit] += reached;
                back[unit * frames + frame] = reached;
            }
            rest[size] += slope;
        }
        multiply(&back, x, frames, first);
        (total / frames as f64, gradient)
    }

    /// Everything it is, for a model's file.
    pub fn to_tensors(&self) -> Vec<NamedTensor> {
        let (hidden, features) = (self.hidden, self.features());
        let [weight1, bias1, weight2, bias2] = self.parts();
        let tensor = |name: &str, shape: &[usize], values: &[f32]| NamedTensor {
            name: name.to_owned(),
            shape: shape.to_vec(),
            values: values.to_vec(),
        };
        vec![
            tensor("mean", &[features], &self.mean),
            tensor("deviation", &[features], &self.deviation),
            tensor("fc1.weight", &[hidden, features], weight1),
            tensor("fc1.bias", &[hidden], bias1),
            tensor("fc2.weight", &[1, hidden], weight2),
            tensor("fc2.bias", &[1], bias2),
        ]
    }

    /// The discriminator whose tensors go by `prefix.name` in a file.
    ///
    /// # Errors
    /// [`SystemError::Nn`] if one is missing, of another shape or not finite, or a deviation is not positive.
    pub fn from_file(file: &WeightFile, prefix: &str) -> Result<Self, SystemError> {
        let refuse =
            |name: &str, reason: String| NnError::Weights { name: format!("{prefix}.{name}"), reason };
        let tensor = |name: &str| {
            let found = file.tensors.get(&format!("{prefix}.{name}"));
            found.ok_or_else(|| refuse(name, "missing".to_owned()))
        };
        let &[hidden, features] = tensor("fc1.weight")?.0.as_slice() else {
            return Err(refuse("fc1.weight", "expected two axes".to_owned()).into());
        };
        if ![hidden, features].iter().all(|n| (1..=MAX_SIZE).contains(n)) {
            return Err(refuse("fc1.weight", format!("{hidden} units and {features} features")).into());
        }
        let values = |name: &str, expected: &[usize]| {
            let (shape, values) = tensor(name)?;
            if shape != expected || values.len() != expected.iter().product::<usize>() {
                return Err(refuse(name, format!("expected {expected:?}, got {shape:?}")));
            }
            match values.iter().all(|v| v.is_finite()) {
                true => Ok(values.as_slice()),
                false => Err(refuse(name, "not finite".to_owned())),
            }
        };
        let (weight, bias) = (values("fc1.weight", &[hidden, features])?, values("fc1.bias", &[hidden])?);
        let parameters =
            [weight, bias, values("fc2.weight", &[1, hidden])?, values("fc2.bias", &[1])?].concat();
        let (mean, deviation) = (values("mean", &[features])?, values("deviation", &[features])?);
        if deviation.iter().any(|d| *d <= 0.0) {
            return Err(refuse("deviation", "not positive".to_owned()).into());
        }
        Ok(Self { mean: mean.to_vec(), deviation: deviation.to_vec(), hidden, parameters })
    }
}

fn sigmoid(z: f64) -> f64 {
    1.0 / (1.0 + (-z).exp())
}

/// Mean and deviation of each feature over all examples.
fn moments(features: usize, examples: [&[f32]; 2]) -> [Vec<f32>; 2] {
    let mut sums = vec![[0.0f64; 2]; features];
    let frames = examples.iter().flat_map(|examples| examples.chunks_exact(features));
    let mut count = 0.0;
    for frame in frames {
        count += 1.0;
        for ([sum, squares], value) in sums.iter_mut().zip(frame) {
            *sum += f64::from(*value);
            *squares += f64::from(*value).powi(2);
        }
    }
    let mean = sums.iter().map(|[sum, _]| (sum / count) as f32).collect();
    let deviation = |[sum, squares]: &[f64; 2]| {
        let variance = (squares / count - (sum / count).powi(2)).max(0.0);
        let deviation = variance.sqrt() as f32;
        // A feature that never changes tells nothing.
        if deviation > FLOOR { deviation } else { 1.0 }
    };
    [mean, sums.iter().map(deviation).collect()]
}

fn check(config: &DiscriminatorConfig, features: usize) -> Result<(), SystemError> {
    let DiscriminatorConfig { hidden, batch, epochs, rate, .. } = *config;
    let sizes = (1..=MAX_SIZE).contains(&hidden) && (1..=MAX_SIZE).contains(&features);
    if !sizes || batch == 0 || epochs == 0 || !rate.is_finite() || rate <= 0.0 {
        let reason = format!("{config:?} with {features} features cannot be trained");
        return Err(SystemError::Setting { key: "discriminator".to_owned(), reason });
    }
    Ok(())
}

fn check_frames(values: &[f32], features: usize) -> Result<(), SystemError> {
    if values.is_empty() || !values.len().is_multiple_of(features) {
        let (expected, got) = (features, values.len());
        return Err(NnError::Shape { what: "frames' features", axis: 1, expected, got }.into());
    }
    match values.iter().all(|v| v.is_finite()) {
        true => Ok(()),
        false => Err(NnError::NotFinite { what: "a frame's features" }.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use rand::Rng;

    use super::*;

    const FEATURES: usize = 12;

    /// Two clouds, `apart` deviations from each other.
    fn clouds(apart: f32, seed: u64) -> [Vec<f32>; 2] {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        [0.0, apart].map(|shift| (0..60 * FEATURES).map(|_| rng.random_range(-1.7..1.7f32) + shift).collect())
    }

    fn trained(seed: u64) -> (Discriminator, Vec<f64>) {
        let [normal, pseudo] = clouds(1.0, 0);
        Discriminator::train(&DiscriminatorConfig::default(), FEATURES, &normal, &pseudo, seed).unwrap()
    }

    #[test]
    fn frames_that_differ_are_told_apart() {
        let (network, losses) = trained(0);
        assert!(losses[19] < 0.3 * losses[0], "{losses:?}");
        let [normal, pseudo] = clouds(1.0, 1);
        let right = |frames: &[f32], abnormal: bool| {
            let scores = frames.chunks(FEATURES).map(|f| network.score(f).unwrap());
            scores.filter(|score| (*score > 0.5) == abnormal).count()
        };
        assert!(right(&normal, false) + right(&pseudo, true) >= 110);
    }

    #[test]
    fn the_same_seed_gives_the_same_bytes() {
        assert_eq!(trained(3), trained(3));
        assert_ne!(trained(3).0, trained(4).0);
    }

    #[test]
    fn a_file_brings_it_back_and_a_broken_one_is_told() {
        let (network, _) = trained(0);
        let mut file = WeightFile::default();
        network.to_tensors().into_iter().for_each(|tensor| file.insert(tensor.under("discriminator")));
        let back = WeightFile::from_bytes(&file.to_bytes().unwrap()).unwrap();
        assert_eq!(Discriminator::from_file(&back, "discriminator").unwrap(), network);
        for name in ["mean", "deviation", "fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"] {
            let name = format!("discriminator.{name}");
            let mut broken = file.clone();
            broken.tensors.remove(&name);
            assert!(Discriminator::from_file(&broken, "discriminator").is_err(), "{name}");
            let mut broken = file.clone();
            broken.tensors.get_mut(&name).unwrap().1[0] = f32::NAN;
            assert!(Discriminator::from_file(&broken, "discriminator").is_err(), "{name}");
        }
    }

    #[test]
    fn bad_input_is_an_error() {
        let [normal, pseudo] = clouds(1.0, 0);
        let config = DiscriminatorConfig::default();
        assert!(Discriminator::train(&config, FEATURES, &normal, &[], 0).is_err());
        assert!(Discriminator::train(&config, FEATURES, &normal[1..], &pseudo, 0).is_err());
        assert!(Discriminator::train(&config, 0, &normal, &pseudo, 0).is_err());
        let wild = DiscriminatorConfig { rate: 1e30, ..config };
        assert!(Discriminator::train(&wild, FEATURES, &normal, &pseudo, 0).is_err());
        let (network, _) = trained(0);
        assert!(network.score(&normal[..FEATURES - 1]).is_err());
        assert!(network.score(&[f32::NAN; FEATURES]).is_err());
    }

    /// `tests/scripts/discriminator.py`: the gradient of the first batch, and the weights after all of them.
    #[test]
    fn gradients_and_updates_are_pytorchs() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/discriminator.safetensors");
        let file = WeightFile::load(&path).unwrap();
        let mut network = Discriminator::from_file(&file, "before").unwrap();
        let (x, y) = (file.values("x").unwrap(), file.values("y").unwrap());
        let close = |got: &[f32], expected: &[f32]| {
            got.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5 * (1.0 + b.abs()))
        };
        let size = network.features();
        let (loss, gradient) = network.gradient(&x[..16 * size], &y[..16]);
        assert!((loss - f64::from(file.values("loss").unwrap()[0])).abs() < 1e-6);
        assert!(close(&gradient, file.values("gradient").unwrap()));
        let sgd = Sgd { momentum: 0.9, weight_decay: 1e-3 };
        let mut state = sgd.state(network.parameters.len());
        for (x, y) in x.chunks(16 * size).zip(y.chunks(16)) {
            network.step(&sgd, &mut state, 0.02, x, y);
        }
        let after = Discriminator::from_file(&file, "after").unwrap();
        assert!(close(&network.parameters, &after.parameters));
    }
}
