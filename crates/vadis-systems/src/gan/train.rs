//! Training: the discriminator's step, then the autoencoder's against the new discriminator, each with an Adam of its own.

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use vadis_nn::NnError;
use vadis_nn::loss::{mse, weighted_mse};
use vadis_nn::networks::{Cae, PatchDiscriminator};
use vadis_nn::optim::{Adam, OptimiserState};
use vadis_nn::segment::{StateDict, by_part, under};
use vadis_nn::weights::WeightFile;

use super::score::{GanModel, Judges};
use super::{GanConfig, KEY};
use crate::clip_training::{ClipLearner, Course, Terms, put_moments, take_moments, train_on_clips};
use crate::clips::Parts;
use crate::examples::{Examples, PlainClips};
use crate::frames::{calibration_runs, counts_of, observe_runs, to_unit};
use crate::motion_mae::augment::View;
use crate::session::identity;
use crate::training_step::{common_rng, dropped, step_rng, term_value, update};
use crate::{FrameStore, InputFormat, Session, SystemError};

/// Least frames of footage.
const MIN_FRAMES: usize = 8;
/// The optimisers' states in a checkpoint: encoder, decoder, discriminator.
const MOMENTS: [[&str; 2]; 3] = [
    ["adam.encoder.first", "adam.encoder.second"],
    ["adam.decoder.first", "adam.decoder.second"],
    ["adam.discriminator.first", "adam.discriminator.second"],
];
/// The networks in a checkpoint.
const PARTS: [&str; 2] = ["autoencoder", "discriminator"];
/// Held-out frames of an early look.
const LOOK_FRAMES: usize = 16;
/// What the networks see where a pixel does not count, as [`to_unit`] makes it.
const NEUTRAL: f32 = 0.5;

/// Trains on `footage` as the session says.
pub(super) fn train(
    config: &GanConfig,
    footage: &FrameStore,
    session: &mut Session<'_>,
) -> Result<GanModel, SystemError> {
    if footage.len() < MIN_FRAMES {
        let (got, needed) = (footage.len(), MIN_FRAMES);
        return Err(SystemError::TooFewFrames { got, needed, system: KEY });
    }
    let parts = Parts::of(footage.frames(), config.holdout, 1);
    let format = footage.format();
    let counts = counts_of(format, session.ignore.as_ref());
    let course = Course {
        length: 1,
        stride: config.train_stride,
        batch: config.batch,
        epochs: config.epochs,
        min_steps: config.min_steps,
        max_steps: config.max_steps,
        rate: config.rate,
        schedule: config.schedule,
        identity: format!("{KEY} {}", identity(config, footage, session)?),
        earlier: Vec::new(),
    };
    let mut learner = Learner::new(config, format, counts.clone(), session)?;
    let planes = |frame: &[u8]| to_unit(frame, format, &counts);
    let source = PlainClips { footage, length: 1, planes };
    train_on_clips(&mut learner, &source, &course, &parts, session)?;
    let networks = (&learner.autoencoder.valid(), &learner.discriminator.valid());
    let mut model = GanModel::new(config.clone(), format, networks, counts.clone())?;
    let (runs, kind) = calibration_runs(&parts, 1, config.calibration_frames, session);
    let mut seen = observe_runs(&model, footage, &runs, session)?;
    model.set_statistics(seen.statistics(kind));
    // Only now the terms can be set against one another.
    seen.retell(|indicators| model.tell(indicators));
    model.set_statistics(seen.statistics(kind));
    Ok(model)
}

/// Both networks while they learn.
struct Learner {
    config: GanConfig,
    format: InputFormat,
    counts: Vec<f32>,
    autoencoder: Cae,
    discriminator: PatchDiscriminator,
    /// Of encoder, decoder and discriminator.
    moments: [OptimiserState; 3],
    steps: u64,
    seed: u64,
    device: Device,
}

/// A batch of frames `[batch, 1, height, width]`, and how much each pixel counts.
struct Batch {
    frames: Tensor<4>,
    counts: Tensor<4>,
}

