//! The settings of the two-path autoencoder, each with where it comes from.

use serde::{Deserialize, Serialize};
use vadis_nn::schedule::{Decay, Schedule};
use vadis_video::Colour;

use crate::mle::Size;
use crate::{Preset, SystemError};

/// The static path takes every fourth frame, and four times the picture's size is halved (Table 1).
const DIVISOR: usize = 4;
/// MS-SSIM's window.
const SMALLEST_SIDE: usize = 16;

/// Every setting of `one-path` and `itae`, and the autoencoder's of `itae-nf`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ItaeConfig {
    /// Size of the network's input: `176x120` (width × height, multiples of 4), or `auto:21120`: about so many pixels
    /// in the footage's own proportions. Paper: 256×256, and Ped2 at its own 360×240.
    pub size: Size,
    /// `grey` or `rgb`. Paper: Ped2 is grey.
    pub colour: Colour,
    /// T, frames of a clip (paper: 16).
    pub clip: usize,
    /// Multiplies the channels of all inner layers (paper: 1).
    pub width: f64,
    /// Passes over the training clips (ours: the paper does not say).
    pub epochs: usize,
    /// Least optimiser steps in all, however short the footage (ours).
    pub min_steps: usize,
    /// Most optimiser steps in all, however long the footage; 0 for no limit (ours).
    pub max_steps: usize,
    /// Clips a step (paper: 2 for Ped2 and Avenue, 8 for ShanghaiTech).
    pub batch: usize,
    /// Adam's full learning rate (paper: 1e-3 for Ped2, 1e-2 for Avenue and ShanghaiTech).
    pub rate: f64,
    /// How the rate goes (paper: cosine annealing).
    pub schedule: Schedule,
    /// Weight of the squared error (paper: equal weights).
    pub squared: f32,
    /// Weight of 1 − MS-SSIM.
    pub ms_ssim: f32,
    /// Weight of the gradient loss.
    pub gradient: f32,
    /// Frames between the beginnings of training clips (ours).
    pub train_stride: usize,
    /// Frames between the beginnings of scored clips (paper: all segments in which a frame appears, so 1).
    pub score_stride: usize,
    /// N, side of the sliding patch of Eq. 12 in pixels of the network's input (ours: not given).
    pub patch: usize,
    /// Share of each source, at its end, that is not trained on: the score statistics are taken there, and an early
    /// look while training (ours).
    pub holdout: f64,
    /// Most frames kept for training; of longer footage stretches of whole clips are kept, spread evenly (ours).
    pub max_frames: usize,
    /// Most held-out frames that the score statistics are taken over (ours).
    pub calibration_frames: usize,
}

impl ItaeConfig {
    /// The settings of a preset.
    pub fn preset(preset: Preset) -> Self {
        // Ped2 at its own size costs 448 GFLOP a clip forward (systems.md B), three times that a training clip: sixty
        // epochs of Ped2 are days of two cores.
        let paper = Self {
            size: Size::Auto { pixels: 86_400 },
            colour: Colour::Grey,
            clip: 16,
            width: 1.0,
            epochs: 60,
            min_steps: 0,
            max_steps: 0,
            batch: 2,
            rate: 1e-3,
            schedule: Schedule::new(Decay::Cosine { min: 0.0 }),
            squared: 1.0,
            ms_ssim: 1.0,
            gradient: 1.0,
            train_stride: 1,
            score_stride: 1,
            patch: 16,
            holdout: 0.15,
            max_frames: 200_000,
            calibration_frames: 2000,
        };
        match preset {
            Preset::Paper => paper,
            // Half width at half size is about 28 GFLOP a clip forward, a step 1.2 s of processor time: 11 minutes of
            // two cores. Each frame is scored by three or four clips in place of sixteen, five apart: every fourth frame
            // of a clip is seen by the static path and rebuilt better, so that clips four apart would show some frames
            // always well and the others always badly. Patch and stride were chosen on anomalies inserted into held-out
            // clips of Ped2 (docs/results/itae-nf.md).
            Preset::Cpu => Self {
                size: Size::Auto { pixels: 21_120 },
                width: 0.5,
                epochs: 20,
                max_steps: 1000,
                schedule: Schedule { warmup: 50, decay: Decay::Cosine { min: 0.0 } },
                score_stride: 5,
                patch: 20,
                max_frames: 20_000,
                calibration_frames: 640,
                ..paper
            },
            Preset::Tiny => Self {
                size: Size::Auto { pixels: 1536 },
                clip: 8,
                width: 0.0625,
                epochs: 4,
                min_steps: 20,
                max_steps: 20,
                rate: 5e-3,
                train_stride: 2,
                score_stride: 4,
                patch: 8,
                max_frames: 2000,
                calibration_frames: 64,
                ..paper
            },
        }
    }

