//! Scoring: how badly the frame in the middle of a window is rebuilt, as a peak signal-to-noise ratio.

use std::collections::VecDeque;

use vadis_kernels::volume::Scratch;
use vadis_nn::segment::NamedTensor;
use vadis_nn::weights::WeightFile;
use vadis_video::Frame;

use super::config::Measure;
use super::network::{Autoencoder, Frozen};
use super::{Addition, Settings, Variant};
use crate::centre::{CentreScorer, Verdict, Watch, Window};
use crate::clips::put_frame;
use crate::frames::to_planes;
use crate::model_file::{COUNTS, counts_in, input_format, network_weights, parse, put_format};
use crate::patches::{Patches, box_blur, cells};
use crate::store::check_format;
use crate::{Explanation, InputFormat, Model, Scorer, Statistics, SystemError};

/// Indicators: of the frame (or the clip), and of the worst patch.
const INDICATORS: [&str; 2] = ["reconstruction", "worst_patch"];
/// Sides of a model file's pictures.
pub(crate) const SIDES: std::ops::RangeInclusive<usize> = 16..=4096;
/// Squared errors below this are as good as none: 100 dB.
const LEAST: f64 = 1e-10;

/// The negative peak signal-to-noise ratio in dB of a mean squared error of pixels in [0, 1]: the higher, the worse.
pub(crate) fn negative_psnr(squared: f64) -> f64 {
    10.0 * squared.max(LEAST).log10()
}

/// The squared error of each pixel for values in [−1, 1] taken to [0, 1], mean over the channels; 0 where a pixel does
/// not count.
pub(crate) fn squared_error(picture: &[f32], rebuilt: &[f32], counts: &[f32]) -> Vec<f32> {
    let plane = counts.len();
    let share = 0.25 * plane as f32 / picture.len() as f32;
    let mut error = vec![0.0f32; plane];
    for (a, b) in picture.chunks_exact(plane).zip(rebuilt.chunks_exact(plane)) {
        error.iter_mut().zip(a.iter().zip(b)).for_each(|(e, (a, b))| *e += share * (a - b) * (a - b));
    }
    error.iter_mut().zip(counts).for_each(|(e, count)| *e *= count);
    error
}

/// The mean over the pixels that count.
pub(crate) fn counted_mean(values: &[f32], counts: &[f32]) -> f64 {
    let sum = |values: &[f32]| values.iter().map(|&v| f64::from(v)).sum::<f64>();
    sum(values) / sum(counts).max(1.0)
}

/// A byte picture of values in [−1, 1] `[channels, height, width]`.
pub(crate) fn to_bytes(planes: &[f32], format: InputFormat) -> Vec<u8> {
    let (plane, channels) = (format.width * format.height, format.colour.channels());
    let byte = |i: usize| {
        let value = planes[i % channels * plane + i / channels];
        ((value + 1.0) * 127.5).round().clamp(0.0, 255.0) as u8
    };
    (0..plane * channels).map(byte).collect()
}

/// A clip of the frames around `at`, which becomes its frame `scored`; beyond the first and the last one all stands
/// still.
pub(crate) fn clip_around<T>(frames: &[T], at: usize, scored: usize, length: usize) -> Vec<&T> {
    let place = |t: usize| (at + t).saturating_sub(scored).min(frames.len() - 1);
    (0..length).map(|t| &frames[place(t)]).collect()
}

/// A trained model of a variant.
#[derive(Debug)]
pub struct Ae3dModel {
    variant: Variant,
    settings: Settings,
    format: InputFormat,
    weights: Vec<NamedTensor>,
    network: Frozen,
    counts: Vec<f32>,
    statistics: Statistics,
}

impl Ae3dModel {
    pub(super) fn new(
        variant: Variant,
        settings: Settings,
        format: InputFormat,
        network: &Autoencoder,
        counts: Vec<f32>,
    ) -> Result<Self, SystemError> {
        let (weights, network) = (network.state(), network.frozen()?);
        Ok(Self { variant, settings, format, weights, network, counts, statistics: Statistics::default() })
    }

    pub(super) fn set_statistics(&mut self, statistics: Statistics) {
        self.statistics = statistics;
    }

