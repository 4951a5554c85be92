//! `pseudo`: Rai et al., *Video Anomaly Detection via Spatio-Temporal Pseudo-Anomaly Generation* (paper 002).
//!
//! Two autoencoders of [`crate::ae3d`]'s kind, one over frames and one over their optical flow, learn to make the normal
//! clip also of a pseudo-anomaly: a clip in which something else was painted in the place of an object, and a clip of flows
//! in which a patch was mixed with another one. A frame's score is how badly it and its flow are rebuilt (Eq. 6), and, where
//! weights of a network that knows meanings are at hand, how much it looks like a pseudo-anomaly to a discriminator.
//!
//! Read on: [`config`](self) → `mask` → `spatial` (`diffusion`), `temporal` → `train` (`sheet`, `semantic`) → `score`.

mod config;
mod diffusion;
mod mask;
mod score;
mod semantic;
mod sheet;
mod spatial;
mod temporal;
mod train;

use vadis_nn::weights::WeightFile;

use crate::{Configured, FrameStore, InputFormat, Method, Model, Preset, Session, Setting, SystemError};

pub use config::{Encoder, PseudoConfig};
pub use score::PseudoModel;

const KEY: &str = "pseudo";

/// The registry's entry.
pub struct Pseudo;

impl Method for Pseudo {
    fn key(&self) -> &'static str {
        KEY
    }

    fn about(&self) -> &'static str {
        "two 3-D autoencoders, of frames and of optical flow, learning to undo pseudo-anomalies"
    }

    fn source(&self) -> &'static str {
        "Rai et al., Video Anomaly Detection via Spatio-Temporal Pseudo-Anomaly Generation: A Unified Approach"
    }

    fn configure(&self, preset: Preset, settings: &[Setting]) -> Result<Box<dyn Configured>, SystemError> {
        let config = crate::resolve_config(&PseudoConfig::preset(preset), settings)?;
        config.check()?;
        Ok(Box::new(Learner { config }))
    }

    fn load(&self, file: &WeightFile) -> Result<Box<dyn Model>, SystemError> {
        Ok(Box::new(PseudoModel::from_file(file)?))
    }
}

/// The system, its settings known.
struct Learner {
    config: PseudoConfig,
}

impl Configured for Learner {
    fn config(&self) -> serde_json::Value {
        serde_json::to_value(&self.config).unwrap_or_default()
    }

    fn input(&self, native_width: usize, native_height: usize) -> InputFormat {
        let (width, height) = self.config.ae3d.size.resolve(native_width, native_height);
        InputFormat { width, height, colour: self.config.ae3d.colour }
    }

    fn max_frames(&self) -> usize {
        self.config.ae3d.max_frames
    }

    fn together(&self) -> usize {
        4 * self.config.ae3d.clip
    }

    fn train(&self, footage: &FrameStore, session: &mut Session<'_>) -> Result<Box<dyn Model>, SystemError> {
        Ok(Box::new(train::train(&self.config, footage, session)?))
    }
}
