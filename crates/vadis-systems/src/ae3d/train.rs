//! Training: mean squared error over all frames of a clip, Adam. What a clip is learnt from differs between the systems
//! (`pasted`, `skip`); how, does not.

use burn::tensor::{Device, Tensor, TensorData};
use vadis_kernels::volume::Scratch;
use vadis_nn::loss::{mse, weighted_mse};
use vadis_nn::optim::OptimiserState;
use vadis_nn::segment::NamedTensor;
use vadis_nn::tensor_values;
use vadis_nn::weights::WeightFile;

use super::network::{Autoencoder, Shape};
use super::score::Ae3dModel;
use super::skip::Skipped;
use super::{Addition, Ae3dConfig, Settings, Variant};
use crate::clip_training::{ClipLearner, Course, Terms, put_moments, take_moments, train_on_clips};
use crate::clips::Parts;
use crate::examples::{Examples, PlainClips};
use crate::frames::{calibration_runs, counts_of, observe_runs, to_planes};
use crate::pasted::Pasted;
use crate::session::identity;
use crate::{FrameStore, Session, SystemError};

/// The optimiser's state in a checkpoint, of each part.
const MOMENTS: [[&str; 2]; 3] = [
    ["adam.encoder.first", "adam.encoder.second"],
    ["adam.decoder.first", "adam.decoder.second"],
    ["adam.memory.first", "adam.memory.second"],
];

/// Trains on `footage` as the session says.
pub(super) fn train(
    variant: Variant,
    settings: &Settings,
    footage: &FrameStore,
    session: &mut Session<'_>,
) -> Result<Ae3dModel, SystemError> {
    let config = &settings.ae3d;
    let parts = Parts::of(footage.frames(), config.holdout, config.clip);
    let format = footage.format();
    let counts = counts_of(format, session.ignore.as_ref());
    let course =
        course(config, format!("{} {}", variant.key(), identity(&settings.value(), footage, session)?));
    let shape = settings.network(format);
    let mut learner = AutoencoderLearner::new(variant.key(), shape.clone(), &config.start, session)?;
    let planes = |frame: &[u8]| to_planes(frame, format, &counts);
    let clips = PlainClips { footage, length: config.clip, planes };
    match &settings.addition {
        Addition::None | Addition::Memory(_) => {
            train_on_clips(&mut learner, &clips, &course, &parts, session)?;
        }
        Addition::Patch(patch) => {
            let pasted = Pasted::new(patch, clips, |value| value)?;
            train_on_clips(&mut learner, &pasted, &course, &parts, session)?;
        }
        Addition::Skip(skip) => {
            let sign = if variant == Variant::Steal { -1.0 } else { 1.0 };
            let skipped = Skipped { config: skip, clips, runs: &parts.train, sign };
            train_on_clips(&mut learner, &skipped, &course, &parts, session)?;
        }
    }
    let mut model = Ae3dModel::new(variant, settings.clone(), format, &learner.network, counts)?;
    let (runs, kind) = calibration_runs(&parts, config.clip, config.calibration_frames, session);
    let statistics = observe_runs(&model, footage, &runs, session)?.statistics(kind);
    model.set_statistics(statistics);
    Ok(model)
}

/// How long and how fast an autoencoder learns.
pub(crate) fn course(config: &Ae3dConfig, identity: String) -> Course {
    Course {
        length: config.clip,
        stride: config.train_stride,
        batch: config.batch,
        epochs: config.epochs,
        min_steps: config.min_steps,
        max_steps: config.max_steps,
        rate: config.rate,
        schedule: config.schedule,
        identity,
        earlier: Vec::new(),
    }
}

/// The autoencoder while it learns.
pub(crate) struct AutoencoderLearner {
    system: &'static str,
    shape: Shape,
    pub(crate) network: Autoencoder,
    moments: Vec<OptimiserState>,
    device: Device,
}

impl AutoencoderLearner {
    /// An untrained network, or one that starts from the `ae3d` in the model file `start`.
    pub(crate) fn new(
        system: &'static str,
        shape: Shape,
        start: &str,
        session: &Session<'_>,
    ) -> Result<Self, SystemError> {
        let device = session.device.clone();
        let mut network = shape.init(&device.clone().autodiff(), session.seed)?;
        if !start.is_empty() {
            network = started(network, start)?;
        }
        Ok(Self { system, moments: network.moments(), shape, network, device })
    }

