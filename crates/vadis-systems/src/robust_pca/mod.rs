//! `robust-pca`: low-rank background of the frames, score = what is left. The plain rival of `mle` under the same
//! protocol: nothing is learnt but a subspace.
//!
//! Principal component pursuit (Candès, Li, Ma & Wright, JACM 2011): D = L + S with L of low rank and S sparse,
//! min ‖L‖_* + λ‖S‖₁. A frame is scored by the sparse part that is left when it is split over L's subspace.
//!
//! Read on: `config` (below) → `pursuit` → `score`.

mod pursuit;
mod score;

use serde::{Deserialize, Serialize};
use vadis_nn::weights::WeightFile;
use vadis_video::Colour;

use crate::mle::Size;
use crate::{Configured, FrameStore, InputFormat, Method, Model, Preset, Session, Setting, SystemError};

pub use score::RobustPcaModel;

/// The registry's entry.
pub struct RobustPca;

/// Every setting of `robust-pca`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RobustPcaConfig {
    /// Size of the frames: `128x64`, or `auto:8192` pixels in the footage's proportions (ours).
    pub size: Size,
    /// Frames, evenly spread, that the subspace is learnt from (ours).
    pub frames: usize,
    /// λ in multiples of 1/√max(pixels, frames), Candès et al.'s universal choice.
    pub sparsity: f64,
    /// Largest rank kept (ours).
    pub rank: usize,
    /// Iterations of the augmented Lagrangian.
    pub iterations: usize,
    /// Most frames kept for training; longer footage is thinned evenly (ours).
    pub max_frames: usize,
    /// Which column is the score: `residual` or `patch_residual`.
    pub score: ScoreKind,
    /// Side of a patch, in pixels (ours).
    pub patch: usize,
}

/// Which column a frame's score is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScoreKind {
    /// Mean absolute value of the sparse part.
    Residual,
    /// Its worst patch.
    PatchResidual,
}

impl RobustPcaConfig {
    /// The settings of a preset.
    pub fn preset(preset: Preset) -> Self {
        let cpu = Self {
            size: Size::Auto { pixels: 8192 },
            frames: 240,
            sparsity: 1.0,
            rank: 24,
            iterations: 40,
            max_frames: 20_000,
            score: ScoreKind::Residual,
            patch: 16,
        };
        match preset {
            Preset::Paper => Self { frames: 400, ..cpu },
            Preset::Cpu => cpu,
            Preset::Tiny => {
                Self { size: Size::Auto { pixels: 2048 }, frames: 60, rank: 8, iterations: 15, ..cpu }
            }
        }
    }

    fn check(&self) -> Result<(), SystemError> {
        let setting = |key: &str, reason: &str| {
            Err(SystemError::Setting { key: key.to_owned(), reason: reason.to_owned() })
        };
        if !(8..=2000).contains(&self.frames) {
            return setting("frames", "must be from 8 to 2000");
        }
        if !(self.sparsity.is_finite() && self.sparsity > 0.0) {
            return setting("sparsity", "must be a positive number");
        }
        if self.rank == 0 || self.iterations == 0 {
            return setting("rank", "rank and iterations must be at least 1");
        }
        if !(2..=256).contains(&self.patch) {
            return setting("patch", "must be from 2 to 256 pixels");
        }
        Ok(())
    }
}

impl Method for RobustPca {
    fn key(&self) -> &'static str {
        "robust-pca"
    }

    fn about(&self) -> &'static str {
        "low-rank background by principal component pursuit; the score is what is left"
    }

    fn source(&self) -> &'static str {
        "Candès, Li, Ma & Wright, JACM 2011"
    }

    fn is_unsupervised(&self) -> bool {
        true
    }

    fn configure(&self, preset: Preset, settings: &[Setting]) -> Result<Box<dyn Configured>, SystemError> {
        let config = crate::resolve_config(&RobustPcaConfig::preset(preset), settings)?;
        config.check()?;
        Ok(Box::new(config))
    }

    fn load(&self, file: &WeightFile) -> Result<Box<dyn Model>, SystemError> {
        Ok(Box::new(RobustPcaModel::from_file(file)?))
    }
}

impl Configured for RobustPcaConfig {
    fn config(&self) -> serde_json::Value {
        serde_json::to_value(self).unwrap_or_default()
    }

    fn input(&self, native_width: usize, native_height: usize) -> InputFormat {
        let (width, height) = self.size.resolve(native_width, native_height);
        InputFormat { width, height, colour: Colour::Grey }
    }

    fn max_frames(&self) -> usize {
        self.max_frames
    }

    fn train(&self, footage: &FrameStore, session: &mut Session<'_>) -> Result<Box<dyn Model>, SystemError> {
        Ok(Box::new(RobustPcaModel::learn(self, footage, session)?))
    }
}
