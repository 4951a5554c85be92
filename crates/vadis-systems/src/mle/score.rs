//! Scoring: a frame's score is 1 − PCC of the frame and its reconstruction, or another named column.
//!
//! The delay is 0 and nothing is remembered between frames, so the causal form is the score itself.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use vadis_nn::segment::NamedTensor;
use vadis_nn::weights::WeightFile;
use vadis_video::Frame;

use super::network::{Autoencoder, Frozen};
use super::quality::{Quality, QualityReference};
use super::{MleConfig, ScoreKind};
use crate::frames::to_unit;
use crate::model_file::{input_format, network_weights, parse};
use crate::store::check_format;
use crate::{Explanation, FrameStore, InputFormat, Model, Scored, Scorer, Statistics, SystemError};

/// Frames that go through the network together.
const CHUNK: usize = 64;

/// A trained `mle` model.
#[derive(Debug)]
pub struct MleModel {
    config: MleConfig,
    format: InputFormat,
    weights: Vec<NamedTensor>,
    network: Frozen,
    reference: QualityReference,
    statistics: Statistics,
}

impl MleModel {
    pub(super) fn new(
        config: MleConfig,
        format: InputFormat,
        network: &Autoencoder,
        reference: QualityReference,
    ) -> Result<Self, SystemError> {
        let weights = network.named_parameters();
        let statistics = Statistics::default();
        Ok(Self { config, format, weights, network: network.freeze()?, reference, statistics })
    }

    pub(super) fn set_statistics(&mut self, statistics: Statistics) {
        self.statistics = statistics;
    }

    /// Each pixel's usual error and the frames' usual variance over the frames at `places`. Returns the share
    /// of the frames' variance about their background that the network explains.
    pub(super) fn learn_usual_error(
        &mut self,
        footage: &FrameStore,
        places: &[usize],
    ) -> Result<f64, SystemError> {
        let plane = self.reference.counts.len();
        let mut usual = vec![0.0f64; plane];
        let (mut variance, mut about_background, mut error_sum) = (0.0, 0.0, 0.0);
        for &place in places {
            let x = to_unit(&footage.read(&[place])?, self.format, &self.reference.counts);
            let (_, y) = self.network.run(&x, 1)?;
            let error = self.reference.squared_error(&x, &y);
            usual.iter_mut().zip(&error).for_each(|(u, &e)| *u += f64::from(e) / places.len() as f64);
            error_sum += error.iter().map(|&e| f64::from(e)).sum::<f64>();
            let around = self.reference.squared_error(&x, &self.reference.background);
            about_background += around.iter().map(|&e| f64::from(e)).sum::<f64>();
            variance += frame_variance(&x) / places.len() as f64;
        }
        self.reference.usual_error = usual.iter().map(|&u| u as f32).collect();
        self.reference.variance = variance as f32;
        Ok(1.0 - error_sum / about_background.max(1e-12))
    }

    /// The quality of consecutive frames, rebuilt together.
    fn assess(&self, frames: &[Frame]) -> Result<Vec<Quality>, SystemError> {
        let size = self.format.frame_bytes();
        let mut x = Vec::with_capacity(frames.len() * size);
        for frame in frames {
            check_format(frame, self.format)?;
            x.extend(to_unit(&frame.data, self.format, &self.reference.counts));
        }
        let (_, y) = self.network.run(&x, frames.len())?;
        let pairs = x.par_chunks(size).zip(y.par_chunks(size));
        Ok(pairs.map(|(x, y)| self.reference.assess(x, y)).collect())
    }