    /// A model from the file that [`Model::to_file`] made.
    ///
    /// # Errors
    /// [`SystemError::Model`] for missing or unreadable metadata, [`SystemError::Nn`] for wrong weights.
    pub fn from_file(variant: Variant, file: &WeightFile) -> Result<Self, SystemError> {
        let settings = Settings::parse(variant, file)?;
        let format = input_format(file, SIDES)?;
        let counts = counts_in(file, format)?;
        let shape = settings.network(format);
        let weights = network_weights(file, shape.value_count()?, |name| name != COUNTS)?;
        let network = shape.init(&burn::tensor::Device::default(), 0)?.with_state(weights)?;
        let mut model = Self::new(variant, settings, format, &network, counts)?;
        model.statistics = parse(file, "statistics")?;
        Ok(model)
    }

    /// Whether the error is the mean over the clip.
    fn whole_clip(&self) -> bool {
        matches!(&self.settings.addition, Addition::Memory(memory) if memory.whole_clip)
    }

    fn planes(&self, frame: &Frame) -> Vec<f32> {
        to_planes(&frame.data, self.format, &self.counts)
    }

    /// `frames`, each `[channels, height, width]`, as a clip and as it is rebuilt.
    fn rebuild<'a>(
        &self,
        frames: impl Iterator<Item = &'a Vec<f32>>,
        scratch: &mut [Scratch; 2],
    ) -> Result<[Vec<f32>; 2], SystemError> {
        let (length, channels) = (self.settings.ae3d.clip, self.format.colour.channels());
        let mut clip = vec![0.0; length * self.format.frame_bytes()];
        frames.enumerate().for_each(|(t, frame)| put_frame(&mut clip, t, frame, [channels, length]));
        let rebuilt = self.network.run(&clip, 1, scratch)?;
        Ok([clip, rebuilt])
    }

    /// Frame `t` of a clip, `[channels, height, width]`.
    fn frame_of(&self, clip: &[f32], t: usize) -> Vec<f32> {
        let (length, plane) = (self.settings.ae3d.clip, self.counts.len());
        let frame = clip.chunks_exact(plane).skip(t).step_by(length);
        frame.flatten().copied().collect()
    }
}

/// The windows of one video.
enum Eye {
    /// Gives the frame in the middle.
    Middle(Box<Window>),
    /// Gives all frames of a window.
    Whole { recent: VecDeque<Vec<f32>>, scratch: Box<[Scratch; 2]> },
}

struct Watcher<'a> {
    model: &'a Ae3dModel,
    patches: Patches,
    /// Made for the first frame.
    eye: Option<Eye>,
}

/// The scored frame, as it is rebuilt, and the mean squared error over the clip where that is asked for.
type Seen = ([Vec<f32>; 2], Option<f64>);

impl Watcher<'_> {
    fn look(&mut self, picture: Vec<f32>) -> Result<Option<Seen>, SystemError> {
        let (model, scored) = (self.model, self.model.settings.ae3d.scored());
        let eye = match &mut self.eye {
            Some(eye) => eye,
            none => none.insert(match model.whole_clip() {
                true => Eye::Whole { recent: VecDeque::new(), scratch: Default::default() },
                false => Eye::Middle(Box::new(Window::new(model.network.sliding(scored)?, scored))),
            }),
        };
        match eye {
            Eye::Middle(window) => Ok(window.push(picture)?.map(|seen| (seen, None))),
            Eye::Whole { recent, scratch } => {
                if recent.len() == model.settings.ae3d.clip {
                    recent.pop_front();
                }
                recent.push_back(picture);
                if recent.len() < model.settings.ae3d.clip {
                    return Ok(None);
                }
                let [clip, rebuilt] = model.rebuild(recent.iter(), scratch)?;
                let mean = |t: usize| {
                    let error =
                        squared_error(&model.frame_of(&clip, t), &model.frame_of(&rebuilt, t), &model.counts);
                    counted_mean(&error, &model.counts)
                };
                let sum: f64 = (0..recent.len()).map(mean).sum();
                let seen = [&clip, &rebuilt].map(|clip| model.frame_of(clip, scored));
                Ok(Some((seen, Some(sum / recent.len() as f64))))
            }
        }
    }
}

