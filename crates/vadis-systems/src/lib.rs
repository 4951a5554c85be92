//! The anomaly detection systems, one folder each, under one contract.
//!
//! ```text
//! Method ──configure──▶ Configured ──train(footage)──▶ Model ──scorer──▶ Scorer ──push(frames)──▶ Scored
//! ```
//!
//! A [`Method`] is what the registry lists. With a preset and the user's settings it becomes [`Configured`];
//! trained on a [`FrameStore`] it becomes a [`Model`], which is saved, loaded and scored with. A [`Scorer`]
//! takes frames as they arrive and gives each frame's score once it is determined, [`Model::delay`] frames
//! later at most: scoring a file is that, run over the file, so live equals offline bit for bit.

pub mod ae3d;
mod around;
mod centre;
mod clip_training;
mod clips;
pub mod combination;
mod device;
mod discriminator;
mod error;
mod examples;
mod frames;
pub mod gan;
mod intruder;
pub mod itae_nf;
pub mod mle;
mod model_file;
pub mod motion_mae;
pub mod motion_only;
pub mod nf_frames;
mod pasted;
pub mod patch_knn;
mod patches;
mod preset;
mod projection;
pub mod pseudo;
pub mod robust_pca;
mod session;
mod sliding;
mod spent;
mod statistics;
mod store;
mod stream;
mod training_step;

use vadis_nn::weights::WeightFile;
use vadis_video::{Colour, Frame, FrameFormat, Mask};

pub use burn::tensor::Device;
pub use device::{cpu_device, device, devices};
pub use discriminator::{Discriminator, DiscriminatorConfig};
pub use error::SystemError;
pub use model_file::{ModelInfo, Native, load_model, parse_model, save_model};
pub use preset::{Preset, Setting, resolve_config};
pub use projection::Projection;
pub use session::{LogRow, Progress, Session};
pub use statistics::{ColumnStatistics, Statistics};
pub use store::{FrameStore, FrameStoreWriter, StoredFrame};

/// Size and colour of the pictures that a system reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InputFormat {
    /// Pixels a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// What a pixel holds.
    pub colour: Colour,
}

impl InputFormat {
    /// Bytes of one frame.
    pub fn frame_bytes(&self) -> usize {
        self.width * self.height * self.colour.channels()
    }
}

/// A system that can be chosen by name.
pub trait Method: Sync {
    /// The name on the command line.
    fn key(&self) -> &'static str;
    /// What it is, in a line.
    fn about(&self) -> &'static str;
    /// Where it is published.
    fn source(&self) -> &'static str;
    /// Whether it learns the very footage that it judges, anomalies included; else it learns normal footage.
    fn is_unsupervised(&self) -> bool {
        false
    }
    /// The preset with the user's settings over it.
    ///
    /// # Errors
    /// [`SystemError::Setting`] for an unknown key or a value out of range.
    fn configure(&self, preset: Preset, settings: &[Setting]) -> Result<Box<dyn Configured>, SystemError>;
    /// A model from its file.
    ///
    /// # Errors
    /// [`SystemError::Model`] or [`SystemError::Nn`] if the file does not fit.
    fn load(&self, file: &WeightFile) -> Result<Box<dyn Model>, SystemError>;
}

