//! Scoring: a frame's negative log-likelihood, and where in the frame it is more than usual. The delay is 0.

use burn::tensor::Device;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use vadis_nn::NnError;
use vadis_nn::networks::{FrozenGlow, Glow};
use vadis_nn::segment::{NamedTensor, StateDict};
use vadis_nn::weights::WeightFile;
use vadis_video::Frame;

use super::{KEY, NfFramesConfig, ScoreKind};
use crate::frames::{above_usual, to_unit};
use crate::model_file::{input_format, parse};
use crate::patches::{Patches, box_blur, cells};
use crate::store::check_format;
use crate::{Explanation, InputFormat, Model, Scored, Scorer, Statistics, SystemError};

const COLUMNS: [&str; 2] = ["likelihood", "patch_likelihood"];
/// What a model file has beside the flow: which pixels count, the pixels' scales, the usual map.
const ARRAYS: [&str; 3] = ["reference.counts", "reference.scales", "reference.usual"];
/// Sides of a model file's frames.
const SIDES: std::ops::RangeInclusive<usize> = 2..=4096;

/// Mean and deviation of each channel's pixels in [0, 1] over training footage.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Scales(Vec<[f32; 2]>);

impl Scales {
    /// Of frames one after another.
    pub(super) fn of(bytes: &[u8], format: InputFormat, counts: &[f32]) -> Self {
        let channels = format.colour.channels();
        let values = to_unit(bytes, format, counts);
        let scale = |channel: usize| {
            let planes = values.chunks_exact(counts.len()).skip(channel).step_by(channels);
            let counted =
                planes.flat_map(|plane| plane.iter().zip(counts)).filter(|(_, count)| **count > 0.0);
            let (mut n, mut sum, mut squares) = (0.0f64, 0.0, 0.0);
            for (value, _) in counted {
                let value = f64::from(*value);
                (n, sum, squares) = (n + 1.0, sum + value, squares + value * value);
            }
            let mean = sum / n.max(1.0);
            let variance = (squares / n.max(1.0) - mean * mean).max(0.0);
            // Black footage must not divide by nothing: a step of a byte at least.
            [mean as f32, (variance.sqrt() as f32).max(1.0 / 255.0)]
        };
        Self((0..channels).map(scale).collect())
    }

    /// What a step of a byte is in each channel.
    pub(super) fn steps(&self) -> Vec<f32> {
        self.0.iter().map(|[_, deviation]| 1.0 / (255.0 * deviation)).collect()
    }

    /// A frame as `[channels, height, width]`, standardised.
    pub(super) fn planes(&self, bytes: &[u8], format: InputFormat, counts: &[f32]) -> Vec<f32> {
        let mut planes = to_unit(bytes, format, counts);
        for (plane, [mean, deviation]) in planes.chunks_exact_mut(counts.len()).zip(&self.0) {
            plane.iter_mut().for_each(|v| *v = (*v - mean) / deviation);
        }
        planes
    }
}

/// A trained flow over frames.
#[derive(Debug)]
pub struct NfFramesModel {
    config: NfFramesConfig,
    format: InputFormat,
    state: Vec<NamedTensor>,
    flow: FrozenGlow,
    scales: Scales,
    counts: Vec<f32>,
    patches: Patches,
    /// Mean map of training frames, nats per dimension at each place.
    usual: Vec<f32>,
    statistics: Statistics,
}

impl NfFramesModel {
    pub(super) fn new(
        config: NfFramesConfig,
        format: InputFormat,
        flow: &Glow,
        scales: Scales,
        counts: Vec<f32>,
    ) -> Result<Self, SystemError> {
        let (usual, statistics) = (vec![0.0; counts.len()], Statistics::default());
        let (state, flow) = (flow.state_dict(), flow.frozen()?);
        let patches = Patches::new(format.height, format.width, config.patch, &counts);
        Ok(Self { config, format, state, flow, scales, counts, patches, usual, statistics })
    }

