//! The flows over the pooled features of both paths: how unlikely an appearance, how unlikely a motion (Eq. 13).

use burn::tensor::Device;
use rand::Rng;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use vadis_kernels::volume::{Scales as ByteScales, Scratch};
use vadis_nn::NnError;
use vadis_nn::networks::{FrozenGlow, FrozenItaeFeatures, Glow, GlowConfig, Itae as Network};
use vadis_nn::segment::{NamedTensor, StateDict, by_part, under};
use vadis_nn::weights::WeightFile;

use super::maps::{DYNAMIC, Maps, SHRINK, STATIC, Scales};
use super::score::{DYNAMIC_FLOW, NETWORK, STATIC_FLOW};
use super::usual::Usual;
use crate::patches::Patches;
use crate::spent::Spent;
use crate::{InputFormat, Preset, SystemError};

/// The flows' names in a weight file.
pub(super) const PARTS: [&str; 2] = ["static_flow", "dynamic_flow"];

/// The settings of `itae-nf` beside those of the autoencoder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FlowConfig {
    /// K, steps of a level (paper: 32).
    pub flow_steps: usize,
    /// L, levels (paper: 1 for Ped2, 3 elsewhere).
    pub flow_levels: usize,
    /// F, hidden channels of the couplings (paper: 512).
    pub flow_hidden: usize,
    /// Feature frames of each path a step (paper: 8 for Ped2 and ShanghaiTech, 5 for Avenue).
    pub flow_batch: usize,
    /// Clips a step, out of which those are taken (ours).
    pub flow_clips: usize,
    /// Passes over the training clips (ours: the paper does not say).
    pub flow_epochs: usize,
    /// Most optimiser steps in all; 0 for no limit (ours).
    pub flow_max_steps: usize,
    /// Adam's full learning rate (paper: 5e-4 for Ped2 and Avenue, 1e-4 for ShanghaiTech), on the autoencoder's schedule.
    pub flow_rate: f64,
    /// Side of the patch whose likelihood by the static flow, against what is usual at its place, is the frame's, in pixels
    /// of the network's input; 0 for the whole frame's likelihood (paper: 0). The dynamic flow's is always the whole
    /// frame's: its patches told less on the validation set. No preset but `tiny` uses patches (docs/results/itae-nf.md).
    pub flow_patch: usize,
}

impl FlowConfig {
    /// The settings of a preset.
    pub fn preset(preset: Preset) -> Self {
        let paper = Self {
            flow_steps: 32,
            flow_levels: 1,
            flow_hidden: 512,
            flow_batch: 8,
            flow_clips: 2,
            flow_epochs: 20,
            flow_max_steps: 0,
            flow_rate: 5e-4,
            flow_patch: 0,
        };
        match preset {
            Preset::Paper => paper,
            // About 0.3 GFLOP a feature frame; 3 minutes of two cores.
            Preset::Cpu => Self {
                flow_steps: 16,
                flow_hidden: 128,
                flow_batch: 16,
                flow_clips: 4,
                flow_max_steps: 400,
                ..paper
            },
            Preset::Tiny => Self {
                flow_steps: 2,
                flow_hidden: 8,
                flow_epochs: 1,
                flow_max_steps: 6,
                flow_rate: 1e-3,
                flow_patch: 8,
                ..paper
            },
        }
    }

