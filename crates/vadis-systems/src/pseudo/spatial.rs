//! Spatial pseudo-anomalies (Eq. 2): something else in the place of what is cut out.

use std::path::Path;

use burn::tensor::Device;
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use vadis_video::Frame;
use vadis_video::inpaint::{DiffuseFill, ExemplarFill, Inpaint};

use super::PseudoConfig;
use super::config::DIFFUSION;
use super::diffusion::DiffusionFill;
use super::mask::Masks;
use crate::clips::{Run, clip_starts, put_frame};
use crate::examples::{ClipSource, Example};
use crate::frames::{spread, to_planes};
use crate::{FrameStore, SystemError};

/// Clips of the footage that holes are filled from.
const EXEMPLARS: usize = 48;

/// What fills holes, as the settings say.
pub(super) fn inpainting(
    config: &PseudoConfig,
    footage: &FrameStore,
    runs: &[Run],
    device: &Device,
) -> Result<Box<dyn Inpaint>, SystemError> {
    if config.inpaint == "diffuse" {
        return Ok(Box::new(DiffuseFill::default()));
    }
    if let Some(path) = config.inpaint.strip_prefix(DIFFUSION) {
        return Ok(Box::new(DiffusionFill::open(Path::new(path), device)?));
    }
    let starts = spread(&clip_starts(runs, config.ae3d.clip, 1), EXEMPLARS);
    let clip = |start: &usize| frames_at(footage, *start, config.ae3d.clip);
    let clips = starts.iter().map(clip).collect::<Result<Vec<_>, _>>()?;
    Ok(Box::new(ExemplarFill::new(clips)?))
}

/// Consecutive frames from place `start` on.
pub(super) fn frames_at(footage: &FrameStore, start: usize, count: usize) -> Result<Vec<Frame>, SystemError> {
    (start..start + count).map(|place| footage.frame(place)).collect()
}

/// Clips of frames, of which some are pseudo-anomalies; what is to be made of those is the clip as it was.
pub(super) struct Spatial<'a> {
    pub(super) config: &'a PseudoConfig,
    pub(super) footage: &'a FrameStore,
    pub(super) counts: &'a [f32],
    pub(super) masks: &'a Masks,
    pub(super) inpaint: &'a dyn Inpaint,
}

impl Spatial<'_> {
    fn planes(&self, frames: &[Frame]) -> Vec<f32> {
        let format = self.footage.format();
        let mut clip = vec![0.0; frames.len() * format.frame_bytes()];
        for (t, frame) in frames.iter().enumerate() {
            let planes = to_planes(&frame.data, format, self.counts);
            put_frame(&mut clip, t, &planes, [format.colour.channels(), frames.len()]);
        }
        clip
    }

    fn frames(&self, start: usize) -> Result<Vec<Frame>, SystemError> {
        frames_at(self.footage, start, self.config.ae3d.clip)
    }

    /// The clip from `start` on, and a pseudo-anomaly made of it.
    pub(super) fn anomaly(&self, start: usize, rng: &mut ChaCha8Rng) -> Result<[Vec<Frame>; 2], SystemError> {
        let frames = self.frames(start)?;
        let holes = self.masks.draw(self.footage.frames()[start].clip, &frames, rng)?;
        let filled = self.inpaint.fill(&frames, &holes, rng)?;
        Ok([frames, filled])
    }
}

impl ClipSource for Spatial<'_> {
    fn clip(&self, start: usize) -> Result<Vec<f32>, SystemError> {
        Ok(self.planes(&self.frames(start)?))
    }

    fn example(&self, start: usize, rng: &mut ChaCha8Rng) -> Result<Example, SystemError> {
        if !rng.random_bool(self.config.spatial) {
            return self.clip(start).map(Example::plain);
        }
        let [frames, filled] = self.anomaly(start, rng)?;
        Ok(Example::undo(self.planes(&filled), self.planes(&frames)))
    }
}
