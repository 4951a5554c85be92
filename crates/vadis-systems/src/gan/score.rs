//! Scoring: the reconstruction error and the discriminator's doubt, each in deviations from its mean over held-out normal
//! footage.

use std::sync::{Mutex, PoisonError};

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use vadis_kernels::volume::Scratch;
use vadis_nn::NnError;
use vadis_nn::networks::{Cae, FrozenCae, FrozenPatchDiscriminator, PatchDiscriminator};
use vadis_nn::segment::{NamedTensor, StateDict, under};
use vadis_nn::weights::WeightFile;
use vadis_video::{Colour, Frame};

use super::{GanConfig, GanScore, KEY};
use crate::frames::{grey_bytes, to_unit};
use crate::model_file::{COUNTS, counts_in, input_format, network_weights, parse, put_format, take_part};
use crate::patches::{Patches, box_blur, cells};
use crate::store::check_format;
use crate::stream::{FrameJudge, StreamScorer, Told};
use crate::{Explanation, InputFormat, Model, Scorer, Statistics, SystemError};

/// What a frame is judged by: the mean squared error and its worst patch, the discriminator's mean doubt and its largest.
/// Then the scores that can be made of them.
const COLUMNS: [&str; 6] =
    ["reconstruction", "patch_reconstruction", "doubt", "patch_doubt", "with_frame", "with_patch"];
/// Columns that are measured; the others follow from them.
const MEASURED: usize = 4;
/// Before the names of the discriminator's weights.
const DISCRIMINATOR: &str = "discriminator";
/// Largest side of a model file.
const MOST: usize = 4096;

/// Both networks packed for scoring.
#[derive(Debug)]
pub(super) struct Judges {
    autoencoder: FrozenCae,
    discriminator: FrozenPatchDiscriminator,
    /// 1 for each pixel that counts.
    counts: Vec<f32>,
    counted: f64,
    /// Memory of the networks, used again from frame to frame.
    scratch: Mutex<([Scratch; 2], Scratch)>,
}

/// What is seen of one frame.
pub(super) struct Seen {
    rebuilt: Vec<f32>,
    /// Squared error of each pixel, 0 where one does not count.
    error: Vec<f32>,
    /// The discriminator's doubt at each of its places, ≥ 0.
    doubts: Vec<f32>,
    counted: f64,
}

impl Seen {
    /// The mean squared error of the pixels that count.
    pub(super) fn mean_error(&self) -> f64 {
        self.error.iter().map(|&e| f64::from(e)).sum::<f64>() / self.counted
    }

    fn mean_doubt(&self) -> f64 {
        self.doubts.iter().map(|&d| f64::from(d)).sum::<f64>() / self.doubts.len().max(1) as f64
    }

    fn worst_doubt(&self) -> f64 {
        f64::from(self.doubts.iter().copied().fold(0.0, f32::max))
    }
}

impl Judges {
    pub(super) fn new(
        autoencoder: &Cae,
        discriminator: &PatchDiscriminator,
        counts: Vec<f32>,
    ) -> Result<Self, SystemError> {
        let counted = counts.iter().map(|&c| f64::from(c)).sum::<f64>().max(1.0);
        let (autoencoder, discriminator) = (autoencoder.frozen()?, discriminator.frozen()?);
        Ok(Self { autoencoder, discriminator, counts, counted, scratch: Mutex::default() })
    }

    /// Looks at a frame in [0, 1].
    pub(super) fn look(&self, frame: &[f32]) -> Result<Seen, SystemError> {
        let mut scratch = self.scratch.lock().unwrap_or_else(PoisonError::into_inner);
        let rebuilt = self.autoencoder.run(frame, 1, &mut scratch.0)?;
        let real = self.discriminator.run(frame, 1, &mut scratch.1)?;
        let pixels = frame.iter().zip(&rebuilt).zip(&self.counts);
        let error = pixels.map(|((x, y), count)| (x - y) * (x - y) * count).collect();
        let doubts = real.iter().map(|real| (1.0 - real).max(0.0).powi(2)).collect();
        Ok(Seen { rebuilt, error, doubts, counted: self.counted })
    }
}

/// A trained model.
pub struct GanModel {
    config: GanConfig,
    format: InputFormat,
    /// Of both networks.
    weights: Vec<NamedTensor>,
    judges: Judges,
    patches: Patches,
    statistics: Statistics,
}

impl GanModel {
    pub(super) fn new(
        config: GanConfig,
        format: InputFormat,
        (autoencoder, discriminator): (&Cae, &PatchDiscriminator),
        counts: Vec<f32>,
    ) -> Result<Self, SystemError> {
        let patches = Patches::new(format.height, format.width, config.patch, &counts);
        let judges = Judges::new(autoencoder, discriminator, counts)?;
        let mut weights = autoencoder.state_dict();
        weights.extend(under(DISCRIMINATOR, discriminator));
        let statistics = Statistics::default();
        Ok(Self { config, format, weights, judges, patches, statistics })
    }