    /// # Errors
    /// [`SystemError::Setting`] for a value out of its range.
    pub(super) fn check(&self) -> Result<(), SystemError> {
        let counts = [
            ("flow_steps", self.flow_steps, 256),
            ("flow_levels", self.flow_levels, 4),
            ("flow_hidden", self.flow_hidden, 2048),
            ("flow_batch", self.flow_batch, 1024),
            ("flow_clips", self.flow_clips, 256),
            ("flow_epochs", self.flow_epochs, usize::MAX),
        ];
        for (key, value, most) in counts {
            if !(1..=most).contains(&value) {
                let reason = format!("must be from 1 to {most}");
                return Err(SystemError::Setting { key: key.to_owned(), reason });
            }
        }
        if self.flow_patch == 1 || self.flow_patch > 256 {
            let (key, reason) = ("flow_patch".to_owned(), "must be 0, or from 2 to 256 pixels".to_owned());
            return Err(SystemError::Setting { key, reason });
        }
        if !(self.flow_rate.is_finite() && self.flow_rate > 0.0) {
            let (key, reason) = ("flow_rate".to_owned(), "must be a positive number".to_owned());
            return Err(SystemError::Setting { key, reason });
        }
        Ok(())
    }

    /// The flows of both paths for frames of `format`.
    fn networks(&self, format: InputFormat) -> [GlowConfig; 2] {
        let size = [format.height / SHRINK, format.width / SHRINK];
        [STATIC, DYNAMIC].map(|channels| GlowConfig {
            steps: self.flow_steps,
            hidden: self.flow_hidden,
            ..GlowConfig::new(channels, size, self.flow_levels)
        })
    }

    /// Untrained flows.
    pub(super) fn init(
        &self,
        format: InputFormat,
        device: &Device,
        rng: &mut impl Rng,
    ) -> Result<[Glow; 2], SystemError> {
        let [appearance, motion] = self.networks(format);
        Ok([appearance.init(device, rng)?, motion.init(device, rng)?])
    }

    /// Fewer values than this no file of such flows has.
    fn least_values(&self, format: InputFormat) -> usize {
        let counts = self.networks(format).map(|network| network.parameter_count().unwrap_or(usize::MAX));
        counts[0].saturating_add(counts[1])
    }
}

/// The autoencoder's features and the maps of them.
#[derive(Debug)]
pub(super) struct Eyes {
    features: FrozenItaeFeatures,
    format: InputFormat,
}

impl Eyes {
    pub(super) fn new(network: &Network, format: InputFormat) -> Result<Self, SystemError> {
        Ok(Self { features: network.frozen_with_features(None)?, format })
    }

    /// The clip rebuilt, and its maps, not standardised.
    pub(super) fn look(&self, clip: &[f32], scratch: &mut Scratch) -> Result<(Vec<f32>, Maps), SystemError> {
        let values = self.features.run(clip, 1, scratch)?;
        let (&[appearance, motion], [a, m, rebuilt]) = (self.features.shapes(), values.as_slice()) else {
            return Err(NnError::Tensor("the network has not two paths".to_owned()).into());
        };
        let maps = Maps::of(clip, self.format, [a, m], [appearance, motion]);
        Ok((rebuilt.clone(), maps))
    }

    /// Values of a map.
    pub(super) fn plane(&self) -> usize {
        (self.format.width / SHRINK) * (self.format.height / SHRINK)
    }
}

/// Trained flows.
#[derive(Debug)]
pub(super) struct Flows {
    pub(super) config: FlowConfig,
    eyes: Eyes,
    scales: Scales,
    flows: [FrozenGlow; 2],
    /// 1 for each place of a map that counts.
    counts: Vec<f32>,
    usual: Usual,
    state: Vec<NamedTensor>,
}

/// What the flows say of a clip: negative log-likelihoods in nats per dimension.
pub(super) struct Unlikely {
    /// The clip rebuilt.
    pub(super) rebuilt: Vec<f32>,
    /// Of each frame that the static path sees: of the whole, or of its worst patch above the usual.
    pub(super) appearance: Vec<f32>,
    /// Of each frame.
    pub(super) motion: Vec<f32>,
}

