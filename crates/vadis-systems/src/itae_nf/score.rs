//! Scoring (Eq. 12–14): the worst patch of the error between a frame and its reconstruction, over all clips that hold
//! the frame.

use std::sync::{Mutex, PoisonError};

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use vadis_kernels::volume::{Scales, Scratch};
use vadis_nn::NnError;
use vadis_nn::networks::{FrozenItae, Itae as Network};
use vadis_nn::segment::{NamedTensor, StateDict};
use vadis_nn::weights::WeightFile;
use vadis_video::Frame;

use super::flow::{Flows, Unlikely};
use super::maps::SHRINK;
use super::{FlowConfig, ItaeConfig, Settings, Variant};
use crate::clips::put_frame;
use crate::frames::to_planes;
use crate::model_file::{COUNTS, counts_in, input_format, network_weights, parse, put_format};
use crate::patches::{Patches, box_blur, cells};
use crate::sliding::{ClipJudge, Judged, Sliding, SlidingScorer};
use crate::spent::Spent;
use crate::store::check_format;
use crate::{Explanation, InputFormat, Model, Scorer, Statistics, SystemError};

/// Indicators of an autoencoder: R of Eq. 12.
const RECONSTRUCTION: [&str; 1] = ["reconstruction"];
/// Indicators with flows: R; the negative log-likelihoods of both paths in nats per dimension, together and each; and
/// R with one of them, for the ablations.
const WITH_FLOWS: [&str; 6] = [
    "reconstruction",
    "likelihood",
    "likelihood_static",
    "likelihood_dynamic",
    "with_static",
    "with_dynamic",
];
/// Where the time goes.
const PARTS: [&str; 4] = ["network", "static flow", "dynamic flow", "patches"];
/// Places in it.
pub(super) const NETWORK: usize = 0;
pub(super) const STATIC_FLOW: usize = 1;
pub(super) const DYNAMIC_FLOW: usize = 2;
const PATCHES: usize = 3;
/// What a model file has beside the weights.
const SCALES: &str = "int8.scales";
/// Largest side and clip of a model file.
const MOST: usize = 4096;

/// The network packed for scoring: alone, or giving the features too that its flows look at.
#[derive(Debug)]
enum Sight {
    Rebuilt(FrozenItae),
    Judged(Box<Flows>),
}

/// A trained model of a variant.
#[derive(Debug)]
pub struct ItaeModel {
    variant: Variant,
    config: ItaeConfig,
    format: InputFormat,
    weights: Vec<NamedTensor>,
    sight: Sight,
    counts: Vec<f32>,
    /// What bytes stand for; models of earlier versions have none.
    scales: Option<Scales>,
    statistics: Statistics,
    spent: Spent<4>,
    /// Memory of the network, used again from clip to clip.
    scratch: Mutex<Scratch>,
}

impl ItaeModel {
    pub(super) fn new(
        variant: Variant,
        config: ItaeConfig,
        format: InputFormat,
        network: &Network,
        counts: Vec<f32>,
        flows: Option<Flows>,
    ) -> Result<Self, SystemError> {
        let sight = match flows {
            Some(flows) => Sight::Judged(Box::new(flows)),
            None => Sight::Rebuilt(network.frozen()?),
        };
        Ok(Self {
            variant,
            config,
            format,
            weights: network.state_dict(),
            sight,
            counts,
            scales: None,
            statistics: Statistics::default(),
            spent: Spent::new(PARTS),
            scratch: Mutex::default(),
        })
    }

    fn flows(&self) -> Option<&Flows> {
        match &self.sight {
            Sight::Rebuilt(_) => None,
            Sight::Judged(flows) => Some(flows),
        }
    }

    fn settings(&self) -> Settings {
        Settings { itae: self.config.clone(), flow: self.flows().map(|flows| flows.config.clone()) }
    }

    pub(super) fn set_statistics(&mut self, statistics: Statistics) {
        self.statistics = statistics;
    }

    pub(super) fn set_scales(&mut self, scales: Scales) {
        self.scales = Some(scales);
    }

    /// The network with the model's weights.
    fn network(&self) -> Result<Network, SystemError> {
        let untrained = untrained(self.variant, &self.config, self.format)?;
        Ok(untrained.load_state_dict(self.weights.clone()).map_err(NnError::from)?)
    }

