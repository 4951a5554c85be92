//! What can go wrong in training and scoring.

use std::path::PathBuf;

use thiserror::Error;
use vadis_motion::MotionError;
use vadis_nn::NnError;

/// An error of a system.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SystemError {
    /// No system has this name.
    #[error("there is no system `{key}`; there are: {known}")]
    UnknownSystem {
        /// What was asked for.
        key: String,
        /// Those there are.
        known: String,
    },
    /// No device has this name, or this build cannot use it.
    #[error("there is no device `{name}` in this build; there are: {known}")]
    UnknownDevice {
        /// What was asked for.
        name: String,
        /// Those there are.
        known: String,
    },
    /// A setting that does not exist or cannot have the value.
    #[error("setting `{key}`: {reason}")]
    Setting {
        /// The setting.
        key: String,
        /// What is wrong.
        reason: String,
    },
    /// Too little footage.
    #[error("{got} frames are too few: {system} needs at least {needed}")]
    TooFewFrames {
        /// Frames there were.
        got: usize,
        /// Frames needed.
        needed: usize,
        /// Who needs them.
        system: &'static str,
    },
    /// A frame of another format than the model's.
    #[error("frame {frame} is {got}, the model reads {expected}")]
    Shape {
        /// Index of the frame.
        frame: u64,
        /// Its format.
        got: String,
        /// The model's.
        expected: String,
    },
    /// The user stopped the work; it can be taken up again.
    #[error("interrupted at step {step}; the checkpoint is {checkpoint}")]
    Interrupted {
        /// Steps done.
        step: u64,
        /// Where the state is.
        checkpoint: PathBuf,
    },
    /// A checkpoint of another run.
    #[error("{path} cannot be resumed: {reason}")]
    Checkpoint {
        /// The checkpoint.
        path: PathBuf,
        /// What differs.
        reason: String,
    },
    /// A model file without what a model needs.
    #[error("not a vadis model: {reason}")]
    Model {
        /// What is missing or odd.
        reason: String,
    },
    /// A model that scores in floats alone.
    #[error(
        "this model of `{system}` cannot score in bytes: one-path, itae and itae-nf can, trained by this version or later"
    )]
    NotInBytes {
        /// Its system.
        system: &'static str,
    },
    /// Models that cannot be judged together.
    #[error("members of a combination: {reason}")]
    Members {
        /// What does not fit.
        reason: String,
    },
    /// Training left the numbers' range.
    #[error("training diverged at step {step}: {what} is not finite; try a lower `rate`")]
    Diverged {
        /// Steps done.
        step: u64,
        /// What was not finite.
        what: &'static str,
    },
    /// A hole that could not be filled.
    #[error(transparent)]
    Inpaint(#[from] vadis_video::inpaint::InpaintError),
    /// From the cache of optical flows.
    #[error("cached flows: {0}")]
    FlowCache(#[from] vadis_motion::FlowCacheError),
    /// From the networks.
    #[error(transparent)]
    Nn(#[from] NnError),
    /// From frame differencing, background subtraction or optical flow.
    #[error(transparent)]
    Motion(#[from] MotionError),
    /// The frame store's file.
    #[error("temporary frame store in {folder}: {source}")]
    Store {
        /// Where it lies.
        folder: PathBuf,
        /// The system's word.
        source: std::io::Error,
    },
}
