//! `motion-mae`: the motion-enhanced masked autoencoder of paper 004, and `cae`, its ablation without mask and motion.
//!
//! A convolutional autoencoder learns to fill in blocks of normal frames that are hidden from it. Errors count more where
//! something moves, in the loss and in the score: L = α·L_rec + β·L_motion, and the same of a frame's errors. The paper
//! defines neither the mask, nor the motion gradient, nor the motion terms, nor α and β; they are ours after Ristea et
//! al. (CVPR 2024): g_t = |I_{t−1} − I_{t+1}|, a pixel's weight (ε + g)/(ε + mean g), both terms of the score
//! standardised on held-out normal footage. When scoring, complementary masks hide every pixel exactly once, so that
//! each is predicted from what is around it, and always the same.
//!
//! Off unless asked for, from Ristea et al. (*Self-Distilled Masked Auto-Encoders are Efficient Video Anomaly Detectors*):
//! the frames t−k, t and t+k as channels of the input (`offset`), a student of the frozen network whose difference from it
//! joins the score (`student_steps`), and pasted intruders with a map of them as a second output (`pasted`).
//!
//! Read on: [`config`](self) → `mask` → `augment` → `lesson` → `train` → `student` → `score` → `attend`. The network is
//! [`vadis_nn::networks::Cae`].

mod attend;
pub(crate) mod augment;
mod config;
mod lesson;
mod mask;
mod score;
mod student;
mod train;

use vadis_nn::weights::WeightFile;

use crate::{Configured, FrameStore, InputFormat, Method, Model, Preset, Session, Setting, SystemError};

pub use config::{MotionMaeConfig, Passes, ScoreKind};
pub use score::MotionMaeModel;

/// Which of the paper's autoencoders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variant {
    /// With mask and motion.
    MotionMae,
    /// The standard autoencoder.
    Cae,
}

impl Variant {
    /// The name on the command line.
    pub fn key(self) -> &'static str {
        match self {
            Self::MotionMae => "motion-mae",
            Self::Cae => "cae",
        }
    }
}

/// The registry's entry of a variant.
pub struct MotionMae(pub Variant);

impl Method for MotionMae {
    fn key(&self) -> &'static str {
        self.0.key()
    }

    fn about(&self) -> &'static str {
        match self.0 {
            Variant::MotionMae => "masked autoencoder whose errors count more where something moves",
            Variant::Cae => "convolutional autoencoder of single frames: motion-mae without mask and motion",
        }
    }

    fn source(&self) -> &'static str {
        "paper 004; its undefined parts after Ristea et al., CVPR 2024"
    }

    fn configure(&self, preset: Preset, settings: &[Setting]) -> Result<Box<dyn Configured>, SystemError> {
        let config = crate::resolve_config(&MotionMaeConfig::preset(self.0, preset), settings)?;
        config.check()?;
        Ok(Box::new(Learner { variant: self.0, config }))
    }

    fn load(&self, file: &WeightFile) -> Result<Box<dyn Model>, SystemError> {
        Ok(Box::new(MotionMaeModel::from_file(self.0, file)?))
    }
}

/// A variant whose settings are known.
struct Learner {
    variant: Variant,
    config: MotionMaeConfig,
}

impl Configured for Learner {
    fn config(&self) -> serde_json::Value {
        serde_json::to_value(&self.config).unwrap_or_default()
    }

    fn input(&self, native_width: usize, native_height: usize) -> InputFormat {
        self.config.input(native_width, native_height)
    }

    fn max_frames(&self) -> usize {
        self.config.max_frames
    }

    fn together(&self) -> usize {
        8 * self.config.clip()
    }

    fn train(&self, footage: &FrameStore, session: &mut Session<'_>) -> Result<Box<dyn Model>, SystemError> {
        Ok(Box::new(train::train(self.variant, &self.config, footage, session)?))
    }
}