/// A system whose settings are known, ready to be trained.
pub trait Configured {
    /// Every setting, to be written into the run.
    fn config(&self) -> serde_json::Value;
    /// What it reads, given the native size of the first source.
    fn input(&self, native_width: usize, native_height: usize) -> InputFormat;
    /// The most frames that are kept for training; longer footage is thinned evenly.
    fn max_frames(&self) -> usize;
    /// Frames that must stay together where footage is thinned: 1 for what looks at single frames.
    fn together(&self) -> usize {
        1
    }
    /// Learns what is normal.
    ///
    /// # Errors
    /// [`SystemError::TooFewFrames`]; [`SystemError::Interrupted`] after a checkpoint was written.
    fn train(&self, footage: &FrameStore, session: &mut Session<'_>) -> Result<Box<dyn Model>, SystemError>;
}

/// A trained system.
pub trait Model: Send + Sync {
    /// Key of its [`Method`].
    fn system(&self) -> &'static str;
    /// Every setting it was trained with.
    fn config(&self) -> serde_json::Value;
    /// What it reads.
    fn input(&self) -> InputFormat;
    /// How frames are to be delivered to its scorer and its explanations; the footage's own size where it asks for none.
    fn reads(&self) -> FrameFormat {
        let InputFormat { width, height, colour } = self.input();
        FrameFormat { size: Some((width, height)), colour }
    }
    /// Frames that must have come after a frame before its score is known.
    fn delay(&self) -> usize;
    /// Names of the raw columns beside `score`, in order.
    fn indicators(&self) -> &[&'static str];
    /// How the columns lie on the footage that it learnt from.
    fn statistics(&self) -> &Statistics;
    /// What a heat is, in words.
    fn heat_unit(&self) -> &'static str;
    /// A fresh scorer for one video.
    fn scorer(&self) -> Box<dyn Scorer + '_>;
    /// Wall seconds that scoring spent in the model's parts so far, by name; empty for a model of one part.
    fn spent(&self) -> Vec<(&'static str, f64)> {
        Vec::new()
    }
    /// From now on scores in bytes (int8): faster on a processor with AVX-512 VNNI or AMX, a little less exact.
    /// The statistics stay those of floats.
    ///
    /// # Errors
    /// [`SystemError::NotInBytes`] for a system, or an older model, that cannot.
    fn score_in_bytes(&mut self) -> Result<(), SystemError> {
        Err(SystemError::NotInBytes { system: self.system() })
    }
    /// Weights and everything else that [`Method::load`] needs.
    fn to_file(&self) -> WeightFile;
    /// Reconstruction and latent of the last of `frames`, which are consecutive and end at the frame asked
    /// for (as many as the model's window needs; one for a single-frame model).
    ///
    /// # Errors
    /// [`SystemError::Shape`] if a frame is not of [`Self::input`]'s format.
    fn explain(&self, frames: &[Frame]) -> Result<Explanation, SystemError>;
    /// Frames before and after a frame that its explanation looks at.
    fn context(&self) -> [usize; 2] {
        [self.delay(), 0]
    }
    /// Reconstruction and latent of `frames[at]`; `frames` are consecutive and reach as far around it as
    /// [`Self::context`] says, where there are frames.
    ///
    /// # Errors
    /// As [`Self::explain`].
    fn explain_at(&self, frames: &[Frame], at: usize) -> Result<Explanation, SystemError> {
        self.explain(frames.get(..=at).unwrap_or(frames))
    }
    /// Names of the network's layers that [`Self::attend`] tells of, in order; none of a system that cannot tell.
    fn layers(&self) -> &'static [&'static str] {
        &[]
    }
    /// Where the activations of each of [`Self::layers`] raise the score of `frames[at]`, by Grad-CAM: planes `height * width`
    /// of the input format, ≥ 0. `frames` are consecutive and reach [`Self::delay`] frames around it, where there are frames.
    ///
    /// # Errors
    /// As [`Self::explain`].
    fn attend(&self, _frames: &[Frame], _at: usize) -> Result<Vec<Vec<f32>>, SystemError> {
        Ok(Vec::new())
    }
}

/// What a model makes of one frame, for people.
#[derive(Debug, Clone, Default)]
pub struct Explanation {
    /// The frame as the network rebuilds it.
    pub reconstruction: Option<Frame>,
    /// Its place in the latent space.
    pub latent: Vec<f32>,
    /// How much less likely than the picture's usual each place is, of a system that has a density: `height * width`, ≥ 0,
    /// nats per dimension.
    pub unlikely: Option<Vec<f32>>,
}

/// Scores the frames of one video as they arrive.
pub trait Scorer {
    /// Takes the next frames, in order, and appends what is now determined. How frames are split over calls
    /// changes nothing in the result.
    ///
    /// # Errors
    /// [`SystemError::Shape`] if a frame is not of the model's input format.
    fn push(&mut self, frames: &[Frame], out: &mut Vec<Scored>) -> Result<(), SystemError>;
    /// The video is over: appends the frames still waiting.
    ///
    /// # Errors
    /// [`SystemError::TooFewFrames`] if the video was too short for any window.
    fn finish(&mut self, out: &mut Vec<Scored>) -> Result<(), SystemError>;
}

/// One frame's result; higher is more unusual.
#[derive(Debug, Clone, PartialEq)]
pub struct Scored {
    /// From 0.
    pub frame: u64,
    /// Seconds from the first frame.
    pub time_s: f64,
    /// By the system's formula, raw.
    pub score: f64,
    /// Its causal form, raw.
    pub causal: f64,
    /// True where a window could not score the frame.
    pub edge: bool,
    /// As many as [`Model::indicators`].
    pub indicators: Vec<f64>,
    /// Where it is unusual: `height * width` of the input format, ≥ 0.
    pub heat: Vec<f32>,
}

/// What may differ between runs of one method beside its settings.
#[derive(Debug, Clone, Default)]
pub struct Scene {
    /// Pixels, at the input format's size, that must not count.
    pub ignore: Option<Mask>,
}

/// Every method there is, in the order they are listed to a user.
pub fn methods() -> &'static [&'static dyn Method] {
    use ae3d::{Ae3d, Variant as Addition};
    use itae_nf::{Itae, Variant};
    use motion_only::{Kind, MotionOnly};
    &[
        &mle::Mle,
        &robust_pca::RobustPca,
        &Itae(Variant::OnePath),
        &Itae(Variant::TwoPath),
        &Itae(Variant::WithFlows),
        &nf_frames::NfFrames,
        &MotionOnly(Kind::Difference),
        &MotionOnly(Kind::Foreground),
        &MotionOnly(Kind::Flow),
        &patch_knn::PatchKnn,
        &motion_mae::MotionMae(motion_mae::Variant::MotionMae),
        &motion_mae::MotionMae(motion_mae::Variant::Cae),
        &gan::Gan,
        &Ae3d(Addition::Plain),
        &Ae3d(Addition::Memory),
        &Ae3d(Addition::Patch),
        &Ae3d(Addition::Skip),
        &Ae3d(Addition::Steal),
        &pseudo::Pseudo,
    ]
}

/// The method of that name.
///
/// # Errors
/// [`SystemError::UnknownSystem`], which lists those there are.
pub fn method(key: &str) -> Result<&'static dyn Method, SystemError> {
    methods().iter().copied().find(|m| m.key() == key).ok_or_else(|| SystemError::UnknownSystem {
        key: key.to_owned(),
        known: methods().iter().map(|m| m.key()).collect::<Vec<_>>().join(", "),
    })
}
