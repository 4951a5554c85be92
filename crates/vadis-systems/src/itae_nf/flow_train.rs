//! Training of the flows, the autoencoder frozen: the mean negative log-likelihood of training footage's maps.

use std::sync::{Mutex, PoisonError};

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use rand::SeedableRng;
use rand::seq::index::sample;
use rand_chacha::ChaCha8Rng;
use vadis_kernels::volume::Scratch;
use vadis_nn::networks::{Glow, Itae as Network};
use vadis_nn::optim::{Adam, Optimiser, OptimiserState, Step, gradient_of};
use vadis_nn::segment::{NamedTensor, StateDict, under};
use vadis_nn::weights::WeightFile;
use vadis_nn::{NnError, tensor_values};

use super::Variant;
use super::flow::{Eyes, FlowConfig, PARTS, load, take_state};
use super::maps::{DYNAMIC, Maps, STATIC, Scales};
use crate::clip_training::{ClipLearner, Terms, put_moments, take_moments};
use crate::examples::{ClipSource, Examples};
use crate::{InputFormat, SystemError};

/// Clips over which the maps are standardised and ActNorm is initialised.
const FIRST_CLIPS: usize = 32;
/// The autoencoder in a checkpoint.
const AUTOENCODER: &str = "autoencoder";
/// The optimiser's state in a checkpoint.
const MOMENTS: [[&str; 2]; 2] =
    [["adam.static.first", "adam.static.second"], ["adam.dynamic.first", "adam.dynamic.second"]];

/// The flows while they learn.
pub(super) struct FlowLearner {
    config: FlowConfig,
    format: InputFormat,
    pub(super) autoencoder: Network,
    eyes: Eyes,
    pub(super) scales: Scales,
    pub(super) flows: [Glow; 2],
    moments: [OptimiserState; 2],
    seed: u64,
    device: Device,
    scratch: Mutex<Scratch>,
}

impl FlowLearner {
    /// Untrained flows over the features of `autoencoder`, which must not have autodiff.
    pub(super) fn new(
        config: &FlowConfig,
        format: InputFormat,
        autoencoder: Network,
        (seed, device): (u64, &Device),
    ) -> Result<Self, SystemError> {
        let flows = config.init(format, &device.clone().autodiff(), &mut ChaCha8Rng::seed_from_u64(seed))?;
        let moments = [&flows[0], &flows[1]].map(|flow| Adam::state(flow.weight.val().dims()[0]));
        Ok(Self {
            config: config.clone(),
            format,
            eyes: Eyes::new(&autoencoder, format)?,
            autoencoder,
            scales: Scales::of(&[], 1),
            flows,
            moments,
            seed,
            device: device.clone(),
            scratch: Mutex::default(),
        })
    }

    /// Standardises the maps and initialises ActNorm on clips spread over those that begin at `starts`.
    pub(super) fn prepare(&mut self, source: &impl ClipSource, starts: &[usize]) -> Result<(), SystemError> {
        let mut seen = Vec::new();
        for start in crate::frames::spread(starts, FIRST_CLIPS) {
            seen.push(self.look_at(&source.clip(start)?)?);
        }
        let plane = self.eyes.plane();
        self.scales = Scales::of(&seen, plane);
        let mut all = Maps { appearance: Vec::new(), motion: Vec::new() };
        for mut maps in seen {
            maps.standardise(&self.scales, plane);
            all.appearance.extend(maps.appearance);
            // Every fourth frame, as the static path has it: neighbours are much alike.
            all.motion.extend(maps.motion.chunks_exact(DYNAMIC * plane).step_by(4).flatten());
        }
        let [appearance, motion] = self.flows.clone();
        let device = self.device.clone().autodiff();
        self.flows = [
            appearance.initialise(self.tensor(all.appearance, STATIC, &device))?,
            motion.initialise(self.tensor(all.motion, DYNAMIC, &device))?,
        ];
        Ok(())
    }

    fn look_at(&self, clip: &[f32]) -> Result<Maps, SystemError> {
        let mut scratch = self.scratch.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(self.eyes.look(clip, &mut scratch)?.1)
    }

    /// Standardised maps of all clips together.
    fn maps(&self, clips: &[f32], batch: usize) -> Result<[Vec<f32>; 2], SystemError> {
        let (mut appearance, mut motion) = (Vec::new(), Vec::new());
        for clip in clips.chunks_exact(clips.len() / batch) {
            let mut maps = self.look_at(clip)?;
            maps.standardise(&self.scales, self.eyes.plane());
            appearance.extend(maps.appearance);
            motion.extend(maps.motion);
        }
        Ok([appearance, motion])
    }

