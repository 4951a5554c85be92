//! Training: the weighted squared error of the pixels that were hidden; Adam; early stopping.

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use vadis_nn::loss::weighted_mse;
use vadis_nn::networks::Cae;
use vadis_nn::optim::{Adam, Optimiser, OptimiserState, Step, gradient_of};
use vadis_nn::segment::StateDict;
use vadis_nn::weights::WeightFile;
use vadis_nn::{NnError, tensor_values};

use super::augment::View;
use super::mask::{Blocks, motion_gradient, motion_weights};
use super::score::{MotionMaeModel, Predictor};
use super::{CLIP, MotionMaeConfig, Variant};
use crate::clip_training::{ClipLearner, Course, Terms, put_moments, take_moments, train_on_clips};
use crate::clips::Parts;
use crate::examples::{Examples, PlainClips};
use crate::frames::{calibration_runs, counts_of, observe_runs, to_unit};
use crate::session::identity;
use crate::{FrameStore, InputFormat, Session, SystemError};

/// Least frames of footage.
const MIN_FRAMES: usize = 8;
/// The optimiser's state in a checkpoint, encoder and decoder.
const MOMENTS: [[&str; 2]; 2] =
    [["adam.encoder.first", "adam.encoder.second"], ["adam.decoder.first", "adam.decoder.second"]];
/// Before the names of the best network's weights in a checkpoint.
const BEST: &str = "best.";
/// Held-out clips of an early look: a frame is cheap.
const LOOK_CLIPS: usize = 16;

/// Trains on `footage` as the session says.
pub(super) fn train(
    variant: Variant,
    config: &MotionMaeConfig,
    footage: &FrameStore,
    session: &mut Session<'_>,
) -> Result<MotionMaeModel, SystemError> {
    if footage.len() < MIN_FRAMES {
        let (got, needed) = (footage.len(), MIN_FRAMES);
        return Err(SystemError::TooFewFrames { got, needed, system: variant.key() });
    }
    let parts = Parts::of(footage.frames(), config.holdout, CLIP);
    let format = footage.format();
    let counts = counts_of(format, session.ignore.as_ref());
    let identity = format!("{} {}", variant.key(), identity(config, footage, session)?);
    let course = Course {
        length: CLIP,
        stride: config.train_stride,
        batch: config.batch,
        epochs: config.epochs,
        min_steps: config.min_steps,
        max_steps: config.max_steps,
        rate: config.rate,
        schedule: config.schedule,
        identity,
        earlier: Vec::new(),
    };
    let mut learner = Learner::new(variant, config, format, counts.clone(), session)?;
    let planes = |frame: &[u8]| to_unit(frame, format, &counts);
    let source = PlainClips { footage, length: CLIP, planes };
    train_on_clips(&mut learner, &source, &course, &parts, session)?;
    let network = learner.network.valid();
    let mut model = MotionMaeModel::new(variant, config.clone(), format, &network, counts)?;
    let (runs, kind) = calibration_runs(&parts, CLIP, config.calibration_frames, session);
    let mut seen = observe_runs(&model, footage, &runs, session)?;
    model.set_statistics(seen.statistics(kind));
    // Only now the terms can be set against one another.
    seen.retell(|indicators| model.tell(indicators));
    model.set_statistics(seen.statistics(kind));
    Ok(model)
}

/// The autoencoder while it learns.
struct Learner {
    variant: Variant,
    config: MotionMaeConfig,
    format: InputFormat,
    counts: Vec<f32>,
    network: Cae,
    moments: [OptimiserState; 2],
    /// Weights of the network with the lowest held-out loss so far.
    best: Option<WeightFile>,
    steps: u64,
    seed: u64,
    device: Device,
}

/// What the network learns from one clip, each a plane.
struct Lesson {
    /// The frame with blocks hidden.
    input: Vec<f32>,
    target: Vec<f32>,
    /// 1 for each pixel that is to be predicted.
    wanted: Vec<f32>,
    /// The same, weighted by motion.
    moving: Vec<f32>,
}

