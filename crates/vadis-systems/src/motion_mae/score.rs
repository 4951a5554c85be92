//! Scoring: α·L_rec(t) + β·S_motion(t), each term in deviations from its mean over held-out normal footage.

use std::sync::{Mutex, PoisonError};

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use vadis_kernels::volume::Scratch;
use vadis_nn::NnError;
use vadis_nn::networks::{Cae, FrozenCae};
use vadis_nn::segment::{NamedTensor, StateDict};
use vadis_nn::weights::WeightFile;
use vadis_video::{Colour, Frame};

use super::mask::{Blocks, motion_gradient, motion_weights};
use super::{MotionMaeConfig, Passes, ScoreKind, Variant};
use crate::frames::{grey_bytes, to_unit};
use crate::model_file::{input_format, network_weights, parse};
use crate::patches::{Patches, box_blur, cells};
use crate::store::check_format;
use crate::stream::{FrameJudge, StreamScorer, Told};
use crate::{Explanation, InputFormat, Model, Scorer, Statistics, SystemError};

/// What a frame is judged by: the mean squared error of the predicted pixels, the same weighted by motion, the worst
/// patch of each and of the motion gradient. Then the scores that can be made of them.
const COLUMNS: [&str; 8] = [
    "reconstruction",
    "motion",
    "patch_reconstruction",
    "patch_motion",
    "patch_gradient",
    "with_frame",
    "with_patch",
    "with_gradient",
];
/// Columns that are measured; the others follow from them.
const MEASURED: usize = 5;
/// What a model file has beside the weights.
const COUNTS: &str = "reference.counts";
/// Largest side of a model file.
const MOST: usize = 4096;

/// The network packed for scoring, with its masks.
#[derive(Debug)]
pub(super) struct Predictor {
    network: FrozenCae,
    counts: Vec<f32>,
    /// 1 where a pass hides a pixel.
    masks: Vec<Vec<f32>>,
    /// 1 where some pass predicts a pixel that counts.
    predicted: Vec<f32>,
    epsilon: f32,
    /// Memory of the network, used again from frame to frame.
    scratch: Mutex<[Scratch; 2]>,
}

/// What is seen of one frame, each a plane.
pub(super) struct Seen {
    rebuilt: Vec<f32>,
    /// Squared error, 0 where nothing is predicted.
    error: Vec<f32>,
    /// The same weighted by motion.
    motion: Vec<f32>,
    gradient: Vec<f32>,
    predicted: f64,
}

impl Seen {
    /// L_rec: the mean squared error of the predicted pixels.
    pub(super) fn mean_error(&self) -> f64 {
        self.error.iter().map(|&e| f64::from(e)).sum::<f64>() / self.predicted
    }

    /// S_motion as L_motion: the mean weighted squared error.
    pub(super) fn mean_motion(&self) -> f64 {
        self.motion.iter().map(|&e| f64::from(e)).sum::<f64>() / self.predicted
    }
}

impl Predictor {
    pub(super) fn new(
        config: &MotionMaeConfig,
        format: InputFormat,
        network: &Cae,
        counts: Vec<f32>,
    ) -> Result<Self, SystemError> {
        let InputFormat { width, height, .. } = format;
        let mut masks = Blocks { width, height, side: config.block }.complementary(config.mask_ratio);
        if config.passes == Passes::Single {
            masks.truncate(1);
        }
        // A network from which nothing is hidden predicts all.
        let all = config.mask_ratio == 0.0 || config.passes == Passes::Complementary;
        let predicted = match all {
            true => counts.clone(),
            false => counts.iter().zip(&masks[0]).map(|(count, hidden)| count * hidden).collect(),
        };
        let (network, epsilon) = (network.frozen()?, config.epsilon);
        Ok(Self { network, counts, masks, predicted, epsilon, scratch: Mutex::default() })
    }

