//! Scoring: α·L_rec(t) + β·S_motion(t), each term in deviations from its mean over held-out normal footage.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use vadis_kernels::volume::Scratch;
use vadis_nn::NnError;
use vadis_nn::networks::{Cae, CaeHead, FrozenCae, FrozenCaeHead};
use vadis_nn::segment::{NamedTensor, StateDict};
use vadis_nn::weights::WeightFile;
use vadis_video::{Colour, Frame};

use super::lesson::Lessons;
use super::mask::{Blocks, motion_gradient, motion_weights};
use super::student::STUDENT;
use super::{MotionMaeConfig, Passes, ScoreKind, Variant};
use crate::frames::{grey_bytes, to_unit};
use crate::model_file::{COUNTS, counts_in, input_format, network_weights, parse, put_format};
use crate::patches::{Patches, box_blur, cells};
use crate::store::check_format;
use crate::stream::{FrameJudge, StreamScorer, Told};
use crate::{Explanation, InputFormat, Model, Scorer, Statistics, SystemError};

/// What a frame is judged by: the mean squared error of the predicted pixels, the same weighted by motion, the worst
/// patch of each and of the motion gradient.
const MEASURED: [&str; 5] =
    ["reconstruction", "motion", "patch_reconstruction", "patch_motion", "patch_gradient"];
/// The squared difference of teacher and student, its mean and worst patch.
const OF_STUDENT: [&str; 2] = ["difference", "patch_difference"];
/// The anomaly map, its mean and worst patch.
const OF_MAP: [&str; 2] = ["map", "patch_map"];
/// The scores that can be made of them.
const SCORES: [&str; 3] = ["with_frame", "with_patch", "with_gradient"];
/// Largest side of a model file.
const MOST: usize = 4096;

/// The network packed for scoring, with its masks.
#[derive(Debug)]
pub(super) struct Predictor {
    network: FrozenCae,
    student: Option<FrozenCaeHead>,
    counts: Vec<f32>,
    /// Which frames of a clip the network reads.
    shown: Vec<usize>,
    has_map: bool,
    /// 1 where a pass hides a pixel.
    masks: Vec<Vec<f32>>,
    /// 1 where some pass predicts a pixel that counts.
    predicted: Vec<f32>,
    epsilon: f32,
    /// Memory of the network, used again from frame to frame.
    scratch: Mutex<[Scratch; 2]>,
}

/// What the network gives of one frame, each a plane.
struct Rebuilt {
    frame: Vec<f32>,
    /// By the student.
    student: Option<Vec<f32>>,
    /// The anomaly map.
    map: Option<Vec<f32>>,
}

/// What is seen of one frame, each a plane.
pub(super) struct Seen {
    pub(super) rebuilt: Vec<f32>,
    /// Squared error, 0 where nothing is predicted.
    pub(super) error: Vec<f32>,
    /// The same weighted by motion.
    pub(super) motion: Vec<f32>,
    /// How much a squared error weighs by motion.
    pub(super) weights: Vec<f32>,
    gradient: Vec<f32>,
    /// Squared difference of teacher and student, 0 where nothing is predicted.
    difference: Option<Vec<f32>>,
    /// The anomaly map, 0 where a pixel does not count.
    map: Option<Vec<f32>>,
    pub(super) predicted: f64,
}

impl Seen {
    fn mean(&self, plane: &[f32]) -> f64 {
        plane.iter().map(|&e| f64::from(e)).sum::<f64>() / self.predicted
    }

    /// L_rec: the mean squared error of the predicted pixels.
    pub(super) fn mean_error(&self) -> f64 {
        self.mean(&self.error)
    }

    /// S_motion as L_motion: the mean weighted squared error.
    pub(super) fn mean_motion(&self) -> f64 {
        self.mean(&self.motion)
    }

    /// The mean squared difference of teacher and student; 0 without one.
    pub(super) fn mean_difference(&self) -> f64 {
        self.difference.as_ref().map_or(0.0, |difference| self.mean(difference))
    }
}

impl Predictor {
    pub(super) fn new(
        lessons: &Lessons,
        network: &Cae,
        student: Option<&CaeHead>,
    ) -> Result<Self, SystemError> {
        let Lessons { config, format: InputFormat { width, height, .. }, counts, .. } = lessons;
        let mut masks =
            Blocks { width: *width, height: *height, side: config.block }.complementary(config.mask_ratio);
        if config.passes == Passes::Single {
            masks.truncate(1);
        }
        // A network from which nothing is hidden predicts all.
        let all = config.mask_ratio == 0.0 || config.passes == Passes::Complementary;
        let predicted = match all {
            true => counts.clone(),
            false => counts.iter().zip(&masks[0]).map(|(count, hidden)| count * hidden).collect(),
        };
        Ok(Self {
            network: network.frozen()?,
            student: student.map(CaeHead::frozen).transpose()?,
            counts: counts.clone(),
            shown: config.shown(),
            has_map: config.has_map(),
            masks,
            predicted,
            epsilon: config.epsilon,
            scratch: Mutex::default(),
        })
    }

