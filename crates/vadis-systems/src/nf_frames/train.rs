//! Training: the mean negative log-likelihood of training frames, Adam, cosine annealing.

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use vadis_nn::networks::Glow;
use vadis_nn::optim::{Adam, Optimiser, OptimiserState, Step, gradient_of};
use vadis_nn::segment::StateDict;
use vadis_nn::weights::WeightFile;
use vadis_nn::{NnError, tensor_values};

use super::score::{NfFramesModel, Scales};
use super::{KEY, NfFramesConfig};
use crate::clip_training::{ClipLearner, Course, Terms, put_moments, take_moments, train_on_clips};
use crate::clips::Parts;
use crate::examples::{Examples, PlainClips};
use crate::frames::{calibrate, counts_of, spread};
use crate::session::identity;
use crate::{FrameStore, InputFormat, Session, SystemError};

/// Frames over which pixels are standardised, ActNorm is initialised, and what is usual is learnt.
const FIRST_FRAMES: usize = 128;
/// Fewer say nothing of what is usual.
const MIN_FRAMES: usize = 8;
/// The optimiser's state in a checkpoint.
const MOMENTS: [&str; 2] = ["adam.first", "adam.second"];

/// Trains on `footage` as the session says.
pub(super) fn train(
    config: &NfFramesConfig,
    footage: &FrameStore,
    session: &mut Session<'_>,
) -> Result<NfFramesModel, SystemError> {
    if footage.len() < MIN_FRAMES {
        return Err(SystemError::TooFewFrames { got: footage.len(), needed: MIN_FRAMES, system: KEY });
    }
    let parts = Parts::of(footage.frames(), config.holdout, 1);
    let counts = counts_of(footage.format(), session.ignore.as_ref());
    let places: Vec<usize> = parts.train.iter().flat_map(Clone::clone).collect();
    let first = footage.read(&spread(&places, FIRST_FRAMES))?;
    let mut learner = FrameLearner::new(config, footage.format(), counts, &first, session)?;
    let course = Course {
        length: 1,
        stride: 1,
        batch: config.batch,
        epochs: config.epochs,
        min_steps: config.min_steps,
        max_steps: config.max_steps,
        rate: config.rate,
        schedule: config.schedule,
        identity: format!("{KEY} {}", identity(config, footage, session)?),
        earlier: Vec::new(),
    };
    let (format, counts, scales) = (learner.format, learner.counts.clone(), learner.scales.clone());
    let planes = |frame: &[u8]| scales.planes(frame, format, &counts);
    let source = PlainClips { footage, length: 1, planes };
    train_on_clips(&mut learner, &source, &course, &parts, session)?;
    let FrameLearner { format, counts, scales, flow, .. } = learner;
    let mut model = NfFramesModel::new(config.clone(), format, &flow.valid(), scales, counts)?;
    model.learn_usual(&first)?;
    let held_out: Vec<usize> = parts.held_out.iter().flat_map(Clone::clone).collect();
    let (places, kind) = if held_out.is_empty() { (places, "training") } else { (held_out, "held-out") };
    let statistics = calibrate(&model, footage, &places, kind, session)?;
    model.set_statistics(statistics);
    Ok(model)
}

/// The flow while it learns.
struct FrameLearner {
    format: InputFormat,
    counts: Vec<f32>,
    scales: Scales,
    flow: Glow,
    moments: OptimiserState,
    seed: u64,
    device: Device,
}

impl FrameLearner {
    /// A flow whose ActNorm is initialised by the frames whose bytes are `first`.
    fn new(
        config: &NfFramesConfig,
        format: InputFormat,
        counts: Vec<f32>,
        first: &[u8],
        session: &Session<'_>,
    ) -> Result<Self, SystemError> {
        let scales = Scales::of(first, format, &counts);
        let device = session.device.clone();
        let mut rng = ChaCha8Rng::seed_from_u64(session.seed);
        let flow = config.network(format).init(&device.clone().autodiff(), &mut rng)?;
        let moments = Adam::state(flow.weight.val().dims()[0]);
        let mut learner = Self { format, counts, scales, flow, moments, seed: session.seed, device };
        let frames = first.chunks_exact(format.frame_bytes());
        let values: Vec<f32> =
            frames.flat_map(|frame| learner.scales.planes(frame, format, &learner.counts)).collect();
        let x = learner.tensor(learner.noisy(values, &mut rng), &learner.device.clone().autodiff());
        learner.flow = learner.flow.initialise(x)?;
        Ok(learner)
    }

    /// Bytes are whole numbers, of which a density could learn the grid: with noise of a step they are not (uniform
    /// dequantisation, as Glow has it).
    fn noisy(&self, mut values: Vec<f32>, rng: &mut ChaCha8Rng) -> Vec<f32> {
        let plane = self.counts.len();
        let steps = self.scales.steps().into_iter().cycle();
        for (values, step) in values.chunks_exact_mut(plane).zip(steps) {
            values.iter_mut().for_each(|v| *v += step * (rng.random::<f32>() - 0.5));
        }
        values
    }

    fn tensor(&self, values: Vec<f32>, device: &Device) -> Tensor<4> {
        let InputFormat { width, height, colour } = self.format;
        let frames = values.len() / self.format.frame_bytes();
        Tensor::from_data(TensorData::new(values, [frames, colour.channels(), height, width]), device)
    }
}

impl ClipLearner for FrameLearner {
    fn system(&self) -> &'static str {
        KEY
    }

    fn step(&mut self, examples: Examples, rate: f64) -> Result<Terms, SystemError> {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(u64::MAX - self.moments.steps);
        let x = self.tensor(self.noisy(examples.input, &mut rng), &self.device.clone().autodiff());
        let loss = self.flow.nll(x).mean();
        let value = f64::from(tensor_values(loss.clone().detach())?[0]);
        if value.is_finite() {
            let gradients = loss.backward();
            let gradient = gradient_of(&self.flow.weight, &gradients)?;
            let weight = &mut self.flow.weight;
            Optimiser::default().step(&mut self.moments, weight, &gradient, Step::of(rate))?;
        }
        Ok(vec![("loss".to_owned(), value)])
    }

    fn look(&self, clips: Vec<f32>, batch: usize) -> Result<f64, SystemError> {
        let nll = self.flow.clone().valid().frozen()?.nll(&clips, batch)?;
        Ok(nll.iter().map(|&v| f64::from(v)).sum::<f64>() / batch as f64)
    }

    fn state(&self) -> Result<WeightFile, SystemError> {
        let mut file = WeightFile::default();
        self.flow.state_dict().into_iter().for_each(|tensor| file.insert(tensor));
        put_moments(&mut file, MOMENTS, &self.moments);
        Ok(file)
    }

    fn restore(&mut self, mut state: WeightFile, steps: u64) -> Result<(), SystemError> {
        self.moments = take_moments(&mut state, MOMENTS, self.moments.first.len(), steps)?;
        self.flow = self.flow.clone().load_weight_file(state).map_err(NnError::from)?;
        Ok(())
    }
}
