//! The settings of the 3-D autoencoder and of what its descendants add, each with where it comes from.

use serde::{Deserialize, Serialize};
use vadis_nn::networks::{Ae3dConfig as NetworkConfig, MemAeConfig};
use vadis_nn::schedule::{Decay, Schedule};
use vadis_video::Colour;

use crate::mle::Size;
use crate::preset::{probability, setting, within};
use crate::{InputFormat, Preset, SystemError};

/// What of the error is the score.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// Of the whole frame (the papers).
    Frame,
    /// Of the worst patch (ours).
    Patch,
}

/// Every setting of `ae3d`, and the autoencoder's of all systems made of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ae3dConfig {
    /// Size of the network's input: `176x120` (width × height), or `auto:21120`: about so many pixels in the footage's
    /// own proportions. Papers: 256×256.
    pub size: Size,
    /// `grey` (LNTRA) or `rgb` (paper 002).
    pub colour: Colour,
    /// Frames of a clip (papers: 16); the one after the middle, the ninth, is scored.
    pub clip: usize,
    /// Multiplies the channels of all inner layers (papers: 1).
    pub width: f64,
    /// Passes over the training clips (LNTRA: 60; paper 002: 25).
    pub epochs: usize,
    /// Least optimiser steps in all, however short the footage (ours).
    pub min_steps: usize,
    /// Most optimiser steps in all, however long the footage; 0 for no limit (ours).
    pub max_steps: usize,
    /// Clips a step (LNTRA: 4; paper 002: 24).
    pub batch: usize,
    /// Adam's full learning rate (papers: 1e-4).
    pub rate: f64,
    /// How the rate goes (papers: constant).
    pub schedule: Schedule,
    /// Frames between the beginnings of training clips (LNTRA: 1).
    pub train_stride: usize,
    /// Model file of a trained `ae3d` whose weights the autoencoder starts from; empty for none (ours).
    pub start: String,
    /// Whose peak signal-to-noise ratio is the score: the `frame`'s (papers) or the worst `patch`'s (ours).
    pub score: Measure,
    /// Side of the patches in pixels of the network's input (ours).
    pub patch: usize,
    /// Share of each source, at its end, that is not trained on: the score statistics are taken there, and an early
    /// look while training (ours).
    pub holdout: f64,
    /// Most frames kept for training; of longer footage stretches of whole clips are kept, spread evenly (ours).
    pub max_frames: usize,
    /// Most held-out frames that the score statistics are taken over (ours).
    pub calibration_frames: usize,
}

impl Ae3dConfig {
    /// The settings of a preset.
    pub fn preset(preset: Preset) -> Self {
        let paper = Self {
            size: Size::Fixed { width: 256, height: 256 },
            colour: Colour::Grey,
            clip: 16,
            width: 1.0,
            epochs: 60,
            min_steps: 0,
            max_steps: 0,
            batch: 4,
            rate: 1e-4,
            schedule: Schedule::new(Decay::Constant),
            train_stride: 1,
            start: String::new(),
            score: Measure::Frame,
            patch: 16,
            holdout: 0.15,
            max_frames: 200_000,
            calibration_frames: 2000,
        };
        match preset {
            Preset::Paper => paper,
            // At a quarter of the width and half of Ped2's size 20 000 steps of two clips, some twenty passes over Ped2, take 55
            // minutes of one core. Score: by the validation set (docs/results/pseudo.md).
            Preset::Cpu => Self {
                size: Size::Auto { pixels: 21_120 },
                width: 0.25,
                batch: 2,
                max_steps: 20_000,
                rate: 1e-3,
                schedule: Schedule { warmup: 50, decay: Decay::Cosine { min: 0.0 } },
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
                batch: 2,
                rate: 5e-3,
                train_stride: 2,
                score: Measure::Patch,
                patch: 8,
                max_frames: 2000,
                calibration_frames: 64,
                ..paper
            },
        }
    }

    /// The network for `format`, or for as many `channels` of that size.
    pub(crate) fn network(&self, channels: usize, format: InputFormat) -> NetworkConfig {
        let size = [self.clip, format.height, format.width];
        NetworkConfig { width: self.width, ..NetworkConfig::new(channels, size) }
    }

    /// The frame of a clip that is scored, from 0: the ninth of sixteen.
    pub(crate) fn scored(&self) -> usize {
        self.clip / 2
    }

    /// Frames that must have come after the scored one.
    pub(crate) fn delay(&self) -> usize {
        self.clip - 1 - self.scored()
    }

    /// # Errors
    /// [`SystemError::Setting`] for a value out of its range.
    pub(crate) fn check(&self) -> Result<(), SystemError> {
        within("clip", self.clip, 4, 64)?;
        if !(self.width > 0.0 && self.width <= 4.0) {
            return Err(setting("width", "must be above 0, at most 4"));
        }
        within("epochs", self.epochs, 1, usize::MAX)?;
        within("batch", self.batch, 1, 256)?;
        if !(self.rate.is_finite() && self.rate > 0.0) {
            return Err(setting("rate", "must be a positive number"));
        }
        within("train_stride", self.train_stride, 1, 1000)?;
        within("patch", self.patch, 2, 256)?;
        if !(0.0..=0.9).contains(&self.holdout) {
            return Err(setting("holdout", "must be from 0 to 0.9"));
        }
        if self.max_frames < 2 * self.clip || self.calibration_frames < self.clip {
            return Err(setting("max_frames", "max_frames and calibration_frames must hold a few clips"));
        }
        Ok(())
    }
}

