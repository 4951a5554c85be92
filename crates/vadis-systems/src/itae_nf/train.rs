//! Training: squared error + (1 − MS-SSIM) + gradient loss of the rebuilt clip, Adam, cosine annealing.

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use vadis_kernels::volume::{Scales, Scratch};
use vadis_nn::loss::FrameLoss;
use vadis_nn::networks::Itae as Network;
use vadis_nn::optim::{Adam, Optimiser, OptimiserState, Step, gradient_of};
use vadis_nn::segment::StateDict;
use vadis_nn::weights::WeightFile;
use vadis_nn::{NnError, tensor_values};

use super::flow::Flows;
use super::flow_train::FlowLearner;
use super::score::ItaeModel;
use super::{FlowConfig, ItaeConfig, Settings, Variant};
use crate::clip_training::{
    ClipLearner, Course, Terms, goes_on_with, put_moments, take_moments, train_on_clips,
};
use crate::clips::{Parts, clip_starts};
use crate::examples::{ClipSource, Examples, PlainClips};
use crate::frames::{calibration_runs, counts_of, observe_runs, spread, to_planes};
use crate::session::identity;
use crate::{FrameStore, InputFormat, Session, SystemError};

/// Pixels of the network lie in [−1, 1] (ours).
const RANGE: f32 = 2.0;
/// The optimiser's state in a checkpoint.
const MOMENTS: [&str; 2] = ["adam.first", "adam.second"];

/// Clips over which it is learnt what is usual at each place.
const USUAL_CLIPS: usize = 64;

/// Clips whose values' ranges the bytes of int8 are spread over.
const BYTE_CLIPS: usize = 8;

/// Trains on `footage` as the session says: the autoencoder, then the flows over its features.
pub(super) fn train(
    variant: Variant,
    settings: &Settings,
    footage: &FrameStore,
    session: &mut Session<'_>,
) -> Result<ItaeModel, SystemError> {
    let config = &settings.itae;
    let parts = Parts::of(footage.frames(), config.holdout, config.clip);
    let format = footage.format();
    let counts = counts_of(format, session.ignore.as_ref());
    let identity = format!("{} {}", variant.key(), identity(&settings.value(), footage, session)?);
    let (network, flows) = match &settings.flow {
        None => {
            let course = course(config, identity);
            (autoencoder(variant, config, &course, (footage, &parts), &counts, session)?, None)
        }
        Some(flow) => {
            let (network, flows) =
                with_flows((config, flow), &identity, (footage, &parts), &counts, session)?;
            (network, Some(flows))
        }
    };
    let planes = |frame: &[u8]| to_planes(frame, format, &counts);
    let source = PlainClips { footage, length: config.clip, planes };
    let scales = byte_scales(&network, &source, &clip_starts(&parts.train, config.clip, 1))?;
    let mut model = ItaeModel::new(variant, config.clone(), format, &network, counts.clone(), flows)?;
    model.set_scales(scales);
    calibrate(&mut model, config, footage, &parts, session)?;
    Ok(model)
}

/// What bytes stand for, from clips spread over those that begin at `starts`.
fn byte_scales(network: &Network, source: &impl ClipSource, starts: &[usize]) -> Result<Scales, SystemError> {
    let clips = spread(starts, BYTE_CLIPS).into_iter().map(|start| source.clip(start));
    let clips = clips.collect::<Result<Vec<_>, _>>()?.concat();
    Ok(network.clone().valid().int8_scales(&clips)?)
}

/// Takes the score statistics on held-out footage.
fn calibrate(
    model: &mut ItaeModel,
    config: &ItaeConfig,
    footage: &FrameStore,
    parts: &Parts,
    session: &mut Session<'_>,
) -> Result<(), SystemError> {
    let (runs, kind) = calibration_runs(parts, config.clip, config.calibration_frames, session);
    let mut seen = observe_runs(model, footage, &runs, session)?;
    model.set_statistics(seen.statistics(kind));
    // Only now the indicators can be set against one another.
    seen.retell(|indicators| model.retold(indicators));
    model.set_statistics(seen.statistics(kind));
    Ok(())
}