    fn tensor(&self, values: Vec<f32>, batch: usize, device: &Device) -> Tensor<5> {
        let [c, t, h, w] = self.shape.clip();
        Tensor::from_data(TensorData::new(values, [batch, c, t, h, w]), device)
    }

    /// Each example's sign at each of its values, where there is one that is negative.
    fn signs(&self, examples: &Examples) -> Option<Vec<f32>> {
        let size: usize = self.shape.clip().iter().product();
        let values = || examples.signs.iter().flat_map(|&sign| std::iter::repeat_n(sign, size)).collect();
        examples.signs.iter().any(|&sign| sign != 1.0).then(values)
    }
}

/// The network with the encoder and the decoder of a model file; a memory stays untrained.
fn started(network: Autoencoder, path: &str) -> Result<Autoencoder, SystemError> {
    let wrong = |reason: String| crate::preset::setting("start", format!("{path}: {reason}"));
    let mut file = WeightFile::load(path.as_ref()).map_err(|e| wrong(e.to_string()))?;
    let mut missing = None;
    let state = network.state().into_iter().map(|own| match file.tensors.remove(&own.name) {
        Some((shape, values)) => NamedTensor { name: own.name, shape, values },
        None => {
            if !own.name.starts_with("memory.") {
                missing = Some(own.name.clone());
            }
            own
        }
    });
    let state = state.collect();
    match missing {
        Some(name) => Err(wrong(format!("it has no `{name}`: it is no autoencoder of this kind"))),
        None => network.with_state(state).map_err(|e| wrong(e.to_string())),
    }
}

impl ClipLearner for AutoencoderLearner {
    fn system(&self) -> &'static str {
        self.system
    }

    fn step(&mut self, examples: Examples, rate: f64) -> Result<Terms, SystemError> {
        let device = self.device.clone().autodiff();
        let (batch, signs) = (examples.batch, self.signs(&examples));
        let x = self.tensor(examples.input, batch, &device);
        let target = match examples.target {
            Some(target) => self.tensor(target, batch, &device),
            None => x.clone(),
        };
        let (rebuilt, entropy) = self.network.forward(x);
        let error = match signs {
            Some(signs) => weighted_mse(rebuilt, target, self.tensor(signs, batch, &device))?,
            None => mse(rebuilt, target)?,
        };
        let mut terms = Vec::new();
        let squared = f64::from(tensor_values(error.clone().detach())?[0]);
        let loss = match entropy {
            Some(entropy) => {
                terms.push(("entropy".to_owned(), f64::from(tensor_values(entropy.clone().detach())?[0])));
                error + entropy.mul_scalar(self.shape.entropy_weight())
            }
            None => error,
        };
        let value = f64::from(tensor_values(loss.clone().detach())?[0]);
        if value.is_finite() {
            self.network.update(&loss.backward(), &mut self.moments, rate)?;
        }
        let first = [("loss".to_owned(), value), ("squared".to_owned(), squared)];
        Ok(first.into_iter().chain(terms).collect())
    }

    fn look(&self, clips: Vec<f32>, batch: usize) -> Result<f64, SystemError> {
        let frozen = self.network.frozen()?;
        let size = clips.len() / batch.max(1);
        let mut scratch: [Scratch; 2] = Default::default();
        let mut sum = 0.0;
        for clip in clips.chunks_exact(size) {
            let rebuilt = frozen.run(clip, 1, &mut scratch)?;
            sum += rebuilt.iter().zip(clip).map(|(a, b)| f64::from((a - b) * (a - b))).sum::<f64>();
        }
        Ok(sum / clips.len() as f64)
    }

    fn state(&self) -> Result<WeightFile, SystemError> {
        let mut file = WeightFile::default();
        self.network.state().into_iter().for_each(|tensor| file.insert(tensor));
        MOMENTS
            .iter()
            .zip(&self.moments)
            .for_each(|(names, moments)| put_moments(&mut file, *names, moments));
        Ok(file)
    }

    fn restore(&mut self, mut state: WeightFile, steps: u64) -> Result<(), SystemError> {
        for (names, moments) in MOMENTS.into_iter().zip(&mut self.moments) {
            *moments = take_moments(&mut state, names, moments.first.len(), steps)?;
        }
        let named = |(name, (shape, values))| NamedTensor { name, shape, values };
        let state = state.tensors.into_iter().map(named).collect();
        self.network = self.network.clone().with_state(state)?;
        Ok(())
    }
}
