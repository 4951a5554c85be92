//! What can go wrong in networks, losses and weight files.

use std::path::PathBuf;

use thiserror::Error;
use vadis_kernels::volume::RunError;

/// An error of this crate.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum NnError {
    /// A setting has a value it cannot have.
    #[error("`{key}` cannot be `{value}`: expected {expected}")]
    Setting {
        /// The setting.
        key: &'static str,
        /// What was given.
        value: String,
        /// What it may be.
        expected: &'static str,
    },
    /// Two tensors that must have one shape do not, or one holds nothing.
    #[error("axis {axis} of {what} is {got}: expected {expected}")]
    Shape {
        /// Which tensor.
        what: &'static str,
        /// The axis, counted from 0.
        axis: usize,
        /// Its length as it should be.
        expected: usize,
        /// Its length.
        got: usize,
    },
    /// A tensor of too few axes.
    #[error("a tensor of {got} axes: at least {needed} are needed, the last two a frame's height and width")]
    Rank {
        /// Least number of axes.
        needed: usize,
        /// Its number of axes.
        got: usize,
    },
    /// A frame smaller than the operation's window.
    #[error("frames of {width}×{height} pixels are too small: each side must have at least {needed}")]
    FrameTooSmall {
        /// Rows.
        height: usize,
        /// Pixels a row.
        width: usize,
        /// Least pixels of a side.
        needed: usize,
    },
    /// Too few samples for the operation.
    #[error("a batch of {got} is too small: at least {needed} are needed")]
    BatchTooSmall {
        /// Samples given.
        got: usize,
        /// Samples needed.
        needed: usize,
    },
    /// NaN or infinity where a number is needed.
    #[error("{what} are not finite")]
    NotFinite {
        /// What was not finite.
        what: &'static str,
    },
    /// The device did not give its numbers back.
    #[error("reading a tensor failed: {0}")]
    Tensor(String),
    /// A network frozen in bytes was to slide over a stream.
    #[error("a network in bytes (int8) cannot slide over a stream: freeze it in floats")]
    SlidingInBytes,
    /// A weight file that is not one, or is damaged.
    #[error("{path} is not a readable vadis weight file: {reason}")]
    WeightFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Weights that do not fit the network.
    #[error("tensor `{name}`: {reason}")]
    Weights {
        /// The tensor's name.
        name: String,
        /// Missing, wrong shape …
        reason: String,
    },
    /// The file system refused.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's word.
        source: std::io::Error,
    },
}

impl From<RunError> for NnError {
    fn from(error: RunError) -> Self {
        Self::Tensor(error.to_string())
    }
}

impl From<crate::segment::LoadError> for NnError {
    fn from(error: crate::segment::LoadError) -> Self {
        Self::Weights { name: "network".to_owned(), reason: error.to_string() }
    }
}