    /// What each pass reads, `[passes, channels, height, width]`.
    pub(super) fn visible(&self, clip: &[&[f32]]) -> Vec<f32> {
        let visible = |mask: &Vec<f32>| -> Vec<f32> {
            let hide = |plane: &[f32]| {
                plane.iter().zip(mask).map(|(v, hidden)| v * (1.0 - hidden)).collect::<Vec<_>>()
            };
            self.shown.iter().flat_map(|&t| hide(clip[t])).collect()
        };
        self.masks.iter().flat_map(visible).collect()
    }

    /// 1 for each pixel that is taken from a pass, pass by pass; each is taken from one.
    pub(super) fn taken(&self) -> Vec<Vec<f32>> {
        let mut taken = self.masks.clone();
        let later = |pixel: usize| self.masks[1..].iter().any(|mask| mask[pixel] > 0.0);
        taken[0].iter_mut().enumerate().for_each(|(i, value)| *value = if later(i) { 0.0 } else { 1.0 });
        taken
    }

    /// 1 where some pass predicts a pixel that counts.
    pub(super) fn predicted(&self) -> &[f32] {
        &self.predicted
    }

    /// Every pixel as the pass that hides it predicts it; the others as they are rebuilt. The map is the mean over the
    /// passes: it can only mark what it sees.
    fn rebuild(&self, clip: &[&[f32]]) -> Result<Rebuilt, SystemError> {
        let input = self.visible(clip);
        let mut scratch = self.scratch.lock().unwrap_or_else(PoisonError::into_inner);
        let (passes, area) = (self.masks.len(), self.counts.len());
        let (given, student) = match &self.student {
            Some(student) => {
                let [given, student] = self.network.run_with(student, &input, passes, &mut scratch)?;
                (given, Some(student))
            }
            None => (self.network.run(&input, passes, &mut scratch)?, None),
        };
        let by_pass = given.chunks_exact(given.len() / passes);
        let map = self.has_map.then(|| {
            let share = 1.0 / passes as f32;
            let mut map = vec![0.0; area];
            by_pass.clone().for_each(|pass| {
                map.iter_mut().zip(&pass[area..]).for_each(|(sum, value)| *sum += share * value);
            });
            map.iter_mut().zip(&self.counts).for_each(|(value, count)| *value *= count);
            map
        });
        let frame = self.composed(by_pass.map(|pass| &pass[..area]));
        let student = student.map(|given| self.composed(given.chunks_exact(area)));
        Ok(Rebuilt { frame, student, map })
    }

    /// One plane of those of all passes.
    fn composed<'a>(&self, mut passes: impl Iterator<Item = &'a [f32]>) -> Vec<f32> {
        let mut plane = passes.next().map(<[f32]>::to_vec).unwrap_or_default();
        for (pass, mask) in passes.zip(&self.masks[1..]) {
            let pixels = plane.iter_mut().zip(pass.iter().zip(mask));
            pixels.filter(|(_, (_, hidden))| **hidden > 0.0).for_each(|(to, (from, _))| *to = *from);
        }
        plane
    }

    /// Looks at the frame in the middle of a clip, all planes in [0, 1].
    pub(super) fn look(&self, clip: &[&[f32]]) -> Result<Seen, SystemError> {
        let middle = clip.len() / 2;
        let Rebuilt { frame: rebuilt, student, map } = self.rebuild(clip)?;
        let gradient = motion_gradient(clip[middle - 1], clip[middle + 1], &self.counts);
        let weights = motion_weights(&gradient, &self.counts, self.epsilon);
        let error = self.squares(clip[middle], &rebuilt);
        let motion = error.iter().zip(&weights).map(|(e, w)| e * w).collect();
        let difference = student.map(|student| self.squares(&rebuilt, &student));
        let predicted = self.predicted.iter().map(|&p| f64::from(p)).sum::<f64>().max(1.0);
        Ok(Seen { rebuilt, error, motion, weights, gradient, difference, map, predicted })
    }

    /// Squared differences of what is predicted, 0 elsewhere.
    fn squares(&self, a: &[f32], b: &[f32]) -> Vec<f32> {
        let pixels = a.iter().zip(b).zip(&self.predicted);
        pixels.map(|((x, y), predicted)| (x - y) * (x - y) * predicted).collect()
    }
}