    /// Every pixel as the pass that hides it predicts it; the others as they are rebuilt.
    fn rebuild(&self, frame: &[f32]) -> Result<Vec<f32>, SystemError> {
        let visible = |mask: &Vec<f32>| {
            frame.iter().zip(mask).map(|(v, hidden)| v * (1.0 - hidden)).collect::<Vec<f32>>()
        };
        let input: Vec<f32> = self.masks.iter().flat_map(visible).collect();
        let mut scratch = self.scratch.lock().unwrap_or_else(PoisonError::into_inner);
        let output = self.network.run(&input, self.masks.len(), &mut scratch)?;
        let mut passes = output.chunks_exact(frame.len());
        let mut rebuilt = passes.next().map(<[f32]>::to_vec).unwrap_or_default();
        for (pass, mask) in passes.zip(&self.masks[1..]) {
            let pixels = rebuilt.iter_mut().zip(pass.iter().zip(mask));
            pixels.filter(|(_, (_, hidden))| **hidden > 0.0).for_each(|(to, (from, _))| *to = *from);
        }
        Ok(rebuilt)
    }

    /// Looks at `frame` between two others, all planes in [0, 1].
    pub(super) fn look(&self, before: &[f32], frame: &[f32], after: &[f32]) -> Result<Seen, SystemError> {
        let rebuilt = self.rebuild(frame)?;
        let gradient = motion_gradient(before, after, &self.counts);
        let weights = motion_weights(&gradient, &self.counts, self.epsilon);
        let error: Vec<f32> = frame
            .iter()
            .zip(&rebuilt)
            .zip(&self.predicted)
            .map(|((x, y), predicted)| (x - y) * (x - y) * predicted)
            .collect();
        let motion = error.iter().zip(&weights).map(|(e, w)| e * w).collect();
        let predicted = self.predicted.iter().map(|&p| f64::from(p)).sum::<f64>().max(1.0);
        Ok(Seen { rebuilt, error, motion, gradient, predicted })
    }
}

/// A trained model of a variant.
pub struct MotionMaeModel {
    variant: Variant,
    config: MotionMaeConfig,
    format: InputFormat,
    weights: Vec<NamedTensor>,
    predictor: Predictor,
    patches: Patches,
    statistics: Statistics,
}

impl MotionMaeModel {
    pub(super) fn new(
        variant: Variant,
        config: MotionMaeConfig,
        format: InputFormat,
        network: &Cae,
        counts: Vec<f32>,
    ) -> Result<Self, SystemError> {
        let patches = Patches::new(format.height, format.width, config.patch, &counts);
        let predictor = Predictor::new(&config, format, network, counts)?;
        let (weights, statistics) = (network.state_dict(), Statistics::default());
        Ok(Self { variant, config, format, weights, predictor, patches, statistics })
    }

    pub(super) fn set_statistics(&mut self, statistics: Statistics) {
        self.statistics = statistics;
    }

    /// A model from the file that [`Model::to_file`] made.
    ///
    /// # Errors
    /// [`SystemError::Model`] for missing or unreadable metadata, [`SystemError::Nn`] for wrong weights.
    pub fn from_file(variant: Variant, file: &WeightFile) -> Result<Self, SystemError> {
        let config: MotionMaeConfig = parse(file, "config")?;
        config.check()?;
        let format = input_format(file, 8..=MOST)?;
        let counts = file.values(COUNTS)?.to_vec();
        if format.colour != Colour::Grey || counts.len() != format.width * format.height {
            return Err(SystemError::Model { reason: "its arrays do not fit its input".to_owned() });
        }
        let network = config.network(format);
        let weights = network_weights(file, network.value_count()?, |name| name != COUNTS)?;
        let network = network.init(&burn::tensor::Device::default(), &mut ChaCha8Rng::seed_from_u64(0))?;
        let network = network.load_state_dict(weights).map_err(NnError::from)?;
        let mut model = Self::new(variant, config, format, &network, counts)?;
        model.statistics = parse(file, "statistics")?;
        Ok(model)
    }