    /// A model from the file that [`Model::to_file`] made.
    ///
    /// # Errors
    /// [`SystemError::Model`] for missing or unreadable metadata, [`SystemError::Nn`] for wrong weights.
    pub fn from_file(variant: Variant, file: &WeightFile) -> Result<Self, SystemError> {
        let config: ItaeConfig = parse(file, "config")?;
        let flow: Option<FlowConfig> = match variant {
            Variant::WithFlows => Some(parse(file, "config")?),
            _ => None,
        };
        Settings { itae: config.clone(), flow: flow.clone() }.check()?;
        let format = input_format(file, 16..=MOST)?;
        let counts = counts_in(file, format)?;
        let mut rest = file.clone();
        let flows =
            flow.map(|flow| Ok::<_, SystemError>((flow.clone(), Flows::take(&flow, &mut rest, format)?)));
        let flows = flows.transpose()?;
        let needed = variant.network(&config, format).value_count()?;
        let weights = network_weights(&rest, needed, |name| ![COUNTS, SCALES].contains(&name))?;
        let network = untrained(variant, &config, format)?;
        let network = network.load_state_dict(weights).map_err(NnError::from)?;
        let scales = file.tensors.get(SCALES);
        let scales = scales.map(|(_, values)| Scales::from_values(network.network.plan(), values));
        let flows = flows.map(|(flow, (flows, scales, usual))| {
            Ok::<_, SystemError>(
                Flows::new(flow, &network, &flows, scales, (format, &counts))?.with_usual(usual),
            )
        });
        let mut model = Self::new(variant, config, format, &network, counts, flows.transpose()?)?;
        model.statistics = parse(file, "statistics")?;
        model.scales = scales.transpose().map_err(NnError::from)?;
        Ok(model)
    }

    /// The clip rebuilt, `[channels, length, height, width]` in [−1, 1].
    fn rebuild(&self, clip: &[f32]) -> Result<Vec<f32>, SystemError> {
        let mut scratch = self.scratch.lock().unwrap_or_else(PoisonError::into_inner);
        match &self.sight {
            Sight::Rebuilt(network) => Ok(self.spent.on(NETWORK, || network.run(clip, 1, &mut scratch))?),
            Sight::Judged(flows) => flows.rebuild(clip, &mut scratch),
        }
    }

    /// The clip rebuilt, and where its last frame is less likely than usual, both flows together.
    fn see_last(&self, clip: &[f32]) -> Result<(Vec<f32>, Option<Vec<f32>>), SystemError> {
        let Some(flows) = self.flows() else { return Ok((self.rebuild(clip)?, None)) };
        let mut scratch = self.scratch.lock().unwrap_or_else(PoisonError::into_inner);
        let (rebuilt, map) = flows.unusual_in_last(clip, &mut scratch)?;
        let InputFormat { width, height, .. } = self.format;
        let columns = width / SHRINK;
        let at = |pixel: usize| map[pixel / width / SHRINK * columns + pixel % width / SHRINK];
        let map: Vec<f32> = (0..width * height).map(|i| at(i) * self.counts[i]).collect();
        // A map's cells are as wide as this, and squares of them share their value.
        Ok((rebuilt, Some(box_blur(&map, height, width, SHRINK))))
    }

    /// The clip rebuilt, and how unlikely its static and its dynamic feature frames are, where there are flows.
    fn see(&self, clip: &[f32]) -> Result<(Vec<f32>, [Vec<f32>; 2]), SystemError> {
        let Some(flows) = self.flows() else { return Ok((self.rebuild(clip)?, Default::default())) };
        let mut scratch = self.scratch.lock().unwrap_or_else(PoisonError::into_inner);
        let Unlikely { rebuilt, appearance, motion } = flows.judge(clip, &mut scratch, &self.spent)?;
        Ok((rebuilt, [appearance, motion]))
    }

    /// The score and the indicators anew, of the indicators that a frame has.
    pub(super) fn retold(&self, indicators: &[f64]) -> (f64, Vec<f64>) {
        match indicators {
            [reconstruction, _, appearance, motion, ..] => {
                self.tell(vec![*reconstruction, *appearance, *motion])
            }
            _ => self.tell(indicators.to_vec()),
        }
    }