impl Learner {
    fn new(
        variant: Variant,
        config: &MotionMaeConfig,
        format: InputFormat,
        counts: Vec<f32>,
        session: &Session<'_>,
    ) -> Result<Self, SystemError> {
        let mut rng = ChaCha8Rng::seed_from_u64(session.seed);
        let device = session.device.clone();
        let network = config.network(format).init(&device.clone().autodiff(), &mut rng)?;
        let moments =
            [&network.encoder, &network.decoder].map(|segment| Adam::state(segment.plan().parameter_count()));
        let (config, seed) = (config.clone(), session.seed);
        Ok(Self { variant, config, format, counts, network, moments, best: None, steps: 0, seed, device })
    }

    /// What is random in a step, `part` by `part`.
    fn rng(&self, part: u64) -> ChaCha8Rng {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        // A batch has at most 256 clips, each a part of its own.
        rng.set_stream((self.steps + 1) * 1024 + part);
        rng
    }

    /// A clip `[3, height, width]`, turned about and partly hidden.
    fn lesson(&self, clip: &[f32], part: u64) -> Lesson {
        let mut rng = self.rng(part);
        let InputFormat { width, height, .. } = self.format;
        let plane = |t: usize| clip[t * width * height..][..width * height].to_vec();
        let mut planes = [plane(0), plane(1), plane(2), self.counts.clone()];
        if self.config.augment {
            let view = View::random(width, height, &mut rng);
            planes = planes.map(|plane| view.of(&plane));
            planes[3].iter_mut().for_each(|count| *count = count.floor());
        }
        let [before, target, after, counts] = planes;
        let gradient = motion_gradient(&before, &after, &counts);
        let weights = motion_weights(&gradient, &counts, self.config.epsilon);
        let blocks = Blocks { width, height, side: self.config.block };
        if self.config.mask_ratio == 0.0 {
            return Lesson { input: target.clone(), target, wanted: counts, moving: weights };
        }
        let hidden = blocks.random(self.config.mask_ratio, &mut rng);
        let times =
            |values: &[f32], by: &[f32]| -> Vec<f32> { values.iter().zip(by).map(|(v, b)| v * b).collect() };
        let input = target.iter().zip(&hidden).map(|(v, hidden)| v * (1.0 - hidden)).collect();
        Lesson { input, target, wanted: times(&counts, &hidden), moving: times(&weights, &hidden) }
    }

    fn tensor(&self, values: Vec<f32>, device: &Device) -> Tensor<4> {
        let InputFormat { width, height, .. } = self.format;
        let batch = values.len() / (width * height);
        Tensor::from_data(TensorData::new(values, [batch, 1, height, width]), device)
    }

    /// Drops latents, and scales up the rest.
    fn dropped(&self, latent: Tensor<4>, device: &Device) -> Tensor<4> {
        if self.config.dropout == 0.0 {
            return latent;
        }
        let mut rng = self.rng(1023);
        let kept = (1.0 / (1.0 - self.config.dropout)) as f32;
        let shape = latent.dims();
        let values: Vec<f32> = (0..shape.iter().product::<usize>())
            .map(|_| if rng.random_bool(self.config.dropout) { 0.0 } else { kept })
            .collect();
        latent * Tensor::from_data(TensorData::new(values, shape), device)
    }
}