impl Learner {
    fn new(
        config: &GanConfig,
        format: InputFormat,
        counts: Vec<f32>,
        session: &Session<'_>,
    ) -> Result<Self, SystemError> {
        let mut rng = ChaCha8Rng::seed_from_u64(session.seed);
        let device = session.device.clone();
        let learning = device.clone().autodiff();
        let autoencoder = config.autoencoder(format).init(&learning, &mut rng)?;
        let discriminator = config.discriminator(format).init(&learning, &mut rng)?;
        let moments = [&autoencoder.encoder, &autoencoder.decoder, &discriminator.network]
            .map(|segment| Adam::state(segment.plan().parameter_count()));
        let (config, seed, steps) = (config.clone(), session.seed, 0);
        Ok(Self { config, format, counts, autoencoder, discriminator, moments, steps, seed, device })
    }

    /// The frames, turned about.
    fn batch(&self, frames: &[f32]) -> Batch {
        let InputFormat { width, height, .. } = self.format;
        let turned = |(i, frame): (usize, &[f32])| -> [Vec<f32>; 2] {
            if !self.config.augment {
                return [frame.to_vec(), self.counts.clone()];
            }
            let view = View::random(width, height, &mut step_rng(self.seed, self.steps, i as u64));
            let counts = view.of(&self.counts).into_iter().map(f32::floor).collect();
            [view.of(frame), counts]
        };
        let turned: Vec<[Vec<f32>; 2]> =
            frames.par_chunks_exact(width * height).enumerate().map(turned).collect();
        let shape = [turned.len(), 1, height, width];
        let tensor = |part: usize| {
            let values: Vec<f32> = turned.iter().flat_map(|parts| parts[part].iter().copied()).collect();
            Tensor::from_data(TensorData::new(values, shape), &self.device.clone().autodiff())
        };
        Batch { frames: tensor(0), counts: tensor(1) }
    }

    /// The frames as the autoencoder rebuilds them, with some latents dropped; what does not count is as in the frames.
    fn rebuilt(&self, batch: &Batch) -> Tensor<4> {
        let latent = self.autoencoder.encode(batch.frames.clone());
        let rebuilt =
            self.autoencoder.decode(dropped(latent, self.config.dropout, common_rng(self.seed, self.steps)));
        let ignored = batch.counts.clone().neg().add_scalar(1.0).mul_scalar(NEUTRAL);
        rebuilt * batch.counts.clone() + ignored
    }

    /// L_D, through which nothing reaches the autoencoder: the mean over both halves of one batch.
    fn discriminator_loss(&self, batch: &Batch, rebuilt: &Tensor<4>) -> Result<Tensor<1>, SystemError> {
        let frames = batch.frames.clone() * batch.counts.clone()
            + batch.counts.clone().neg().add_scalar(1.0).mul_scalar(NEUTRAL);
        let real = self.discriminator.forward(Tensor::cat(vec![frames, rebuilt.clone().detach()], 0));
        let [both, c, h, w] = real.dims();
        let half = both / 2 * c * h * w;
        let wanted: Vec<f32> = [vec![1.0; half], vec![0.0; half]].concat();
        let wanted = Tensor::from_data(TensorData::new(wanted, [both, c, h, w]), &real.device());
        Ok(mse(real, wanted)?)
    }

    /// The two terms of L_G: the squared error of the pixels that count, and ½ E[(D(G(x)) − 1)²].
    fn autoencoder_losses(&self, batch: &Batch, rebuilt: Tensor<4>) -> Result<[Tensor<1>; 2], SystemError> {
        let real = self.discriminator.forward(rebuilt.clone());
        let wanted = Tensor::ones(real.dims(), &real.device());
        let adversarial = mse(real, wanted)?.mul_scalar(0.5);
        let pixels = batch.counts.dims().iter().product::<usize>() as f32;
        let counted = term_value(&batch.counts.clone().sum())? as f32;
        let weights = batch.counts.clone().mul_scalar(pixels / counted.max(1.0));
        Ok([weighted_mse(rebuilt, batch.frames.clone(), weights)?, adversarial])
    }
}

