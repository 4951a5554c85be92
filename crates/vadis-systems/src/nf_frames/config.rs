//! The settings of the flow over frames. The paper gives none for this row: those of its flows over features are taken.

use serde::{Deserialize, Serialize};
use vadis_nn::networks::GlowConfig;
use vadis_nn::schedule::{Decay, Schedule};
use vadis_video::Colour;

use crate::mle::Size;
use crate::preset::setting;
use crate::{InputFormat, Preset, SystemError};

/// Every setting of `nf-frames`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NfFramesConfig {
    /// Size of the frames: `96x64` (multiples of 2 to the power of `levels`), or `auto:6144`: about so many pixels in
    /// the footage's own proportions.
    pub size: Size,
    /// `grey` or `rgb`.
    pub colour: Colour,
    /// K, steps of a level (paper: 32).
    pub steps: usize,
    /// L, levels (paper: 3, but 1 for Ped2's features; ours for frames: 3).
    pub levels: usize,
    /// F, hidden channels of the couplings (paper: 512).
    pub hidden: usize,
    /// Passes over the training frames (ours).
    pub epochs: usize,
    /// Least optimiser steps in all (ours).
    pub min_steps: usize,
    /// Most optimiser steps in all; 0 for no limit (ours).
    pub max_steps: usize,
    /// Frames a step (paper: 8).
    pub batch: usize,
    /// Adam's full learning rate (paper: 5e-4).
    pub rate: f64,
    /// How the rate goes (paper: cosine annealing).
    pub schedule: Schedule,
    /// Which column is the score: `likelihood` (the paper's) or `patch_likelihood`.
    pub score: ScoreKind,
    /// Side of a patch in pixels of the flow's input (ours).
    pub patch: usize,
    /// Share of each source, at its end, that is not trained on: the score statistics are taken there (ours).
    pub holdout: f64,
    /// Most frames kept for training; longer footage is thinned evenly (ours).
    pub max_frames: usize,
}

/// Which column a frame's score is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScoreKind {
    /// Negative log-likelihood of the frame.
    Likelihood,
    /// The worst patch, against what is usual at its place.
    PatchLikelihood,
}

impl NfFramesConfig {
    /// The settings of a preset.
    pub fn preset(preset: Preset) -> Self {
        let paper = Self {
            size: Size::Auto { pixels: 86_400 },
            colour: Colour::Grey,
            steps: 32,
            levels: 3,
            hidden: 512,
            epochs: 20,
            min_steps: 0,
            max_steps: 0,
            batch: 8,
            rate: 5e-4,
            schedule: Schedule::new(Decay::Cosine { min: 0.0 }),
            score: ScoreKind::Likelihood,
            patch: 16,
            holdout: 0.15,
            max_frames: 200_000,
        };
        match preset {
            Preset::Paper => paper,
            // A step of eight such frames takes a tenth of a second: some three minutes of two cores.
            Preset::Cpu => Self {
                size: Size::Auto { pixels: 6144 },
                steps: 8,
                hidden: 64,
                max_steps: 1500,
                schedule: Schedule { warmup: 50, decay: Decay::Cosine { min: 0.0 } },
                // Chosen on anomalies inserted into held-out clips of Ped2 (docs/results/itae-nf.md).
                score: ScoreKind::PatchLikelihood,
                patch: 8,
                max_frames: 20_000,
                ..paper
            },
            Preset::Tiny => Self {
                size: Size::Auto { pixels: 1536 },
                steps: 2,
                levels: 2,
                hidden: 8,
                epochs: 1,
                min_steps: 10,
                max_steps: 10,
                rate: 1e-3,
                patch: 8,
                max_frames: 2000,
                ..paper
            },
        }
    }

    /// # Errors
    /// [`SystemError::Setting`] for a value out of its range.
    pub(super) fn check(&self) -> Result<(), SystemError> {
        let counts = [
            ("steps", self.steps, 256),
            ("levels", self.levels, 4),
            ("hidden", self.hidden, 2048),
            ("epochs", self.epochs, usize::MAX),
            ("batch", self.batch, 1024),
            ("max_frames", self.max_frames, usize::MAX),
        ];
        if let Some((key, _, most)) = counts.iter().find(|(_, value, most)| !(1..=*most).contains(value)) {
            return Err(setting(key, format!("must be from 1 to {most}")));
        }
        let unit = 1usize << self.levels;
        if let Size::Fixed { width, height } = self.size
            && [width, height].iter().any(|side| side % unit != 0)
        {
            return Err(setting(
                "size",
                format!("with {} levels both sides must be multiples of {unit}", self.levels),
            ));
        }
        if !(self.rate.is_finite() && self.rate > 0.0) {
            return Err(setting("rate", "must be a positive number"));
        }
        if !(2..=256).contains(&self.patch) {
            return Err(setting("patch", "must be from 2 to 256 pixels"));
        }
        if !(0.0..=0.9).contains(&self.holdout) {
            return Err(setting("holdout", "must be from 0 to 0.9"));
        }
        Ok(())
    }

    /// The flow for frames of `format`.
    pub(super) fn network(&self, format: InputFormat) -> GlowConfig {
        let size = [format.height, format.width];
        GlowConfig {
            steps: self.steps,
            hidden: self.hidden,
            ..GlowConfig::new(format.colour.channels(), size, self.levels)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preset::assert_are_named;

    #[test]
    fn presets_are_in_range() {
        Preset::ALL.iter().for_each(|(preset, _)| NfFramesConfig::preset(*preset).check().unwrap());
    }

    #[test]
    fn wrong_settings_are_named() {
        let tiny = NfFramesConfig::preset(Preset::Tiny);
        let wrong = [
            ("size=\"30x24\"", "size"),
            ("levels=5", "levels"),
            ("hidden=0", "hidden"),
            ("rate=0.0", "rate"),
            ("patch=1", "patch"),
            ("holdout=1.0", "holdout"),
        ];
        assert_are_named(&tiny, NfFramesConfig::check, &wrong);
    }
}