fn course(config: &ItaeConfig, identity: String) -> Course {
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

/// Trains the autoencoder.
fn autoencoder(
    variant: Variant,
    config: &ItaeConfig,
    course: &Course,
    (footage, parts): (&FrameStore, &Parts),
    counts: &[f32],
    session: &mut Session<'_>,
) -> Result<Network, SystemError> {
    let mut learner = AutoencoderLearner::new(variant, config, footage.format(), session)?;
    let planes = |frame: &[u8]| to_planes(frame, footage.format(), counts);
    let source = PlainClips { footage, length: config.clip, planes };
    train_on_clips(&mut learner, &source, course, parts, session)?;
    Ok(learner.network)
}

/// Trains the autoencoder and then the flows. Either can be interrupted and taken up: the checkpoint of the flows holds
/// the autoencoder.
fn with_flows(
    (config, flow): (&ItaeConfig, &FlowConfig),
    identity: &str,
    (footage, parts): (&FrameStore, &Parts),
    counts: &[f32],
    session: &mut Session<'_>,
) -> Result<(Network, Flows), SystemError> {
    let (variant, format) = (Variant::WithFlows, footage.format());
    let mut course = Course {
        batch: flow.flow_clips,
        epochs: flow.flow_epochs,
        min_steps: 1,
        max_steps: flow.flow_max_steps,
        rate: flow.flow_rate,
        ..self::course(config, format!("flows of {identity}"))
    };
    let taken_up = goes_on_with(&course.identity, session)?;
    let network = if taken_up {
        let mut rng = ChaCha8Rng::seed_from_u64(session.seed);
        variant.network(config, format).init(&session.device, &mut rng)?
    } else {
        let first = self::course(config, format!("autoencoder of {identity}"));
        let network = autoencoder(variant, config, &first, (footage, parts), counts, session)?;
        // What follows must not look for the autoencoder's checkpoint.
        session.resume = false;
        course.earlier = std::mem::take(&mut session.log);
        network.valid()
    };
    let from = (session.seed, &session.device);
    let mut learner = FlowLearner::new(flow, format, network, from)?;
    let planes = |frame: &[u8]| to_planes(frame, format, counts);
    let source = PlainClips { footage, length: config.clip, planes };
    if !taken_up {
        learner.prepare(&source, &clip_starts(&parts.train, config.clip, config.train_stride))?;
    }
    train_on_clips(&mut learner, &source, &course, parts, session)?;
    let FlowLearner { autoencoder, scales, flows, .. } = learner;
    let flows = Flows::new(flow.clone(), &autoencoder, &flows, scales, (format, counts))?;
    let starts = spread(&clip_starts(&parts.train, config.clip, config.train_stride), USUAL_CLIPS);
    let clips = starts.into_iter().map(|start| source.clip(start));
    let flows = flows.learn_usual(clips, &mut Scratch::default())?;
    Ok((autoencoder, flows))
}

/// The autoencoder while it learns.
struct AutoencoderLearner {
    variant: Variant,
    format: InputFormat,
    clip: usize,
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

    fn step(&mut self, examples: Examples, rate: f64) -> Result<Terms, SystemError> {
        let x = self.tensor(examples.input, examples.batch, &self.device.clone().autodiff());
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
        put_moments(&mut file, MOMENTS, &self.moments);
        Ok(file)
    }

    fn restore(&mut self, mut state: WeightFile, steps: u64) -> Result<(), SystemError> {
        self.moments = take_moments(&mut state, MOMENTS, self.moments.first.len(), steps)?;
        self.network = self.network.clone().load_weight_file(state).map_err(NnError::from)?;
        Ok(())
    }
}