    /// The score and the indicators, of the measured ones.
    pub(super) fn tell(&self, measured: &[f64]) -> (f64, Vec<f64>) {
        let MotionMaeConfig { alpha, beta, .. } = self.config;
        let term = |column: usize| self.statistics.standardised(COLUMNS[column], measured[column]);
        let both =
            |error: usize, motion: usize| f64::from(alpha) * term(error) + f64::from(beta) * term(motion);
        let scores = [both(0, 1), both(2, 3), both(2, 4)];
        let score = match self.config.score {
            ScoreKind::Frame => scores[0],
            ScoreKind::Patch => scores[1],
            ScoreKind::Gradient => scores[2],
        };
        (score, measured[..MEASURED].iter().copied().chain(scores).collect())
    }

    fn judge(&self, before: &[f32], frame: &[f32], after: &[f32], edge: bool) -> Result<Told, SystemError> {
        let seen = self.predictor.look(before, frame, after)?;
        let worst = |plane: &[f32]| self.patches.worst_mean(plane);
        let measured = [
            seen.mean_error(),
            seen.mean_motion(),
            worst(&seen.error),
            worst(&seen.motion),
            worst(&seen.gradient),
        ];
        let (score, indicators) = self.tell(&measured);
        let InputFormat { width, height, .. } = self.format;
        let MotionMaeConfig { alpha, beta, .. } = self.config;
        let heat: Vec<f32> = seen.error.iter().zip(&seen.motion).map(|(e, m)| alpha * e + beta * m).collect();
        let heat = box_blur(&heat, height, width, self.config.patch / 4);
        Ok(Told { score, indicators, heat, edge })
    }
}

/// The frames around the one to be judged next.
#[derive(Default)]
pub(crate) struct Around {
    before: Option<Vec<f32>>,
    centre: Option<Vec<f32>>,
}

impl FrameJudge for MotionMaeModel {
    type Memory = Around;

    fn format(&self) -> InputFormat {
        self.format
    }

    fn columns(&self) -> usize {
        COLUMNS.len()
    }

    fn lag(&self) -> usize {
        1
    }

    fn memory(&self) -> Result<Around, SystemError> {
        Ok(Around::default())
    }

    /// A video's first frame stands for the one before it.
    fn see(&self, memory: &mut Around, frame: &Frame) -> Result<Option<Told>, SystemError> {
        let after = to_unit(&frame.data, self.format, &self.predictor.counts);
        let told = match &memory.centre {
            Some(centre) => {
                let before = memory.before.as_ref().unwrap_or(centre);
                Some(self.judge(before, centre, &after, memory.before.is_none())?)
            }
            None => None,
        };
        memory.before = memory.centre.replace(after);
        Ok(told)
    }

    /// A video's last frame stands for the one after it.
    fn finish(&self, memory: &mut Around) -> Result<Option<Told>, SystemError> {
        let Some(centre) = &memory.centre else { return Ok(None) };
        let before = memory.before.as_ref().unwrap_or(centre);
        self.judge(before, centre, centre, true).map(Some)
    }
}

