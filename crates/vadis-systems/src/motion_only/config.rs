//! The settings of the motion-only systems, each with where it comes from.

use serde::{Deserialize, Serialize};
use vadis_motion::{Mog2Config, Span, TvL1Config};
use vadis_nn::weights::WeightFile;
use vadis_video::Colour;

use super::Kind;
use crate::mle::Size;
use crate::model_file::parse;
use crate::preset::setting;
use crate::{InputFormat, Preset, Setting, SystemError};

/// Frames that stay together where footage is thinned: what moves is seen between neighbours.
pub(crate) const TOGETHER: usize = 32;

/// Most frames on either side that are averaged: their maps are kept.
const MOST_AROUND: usize = 50;

/// How a frame's score is formed of what is seen at its pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FrameScore {
    /// The mean over the frame.
    Mean,
    /// The worst square patch's mean.
    Patch,
}

/// What these systems' settings have in common.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Frames {
    /// Size of the pictures, `240x160` or `auto:38400`: about so many pixels in the footage's proportions (ours).
    pub size: Size,
    /// Side of a patch in pixels of the picture (ours).
    pub patch: usize,
    /// Frames on either side whose motion is averaged with a frame's, which is then known so many frames later (ours: 0).
    #[serde(default)]
    pub around: usize,
    /// Which column is the score: `mean` or `patch`, the worst patch's (ours: the paper does not say).
    pub score: FrameScore,
    /// Share of each source, at its end, that the score statistics are taken on and nothing is learnt from (ours).
    pub holdout: f64,
    /// Most frames kept of the training footage; of longer footage stretches are kept, spread evenly (ours).
    pub max_frames: usize,
    /// Most held-out frames that the score statistics are taken over (ours).
    pub calibration_frames: usize,
}

impl Frames {
    /// The settings of a preset.
    pub(crate) fn preset(preset: Preset) -> Self {
        let paper = Self {
            size: Size::Auto { pixels: 86_400 },
            patch: 32,
            around: 0,
            score: FrameScore::Mean,
            holdout: 0.15,
            max_frames: 20_000,
            calibration_frames: 2000,
        };
        match preset {
            Preset::Paper => paper,
            // The patch was chosen on anomalies inserted into held-out clips of Ped2 (docs/results/motion-mae.md).
            Preset::Cpu => Self {
                size: Size::Auto { pixels: 38_400 },
                patch: 24,
                score: FrameScore::Patch,
                calibration_frames: 640,
                ..paper
            },
            Preset::Tiny => Self {
                size: Size::Auto { pixels: 1536 },
                patch: 8,
                score: FrameScore::Patch,
                max_frames: 2000,
                calibration_frames: 64,
                ..paper
            },
        }
    }

    pub(crate) fn input(&self, native_width: usize, native_height: usize) -> InputFormat {
        let (width, height) = self.size.resolve(native_width, native_height);
        InputFormat { width, height, colour: Colour::Grey }
    }

    /// # Errors
    /// [`SystemError::Setting`] for a value out of its range.
    pub(crate) fn check(&self) -> Result<(), SystemError> {
        if !(2..=256).contains(&self.patch) {
            return Err(setting("patch", "must be from 2 to 256 pixels"));
        }
        if self.around > MOST_AROUND {
            return Err(setting("around", "must be from 0 to 50 frames"));
        }
        if !(0.0..=0.9).contains(&self.holdout) {
            return Err(setting("holdout", "must be from 0 to 0.9"));
        }
        if self.max_frames < TOGETHER || self.calibration_frames < 2 {
            return Err(setting("max_frames", "max_frames must be at least 32, calibration_frames 2"));
        }
        Ok(())
    }
}

/// Every setting of `frame-diff`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DifferenceConfig {
    /// What these systems have in common.
    #[serde(flatten)]
    pub frames: Frames,
    /// Which frames are compared: `symmetric`, |Iₜ₋₁ − Iₜ₊₁|, or `backward`, |Iₜ − Iₜ₋₁| (ours: the paper does not say).
    pub span: Compared,
}

/// Which two frames are compared to score frame *t*.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Compared {
    /// It and the one before.
    Backward,
    /// The one before and the one after.
    Symmetric,
}

impl From<Compared> for Span {
    fn from(compared: Compared) -> Self {
        match compared {
            Compared::Backward => Self::Backward,
            Compared::Symmetric => Self::Symmetric,
        }
    }
}

/// Every setting of `mog2`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ForegroundConfig {
    /// What these systems have in common.
    #[serde(flatten)]
    pub frames: Frames,
    /// Frames that the background remembers (OpenCV's default: 500).
    pub history: usize,
    /// Squared Mahalanobis distance up to which a pixel is background (OpenCV's default: 16).
    pub threshold: f32,
    /// Whether shadows are background (OpenCV tells them apart).
    pub shadows: bool,
    /// How many times the training footage's median picture is shown before a video's first frame, so that what stands
    /// in that is seen; 0 as OpenCV does it (ours).
    pub primed: usize,
}

/// Every setting of `flow-magnitude`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FlowConfig {
    /// What these systems have in common.
    #[serde(flatten)]
    pub frames: Frames,
    /// How flow is computed.
    #[serde(flatten)]
    pub flow: FlowSettings,
}

/// What may be chosen of TV-L1; the rest is OpenCV's default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FlowSettings {
    /// Levels of the pyramid (OpenCV's default: 5).
    pub scales: usize,
    /// Warps a level (OpenCV's default: 5).
    pub warps: usize,
    /// Medians a warp at most (OpenCV's default: 10).
    pub outer_iterations: usize,
}

