//! `patch-knn`: how far each patch's motion is from that of the nearest patches of normal footage (ours): the plain
//! rival that learns nothing but remembers.
//!
//! A patch is six numbers: the mean of |(u, v)|, |u| and |v|, the root mean square and the fourth root of the mean fourth
//! power of |(u, v)|, which say how much of it moves how fast, all of TV-L1 flow, and the mean of |∂I/∂t|; each is averaged
//! over the frames around and standardised on the training footage. The nearest neighbours are exact.
//!
//! Read on: [`config`](self) → `features` → `neighbours` → `score`.

mod config;
mod features;
mod neighbours;
mod score;

use vadis_nn::weights::WeightFile;

use crate::motion_only::TOGETHER;
use crate::{Configured, FrameStore, InputFormat, Method, Model, Preset, Session, Setting, SystemError};

pub use config::PatchKnnConfig;
pub use score::PatchKnnModel;

/// The registry's entry.
pub struct PatchKnn;

impl Method for PatchKnn {
    fn key(&self) -> &'static str {
        "patch-knn"
    }

    fn about(&self) -> &'static str {
        "nearest neighbours of patches' motion among those of normal footage"
    }

    fn source(&self) -> &'static str {
        "vadis; flow by Zach, Pock & Bischof, DAGM 2007"
    }

    fn configure(&self, preset: Preset, settings: &[Setting]) -> Result<Box<dyn Configured>, SystemError> {
        let config = crate::resolve_config(&PatchKnnConfig::preset(preset), settings)?;
        config.check()?;
        Ok(Box::new(config))
    }

    fn load(&self, file: &WeightFile) -> Result<Box<dyn Model>, SystemError> {
        Ok(Box::new(PatchKnnModel::from_file(file)?))
    }
}

impl Configured for PatchKnnConfig {
    fn config(&self) -> serde_json::Value {
        serde_json::to_value(self).unwrap_or_default()
    }

    fn input(&self, native_width: usize, native_height: usize) -> InputFormat {
        self.frames.input(native_width, native_height)
    }

    fn max_frames(&self) -> usize {
        self.frames.max_frames
    }

    fn together(&self) -> usize {
        TOGETHER
    }

    fn train(&self, footage: &FrameStore, session: &mut Session<'_>) -> Result<Box<dyn Model>, SystemError> {
        Ok(Box::new(PatchKnnModel::learn(self, footage, session)?))
    }
}