impl Model for MotionMaeModel {
    fn system(&self) -> &'static str {
        self.variant.key()
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
        "squared error around a pixel in [0, 1], α times as it is and β times weighted by motion"
    }

    fn scorer(&self) -> Box<dyn Scorer + '_> {
        Box::new(StreamScorer::new(self))
    }

    fn to_file(&self) -> WeightFile {
        let mut file = WeightFile::default();
        self.weights.iter().cloned().for_each(|tensor| file.insert(tensor));
        let InputFormat { width, height, .. } = self.format;
        let (name, shape, values) = (COUNTS.to_owned(), vec![height, width], self.predictor.counts.clone());
        file.insert(NamedTensor { name, shape, values });
        file.metadata.insert("input".to_owned(), format!("[1,{height},{width}]"));
        file
    }

    /// The last frame as it is predicted. The latent is the error on a grid of 8×8 cells, by which events of one kind
    /// and place are alike.
    fn explain(&self, frames: &[Frame]) -> Result<Explanation, SystemError> {
        let Some(last) = frames.last() else {
            return Err(SystemError::TooFewFrames { got: 0, needed: 1, system: self.variant.key() });
        };
        frames.iter().try_for_each(|frame| check_format(frame, self.format))?;
        let plane = to_unit(&last.data, self.format, &self.predictor.counts);
        let seen = self.predictor.look(&plane, &plane, &plane)?;
        let InputFormat { width, height, .. } = self.format;
        let latent = cells(&seen.error, width, height);
        Ok(Explanation {
            reconstruction: Some(Frame { data: grey_bytes(&seen.rebuilt), ..last.clone() }),
            latent,
            unlikely: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Preset;

    fn predictor(config: &MotionMaeConfig, counts: Vec<f32>) -> Predictor {
        let format = InputFormat { width: 32, height: 24, colour: Colour::Grey };
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let network = config.network(format).init(&burn::tensor::Device::default(), &mut rng).unwrap();
        Predictor::new(config, format, &network, counts).unwrap()
    }

    /// Whatever is in a block changes nothing in what is predicted of it.
    #[test]
    fn a_pixel_is_predicted_from_what_is_around_it() {
        let config = MotionMaeConfig::preset(Variant::MotionMae, Preset::Tiny);
        let predictor = predictor(&config, vec![1.0; 32 * 24]);
        let frame: Vec<f32> = (0..32 * 24).map(|i| ((i * 37) % 101) as f32 / 100.0).collect();
        let mut other = frame.clone();
        let block = |pixel: usize| (8..12).contains(&(pixel / 32)) && (12..16).contains(&(pixel % 32));
        other.iter_mut().enumerate().filter(|(i, _)| block(*i)).for_each(|(_, v)| *v = 1.0 - *v);
        let [first, second] = [&frame, &other].map(|frame| predictor.rebuild(frame).unwrap());
        assert!((0..32 * 24).filter(|&i| block(i)).all(|i| first[i] == second[i]));
        assert_ne!(first, second, "its neighbours see it");
    }

    #[test]
    fn the_terms_are_means_over_predicted_pixels() {
        for (passes, ratio) in [(Passes::Complementary, 0.5), (Passes::Single, 0.5), (Passes::Single, 0.0)] {
            let config = MotionMaeConfig {
                passes,
                mask_ratio: ratio,
                ..MotionMaeConfig::preset(Variant::MotionMae, Preset::Tiny)
            };
            let mut counts = vec![1.0; 32 * 24];
            counts[..100].fill(0.0);
            let predictor = predictor(&config, counts.clone());
            let plane =
                |seed: usize| -> Vec<f32> { (0..32 * 24).map(|i| ((i * seed) % 97) as f32 / 96.0).collect() };
            let [before, frame, after] = [13, 37, 29].map(plane);
            let seen = predictor.look(&before, &frame, &after).unwrap();
            let half = ratio > 0.0 && passes == Passes::Single;
            let predicted: Vec<usize> =
                (100..32 * 24).filter(|&i| !half || predictor.masks[0][i] > 0.0).collect();
            let n = predicted.len() as f32;
            let error = |i: usize| (frame[i] - seen.rebuilt[i]).powi(2);
            let wanted = predicted.iter().map(|&i| error(i)).sum::<f32>() / n;
            assert!((seen.mean_error() as f32 - wanted).abs() < 1e-6);
            let gradient = |i: usize| (before[i] - after[i]).abs();
            let mean = (100..32 * 24).map(gradient).sum::<f32>() / (32.0 * 24.0 - 100.0);
            let weighted = |i: usize| error(i) * (0.02 + gradient(i)) / (0.02 + mean);
            let wanted = predicted.iter().map(|&i| weighted(i)).sum::<f32>() / n;
            assert!((seen.mean_motion() as f32 - wanted).abs() < 1e-5);
        }
    }
}
