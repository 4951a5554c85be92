//! The settings of `mle`, each with where it comes from.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use vadis_nn::loss::Bandwidth;
use vadis_video::Colour;

use crate::{Preset, SystemError};

/// Smallest and largest side of the network's input.
const SIDES: std::ops::RangeInclusive<usize> = 16..=1024;

/// Every setting of `mle`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MleConfig {
    /// Size of the network's input: `128x64` (width × height), or `auto:8192`: about so many pixels in the
    /// footage's own proportions. Paper's predecessor: 64×64.
    pub size: Size,
    /// `grey` or `rgb`.
    pub colour: Colour,
    /// Channels of the three stride-2 convolutions (the authors' predecessor: 16-32-64).
    pub channels: [usize; 3],
    /// Latent dimensions (predecessor: 256).
    pub latent: usize,
    /// Passes over the training footage (predecessor: 100).
    pub epochs: usize,
    /// Least optimiser steps in all, however short the footage (ours).
    pub min_steps: usize,
    /// Most optimiser steps in all, however long the footage; 0 for no limit (ours).
    pub max_steps: usize,
    /// Frames a step (predecessor: 256); the entropy is estimated over them.
    pub batch: usize,
    /// Adam's learning rate (predecessor: 5e-4).
    pub rate: f64,
    /// λ, the weight of the entropy term (ours: not public).
    pub entropy_weight: f64,
    /// λ rises linearly from 0 over so many steps (ours).
    pub ramp_steps: usize,
    /// σ's rule: `median`, `mean`, or σ itself (ours: not public).
    pub bandwidth: Bandwidth,
    /// Most frames kept for training; longer footage is thinned evenly (ours).
    pub max_frames: usize,
    /// Share of each source, at its end, that is not trained on and on which the model's score statistics are
    /// taken. 0: the training footage itself, as fully unsupervised search has no other (ours).
    pub holdout: f64,
    /// Which column is the score: `pcc` (the paper's), `local_pcc`, `foreground_pcc`, `squared_error`,
    /// `patch_error`, `standardised_error`.
    pub score: ScoreKind,
    /// Side of the patches of the local variants, in pixels of the network's input (ours).
    pub patch: usize,
}

