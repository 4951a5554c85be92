//! What the network learns from one clip: a frame turned about, and partly hidden.

use burn::tensor::{Device, Tensor, TensorData};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::MotionMaeConfig;
use super::augment::View;
use super::mask::{Blocks, motion_gradient, motion_weights};
use crate::InputFormat;
use crate::examples::Examples;
use crate::training_step::{common_rng, step_rng};

/// Makes lessons of clips.
#[derive(Debug, Clone)]
pub(super) struct Lessons {
    pub(super) config: MotionMaeConfig,
    pub(super) format: InputFormat,
    /// 1 for each pixel that counts.
    pub(super) counts: Vec<f32>,
    pub(super) seed: u64,
}

/// What is learnt from a batch, each part `batch` planes, the input `channels` times as many.
#[derive(Debug, Default)]
pub(super) struct Lesson {
    /// The frames that are read, with blocks hidden.
    pub(super) input: Vec<f32>,
    /// The frame that is to be predicted, without an intruder.
    pub(super) target: Vec<f32>,
    /// 1 for each pixel that is to be predicted.
    pub(super) wanted: Vec<f32>,
    /// The same, weighted by motion.
    pub(super) moving: Vec<f32>,
    /// 1 for each pixel of an intruder; empty without a map.
    pub(super) map: Vec<f32>,
    /// 1 for each pixel that counts.
    pub(super) counts: Vec<f32>,
}

impl Lesson {
    /// One after another.
    fn joined(lessons: &[Self]) -> Self {
        let all = |part: fn(&Self) -> &Vec<f32>| lessons.iter().flat_map(part).copied().collect();
        Self {
            input: all(|l| &l.input),
            target: all(|l| &l.target),
            wanted: all(|l| &l.wanted),
            moving: all(|l| &l.moving),
            map: all(|l| &l.map),
            counts: all(|l| &l.counts),
        }
    }

    /// Scales the weights so that means over all pixels become means over those to be predicted.
    fn scaled(mut self) -> Self {
        let predicted = self.wanted.iter().map(|&w| f64::from(w)).sum::<f64>().max(1.0);
        let scale = (self.wanted.len() as f64 / predicted) as f32;
        [&mut self.wanted, &mut self.moving].into_iter().flatten().for_each(|weight| *weight *= scale);
        self
    }
}

impl Lessons {
    /// What is random in step `step`, `part` by `part`.
    pub(super) fn rng(&self, step: u64, part: u64) -> ChaCha8Rng {
        step_rng(self.seed, step, part)
    }

    /// What is random in a step beside its clips.
    pub(super) fn common_rng(&self, step: u64) -> ChaCha8Rng {
        common_rng(self.seed, step)
    }

    /// The lesson of step `step`.
    pub(super) fn batch(&self, examples: &Examples, step: u64) -> Lesson {
        let Examples { batch, input, target, .. } = examples;
        let length = input.len() / batch;
        let lessons: Vec<Lesson> = input
            .par_chunks_exact(length)
            .enumerate()
            .map(|(i, clip)| {
                let clean = target.as_ref().map(|target| &target[i * length..][..length]);
                self.lesson(clip, clean, &mut self.rng(step, i as u64))
            })
            .collect();
        Lesson::joined(&lessons).scaled()
    }