    fn tensor(&self, maps: Vec<f32>, channels: usize, device: &Device) -> Tensor<4> {
        let [width, height] = [self.format.width, self.format.height].map(|side| side / super::maps::SHRINK);
        let frames = maps.len() / (channels * width * height);
        Tensor::from_data(TensorData::new(maps, [frames, channels, height, width]), device)
    }

    /// At most a batch of the feature frames in `maps`, drawn at random.
    fn draw(&self, maps: &[f32], channels: usize, rng: &mut ChaCha8Rng) -> Vec<f32> {
        let size = channels * self.eyes.plane();
        let frames = maps.len() / size;
        let mut drawn = sample(rng, frames, self.config.flow_batch.min(frames)).into_vec();
        drawn.sort_unstable();
        drawn.into_iter().flat_map(|frame| &maps[frame * size..(frame + 1) * size]).copied().collect()
    }
}

impl ClipLearner for FlowLearner {
    fn system(&self) -> &'static str {
        Variant::WithFlows.key()
    }

    fn step(&mut self, examples: Examples, rate: f64) -> Result<Terms, SystemError> {
        let maps = self.maps(&examples.input, examples.batch)?;
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(u64::MAX - self.moments[0].steps);
        let device = self.device.clone().autodiff();
        let mut terms = [0.0; 2];
        for (flow, channels) in [STATIC, DYNAMIC].into_iter().enumerate() {
            let x = self.tensor(self.draw(&maps[flow], channels, &mut rng), channels, &device);
            let loss = self.flows[flow].nll(x).mean();
            terms[flow] = f64::from(tensor_values(loss.clone().detach())?[0]);
            if terms[flow].is_finite() {
                let gradients = loss.backward();
                let weight = &mut self.flows[flow].weight;
                let gradient = gradient_of(weight, &gradients)?;
                Optimiser::default().step(&mut self.moments[flow], weight, &gradient, Step::of(rate))?;
            }
        }
        let named = [("loss", terms[0] + terms[1]), ("nll_static", terms[0]), ("nll_dynamic", terms[1])];
        Ok(named.map(|(name, value)| (name.to_owned(), value)).to_vec())
    }

    fn look(&self, clips: Vec<f32>, batch: usize) -> Result<f64, SystemError> {
        let maps = self.maps(&clips, batch)?;
        let mut sum = 0.0;
        for (flow, channels) in [STATIC, DYNAMIC].into_iter().enumerate() {
            let frames = maps[flow].len() / (channels * self.eyes.plane());
            let nll = self.flows[flow].clone().valid().frozen()?.nll(&maps[flow], frames)?;
            sum += nll.iter().map(|&v| f64::from(v)).sum::<f64>() / frames as f64;
        }
        Ok(sum)
    }

    fn state(&self) -> Result<WeightFile, SystemError> {
        let mut file = WeightFile::default();
        under(AUTOENCODER, &self.autoencoder).into_iter().for_each(|tensor| file.insert(tensor));
        file.insert(self.scales.named());
        for ((part, flow), (names, moments)) in
            PARTS.iter().zip(&self.flows).zip(MOMENTS.into_iter().zip(&self.moments))
        {
            under(part, flow).into_iter().for_each(|tensor| file.insert(tensor));
            put_moments(&mut file, names, moments);
        }
        Ok(file)
    }

    fn restore(&mut self, mut state: WeightFile, steps: u64) -> Result<(), SystemError> {
        for (names, moments) in MOMENTS.into_iter().zip(&mut self.moments) {
            *moments = take_moments(&mut state, names, moments.first.len(), steps)?;
        }
        self.scales = Scales::take(&mut state)?;
        self.flows = load(self.flows.clone(), take_state(&mut state))?;
        let prefix = format!("{AUTOENCODER}.");
        let named = state.tensors.into_iter().filter_map(|(name, (shape, values))| {
            Some(NamedTensor { name: name.strip_prefix(&prefix)?.to_owned(), shape, values })
        });
        self.autoencoder =
            self.autoencoder.clone().load_state_dict(named.collect()).map_err(NnError::from)?;
        self.eyes = Eyes::new(&self.autoencoder, self.format)?;
        Ok(())
    }
}