impl Watch for Watcher<'_> {
    fn format(&self) -> InputFormat {
        self.model.format
    }

    fn push(&mut self, frame: &Frame) -> Result<Option<Verdict>, SystemError> {
        let Some(([picture, rebuilt], clip)) = self.look(self.model.planes(frame))? else { return Ok(None) };
        let model = self.model;
        let InputFormat { width, height, .. } = model.format;
        let error = squared_error(&picture, &rebuilt, &model.counts);
        let whole = negative_psnr(clip.unwrap_or_else(|| counted_mean(&error, &model.counts)));
        let worst = negative_psnr(self.patches.worst_mean(&error));
        let score = match model.settings.ae3d.score {
            Measure::Frame => whole,
            Measure::Patch => worst,
        };
        let heat = box_blur(&error, height, width, model.settings.ae3d.patch / 2);
        Ok(Some(Verdict { score, indicators: vec![whole, worst], heat }))
    }
}

impl Model for Ae3dModel {
    fn system(&self) -> &'static str {
        self.variant.key()
    }

    fn config(&self) -> serde_json::Value {
        self.settings.value()
    }

    fn input(&self) -> InputFormat {
        self.format
    }

    fn delay(&self) -> usize {
        self.settings.ae3d.delay()
    }

    fn indicators(&self) -> &[&'static str] {
        &INDICATORS
    }

    fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    fn heat_unit(&self) -> &'static str {
        "mean squared error of the patch around a pixel, for pixels in [0, 1]"
    }

    fn scorer(&self) -> Box<dyn Scorer + '_> {
        let config = &self.settings.ae3d;
        let patches = Patches::new(self.format.height, self.format.width, config.patch, &self.counts);
        let watcher = Watcher { model: self, patches, eye: None };
        Box::new(CentreScorer::new(watcher, config.clip, config.scored()))
    }

    fn to_file(&self) -> WeightFile {
        let mut file = WeightFile::default();
        self.weights.iter().cloned().for_each(|tensor| file.insert(tensor));
        put_format(&mut file, self.format, &self.counts);
        file
    }

    fn explain(&self, frames: &[Frame]) -> Result<Explanation, SystemError> {
        self.explain_at(frames, frames.len().saturating_sub(1))
    }

    fn context(&self) -> [usize; 2] {
        [self.settings.ae3d.scored(), self.delay()]
    }

    /// The latent is the reconstruction's error on a grid of 8×8 cells, by which events of one kind and place are alike.
    fn explain_at(&self, frames: &[Frame], at: usize) -> Result<Explanation, SystemError> {
        let Some(asked) = frames.get(at) else {
            return Err(SystemError::TooFewFrames {
                got: frames.len(),
                needed: at + 1,
                system: self.variant.key(),
            });
        };
        frames.iter().try_for_each(|frame| check_format(frame, self.format))?;
        let config = &self.settings.ae3d;
        let around = clip_around(frames, at, config.scored(), config.clip);
        let planes: Vec<Vec<f32>> = around.into_iter().map(|frame| self.planes(frame)).collect();
        let clips = self.rebuild(planes.iter(), &mut Default::default())?;
        let [picture, rebuilt] = clips.map(|clip| self.frame_of(&clip, config.scored()));
        let latent =
            cells(&squared_error(&picture, &rebuilt, &self.counts), self.format.width, self.format.height);
        let data = to_bytes(&rebuilt, self.format);
        Ok(Explanation { reconstruction: Some(Frame { data, ..asked.clone() }), latent, unlikely: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_is_measured_as_psnr() {
        // Two channels, an error of 0.2 of [−1, 1] in one of them: 0.1 of [0, 1].
        let (picture, mut rebuilt) = (vec![0.0; 8], vec![0.0; 8]);
        rebuilt[..4].fill(0.2);
        let error = squared_error(&picture, &rebuilt, &[1.0, 1.0, 1.0, 0.0]);
        assert!(error[..3].iter().all(|e| (e - 0.005).abs() < 1e-8) && error[3] == 0.0);
        assert!((counted_mean(&error, &[1.0, 1.0, 1.0, 0.0]) - 0.005).abs() < 1e-9);
        assert!((negative_psnr(0.01) + 20.0).abs() < 1e-12);
        assert_eq!(negative_psnr(0.0), -100.0);
    }

    #[test]
    fn a_clip_stands_still_beyond_the_frames_there_are() {
        let frames: Vec<usize> = (10..20).collect();
        let around = |at| clip_around(&frames, at, 2, 5).into_iter().copied().collect::<Vec<_>>();
        assert_eq!(around(4), [12, 13, 14, 15, 16]);
        assert_eq!(around(0), [10, 10, 10, 11, 12]);
        assert_eq!(around(9), [17, 18, 19, 19, 19]);
    }
}