/// A trained model of a variant.
pub struct MotionMaeModel {
    variant: Variant,
    pub(super) config: MotionMaeConfig,
    pub(super) format: InputFormat,
    /// Of network and student.
    pub(super) weights: Vec<NamedTensor>,
    pub(super) predictor: Predictor,
    pub(super) patches: Patches,
    /// What is measured, then the scores.
    columns: Vec<&'static str>,
    pub(super) statistics: Statistics,
}

impl MotionMaeModel {
    pub(super) fn new(
        variant: Variant,
        lessons: &Lessons,
        network: &Cae,
        student: Option<&CaeHead>,
    ) -> Result<Self, SystemError> {
        let Lessons { config, format, counts, .. } = lessons;
        let patches = Patches::new(format.height, format.width, config.patch, counts);
        let predictor = Predictor::new(lessons, network, student)?;
        let mut columns = MEASURED.to_vec();
        columns.extend(student.iter().flat_map(|_| OF_STUDENT));
        columns.extend(config.has_map().then_some(OF_MAP).into_iter().flatten());
        columns.extend(SCORES);
        let mut weights = network.state_dict();
        weights.extend(student.iter().flat_map(|student| student.state_dict()));
        let (config, format, statistics) = (config.clone(), *format, Statistics::default());
        Ok(Self { variant, config, format, weights, predictor, patches, columns, statistics })
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
        let counts = counts_in(file, format)?;
        if format.colour != Colour::Grey {
            return Err(SystemError::Model { reason: "its arrays do not fit its input".to_owned() });
        }
        let (network, device) = (config.network(format), burn::tensor::Device::default());
        let is_student = |name: &str| name.starts_with(STUDENT);
        let weights =
            network_weights(file, network.value_count()?, |name| name != COUNTS && !is_student(name))?;
        let student = match config.student_steps {
            0 => None,
            _ => {
                let weights = network_weights(file, network.head_value_count()?, is_student)?;
                let student = network.init_head(&device, &mut ChaCha8Rng::seed_from_u64(0))?;
                Some(student.load_state_dict(weights).map_err(NnError::from)?)
            }
        };
        let network = network.init(&device, &mut ChaCha8Rng::seed_from_u64(0))?;
        let network = network.load_state_dict(weights).map_err(NnError::from)?;
        let lessons = Lessons { config, format, counts, seed: 0 };
        let mut model = Self::new(variant, &lessons, &network, student.as_ref())?;
        model.statistics = parse(file, "statistics")?;
        Ok(model)
    }

    /// The score and the indicators, of the measured ones.
    pub(super) fn tell(&self, measured: &[f64]) -> (f64, Vec<f64>) {
        let measured = &measured[..self.columns.len() - SCORES.len()];
        let [alpha, beta] = self.config.score_weights().map(f64::from);
        let term = |name: &str| match self.columns.iter().position(|column| *column == name) {
            Some(column) => self.statistics.standardised(name, measured[column]),
            None => 0.0,
        };
        let score = |error: &str, motion: &str, further: [&str; 2]| {
            alpha * term(error) + beta * term(motion) + further.map(term).iter().sum::<f64>()
        };
        let ([difference, patch_difference], [map, patch_map]) = (OF_STUDENT, OF_MAP);
        let of_patch = |motion| score("patch_reconstruction", motion, [patch_difference, patch_map]);
        let scores = [
            score("reconstruction", "motion", [difference, map]),
            of_patch("patch_motion"),
            of_patch("patch_gradient"),
        ];
        let chosen = match self.config.score {
            ScoreKind::Frame => scores[0],
            ScoreKind::Patch => scores[1],
            ScoreKind::Gradient => scores[2],
        };
        (chosen, measured.iter().copied().chain(scores).collect())
    }

    fn judge(&self, clip: &[&[f32]], edge: bool) -> Result<Told, SystemError> {
        let seen = self.predictor.look(clip)?;
        let worst = |plane: &[f32]| self.patches.worst_mean(plane);
        let mut measured = vec![
            seen.mean_error(),
            seen.mean_motion(),
            worst(&seen.error),
            worst(&seen.motion),
            worst(&seen.gradient),
        ];
        for plane in [&seen.difference, &seen.map].into_iter().flatten() {
            measured.extend([seen.mean(plane), worst(plane)]);
        }
        measured.resize(self.columns.len(), 0.0);
        let (score, indicators) = self.tell(&measured);
        let InputFormat { width, height, .. } = self.format;
        let [alpha, beta] = self.config.score_weights();
        let heat: Vec<f32> = seen.error.iter().zip(&seen.motion).map(|(e, m)| alpha * e + beta * m).collect();
        let heat = box_blur(&heat, height, width, self.config.patch / 4);
        Ok(Told { score, indicators, heat, edge })
    }