impl ClipLearner for Learner {
    fn system(&self) -> &'static str {
        KEY
    }

    fn step(&mut self, examples: Examples, rate: f64) -> Result<Terms, SystemError> {
        let batch = self.batch(&examples.input);
        let rebuilt = self.rebuilt(&batch);
        let doubting = self.discriminator_loss(&batch, &rebuilt)?;
        let discriminator = term_value(&doubting)?;
        if discriminator.is_finite() {
            let rate = rate * self.config.discriminator_rate;
            update(&doubting, [&mut self.discriminator.network], &mut self.moments[2..], rate)?;
        }
        let [reconstruction, adversarial] = self.autoencoder_losses(&batch, rebuilt)?;
        let terms = [term_value(&reconstruction)?, term_value(&adversarial)?, discriminator];
        let loss = reconstruction + adversarial.mul_scalar(self.config.adversarial);
        let total = term_value(&loss)?;
        if total.is_finite() {
            let Cae { encoder, decoder } = &mut self.autoencoder;
            update(&loss, [encoder, decoder], &mut self.moments[..2], rate)?;
        }
        self.steps += 1;
        let names = ["loss", "reconstruction", "adversarial", "discriminator"];
        let values = [total].into_iter().chain(terms);
        Ok(names.into_iter().zip(values).map(|(name, value)| (name.to_owned(), value)).collect())
    }

    /// The squared error, nothing dropped: an adversary's loss says nothing of how well either does.
    fn look(&self, clips: Vec<f32>, batch: usize) -> Result<f64, SystemError> {
        let networks = (self.autoencoder.valid(), self.discriminator.valid());
        let judges = Judges::new(&networks.0, &networks.1, self.counts.clone())?;
        let mut sum = 0.0;
        for frame in clips.chunks_exact(clips.len() / batch) {
            sum += judges.look(frame)?.mean_error();
        }
        Ok(sum / batch as f64)
    }

    fn look_clips(&self) -> usize {
        LOOK_FRAMES
    }

    fn state(&self) -> Result<WeightFile, SystemError> {
        let mut file = WeightFile::default();
        let networks = [under(PARTS[0], &self.autoencoder), under(PARTS[1], &self.discriminator)];
        networks.into_iter().flatten().for_each(|tensor| file.insert(tensor));
        for (names, moments) in MOMENTS.into_iter().zip(&self.moments) {
            put_moments(&mut file, names, moments);
        }
        Ok(file)
    }

    fn restore(&mut self, mut state: WeightFile, steps: u64) -> Result<(), SystemError> {
        for (names, moments) in MOMENTS.into_iter().zip(&mut self.moments) {
            *moments = take_moments(&mut state, names, moments.first.len(), steps)?;
        }
        let named = |(name, (shape, values))| vadis_nn::segment::NamedTensor { name, shape, values };
        let tensors = state.tensors.into_iter().map(named).collect();
        let [autoencoder, discriminator] = by_part(PARTS, tensors).map_err(NnError::from)?;
        self.autoencoder = self.autoencoder.clone().load_state_dict(autoencoder).map_err(NnError::from)?;
        self.discriminator =
            self.discriminator.clone().load_state_dict(discriminator).map_err(NnError::from)?;
        self.steps = steps;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use vadis_nn::optim::gradient_of;
    use vadis_nn::segment::VolumeSegment;
    use vadis_nn::tensor_values;
    use vadis_video::Colour;

    use super::*;
    use crate::{Preset, cpu_device};

    fn learner(change: impl Fn(&mut GanConfig)) -> Learner {
        let mut config = GanConfig::preset(Preset::Tiny);
        change(&mut config);
        let format = InputFormat { width: 32, height: 24, colour: Colour::Grey };
        let (interrupt, mut progress) = (AtomicBool::new(false), |_| {});
        let session = Session::new(4, cpu_device(), &interrupt, &mut progress);
        Learner::new(&config, format, vec![1.0; 32 * 24], &session).unwrap()
    }

    fn frames() -> Vec<f32> {
        (0..2 * 32 * 24).map(|i| ((i * 37) % 101) as f32 / 100.0).collect()
    }

    fn examples() -> Examples {
        Examples { batch: 2, input: frames(), target: None, signs: vec![1.0; 2] }
    }

    fn weights(segment: &VolumeSegment) -> Vec<f32> {
        tensor_values(segment.weight.val().detach()).unwrap()
    }

    #[test]
    fn the_discriminators_loss_reaches_the_discriminator_alone() {
        let learner = learner(|_| ());
        let batch = learner.batch(&frames());
        let rebuilt = learner.rebuilt(&batch);
        let gradients = learner.discriminator_loss(&batch, &rebuilt).unwrap().backward();
        let Cae { encoder, decoder } = &learner.autoencoder;
        assert!(gradient_of(&encoder.weight, &gradients).is_err());
        assert!(gradient_of(&decoder.weight, &gradients).is_err());
        let gradient = gradient_of(&learner.discriminator.network.weight, &gradients).unwrap();
        assert!(gradient.as_slice().iter().any(|g| *g != 0.0));
    }

    /// Both halves of the batch have the weight ½, as two losses have.
    #[test]
    fn the_discriminators_loss_is_that_of_least_squares() {
        let learner = learner(|_| ());
        let batch = learner.batch(&frames());
        let rebuilt = learner.rebuilt(&batch);
        let got = term_value(&learner.discriminator_loss(&batch, &rebuilt).unwrap()).unwrap();
        let said = |x: Tensor<4>| tensor_values(learner.discriminator.forward(x).detach()).unwrap();
        let mean = |values: Vec<f32>, wanted: f32| {
            values.iter().map(|v| f64::from(v - wanted).powi(2)).sum::<f64>() / values.len() as f64
        };
        let wanted = 0.5 * mean(said(batch.frames.clone()), 1.0) + 0.5 * mean(said(rebuilt.detach()), 0.0);
        assert!((got - wanted).abs() < 1e-6, "{got} {wanted}");
    }

    #[test]
    fn the_adversarial_loss_reaches_the_autoencoder_through_the_discriminator() {
        let learner = learner(|_| ());
        let batch = learner.batch(&frames());
        let [_, adversarial] = learner.autoencoder_losses(&batch, learner.rebuilt(&batch)).unwrap();
        let gradients = adversarial.backward();
        for segment in [&learner.autoencoder.encoder, &learner.autoencoder.decoder] {
            let gradient = gradient_of(&segment.weight, &gradients).unwrap();
            assert!(gradient.as_slice().iter().any(|g| *g != 0.0));
        }
    }

    /// What the autoencoder's loss says of the discriminator's weights is not followed, and the other way round.
    #[test]
    fn each_step_changes_its_own_network() {
        let mut learner = learner(|config| config.discriminator_rate = 0.0);
        let before = weights(&learner.discriminator.network);
        let encoder = weights(&learner.autoencoder.encoder);
        learner.step(examples(), 1e-3).unwrap();
        assert_eq!(weights(&learner.discriminator.network), before);
        assert_ne!(weights(&learner.autoencoder.encoder), encoder);
        let mut learner = self::learner(|config| config.discriminator_rate = 1e6);
        let parts = [&learner.autoencoder.encoder, &learner.autoencoder.decoder].map(weights);
        let before = weights(&learner.discriminator.network);
        // So small a rate that no weight of the autoencoder changes by it.
        learner.step(examples(), 1e-12).unwrap();
        assert_ne!(weights(&learner.discriminator.network), before);
        let after = [&learner.autoencoder.encoder, &learner.autoencoder.decoder].map(weights);
        let moved = parts.iter().flatten().zip(after.iter().flatten()).map(|(a, b)| (a - b).abs());
        assert!(moved.fold(0.0, f32::max) < 1e-9);
    }

    /// Without an adversary what is learnt is `cae`'s squared error.
    #[test]
    fn the_adversary_can_be_switched_off() {
        let mut with = learner(|config| config.adversarial = 1.0);
        let mut without = learner(|config| config.adversarial = 0.0);
        let [first, second] = [&mut with, &mut without].map(|l| l.step(examples(), 1e-3).unwrap());
        assert_eq!(first[1], second[1], "the same error before either has learnt");
        assert_eq!(second[0].1, second[1].1);
        assert!(first[0].1 > first[1].1);
    }

    #[test]
    fn a_state_taken_up_goes_on_to_the_same_bits() {
        let mut learner = learner(|_| ());
        (0..3).for_each(|_| drop(learner.step(examples(), 1e-3).unwrap()));
        let state = learner.state().unwrap();
        let mut again = self::learner(|_| ());
        again.restore(state, 3).unwrap();
        for learner in [&mut learner, &mut again] {
            (0..2).for_each(|_| drop(learner.step(examples(), 1e-3).unwrap()));
        }
        assert_eq!(again.state().unwrap().tensors, learner.state().unwrap().tensors);
    }
}