impl MleConfig {
    /// The settings of a preset.
    pub fn preset(preset: Preset) -> Self {
        let paper = Self {
            size: Size::Fixed { width: 64, height: 64 },
            colour: Colour::Grey,
            channels: [16, 32, 64],
            latent: 256,
            epochs: 100,
            min_steps: 0,
            max_steps: 0,
            batch: 256,
            rate: 5e-4,
            entropy_weight: 0.01,
            ramp_steps: 350,
            bandwidth: Bandwidth::Median,
            max_frames: 200_000,
            holdout: 0.0,
            score: ScoreKind::Pcc,
            patch: 16,
        };
        match preset {
            Preset::Paper => paper,
            // Chosen on inserted and synthetic anomalies, not by a benchmark's labels: docs/results/mle-validation.md.
            Preset::Cpu => Self {
                size: Size::Auto { pixels: 8192 },
                colour: Colour::Rgb,
                epochs: 4,
                min_steps: 200,
                max_steps: 300,
                ramp_steps: 200,
                score: ScoreKind::StandardisedError,
                ..paper
            },
            Preset::Tiny => Self {
                size: Size::Auto { pixels: 2048 },
                epochs: 8,
                min_steps: 40,
                max_steps: 40,
                batch: 64,
                ramp_steps: 10,
                max_frames: 2000,
                patch: 8,
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
        if self.channels.contains(&0) || self.channels.iter().any(|&c| c > 4096) {
            return setting("channels", "each must be from 1 to 4096");
        }
        if !(1..=65_536).contains(&self.latent) {
            return setting("latent", "must be from 1 to 65536");
        }
        if !(2..=4096).contains(&self.batch) {
            return setting("batch", "must be from 2 to 4096: the entropy is one of several latents");
        }
        if self.epochs == 0 {
            return setting("epochs", "must be at least 1");
        }
        if !(self.rate.is_finite() && self.rate > 0.0) {
            return setting("rate", "must be a positive number");
        }
        if !(self.entropy_weight.is_finite() && self.entropy_weight >= 0.0) {
            return setting("entropy_weight", "must be 0 or a positive number");
        }
        if !(0.0..=0.9).contains(&self.holdout) {
            return setting("holdout", "must be from 0 to 0.9");
        }
        if !(2..=256).contains(&self.patch) {
            return setting("patch", "must be from 2 to 256 pixels");
        }
        if self.max_frames < 16 {
            return setting("max_frames", "must be at least 16");
        }
        Ok(())
    }
}

/// Which column a frame's score is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScoreKind {
    /// 1 − PCC of the frame and its reconstruction: the paper's.
    Pcc,
    /// The worst patch's 1 − PCC (ours).
    LocalPcc,
    /// 1 − PCC after the background is taken off both (ours).
    ForegroundPcc,
    /// Mean squared error.
    SquaredError,
    /// The worst patch's mean squared error (ours).
    PatchError,
    /// The worst patch's squared error, each pixel against its own usual error (ours).
    StandardisedError,
}

impl ScoreKind {
    /// All, in the order of the columns.
    pub const ALL: [Self; 6] = [
        Self::Pcc,
        Self::LocalPcc,
        Self::ForegroundPcc,
        Self::SquaredError,
        Self::PatchError,
        Self::StandardisedError,
    ];
    /// Their names, in the same order.
    pub const NAMES: [&'static str; 6] =
        ["pcc", "local_pcc", "foreground_pcc", "squared_error", "patch_error", "standardised_error"];

    /// Its column.
    pub fn column(self) -> usize {
        self as usize
    }
}

/// Size of the network's input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Size {
    /// These sides, whatever the footage.
    Fixed {
        /// Pixels a row.
        width: usize,
        /// Rows.
        height: usize,
    },
    /// The footage's proportions, sides multiples of 8, about so many pixels.
    Auto {
        /// Area aimed at.
        pixels: usize,
    },
}

impl Size {
    /// Width and height for footage of that size. Never larger than the footage by more than the rounding.
    pub fn resolve(self, native_width: usize, native_height: usize) -> (usize, usize) {
        match self {
            Self::Fixed { width, height } => (width, height),
            Self::Auto { pixels } => {
                let (w, h) = (native_width.max(1) as f64, native_height.max(1) as f64);
                let scale = (pixels as f64 / (w * h)).sqrt().min(1.0);
                let side =
                    |n: f64| (((n * scale / 8.0).round() as usize) * 8).clamp(*SIDES.start(), *SIDES.end());
                (side(w), side(h))
            }
        }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed { width, height } => write!(f, "{width}x{height}"),
            Self::Auto { pixels } => write!(f, "auto:{pixels}"),
        }
    }
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no size: write `128x64` (sides from 16 to 1024) or `auto:8192`");
        if let Some(pixels) = text.strip_prefix("auto:") {
            let pixels = pixels.parse().map_err(|_| wrong())?;
            return if (256..=1 << 20).contains(&pixels) { Ok(Self::Auto { pixels }) } else { Err(wrong()) };
        }
        let (width, height) = text.split_once('x').ok_or_else(wrong)?;
        let side = |t: &str| t.parse().ok().filter(|n| SIDES.contains(n)).ok_or_else(wrong);
        Ok(Self::Fixed { width: side(width)?, height: side(height)? })
    }
}

impl From<Size> for String {
    fn from(size: Size) -> Self {
        size.to_string()
    }
}

impl TryFrom<String> for Size {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auto_keeps_the_footages_proportions() {
        let auto = Size::Auto { pixels: 8192 };
        assert_eq!(auto.resolve(128, 64), (128, 64));
        assert_eq!(auto.resolve(1920, 1080), (120, 64));
        assert_eq!(auto.resolve(360, 240), (112, 72));
        assert_eq!(auto.resolve(5, 4000), (16, 1024));
        assert_eq!(auto.resolve(40, 30), (40, 32));
    }

    #[test]
    fn presets_are_in_range_and_sizes_round_trip() {
        for (preset, _) in Preset::ALL {
            MleConfig::preset(preset).check().unwrap();
        }
        for text in ["128x64", "auto:8192"] {
            assert_eq!(text.parse::<Size>().unwrap().to_string(), text);
        }
        for wrong in ["8x8", "128", "auto:1", "axb", "99999x64"] {
            assert!(wrong.parse::<Size>().is_err(), "{wrong}");
        }
    }
}