    /// # Errors
    /// [`SystemError::Setting`] for a value out of its range.
    pub(super) fn check(&self) -> Result<(), SystemError> {
        let setting = |key: &str, reason: &str| {
            Err(SystemError::Setting { key: key.to_owned(), reason: reason.to_owned() })
        };
        if let Size::Fixed { width, height } = self.size
            && [width, height].iter().any(|side| side % DIVISOR != 0 || *side < SMALLEST_SIDE)
        {
            return setting("size", "both sides must be multiples of 4, at least 16");
        }
        if !(4..=64).contains(&self.clip) || !self.clip.is_multiple_of(DIVISOR) {
            return setting("clip", "must be a multiple of 4 from 4 to 64 frames");
        }
        if !(self.width > 0.0 && self.width <= 4.0) {
            return setting("width", "must be above 0, at most 4");
        }
        if self.epochs == 0 {
            return setting("epochs", "must be at least 1");
        }
        if !(1..=256).contains(&self.batch) {
            return setting("batch", "must be from 1 to 256 clips");
        }
        if !(self.rate.is_finite() && self.rate > 0.0) {
            return setting("rate", "must be a positive number");
        }
        for (key, weight) in
            [("squared", self.squared), ("ms_ssim", self.ms_ssim), ("gradient", self.gradient)]
        {
            if !(weight.is_finite() && weight >= 0.0) {
                return setting(key, "must be 0 or a positive number");
            }
        }
        if self.squared + self.ms_ssim + self.gradient == 0.0 {
            return setting("squared", "one of the loss's weights must be above 0");
        }
        if !(1..=1000).contains(&self.train_stride) {
            return setting("train_stride", "must be from 1 to 1000 frames");
        }
        if !(1..=self.clip).contains(&self.score_stride) {
            return setting("score_stride", "must be from 1 to a clip's length, so that every frame is held");
        }
        if !(2..=256).contains(&self.patch) {
            return setting("patch", "must be from 2 to 256 pixels");
        }
        if !(0.0..=0.9).contains(&self.holdout) {
            return setting("holdout", "must be from 0 to 0.9");
        }
        if self.max_frames < 2 * self.clip || self.calibration_frames < self.clip {
            return setting("max_frames", "max_frames and calibration_frames must hold a few clips");
        }
        Ok(())
    }
}

impl ItaeConfig {
    /// # Errors
    /// [`SystemError::Setting`] where a fixed size gives maps that a flow cannot halve once a level.
    pub(super) fn check_maps(&self, levels: usize) -> Result<(), SystemError> {
        let unit = super::maps::SHRINK << levels;
        match self.size {
            Size::Fixed { width, height } if width % unit != 0 || height % unit != 0 => {
                let reason = format!("with {levels} flow_levels both sides must be multiples of {unit}");
                Err(SystemError::Setting { key: "size".to_owned(), reason })
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preset::assert_are_named;

    #[test]
    fn presets_are_in_range_and_fit_the_network() {
        for (preset, _) in Preset::ALL {
            let config = ItaeConfig::preset(preset);
            config.check().unwrap();
            for (width, height) in [(360, 240), (640, 360), (128, 64), (5, 4000)] {
                let (w, h) = config.size.resolve(width, height);
                assert!(w % DIVISOR == 0 && h % DIVISOR == 0, "{preset}: {w}×{h}");
            }
        }
        assert_eq!(ItaeConfig::preset(Preset::Paper).size.resolve(360, 240), (360, 240));
        assert_eq!(ItaeConfig::preset(Preset::Cpu).size.resolve(360, 240), (176, 120));
    }

    #[test]
    fn wrong_settings_are_named() {
        let tiny = ItaeConfig::preset(Preset::Tiny);
        let wrong = [
            ("size=\"30x24\"", "size"),
            ("clip=6", "clip"),
            ("score_stride=9", "score_stride"),
            ("width=0.0", "width"),
            ("ms_ssim=-1.0", "ms_ssim"),
            ("holdout=1.0", "holdout"),
        ];
        assert_are_named(&tiny, ItaeConfig::check, &wrong);
    }
}