    /// Of a clip `[clip, height, width]`, and of the same without an intruder where it may have one.
    fn lesson(&self, clip: &[f32], clean: Option<&[f32]>, rng: &mut ChaCha8Rng) -> Lesson {
        let InputFormat { width, height, .. } = self.format;
        let (area, middle) = (width * height, self.config.reach());
        let view = self.config.augment.then(|| View::random(width, height, rng));
        let turned = |plane: &[f32]| match &view {
            Some(view) => view.of(plane),
            None => plane.to_vec(),
        };
        let frame = |clip: &[f32], t: usize| turned(&clip[t * area..][..area]);
        let mut counts = turned(&self.counts);
        counts.iter_mut().for_each(|count| *count = count.floor());
        let target = frame(clean.unwrap_or(clip), middle);
        let read = |&t: &usize| match clean {
            None if t == middle => target.clone(),
            _ => frame(clip, t),
        };
        let shown: Vec<Vec<f32>> = self.config.shown().iter().map(read).collect();
        let gradient = motion_gradient(&frame(clip, middle - 1), &frame(clip, middle + 1), &counts);
        let weights = motion_weights(&gradient, &counts, self.config.epsilon);
        let map = match self.config.has_map() {
            true => turned(&differs(clip, clean.unwrap_or(clip), middle * area..(middle + 1) * area)),
            false => Vec::new(),
        };
        if self.config.mask_ratio == 0.0 {
            return Lesson {
                input: shown.concat(),
                target,
                wanted: counts.clone(),
                moving: weights,
                map,
                counts,
            };
        }
        let blocks = Blocks { width, height, side: self.config.block };
        let hidden = blocks.random(self.config.mask_ratio, rng);
        let times =
            |values: &[f32], by: &[f32]| -> Vec<f32> { values.iter().zip(by).map(|(v, b)| v * b).collect() };
        let visible: Vec<f32> = hidden.iter().map(|hidden| 1.0 - hidden).collect();
        let input = shown.iter().flat_map(|plane| times(plane, &visible)).collect();
        let (wanted, moving) = (times(&counts, &hidden), times(&weights, &hidden));
        Lesson { input, target, wanted, moving, map, counts }
    }

    /// The frames of a clip, one after another.
    pub(super) fn planes<'a>(&self, clip: &'a [f32]) -> Vec<&'a [f32]> {
        clip.chunks_exact(self.format.width * self.format.height).collect()
    }

    /// `[batch, channels, height, width]`.
    pub(super) fn tensor(&self, values: Vec<f32>, channels: usize, device: &Device) -> Tensor<4> {
        let InputFormat { width, height, .. } = self.format;
        let batch = values.len() / (channels * width * height);
        Tensor::from_data(TensorData::new(values, [batch, channels, height, width]), device)
    }
}

/// 1 where two clips differ, at these places.
fn differs(a: &[f32], b: &[f32], places: std::ops::Range<usize>) -> Vec<f32> {
    a[places.clone()].iter().zip(&b[places]).map(|(a, b)| if a == b { 0.0 } else { 1.0 }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Preset;
    use crate::motion_mae::Variant;
    use vadis_video::Colour;

    const AREA: usize = 32 * 24;

    fn lessons(config: MotionMaeConfig) -> Lessons {
        let format = InputFormat { width: 32, height: 24, colour: Colour::Grey };
        Lessons { config, format, counts: vec![1.0; AREA], seed: 3 }
    }

    fn tiny() -> MotionMaeConfig {
        MotionMaeConfig { augment: false, ..MotionMaeConfig::preset(Variant::MotionMae, Preset::Tiny) }
    }

    fn clip(frames: usize) -> Vec<f32> {
        (0..frames * AREA).map(|i| 0.2 + ((i * 37) % 101) as f32 / 200.0).collect()
    }

    #[test]
    fn the_same_blocks_are_hidden_in_all_frames_that_are_read() {
        let lessons = lessons(MotionMaeConfig { offset: 3, ..tiny() });
        let clip = clip(7);
        let lesson = lessons.lesson(&clip, None, &mut lessons.rng(0, 0));
        assert_eq!(lesson.input.len(), 3 * AREA);
        for (channel, t) in [0, 3, 6].into_iter().enumerate() {
            for i in 0..AREA {
                let wanted = if lesson.wanted[i] > 0.0 { 0.0 } else { clip[t * AREA + i] };
                assert_eq!(lesson.input[channel * AREA + i], wanted);
            }
        }
        assert_eq!(lesson.target, clip[3 * AREA..4 * AREA]);
    }

    #[test]
    fn an_intruder_is_read_marked_and_to_be_left_out() {
        let lessons = lessons(MotionMaeConfig { pasted: 0.5, mask_ratio: 0.0, ..tiny() });
        let clean = clip(3);
        let mut clip = clean.clone();
        clip[AREA + 40..AREA + 60].fill(0.0);
        let lesson = lessons.lesson(&clip, Some(&clean), &mut lessons.rng(0, 0));
        assert_eq!(lesson.input, clip[AREA..2 * AREA]);
        assert_eq!(lesson.target, clean[AREA..2 * AREA]);
        assert!(lesson.map.iter().enumerate().all(|(i, m)| (*m == 1.0) == (40..60).contains(&i)));
        let without = lessons.lesson(&clean, None, &mut lessons.rng(0, 0));
        assert!(without.map.iter().all(|m| *m == 0.0));
    }
}