impl Flows {
    /// Trained flows over the features of `network`, whose input has `format`; `counts` is 1 for each of its pixels that
    /// counts. What is usual is not known yet.
    pub(super) fn new(
        config: FlowConfig,
        network: &Network,
        flows: &[Glow; 2],
        scales: Scales,
        (format, counts): (InputFormat, &[f32]),
    ) -> Result<Self, SystemError> {
        let mut state: Vec<NamedTensor> =
            PARTS.iter().zip(flows).flat_map(|(part, f)| under(part, f)).collect();
        state.push(scales.named());
        let frozen = [flows[0].frozen()?, flows[1].frozen()?];
        let eyes = Eyes::new(network, format)?;
        let usual = Usual::of([&[], &[]], eyes.plane());
        let counts = cells_that_count(counts, format);
        Ok(Self { config, eyes, scales, flows: frozen, counts, usual, state })
    }

    /// Learns what is usual at each place from clips of training footage, one after another in `clips`.
    pub(super) fn learn_usual(
        mut self,
        clips: impl Iterator<Item = Result<Vec<f32>, SystemError>>,
        scratch: &mut Scratch,
    ) -> Result<Self, SystemError> {
        let (mut appearance, mut motion) = (Vec::new(), Vec::new());
        for clip in clips {
            let (_, maps) = self.look(&clip?, scratch)?;
            appearance.extend(self.flows[0].map(&maps.appearance, self.frames(&maps)[0])?.map);
            motion.extend(self.flows[1].map(&maps.motion, self.frames(&maps)[1])?.map);
        }
        self.usual = Usual::of([&appearance, &motion], self.eyes.plane());
        Ok(self)
    }

    /// With what is usual as a model file has it.
    pub(super) fn with_usual(self, usual: Usual) -> Self {
        Self { usual, ..self }
    }

    /// Looks in bytes from now on.
    pub(super) fn look_in_bytes(
        &mut self,
        network: &Network,
        scales: &ByteScales,
    ) -> Result<(), SystemError> {
        self.eyes.features = network.frozen_with_features(Some(scales))?;
        Ok(())
    }

    /// The flows of a model file, taken out of it; the autoencoder's weights are left.
    pub(super) fn take(
        config: &FlowConfig,
        file: &mut WeightFile,
        format: InputFormat,
    ) -> Result<([Glow; 2], Scales, Usual), SystemError> {
        let scales = Scales::take(file)?;
        let usual = Usual::take(file, (format.width / SHRINK) * (format.height / SHRINK))?;
        let flows = take_state(file);
        let there: usize = flows.iter().map(|tensor| tensor.values.len()).sum();
        if there < config.least_values(format) {
            let reason = format!("its flows have {there} weights, fewer than its settings ask for");
            return Err(SystemError::Model { reason });
        }
        let empty = config.init(format, &Device::default(), &mut ChaCha8Rng::seed_from_u64(0))?;
        Ok((load(empty, flows)?, scales, usual))
    }

    /// Their arrays under their names.
    pub(super) fn state(&self) -> impl Iterator<Item = NamedTensor> {
        self.state.iter().cloned().chain([self.usual.named()])
    }

    /// The clip rebuilt.
    pub(super) fn rebuild(&self, clip: &[f32], scratch: &mut Scratch) -> Result<Vec<f32>, SystemError> {
        Ok(self.eyes.look(clip, scratch)?.0)
    }

    /// Judges a clip; what the network and each flow take is added to `spent`.
    pub(super) fn judge<const N: usize>(
        &self,
        clip: &[f32],
        scratch: &mut Scratch,
        spent: &Spent<N>,
    ) -> Result<Unlikely, SystemError> {
        let (rebuilt, maps) = spent.on(NETWORK, || self.look(clip, scratch))?;
        let [stills, all] = self.frames(&maps);
        let appearance = spent.on(STATIC_FLOW, || self.appearance(&maps.appearance, stills))?;
        let motion = spent.on(DYNAMIC_FLOW, || self.flows[1].nll(&maps.motion, all))?;
        Ok(Unlikely { rebuilt, appearance, motion })
    }

