//! `frame-diff`, `mog2` and `flow-magnitude`: the motion-only rows of paper 004, which every learned system must beat.
//!
//! Each makes a map of how much moves at each pixel: the absolute difference of two frames, 1 where MOG2 sees
//! foreground, or the length of the TV-L1 flow's vectors. The paper does not say how a frame's score is formed of it: its
//! mean over the frame and its worst patch are the two columns (ours).
//!
//! Read on: [`config`](self) → `measure` → `score`.

mod config;
mod measure;
mod score;

use vadis_nn::weights::WeightFile;

use crate::{Configured, FrameStore, InputFormat, Method, Model, Preset, Session, Setting, SystemError};

pub use config::{
    Compared, DifferenceConfig, FlowConfig, FlowSettings, ForegroundConfig, FrameScore, Frames, MotionConfig,
};
pub use score::MotionModel;

pub(crate) use config::TOGETHER;
pub(crate) use measure::STILL;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The absolute difference of two frames.
    Difference,
    /// The foreground before a background of adaptive Gaussian mixtures.
    Foreground,
    /// The length of optical flow.
    Flow,
}

impl Kind {
    /// The name on the command line.
    pub fn key(self) -> &'static str {
        match self {
            Self::Difference => "frame-diff",
            Self::Foreground => "mog2",
            Self::Flow => "flow-magnitude",
        }
    }
}

/// The registry's entry of what is measured.
pub struct MotionOnly(pub Kind);

impl Method for MotionOnly {
    fn key(&self) -> &'static str {
        self.0.key()
    }

    fn about(&self) -> &'static str {
        match self.0 {
            Kind::Difference => "how much the picture changes; nothing is learnt",
            Kind::Foreground => "what stands before a background of Gaussian mixtures (MOG2)",
            Kind::Flow => "how fast things move, by TV-L1 optical flow; nothing is learnt",
        }
    }

    fn source(&self) -> &'static str {
        match self.0 {
            Kind::Difference => "a motion-only row of paper 004; the difference of Ristea et al., CVPR 2024",
            Kind::Foreground => "a motion-only row of paper 004; Zivkovic, ICPR 2004",
            Kind::Flow => "a motion-only row of paper 004; Zach, Pock & Bischof, DAGM 2007",
        }
    }

    fn configure(&self, preset: Preset, settings: &[Setting]) -> Result<Box<dyn Configured>, SystemError> {
        let config = MotionConfig::preset(self.0, preset).with(settings)?;
        config.check()?;
        Ok(Box::new(Learner { kind: self.0, config }))
    }

    fn load(&self, file: &WeightFile) -> Result<Box<dyn Model>, SystemError> {
        Ok(Box::new(MotionModel::from_file(self.0, file)?))
    }
}

/// A method whose settings are known.
struct Learner {
    kind: Kind,
    config: MotionConfig,
}

impl Configured for Learner {
    fn config(&self) -> serde_json::Value {
        self.config.value()
    }

    fn input(&self, native_width: usize, native_height: usize) -> InputFormat {
        self.config.frames().input(native_width, native_height)
    }

    fn max_frames(&self) -> usize {
        self.config.frames().max_frames
    }

    fn together(&self) -> usize {
        config::TOGETHER
    }

    fn train(&self, footage: &FrameStore, session: &mut Session<'_>) -> Result<Box<dyn Model>, SystemError> {
        Ok(Box::new(MotionModel::learn(self.kind, &self.config, footage, session)?))
    }
}