impl FlowSettings {
    pub(crate) fn preset(preset: Preset) -> Self {
        let TvL1Config { scales, warps, outer_iterations, .. } = TvL1Config::default();
        let paper = Self { scales, warps, outer_iterations };
        match preset {
            Preset::Paper | Preset::Cpu => paper,
            Preset::Tiny => Self { scales: 3, warps: 2, outer_iterations: 3 },
        }
    }

    pub(crate) fn tvl1(&self) -> TvL1Config {
        let Self { scales, warps, outer_iterations } = *self;
        TvL1Config { scales, warps, outer_iterations, ..TvL1Config::default() }
    }

    /// # Errors
    /// [`SystemError::Setting`] for a value out of its range.
    pub(crate) fn check(&self) -> Result<(), SystemError> {
        for (key, value) in
            [("scales", self.scales), ("warps", self.warps), ("outer_iterations", self.outer_iterations)]
        {
            if !(1..=100).contains(&value) {
                return Err(setting(key, "must be from 1 to 100"));
            }
        }
        Ok(())
    }
}

/// The settings of one of the systems.
#[derive(Debug, Clone, PartialEq)]
pub enum MotionConfig {
    /// Of `frame-diff`.
    Difference(DifferenceConfig),
    /// Of `mog2`.
    Foreground(ForegroundConfig),
    /// Of `flow-magnitude`.
    Flow(FlowConfig),
}

impl MotionConfig {
    /// The settings of a preset.
    pub fn preset(kind: Kind, preset: Preset) -> Self {
        let frames = Frames::preset(preset);
        match kind {
            Kind::Difference => Self::Difference(DifferenceConfig { frames, span: Compared::Symmetric }),
            Kind::Foreground => {
                // By what inserted anomalies say the mean; and as OpenCV does it: a primed background forgets soon that
                // those who stand in the first frames are not part of it, which shows as an alarm at each video's start.
                let frames = Frames { score: FrameScore::Mean, ..frames };
                let Mog2Config { history, threshold, shadows } = Mog2Config::default();
                Self::Foreground(ForegroundConfig { frames, history, threshold, shadows, primed: 0 })
            }
            Kind::Flow => Self::Flow(FlowConfig { frames, flow: FlowSettings::preset(preset) }),
        }
    }

    /// These with the user's over them.
    pub(super) fn with(&self, settings: &[Setting]) -> Result<Self, SystemError> {
        Ok(match self {
            Self::Difference(base) => Self::Difference(crate::resolve_config(base, settings)?),
            Self::Foreground(base) => Self::Foreground(crate::resolve_config(base, settings)?),
            Self::Flow(base) => Self::Flow(crate::resolve_config(base, settings)?),
        })
    }

    pub(super) fn of_file(kind: Kind, file: &WeightFile) -> Result<Self, SystemError> {
        let config = match kind {
            Kind::Difference => Self::Difference(parse(file, "config")?),
            Kind::Foreground => Self::Foreground(parse(file, "config")?),
            Kind::Flow => Self::Flow(parse(file, "config")?),
        };
        config.check()?;
        Ok(config)
    }

    pub(super) fn value(&self) -> serde_json::Value {
        let value = match self {
            Self::Difference(config) => serde_json::to_value(config),
            Self::Foreground(config) => serde_json::to_value(config),
            Self::Flow(config) => serde_json::to_value(config),
        };
        value.unwrap_or_default()
    }

    pub(super) fn frames(&self) -> &Frames {
        match self {
            Self::Difference(config) => &config.frames,
            Self::Foreground(config) => &config.frames,
            Self::Flow(config) => &config.frames,
        }
    }

    /// # Errors
    /// [`SystemError::Setting`] for a value out of its range.
    pub(super) fn check(&self) -> Result<(), SystemError> {
        self.frames().check()?;
        match self {
            Self::Difference(_) => Ok(()),
            Self::Flow(config) => config.flow.check(),
            Self::Foreground(config) => {
                if !(1..=1_000_000).contains(&config.history) {
                    return Err(setting("history", "must be from 1 to 1000000 frames"));
                }
                if !(config.threshold.is_finite() && config.threshold > 0.0) {
                    return Err(setting("threshold", "must be a positive number"));
                }
                if config.primed > 1000 {
                    return Err(setting("primed", "must be from 0 to 1000"));
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_are_in_range_and_wrong_settings_are_named() {
        for kind in [Kind::Difference, Kind::Foreground, Kind::Flow] {
            for (preset, _) in Preset::ALL {
                MotionConfig::preset(kind, preset).check().unwrap();
            }
            let tiny = MotionConfig::preset(kind, Preset::Tiny);
            for (text, key) in [
                ("patch=1", "patch"),
                ("around=51", "around"),
                ("holdout=1.0", "holdout"),
                ("max_frames=3", "max_frames"),
            ] {
                let changed = tiny.with(&[text.parse().unwrap()]).unwrap();
                assert!(
                    matches!(changed.check(), Err(SystemError::Setting { key: k, .. }) if k == key),
                    "{text}"
                );
            }
        }
        let mog2 = MotionConfig::preset(Kind::Foreground, Preset::Cpu);
        for text in ["history=0", "threshold=-1.0", "primed=1001"] {
            assert!(mog2.with(&[text.parse().unwrap()]).unwrap().check().is_err(), "{text}");
        }
        let flow = MotionConfig::preset(Kind::Flow, Preset::Cpu);
        assert!(flow.with(&["warps=0".parse().unwrap()]).unwrap().check().is_err());
        assert!(flow.with(&["history=9".parse().unwrap()]).is_err(), "not its own");
    }
}