    /// |I − Î| of frame `t` for pixels in [0, 1], mean over the channels; 0 where a pixel does not count.
    fn error(&self, clip: &[f32], rebuilt: &[f32], t: usize) -> Vec<f32> {
        let channels = self.format.colour.channels();
        let plane = self.counts.len();
        let share = 0.5 / channels as f32;
        let mut error = vec![0.0f32; plane];
        for c in 0..channels {
            let at = (c * self.config.clip + t) * plane;
            let pairs = clip[at..at + plane].iter().zip(&rebuilt[at..at + plane]);
            error.iter_mut().zip(pairs).for_each(|(e, (x, y))| *e += share * (x - y).abs());
        }
        error.iter_mut().zip(&self.counts).for_each(|(e, count)| *e *= count);
        error
    }
}

/// The network of a variant, with weights that are to be replaced.
fn untrained(variant: Variant, config: &ItaeConfig, format: InputFormat) -> Result<Network, SystemError> {
    let device = burn::tensor::Device::default();
    Ok(variant.network(config, format).init(&device, &mut ChaCha8Rng::seed_from_u64(0))?)
}

impl ClipJudge for ItaeModel {
    fn format(&self) -> InputFormat {
        self.format
    }

    fn sliding(&self) -> Sliding {
        Sliding { length: self.config.clip, stride: self.config.score_stride }
    }

    fn columns(&self) -> usize {
        if self.flows().is_some() { 3 } else { 1 }
    }

    fn planes(&self, frame: &[u8]) -> Vec<f32> {
        to_planes(frame, self.format, &self.counts)
    }

    fn judge(&self, clip: &[f32]) -> Result<Vec<Judged>, SystemError> {
        let (rebuilt, [appearance, motion]) = self.see(clip)?;
        let InputFormat { width, height, .. } = self.format;
        let patches = Patches::new(height, width, self.config.patch, &self.counts);
        // The static path sees every fourth frame alone.
        let every = self.config.clip / appearance.len().max(1);
        let judge = |t: usize| {
            let error = self.error(clip, &rebuilt, t);
            let tap = appearance.get(t / every).filter(|_| t.is_multiple_of(every));
            let likelihoods = [tap, motion.get(t)].map(|nll| nll.map(|&nll| f64::from(nll)));
            let worst = Some(patches.worst_mean(&error));
            let columns = std::iter::once(worst).chain(likelihoods).take(self.columns()).collect();
            Judged { columns, heat: box_blur(&error, height, width, self.config.patch / 2) }
        };
        Ok(self.spent.on(PATCHES, || (0..self.config.clip).into_par_iter().map(judge).collect()))
    }

    /// Eq. 14 with both terms standardised by held-out normal footage and weight 1 (ours: the paper adds 0.1 to 0.7 of
    /// a likelihood that is scaled to [0, 1] over the video, chosen on test labels).
    fn tell(&self, columns: Vec<f64>) -> (f64, Vec<f64>) {
        let &[reconstruction, appearance, motion] = columns.as_slice() else { return (columns[0], columns) };
        let likelihood = appearance + motion;
        let error = self.statistics.standardised("reconstruction", reconstruction);
        let with = |column: &str, value: f64| error + self.statistics.standardised(column, value);
        let ablations = [with("likelihood_static", appearance), with("likelihood_dynamic", motion)];
        let indicators = [reconstruction, likelihood, appearance, motion].into_iter().chain(ablations);
        (with("likelihood", likelihood), indicators.collect())
    }
}