    pub(super) fn set_statistics(&mut self, statistics: Statistics) {
        self.statistics = statistics;
    }

    /// A model from the file that [`Model::to_file`] made.
    ///
    /// # Errors
    /// [`SystemError::Model`] for missing or unreadable metadata, [`SystemError::Nn`] for wrong weights.
    pub fn from_file(file: &WeightFile) -> Result<Self, SystemError> {
        let config: GanConfig = parse(file, "config")?;
        config.check()?;
        let format = input_format(file, 8..=MOST)?;
        let counts = counts_in(file, format)?;
        if format.colour != Colour::Grey {
            return Err(SystemError::Model { reason: "its arrays do not fit its input".to_owned() });
        }
        let (device, rng) = (burn::tensor::Device::default(), || ChaCha8Rng::seed_from_u64(0));
        let is_doubting = |name: &str| name.starts_with(DISCRIMINATOR);
        let autoencoder = config.autoencoder(format);
        let weights =
            network_weights(file, autoencoder.value_count()?, |name| name != COUNTS && !is_doubting(name))?;
        let autoencoder =
            autoencoder.init(&device, &mut rng())?.load_state_dict(weights).map_err(NnError::from)?;
        let discriminator = config.discriminator(format);
        let mut weights = network_weights(file, discriminator.value_count()?, is_doubting)?;
        let weights = take_part(&mut weights, DISCRIMINATOR);
        let discriminator =
            discriminator.init(&device, &mut rng())?.load_state_dict(weights).map_err(NnError::from)?;
        let mut model = Self::new(config, format, (&autoencoder, &discriminator), counts)?;
        model.statistics = parse(file, "statistics")?;
        Ok(model)
    }

    /// The score and the indicators, of the measured ones.
    pub(super) fn tell(&self, measured: &[f64]) -> (f64, Vec<f64>) {
        let term = |column: usize| self.statistics.standardised(COLUMNS[column], measured[column]);
        let both = |error: usize, doubt: usize| term(error) + self.config.doubt * term(doubt);
        let scores = [both(0, 2), both(1, 3)];
        let score = match self.config.score {
            GanScore::Frame => scores[0],
            GanScore::Patch => scores[1],
        };
        (score, measured[..MEASURED].iter().copied().chain(scores).collect())
    }
}

impl FrameJudge for GanModel {
    /// A frame is judged by itself.
    type Memory = ();

    fn format(&self) -> InputFormat {
        self.format
    }

    fn columns(&self) -> usize {
        COLUMNS.len()
    }

    fn lag(&self) -> usize {
        0
    }

    fn memory(&self) -> Result<(), SystemError> {
        Ok(())
    }

    fn see(&self, _memory: &mut (), frame: &Frame) -> Result<Option<Told>, SystemError> {
        let seen = self.judges.look(&to_unit(&frame.data, self.format, &self.judges.counts))?;
        let worst_error = self.patches.worst_mean(&seen.error);
        let measured = [seen.mean_error(), worst_error, seen.mean_doubt(), seen.worst_doubt()];
        let (score, indicators) = self.tell(&measured);
        let InputFormat { width, height, .. } = self.format;
        let heat = box_blur(&seen.error, height, width, self.config.patch / 4);
        Ok(Some(Told { score, indicators, heat, edge: false }))
    }
}

impl Model for GanModel {
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
        self.lag()
    }

    fn indicators(&self) -> &[&'static str] {
        &COLUMNS
    }

    fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    fn heat_unit(&self) -> &'static str {
        "squared error around a pixel in [0, 1]"
    }

    fn scorer(&self) -> Box<dyn Scorer + '_> {
        Box::new(StreamScorer::new(self))
    }

    fn to_file(&self) -> WeightFile {
        let mut file = WeightFile::default();
        self.weights.iter().cloned().for_each(|tensor| file.insert(tensor));
        put_format(&mut file, self.format, &self.judges.counts);
        file
    }

    /// The last frame as it is rebuilt. The latent is the error on a grid of 8×8 cells, by which events of one kind and
    /// place are alike.
    fn explain(&self, frames: &[Frame]) -> Result<Explanation, SystemError> {
        let Some(last) = frames.last() else {
            return Err(SystemError::TooFewFrames { got: 0, needed: 1, system: KEY });
        };
        check_format(last, self.format)?;
        let seen = self.judges.look(&to_unit(&last.data, self.format, &self.judges.counts))?;
        let InputFormat { width, height, .. } = self.format;
        Ok(Explanation {
            latent: cells(&seen.error, width, height),
            reconstruction: Some(Frame { data: grey_bytes(&seen.rebuilt), ..last.clone() }),
            unlikely: None,
        })
    }
}
