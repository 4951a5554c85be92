//! Training: squared error + (1 − MS-SSIM) + gradient loss of the rebuilt clip, Adam, cosine annealing.

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use vadis_kernels::volume::Scratch;
use vadis_nn::loss::FrameLoss;
use vadis_nn::networks::Itae as Network;
use vadis_nn::optim::{Adam, Optimiser, OptimiserState, Step, gradient_of};
use vadis_nn::segment::{NamedTensor, StateDict};
use vadis_nn::weights::WeightFile;
use vadis_nn::{NnError, tensor_values};

use super::score::{ItaeModel, to_planes};
use super::{ItaeConfig, Variant};
use crate::clip_training::{ClipLearner, Course, Terms, train_on_clips};
use crate::clips::{Parts, thinned};
use crate::frames::{calibrate_runs, counts_of};
use crate::session::identity;
use crate::{FrameStore, InputFormat, Session, SystemError};

/// Pixels of the network lie in [−1, 1] (ours).
const RANGE: f32 = 2.0;
/// The optimiser's state in a checkpoint.
const MOMENTS: [&str; 2] = ["adam.first", "adam.second"];

/// Trains on `footage` as the session says.
pub(super) fn train(
    variant: Variant,
    config: &ItaeConfig,
    footage: &FrameStore,
    session: &mut Session<'_>,
) -> Result<ItaeModel, SystemError> {
    let parts = Parts::of(footage.frames(), config.holdout, config.clip);
    let course = course(variant, config, footage, session)?;
    let format = footage.format();
    let counts = counts_of(format, session.ignore.as_ref());
    let mut learner = AutoencoderLearner::new(variant, config, format, counts, session)?;
    train_on_clips(&mut learner, &course, footage, &parts, session)?;
    let AutoencoderLearner { network, counts, .. } = learner;
    let mut model = ItaeModel::new(variant, config.clone(), format, &network, counts)?;
    let (runs, kind) = match parts.held_out.is_empty() {
        true => (&parts.train, "training"),
        false => (&parts.held_out, "held-out"),
    };
    if kind == "training" {
        session.notes.push(
            "no footage is held out: score statistics are those of footage that was learnt, and too low"
                .to_owned(),
        );
    }
    let runs = thinned(runs, 2 * config.clip, config.calibration_frames);
    let statistics = calibrate_runs(&model, footage, &runs, kind, session)?;
    model.set_statistics(statistics);
    Ok(model)
}

fn course(
    variant: Variant,
    config: &ItaeConfig,
    footage: &FrameStore,
    session: &Session<'_>,
) -> Result<Course, SystemError> {
    Ok(Course {
        length: config.clip,
        stride: config.train_stride,
        batch: config.batch,
        epochs: config.epochs,
        min_steps: config.min_steps,
        max_steps: config.max_steps,
        rate: config.rate,
        schedule: config.schedule,
        identity: format!("{} {}", variant.key(), identity(config, footage, session)?),
    })
}

/// The autoencoder while it learns.
struct AutoencoderLearner {
    variant: Variant,
    format: InputFormat,
    clip: usize,
    counts: Vec<f32>,
    loss: FrameLoss,
    network: Network,
    moments: OptimiserState,
    device: Device,
}

impl AutoencoderLearner {
    fn new(
        variant: Variant,
        config: &ItaeConfig,
        format: InputFormat,
        counts: Vec<f32>,
        session: &Session<'_>,
    ) -> Result<Self, SystemError> {
        let ItaeConfig { squared, ms_ssim, gradient, .. } = *config;
        let mut rng = ChaCha8Rng::seed_from_u64(session.seed);
        let device = session.device.clone();
        let network = variant.network(config, format).init(&device.clone().autodiff(), &mut rng)?;
        Ok(Self {
            variant,
            format,
            clip: config.clip,
            counts,
            loss: FrameLoss { squared, ms_ssim, gradient, range: RANGE },
            moments: Adam::state(network.network.plan().parameter_count()),
            network,
            device,
        })
    }

    fn tensor(&self, values: Vec<f32>, batch: usize, device: &Device) -> Tensor<5> {
        let InputFormat { width, height, colour } = self.format;
        let shape = [batch, colour.channels(), self.clip, height, width];
        Tensor::from_data(TensorData::new(values, shape), device)
    }
}

impl ClipLearner for AutoencoderLearner {
    fn system(&self) -> &'static str {
        self.variant.key()
    }

    fn planes(&self, frame: &[u8]) -> Vec<f32> {
        to_planes(frame, self.format, &self.counts)
    }

    fn step(&mut self, clips: Vec<f32>, batch: usize, rate: f64) -> Result<Terms, SystemError> {
        let x = self.tensor(clips, batch, &self.device.clone().autodiff());
        let terms = self.loss.forward(self.network.forward(x.clone()), x)?;
        let loss = f64::from(tensor_values(terms.loss.clone().detach())?[0]);
        if loss.is_finite() {
            let gradients = terms.loss.backward();
            let weight = &mut self.network.network.weight;
            let gradient = gradient_of(weight, &gradients)?;
            Optimiser::default().step(&mut self.moments, weight, &gradient, Step::of(rate))?;
        }
        let named = [
            ("loss", loss),
            ("squared", terms.squared),
            ("ms_ssim", terms.ms_ssim),
            ("gradient", terms.gradient),
        ];
        Ok(named.map(|(name, value)| (name.to_owned(), value)).to_vec())
    }

    fn look(&self, clips: Vec<f32>, batch: usize) -> Result<f64, SystemError> {
        let rebuilt = self.network.valid().frozen()?.run(&clips, batch, &mut Scratch::default())?;
        let [rebuilt, clips] = [rebuilt, clips].map(|values| self.tensor(values, batch, &self.device));
        let terms = self.loss.forward(rebuilt, clips)?;
        Ok(f64::from(tensor_values(terms.loss)?[0]))
    }

    fn state(&self) -> Result<WeightFile, SystemError> {
        let mut file = self.network.to_weight_file();
        for (name, values) in MOMENTS.into_iter().zip([&self.moments.first, &self.moments.second]) {
            let (name, shape, values) = (name.to_owned(), vec![values.len()], values.clone());
            file.insert(NamedTensor { name, shape, values });
        }
        Ok(file)
    }

    fn restore(&mut self, mut state: WeightFile, steps: u64) -> Result<(), SystemError> {
        let length = self.moments.first.len();
        let mut moment = |name: &str| match state.tensors.remove(name) {
            Some((_, values)) if values.len() == length => Ok(values),
            _ => Err(SystemError::Model { reason: format!("`{name}` is missing or has another length") }),
        };
        let (first, second) = (moment(MOMENTS[0])?, moment(MOMENTS[1])?);
        self.moments = OptimiserState { steps, first, second };
        self.network = self.network.clone().load_weight_file(state).map_err(NnError::from)?;
        Ok(())
    }
}