/// What `memae` adds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MemoryConfig {
    /// Items of the memory (MemAE: 2000).
    pub slots: usize,
    /// Addressing weights up to this are set to 0 (MemAE: 0.0025).
    pub shrink: f32,
    /// Weight of the addressing's entropy in the loss (MemAE: 2e-4).
    pub entropy_weight: f64,
    /// Whether the error is the mean over the clip, as MemAE's own code has it, or the scored frame's alone, which slides
    /// over a stream at a fifth of the cost (ours).
    pub whole_clip: bool,
}

impl MemoryConfig {
    /// The settings of a preset.
    pub fn preset(preset: Preset) -> Self {
        let slots = if preset == Preset::Tiny { 40 } else { 2000 };
        Self { slots, shrink: 5.0 / slots as f32, entropy_weight: 2e-4, whole_clip: true }
    }

    pub(super) fn network(&self, network: NetworkConfig) -> MemAeConfig {
        let Self { slots, shrink, entropy_weight, .. } = *self;
        MemAeConfig { network, slots, shrink, entropy_weight }
    }

    pub(super) fn check(&self) -> Result<(), SystemError> {
        within("slots", self.slots, 1, 1 << 16)?;
        if !(0.0..1.0).contains(&self.shrink) {
            return Err(setting("shrink", "must be at least 0, below 1"));
        }
        if !(self.entropy_weight.is_finite() && self.entropy_weight >= 0.0) {
            return Err(setting("entropy_weight", "must be 0 or a positive number"));
        }
        Ok(())
    }
}

/// What `lntra-patch` adds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PatchConfig {
    /// How often a clip gets an intruder (LNTRA: 0.2).
    pub probability: f64,
    /// Folder of pictures that are pasted (LNTRA: CIFAR-100); empty for textures that are made up (ours).
    pub intruders: String,
    /// Largest side of an intruder as a share of the frame's (LNTRA: 0.5).
    pub largest: f64,
    /// Most pixels that its centre moves a frame, along each axis (LNTRA: 10 of 256).
    pub moves: f64,
}

impl PatchConfig {
    /// The settings of a preset.
    pub fn preset(preset: Preset) -> Self {
        // As large a part of a smaller frame.
        let moves = match preset {
            Preset::Paper => 10.0,
            Preset::Cpu => 5.0,
            Preset::Tiny => 2.0,
        };
        Self { probability: 0.2, intruders: String::new(), largest: 0.5, moves }
    }

    pub(crate) fn check(&self) -> Result<(), SystemError> {
        probability("probability", self.probability)?;
        if !(0.1..=1.0).contains(&self.largest) {
            return Err(setting("largest", "must be from 0.1 to 1"));
        }
        if !(0.0..=1000.0).contains(&self.moves) {
            return Err(setting("moves", "must be from 0 to 1000 pixels"));
        }
        Ok(())
    }
}

/// What `lntra-skip` and `steal` add.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SkipConfig {
    /// How often frames of a clip are skipped (LNTRA: 0.2; STEAL Net: 0.01).
    pub probability: f64,
    /// Frames from one to the next (LNTRA: 2, 3, 4 and 5).
    pub strides: Vec<usize>,
}

impl SkipConfig {
    /// The settings of `lntra-skip`.
    pub fn undone() -> Self {
        Self { probability: 0.2, strides: vec![2, 3, 4, 5] }
    }

    /// The settings of `steal`.
    pub fn pushed_away() -> Self {
        Self { probability: 0.01, ..Self::undone() }
    }

    pub(crate) fn check(&self) -> Result<(), SystemError> {
        probability("probability", self.probability)?;
        if self.strides.is_empty() || self.strides.iter().any(|s| !(2..=100).contains(s)) {
            return Err(setting("strides", "must be one or more numbers of frames from 2 to 100"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preset::assert_are_named;

    #[test]
    fn presets_are_in_range() {
        for (preset, _) in Preset::ALL {
            Ae3dConfig::preset(preset).check().unwrap();
            MemoryConfig::preset(preset).check().unwrap();
            PatchConfig::preset(preset).check().unwrap();
        }
        SkipConfig::undone().check().unwrap();
        SkipConfig::pushed_away().check().unwrap();
        let paper = Ae3dConfig::preset(Preset::Paper);
        assert_eq!((paper.scored(), paper.delay()), (8, 7), "labels [8 : len − 7]");
        assert_eq!(MemoryConfig::preset(Preset::Paper).shrink, 0.0025);
    }

    #[test]
    fn wrong_settings_are_named() {
        let tiny = Ae3dConfig::preset(Preset::Tiny);
        let wrong = [
            ("clip=3", "clip"),
            ("width=0.0", "width"),
            ("batch=0", "batch"),
            ("rate=-1.0", "rate"),
            ("patch=1", "patch"),
            ("holdout=1.0", "holdout"),
        ];
        assert_are_named(&tiny, Ae3dConfig::check, &wrong);
        let skip = SkipConfig { strides: vec![1], ..SkipConfig::undone() };
        assert!(skip.check().is_err());
    }
}