impl ClipLearner for Learner {
    fn system(&self) -> &'static str {
        self.variant.key()
    }

    fn step(&mut self, examples: Examples, rate: f64) -> Result<Terms, SystemError> {
        let Examples { batch, input: clips, .. } = examples;
        let device = self.device.clone().autodiff();
        let lessons: Vec<Lesson> = clips
            .par_chunks_exact(clips.len() / batch)
            .enumerate()
            .map(|(i, clip)| self.lesson(clip, i as u64))
            .collect();
        let joined = |part: &dyn Fn(&Lesson) -> &Vec<f32>| -> Vec<f32> {
            lessons.iter().flat_map(|lesson| part(lesson).iter().copied()).collect()
        };
        let (mut wanted, mut moving) = (joined(&|l| &l.wanted), joined(&|l| &l.moving));
        // The losses are means over all pixels; these are to be means over those predicted.
        let predicted = wanted.iter().map(|&w| f64::from(w)).sum::<f64>().max(1.0);
        let scale = (wanted.len() as f64 / predicted) as f32;
        [&mut wanted, &mut moving].into_iter().flatten().for_each(|weight| *weight *= scale);
        let [input, target, wanted, moving] =
            [joined(&|l| &l.input), joined(&|l| &l.target), wanted, moving].map(|v| self.tensor(v, &device));
        let latent = self.dropped(self.network.encode(input), &device);
        let rebuilt = self.network.decode(latent);
        let reconstruction = weighted_mse(rebuilt.clone(), target.clone(), wanted)?;
        let motion = weighted_mse(rebuilt, target, moving)?;
        let value = |term: &Tensor<1>| Ok::<_, NnError>(f64::from(tensor_values(term.clone().detach())?[0]));
        let terms = [value(&reconstruction)?, value(&motion)?];
        let loss = reconstruction * self.config.alpha + motion * self.config.beta;
        let total = value(&loss)?;
        if total.is_finite() {
            let gradients = loss.backward();
            let segments = [&mut self.network.encoder, &mut self.network.decoder];
            for (segment, moments) in segments.into_iter().zip(&mut self.moments) {
                let gradient = gradient_of(&segment.weight, &gradients)?;
                Optimiser::default().step(moments, &mut segment.weight, &gradient, Step::of(rate))?;
            }
        }
        self.steps += 1;
        let named = [("loss", total), ("reconstruction", terms[0]), ("motion", terms[1])];
        Ok(named.map(|(name, value)| (name.to_owned(), value)).to_vec())
    }

    /// As when scoring: complementary masks, nothing dropped.
    fn look(&self, clips: Vec<f32>, batch: usize) -> Result<f64, SystemError> {
        let predictor =
            Predictor::new(&self.config, self.format, &self.network.valid(), self.counts.clone())?;
        let MotionMaeConfig { alpha, beta, .. } = self.config;
        let mut sum = 0.0;
        for clip in clips.chunks_exact(clips.len() / batch) {
            let mut planes = clip.chunks_exact(clip.len() / CLIP);
            let (Some(before), Some(frame), Some(after)) = (planes.next(), planes.next(), planes.next())
            else {
                continue;
            };
            let seen = predictor.look(before, frame, after)?;
            sum += f64::from(alpha) * seen.mean_error() + f64::from(beta) * seen.mean_motion();
        }
        Ok(sum / batch as f64)
    }

    fn look_clips(&self) -> usize {
        LOOK_CLIPS
    }

    fn patience(&self) -> u64 {
        self.config.patience
    }

    fn keep_best(&mut self) -> Result<(), SystemError> {
        self.best = Some(self.network.to_weight_file());
        Ok(())
    }

    fn go_back_to_best(&mut self) -> Result<(), SystemError> {
        if let Some(best) = self.best.take() {
            self.network = self.network.clone().load_weight_file(best).map_err(NnError::from)?;
        }
        Ok(())
    }

    fn state(&self) -> Result<WeightFile, SystemError> {
        let mut file = self.network.to_weight_file();
        for (names, moments) in MOMENTS.into_iter().zip(&self.moments) {
            put_moments(&mut file, names, moments);
        }
        for (name, values) in self.best.iter().flat_map(|best| &best.tensors) {
            file.tensors.insert(format!("{BEST}{name}"), values.clone());
        }
        Ok(file)
    }

    fn restore(&mut self, mut state: WeightFile, steps: u64) -> Result<(), SystemError> {
        for (names, moments) in MOMENTS.into_iter().zip(&mut self.moments) {
            *moments = take_moments(&mut state, names, moments.first.len(), steps)?;
        }
        let mut best = WeightFile::default();
        let names: Vec<String> =
            state.tensors.keys().filter(|name| name.starts_with(BEST)).cloned().collect();
        for name in names {
            if let Some(values) = state.tensors.remove(&name) {
                best.tensors.insert(name[BEST.len()..].to_owned(), values);
            }
        }
        self.best = Some(best).filter(|best| !best.tensors.is_empty());
        self.network = self.network.clone().load_weight_file(state).map_err(NnError::from)?;
        self.steps = steps;
        Ok(())
    }
}