    /// A model from the file that [`Model::to_file`] made.
    ///
    /// # Errors
    /// [`SystemError::Model`] for missing or unreadable metadata, [`SystemError::Nn`] for wrong weights.
    pub fn from_file(file: &WeightFile) -> Result<Self, SystemError> {
        let config: MleConfig = parse(file, "config")?;
        config.check()?;
        let format = input_format(file, 1..=4096)?;
        let InputFormat { width, height, colour } = format;
        let channels = colour.channels();
        let array = |name: &str, len: usize| match file.values(name)? {
            values if values.len() == len => Ok(values.to_vec()),
            values => {
                let reason = format!("`{name}` has {} values, not {len}", values.len());
                Err(SystemError::Model { reason })
            }
        };
        let plane = width * height;
        let reference = QualityReference {
            shape: [channels, height, width],
            background: array("reference.background", channels * plane)?,
            usual_error: array("reference.usual_error", plane)?,
            counts: array("reference.counts", plane)?,
            variance: array("reference.variance", 1)?[0],
            patch: config.patch,
        };
        let needed = Autoencoder::parameter_count(&config, format)?;
        let weights = network_weights(file, needed, |name| !name.starts_with("reference."))?;
        let device = burn::tensor::Device::default();
        let network = Autoencoder::new(&config, format, &device, &mut ChaCha8Rng::seed_from_u64(0))?;
        let network = network.load_named(weights)?;
        let mut model = Self::new(config, format, &network, reference)?;
        model.statistics = parse(file, "statistics")?;
        Ok(model)
    }
}

fn frame_variance(x: &[f32]) -> f64 {
    let n = x.len() as f64;
    let mean = x.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
    x.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / n
}

impl Model for MleModel {
    fn system(&self) -> &'static str {
        "mle"
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
        &ScoreKind::NAMES
    }

    fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    fn heat_unit(&self) -> &'static str {
        "squared error of a pixel in [0, 1], mean over 5×5"
    }

    fn scorer(&self) -> Box<dyn Scorer + '_> {
        Box::new(MleScorer { model: self })
    }

    fn to_file(&self) -> WeightFile {
        let mut file = WeightFile::default();
        self.weights.iter().cloned().for_each(|t| file.insert(t));
        let QualityReference { shape: [c, h, w], background, usual_error, counts, variance, .. } =
            &self.reference;
        let mut reference = |name: &str, shape: Vec<usize>, values: Vec<f32>| {
            file.insert(NamedTensor { name: format!("reference.{name}"), shape, values });
        };
        reference("background", vec![*c, *h, *w], background.clone());
        reference("usual_error", vec![*h, *w], usual_error.clone());
        reference("counts", vec![*h, *w], counts.clone());
        reference("variance", vec![1], vec![*variance]);
        file.metadata.insert("input".to_owned(), format!("[{c},{h},{w}]"));
        file
    }

    fn explain(&self, frames: &[Frame]) -> Result<Explanation, SystemError> {
        let Some(frame) = frames.last() else {
            return Err(SystemError::TooFewFrames { got: 0, needed: 1, system: "mle" });
        };
        check_format(frame, self.format)?;
        let (latent, y) = self.network.run(&to_unit(&frame.data, self.format, &self.reference.counts), 1)?;
        let plane = self.format.width * self.format.height;
        let channels = self.format.colour.channels();
        let byte =
            |i: usize| (y[(i % channels) * plane + i / channels] * 255.0).round().clamp(0.0, 255.0) as u8;
        let data = (0..plane * channels).map(byte).collect();
        Ok(Explanation { reconstruction: Some(Frame { data, ..frame.clone() }), latent, unlikely: None })
    }
}

struct MleScorer<'a> {
    model: &'a MleModel,
}

impl Scorer for MleScorer<'_> {
    fn push(&mut self, frames: &[Frame], out: &mut Vec<Scored>) -> Result<(), SystemError> {
        let chosen = self.model.config.score.column();
        // A bounded part at a time, however many frames come at once.
        for part in frames.chunks(CHUNK) {
            for (frame, Quality { columns, heat }) in part.iter().zip(self.model.assess(part)?) {
                let score = columns[chosen];
                let (frame, time_s) = (frame.index, frame.time_s);
                let indicators = columns.to_vec();
                out.push(Scored { frame, time_s, score, causal: score, edge: false, indicators, heat });
            }
        }
        Ok(())
    }

    fn finish(&mut self, _out: &mut Vec<Scored>) -> Result<(), SystemError> {
        Ok(())
    }
}