    /// Learns what is usual at each place from frames one after another.
    pub(super) fn learn_usual(&mut self, bytes: &[u8]) -> Result<(), SystemError> {
        let frames: Vec<&[u8]> = bytes.chunks_exact(self.format.frame_bytes()).collect();
        let mut usual = vec![0.0f32; self.counts.len()];
        for frame in &frames {
            let (_, map) = self.map(frame)?;
            usual.iter_mut().zip(map).for_each(|(usual, v)| *usual += v / frames.len() as f32);
        }
        self.usual = usual;
        Ok(())
    }

    pub(super) fn set_statistics(&mut self, statistics: Statistics) {
        self.statistics = statistics;
    }

    /// A model from the file that [`Model::to_file`] made.
    ///
    /// # Errors
    /// [`SystemError::Model`] for missing or unreadable metadata, [`SystemError::Nn`] for wrong weights.
    pub fn from_file(file: &WeightFile) -> Result<Self, SystemError> {
        let config: NfFramesConfig = parse(file, "config")?;
        config.check()?;
        let format = input_format(file, SIDES)?;
        let [counts, scales, usual] = ARRAYS.map(|name| file.values(name).map(<[f32]>::to_vec));
        let (counts, scales, usual) = (counts?, scales?, usual?);
        let (pairs, _) = scales.as_chunks::<2>();
        let pixels = format.width * format.height;
        let scaled = pairs.iter().all(|[mean, deviation]| mean.is_finite() && *deviation > 0.0);
        if [counts.len(), usual.len()] != [pixels; 2]
            || scales.len() != 2 * format.colour.channels()
            || !scaled
        {
            return Err(SystemError::Model { reason: "its arrays do not fit its input".to_owned() });
        }
        let flow = load(&config, format, file)?;
        let scales = Scales(pairs.to_vec());
        let statistics = parse(file, "statistics")?;
        Ok(Self { usual, statistics, ..Self::new(config, format, &flow, scales, counts)? })
    }

    /// Negative log-likelihood of a frame and its map, nats per dimension.
    fn map(&self, bytes: &[u8]) -> Result<(f64, Vec<f32>), SystemError> {
        let x = self.scales.planes(bytes, self.format, &self.counts);
        let told = self.flow.map(&x, 1)?;
        Ok((f64::from(told.nll.first().copied().unwrap_or_default()), told.map))
    }

    /// How much less likely each place is than usual, 0 where it is no less or does not count.
    fn unusual(&self, map: &[f32]) -> Vec<f32> {
        above_usual(map, &self.usual, &self.counts)
    }

    fn score(&self, frame: &Frame) -> Result<Scored, SystemError> {
        check_format(frame, self.format)?;
        let InputFormat { width, height, .. } = self.format;
        let (nll, map) = self.map(&frame.data)?;
        let unusual = self.unusual(&map);
        let worst = self.patches.worst_mean(&unusual);
        let score = match self.config.score {
            ScoreKind::Likelihood => nll,
            ScoreKind::PatchLikelihood => worst,
        };
        Ok(Scored {
            frame: frame.index,
            time_s: frame.time_s,
            score,
            causal: score,
            edge: false,
            indicators: vec![nll, worst],
            heat: box_blur(&unusual, height, width, self.config.patch / 2),
        })
    }
}

/// The flow of a model file. A file of a few bytes may name a flow of gigabytes: its own size decides.
fn load(config: &NfFramesConfig, format: InputFormat, file: &WeightFile) -> Result<Glow, SystemError> {
    let network = config.network(format);
    let mut rest = file.clone();
    ARRAYS.iter().for_each(|name| drop(rest.tensors.remove(*name)));
    let there: usize = rest.tensors.values().map(|(_, values)| values.len()).sum();
    if network.parameter_count().is_none_or(|needed| there < needed) {
        let reason = format!("its flow has {there} weights, fewer than its settings ask for");
        return Err(SystemError::Model { reason });
    }
    let flow = network.init(&Device::default(), &mut ChaCha8Rng::seed_from_u64(0))?;
    Ok(flow.load_weight_file(rest).map_err(NnError::from)?)
}