impl Model for ItaeModel {
    fn system(&self) -> &'static str {
        self.variant.key()
    }

    fn config(&self) -> serde_json::Value {
        self.settings().value()
    }

    fn input(&self) -> InputFormat {
        self.format
    }

    fn delay(&self) -> usize {
        self.config.clip - 1
    }

    fn indicators(&self) -> &[&'static str] {
        if self.flows().is_some() { &WITH_FLOWS } else { &RECONSTRUCTION }
    }

    fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    fn heat_unit(&self) -> &'static str {
        "mean absolute error of the patch around a pixel, for pixels in [0, 1]"
    }

    fn scorer(&self) -> Box<dyn Scorer + '_> {
        Box::new(SlidingScorer::new(self))
    }

    fn spent(&self) -> Vec<(&'static str, f64)> {
        self.spent.seconds()
    }

    fn score_in_bytes(&mut self) -> Result<(), SystemError> {
        let Some(scales) = &self.scales else {
            return Err(SystemError::NotInBytes { system: self.system() });
        };
        let network = self.network()?;
        match &mut self.sight {
            Sight::Rebuilt(sight) => *sight = network.frozen_by(scales)?,
            Sight::Judged(flows) => flows.look_in_bytes(&network, scales)?,
        }
        Ok(())
    }

    fn to_file(&self) -> WeightFile {
        let mut file = WeightFile::default();
        let flows = self.flows().into_iter().flat_map(Flows::state);
        self.weights.iter().cloned().chain(flows).for_each(|t| file.insert(t));
        put_format(&mut file, self.format, &self.counts);
        if let Some(scales) = &self.scales {
            let values = scales.values();
            file.insert(NamedTensor { name: SCALES.to_owned(), shape: vec![values.len() / 2, 2], values });
        }
        file
    }

    /// The last frame as the clip that ends with it rebuilds it. The latent is the reconstruction's error on a grid
    /// of 8×8 cells, by which events of one kind and place are alike.
    fn explain(&self, frames: &[Frame]) -> Result<Explanation, SystemError> {
        let Some(last) = frames.last() else {
            return Err(SystemError::TooFewFrames { got: 0, needed: 1, system: self.variant.key() });
        };
        frames.iter().try_for_each(|frame| check_format(frame, self.format))?;
        let (length, channels) = (self.config.clip, self.format.colour.channels());
        let mut clip = vec![0.0; length * self.format.frame_bytes()];
        for t in 0..length {
            // What is missing before the first frame stands still.
            let place = (frames.len() + t).saturating_sub(length).min(frames.len() - 1);
            put_frame(&mut clip, t, &ClipJudge::planes(self, &frames[place].data), [channels, length]);
        }
        let (rebuilt, unlikely) = self.see_last(&clip)?;
        let plane = self.counts.len();
        let byte = |i: usize| {
            let value = rebuilt[((i % channels) * length + length - 1) * plane + i / channels];
            ((value + 1.0) * 127.5).round().clamp(0.0, 255.0) as u8
        };
        let data = (0..plane * channels).map(byte).collect();
        let InputFormat { width, height, .. } = self.format;
        let latent = cells(&self.error(&clip, &rebuilt, length - 1), width, height);
        Ok(Explanation { reconstruction: Some(Frame { data, ..last.clone() }), latent, unlikely })
    }
}

#[cfg(test)]
mod tests {
    use vadis_video::Colour;

    use super::*;
    use crate::Preset;

    fn model(colour: Colour, counts: Vec<f32>) -> ItaeModel {
        let format = InputFormat { width: 24, height: 16, colour };
        let config = ItaeConfig::preset(Preset::Tiny);
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let network =
            Variant::TwoPath.network(&config, format).init(&burn::tensor::Device::default(), &mut rng);
        ItaeModel::new(Variant::TwoPath, config, format, &network.unwrap(), counts, None).unwrap()
    }

    /// Eq. 12 by plain loops, the error of a colour frame being the mean over its channels.
    #[test]
    fn a_frames_score_is_its_worst_patch() {
        for (colour, ignored) in [(Colour::Grey, 0), (Colour::Rgb, 24 * 3)] {
            let mut counts = vec![1.0; 24 * 16];
            counts[..ignored].fill(0.0);
            let model = model(colour, counts.clone());
            let (channels, length, plane) = (colour.channels(), model.config.clip, 24 * 16);
            let clip: Vec<f32> =
                (0..channels * length * plane).map(|i| ((i * 7919) % 201) as f32 / 100.0 - 1.0).collect();
            let rebuilt = model.rebuild(&clip).unwrap();
            let judged = model.judge(&clip).unwrap();
            for (t, judged) in judged.iter().enumerate() {
                let error = |pixel: usize| {
                    let at = |c: usize| (c * length + t) * plane + pixel;
                    let sum: f64 = (0..channels)
                        .map(|c| f64::from((clip[at(c)] - rebuilt[at(c)]).abs()) / 2.0 / channels as f64)
                        .sum();
                    sum * f64::from(counts[pixel])
                };
                let mut worst = 0.0f64;
                for (top, left) in (0..=16 - 8).flat_map(|y| (0..=24 - 8).map(move |x| (y, x))) {
                    let pixels = (0..64).map(|i| (top + i / 8) * 24 + left + i % 8);
                    let area: f64 = pixels.clone().map(|p| f64::from(counts[p])).sum();
                    if area >= 32.0 {
                        worst = worst.max(pixels.map(error).sum::<f64>() / area);
                    }
                }
                let got = judged.columns[0].unwrap();
                assert!((got - worst).abs() < 1e-6, "frame {t}: {got} against {worst}");
                assert!((0.0..=1.0).contains(&got) && judged.heat.len() == plane);
            }
        }
    }
}