    /// The clip around `frames[at]`, the nearest frame standing for those that are missing.
    fn planes(&self, frames: &[Frame], at: usize) -> Result<Vec<Vec<f32>>, SystemError> {
        if at >= frames.len() {
            let system = self.variant.key();
            return Err(SystemError::TooFewFrames { got: frames.len(), needed: at + 1, system });
        }
        frames.iter().try_for_each(|frame| check_format(frame, self.format))?;
        let plane = |t: usize| to_unit(&frames[t].data, self.format, &self.predictor.counts);
        Ok(around(at, self.config.reach(), frames.len()).map(plane).collect())
    }

    /// Judges the frame `at` of `planes`, the nearest standing for those that are missing.
    fn judge_at(&self, planes: &VecDeque<Vec<f32>>, at: usize) -> Result<Told, SystemError> {
        let reach = self.config.reach();
        let edge = at < reach || at + reach >= planes.len();
        let clip: Vec<&[f32]> = around(at, reach, planes.len()).map(|t| planes[t].as_slice()).collect();
        self.judge(&clip, edge)
    }
}

/// The places as far as `reach` around `at`; of `count` the nearest for those that are missing.
fn around(at: usize, reach: usize, count: usize) -> impl Iterator<Item = usize> {
    (at..=at + 2 * reach).map(move |t| t.saturating_sub(reach).min(count - 1))
}

impl FrameJudge for MotionMaeModel {
    /// The frames around the one to be judged next.
    type Memory = VecDeque<Vec<f32>>;

    fn format(&self) -> InputFormat {
        self.format
    }

    fn columns(&self) -> usize {
        self.columns.len()
    }

    fn lag(&self) -> usize {
        self.config.reach()
    }

    fn memory(&self) -> Result<Self::Memory, SystemError> {
        Ok(VecDeque::new())
    }

    /// A video's first frame stands for those before it.
    fn see(&self, memory: &mut Self::Memory, frame: &Frame) -> Result<Option<Told>, SystemError> {
        memory.push_back(to_unit(&frame.data, self.format, &self.predictor.counts));
        if memory.len() > self.config.clip() {
            memory.pop_front();
        }
        match memory.len().checked_sub(self.lag() + 1) {
            // What is missing here is before the frame: all that is to follow it has come.
            Some(at) => self.judge_at(memory, at).map(Some),
            None => Ok(None),
        }
    }

    /// A video's last frame stands for those after it.
    fn finish(&self, memory: &mut Self::Memory) -> Result<Vec<Told>, SystemError> {
        let first = memory.len().saturating_sub(self.lag());
        (first..memory.len()).map(|at| self.judge_at(memory, at)).collect()
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
        &self.columns
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
        put_format(&mut file, self.format, &self.predictor.counts);
        file
    }

    fn explain(&self, frames: &[Frame]) -> Result<Explanation, SystemError> {
        self.explain_at(frames, frames.len().saturating_sub(1))
    }

    fn context(&self) -> [usize; 2] {
        [self.config.offset; 2]
    }

    /// The frame as it is predicted. The latent is the error on a grid of 8×8 cells, by which events of one kind and
    /// place are alike.
    fn explain_at(&self, frames: &[Frame], at: usize) -> Result<Explanation, SystemError> {
        let planes = self.planes(frames, at)?;
        let planes: Vec<&[f32]> = planes.iter().map(Vec::as_slice).collect();
        let seen = self.predictor.look(&planes)?;
        let InputFormat { width, height, .. } = self.format;
        let latent = cells(&seen.error, width, height);
        Ok(Explanation {
            reconstruction: Some(Frame { data: grey_bytes(&seen.rebuilt), ..frames[at].clone() }),
            latent,
            unlikely: None,
        })
    }

    fn layers(&self) -> &'static [&'static str] {
        &Cae::LAYERS
    }

    fn attend(&self, frames: &[Frame], at: usize) -> Result<Vec<Vec<f32>>, SystemError> {
        let planes = self.planes(frames, at)?;
        self.layer_maps(&planes.iter().map(Vec::as_slice).collect::<Vec<_>>())
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
        let lessons = Lessons { config: config.clone(), format, counts, seed: 0 };
        Predictor::new(&lessons, &network, None).unwrap()
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
        let [first, second] =
            [&frame, &other].map(|frame| predictor.rebuild(&[frame.as_slice(); 3]).unwrap().frame);
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
            let seen = predictor.look(&[&before, &frame, &after]).unwrap();
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