impl Model for NfFramesModel {
    fn system(&self) -> &'static str {
        KEY
    }

    fn config(&self) -> serde_json::Value {
        serde_json::to_value(&self.config).unwrap_or_default()
    }

    fn input(&self) -> InputFormat {
        self.format
    }

    fn delay(&self) -> usize {
        0
    }

    fn indicators(&self) -> &[&'static str] {
        &COLUMNS
    }

    fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    fn heat_unit(&self) -> &'static str {
        "how much less likely than usual at that place, nats per dimension, mean over the patch around a pixel"
    }

    fn scorer(&self) -> Box<dyn Scorer + '_> {
        Box::new(NfFramesScorer(self))
    }

    fn to_file(&self) -> WeightFile {
        let mut file = WeightFile::default();
        let InputFormat { width, height, colour } = self.format;
        let (plane, channels) = (vec![height, width], colour.channels());
        let arrays = [
            (plane.clone(), self.counts.clone()),
            (vec![channels, 2], self.scales.0.concat()),
            (plane, self.usual.clone()),
        ];
        let named = ARRAYS.iter().zip(arrays);
        let arrays =
            named.map(|(name, (shape, values))| NamedTensor { name: (*name).to_owned(), shape, values });
        arrays.chain(self.state.iter().cloned()).for_each(|tensor| file.insert(tensor));
        file.metadata.insert("input".to_owned(), format!("[{channels},{height},{width}]"));
        file
    }

    /// A flow rebuilds everything, so that there is no reconstruction to show. The latent is how unlikely each of 8×8
    /// cells is.
    fn explain(&self, frames: &[Frame]) -> Result<Explanation, SystemError> {
        let Some(frame) = frames.last() else {
            return Err(SystemError::TooFewFrames { got: 0, needed: 1, system: KEY });
        };
        check_format(frame, self.format)?;
        let (_, map) = self.map(&frame.data)?;
        let unlikely = self.unusual(&map);
        Ok(Explanation {
            reconstruction: None,
            latent: cells(&unlikely, self.format.width, self.format.height),
            unlikely: Some(unlikely),
        })
    }
}

struct NfFramesScorer<'a>(&'a NfFramesModel);

impl Scorer for NfFramesScorer<'_> {
    fn push(&mut self, frames: &[Frame], out: &mut Vec<Scored>) -> Result<(), SystemError> {
        let scored: Result<Vec<Scored>, SystemError> = frames.par_iter().map(|f| self.0.score(f)).collect();
        out.extend(scored?);
        Ok(())
    }

    fn finish(&mut self, _out: &mut Vec<Scored>) -> Result<(), SystemError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use vadis_video::Colour;

    use super::*;

    #[test]
    fn pixels_that_count_are_standardised() {
        let format = InputFormat { width: 4, height: 2, colour: Colour::Rgb };
        let mut counts = vec![1.0; 8];
        counts[0] = 0.0;
        let bytes: Vec<u8> = (0..2 * 8 * 3).map(|i| (i * 37 % 251) as u8).collect();
        let scales = Scales::of(&bytes, format, &counts);
        let planes: Vec<f32> =
            bytes.chunks_exact(24).flat_map(|frame| scales.planes(frame, format, &counts)).collect();
        for channel in 0..3 {
            let of_frame = |frame: usize| (frame * 3 + channel) * 8 + 1..(frame * 3 + channel + 1) * 8;
            let values: Vec<f32> = [0, 1].into_iter().flat_map(|f| planes[of_frame(f)].to_vec()).collect();
            let mean = values.iter().sum::<f32>() / 14.0;
            let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / 14.0;
            assert!(mean.abs() < 1e-5 && (variance - 1.0).abs() < 1e-4, "{mean} {variance}");
        }
        let black = Scales::of(&[0; 24], format, &counts);
        assert!(black.steps().iter().all(|step| (step - 1.0).abs() < 1e-6));
    }
}