    /// The clip rebuilt, and its maps, standardised.
    fn look(&self, clip: &[f32], scratch: &mut Scratch) -> Result<(Vec<f32>, Maps), SystemError> {
        let (rebuilt, mut maps) = self.eyes.look(clip, scratch)?;
        maps.standardise(&self.scales, self.eyes.plane());
        Ok((rebuilt, maps))
    }

    /// Feature frames of each path.
    fn frames(&self, maps: &Maps) -> [usize; 2] {
        let plane = self.eyes.plane();
        [maps.appearance.len() / (STATIC * plane), maps.motion.len() / (DYNAMIC * plane)]
    }

    /// Eq. 13 of each feature frame of the static path, or its worst patch.
    fn appearance(&self, maps: &[f32], frames: usize) -> Result<Vec<f32>, SystemError> {
        if self.config.flow_patch == 0 {
            return Ok(self.flows[0].nll(maps, frames)?);
        }
        let InputFormat { width, height, .. } = self.eyes.format;
        let side = self.config.flow_patch.div_ceil(SHRINK);
        let patches = Patches::new(height / SHRINK, width / SHRINK, side, &self.counts);
        let maps = self.flows[0].map(maps, frames)?.map;
        Ok(self.usual.worst(0, &maps, &patches, &self.counts))
    }

    /// The clip rebuilt, and how much less likely than usual each place of its last frame is, in nats per dimension of the features: the
    /// last frame that the static path sees, and the last that the dynamic one does, together. `[height, width]` of the
    /// maps.
    pub(super) fn unusual_in_last(
        &self,
        clip: &[f32],
        scratch: &mut Scratch,
    ) -> Result<(Vec<f32>, Vec<f32>), SystemError> {
        let (rebuilt, maps) = self.look(clip, scratch)?;
        let last =
            |values: &[f32], channels: usize| values[values.len() - channels * self.eyes.plane()..].to_vec();
        let appearance = self.flows[0].map(&last(&maps.appearance, STATIC), 1)?.map;
        let motion = self.flows[1].map(&last(&maps.motion, DYNAMIC), 1)?.map;
        let mut sum = self.usual.unusual(0, &appearance, &self.counts);
        sum.iter_mut().zip(self.usual.unusual(1, &motion, &self.counts)).for_each(|(sum, v)| *sum += v);
        Ok((rebuilt, sum))
    }
}

/// 1 for each place of a map of which at least half of the pixels count.
fn cells_that_count(counts: &[f32], format: InputFormat) -> Vec<f32> {
    let InputFormat { width, height, .. } = format;
    let columns = width / SHRINK;
    let mut cells = vec![0.0f32; columns * (height / SHRINK)];
    for (i, count) in counts.iter().enumerate() {
        cells[i / width / SHRINK * columns + i % width / SHRINK] += count;
    }
    let half = (SHRINK * SHRINK) as f32 / 2.0;
    cells.iter().map(|&count| if count >= half { 1.0 } else { 0.0 }).collect()
}

/// Takes the arrays of the flows out of a file.
pub(super) fn take_state(file: &mut WeightFile) -> Vec<NamedTensor> {
    let ours = |name: &String| PARTS.iter().any(|part| name.starts_with(&format!("{part}.")));
    let names: Vec<String> = file.tensors.keys().filter(|name| ours(name)).cloned().collect();
    let take = |name: String| {
        let (shape, values) = file.tensors.remove(&name)?;
        Some(NamedTensor { name, shape, values })
    };
    names.into_iter().filter_map(take).collect()
}

/// Flows with the given values.
pub(super) fn load(flows: [Glow; 2], state: Vec<NamedTensor>) -> Result<[Glow; 2], SystemError> {
    let [appearance, motion] = flows;
    let [a, m] = by_part(PARTS, state).map_err(NnError::from)?;
    let appearance = appearance.load_state_dict(a).map_err(NnError::from)?;
    Ok([appearance, motion.load_state_dict(m).map_err(NnError::from)?])
}
