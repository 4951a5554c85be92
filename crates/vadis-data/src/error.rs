//! One error enum for the crate, with the path and the place in the file.

use std::io;
use std::path::{Path, PathBuf};

/// Why a data set, its labels or its masks could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// No layout has this key.
    #[error("no data set layout is called `{key}` (known: {known})")]
    UnknownLayout {
        /// What was asked for.
        key: String,
        /// The keys there are, comma-separated.
        known: String,
    },
    /// The layout has no label set or subset of this name.
    #[error("`{layout}` has no {what} called `{name}` (known: {known})")]
    UnknownChoice {
        /// Key of the layout.
        layout: &'static str,
        /// `label set` or `subset`.
        what: &'static str,
        /// What was asked for.
        name: String,
        /// What there is, comma-separated.
        known: String,
    },
    /// A choice needs a file that the data set does not publish or the user has not placed.
    #[error("{what} needs the file {path:?}: {hint}")]
    NeedsFile {
        /// What was asked for.
        what: String,
        /// Where the file is looked for.
        path: PathBuf,
        /// How to get it.
        hint: &'static str,
    },
    /// The folder does not hold this data set.
    #[error("{root:?} does not look like {title}: {missing}")]
    NotThisLayout {
        /// The folder given.
        root: PathBuf,
        /// The data set's title.
        title: &'static str,
        /// What was looked for and not found.
        missing: String,
    },
    /// The operating system refused.
    #[error("{path:?}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Its reason.
        source: io::Error,
    },
    /// A file is larger than anything of its kind can sensibly be.
    #[error("{path:?} has {bytes} bytes; at most {limit} are read")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// A folder tree holds more than is sensibly walked.
    #[error("{path:?} holds more than {limit} files and folders")]
    TooManyFiles {
        /// The folder.
        path: PathBuf,
        /// The limit.
        limit: usize,
    },
    /// A text file's line is malformed.
    #[error("{path:?}, line {line}: {what}")]
    Line {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: u64,
        /// What is wrong.
        what: String,
    },
    /// A label is neither 0 nor 1.
    #[error("{path:?}, line {line}: a label is 0 or 1, not `{value}`")]
    NotBinary {
        /// The file.
        path: PathBuf,
        /// From 1; in a `.npy` file the frame's number plus 1.
        line: u64,
        /// What stands there, shortened.
        value: String,
    },
    /// A frame is labelled twice.
    #[error("{path:?}, line {line}: frame {frame} of `{video}` was labelled on line {first} already")]
    DuplicateFrame {
        /// The file.
        path: PathBuf,
        /// The second line, from 1.
        line: u64,
        /// The video's name.
        video: String,
        /// From 0.
        frame: u64,
        /// The first line.
        first: u64,
    },
    /// A frame between labelled frames has no label.
    #[error("{path:?}: frame {frame} of `{video}` has no label, though frame {next} (line {line}) has one")]
    MissingFrame {
        /// The file.
        path: PathBuf,
        /// The video's name.
        video: String,
        /// The first frame without a label, from 0.
        frame: u64,
        /// The next that has one.
        next: u64,
        /// Its line, from 1.
        line: u64,
    },
    /// The labels name no such video.
    #[error("no labels for `{video}` (the labels know: {known})")]
    UnknownVideo {
        /// The name asked for.
        video: String,
        /// The first few names there are.
        known: String,
    },
    /// Labels and frames differ in number.
    #[error("`{video}` has {frames} frames but {labels} labels")]
    LengthMismatch {
        /// The video's name.
        video: String,
        /// Frames it has.
        frames: u64,
        /// Labels found, or the last frame labelled abnormal.
        labels: u64,
    },
    /// A `.mat` file is malformed or of a kind not read.
    #[error("{path:?}: {source}")]
    Mat {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: crate::mat::MatError,
    },
    /// A `.npy` file is malformed or of a kind not read.
    #[error("{path:?}: {source}")]
    Npy {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: crate::npy::NpyError,
    },
    /// An annotation file parses but holds something else than expected.
    #[error("{path:?}: {what}")]
    Unexpected {
        /// The file.
        path: PathBuf,
        /// What was expected and what was found.
        what: String,
    },
    /// A mask or frame picture cannot be decoded or written.
    #[error("{path:?}: {source}")]
    Image {
        /// The file.
        path: PathBuf,
        /// The decoder's reason.
        source: image::ImageError,
    },
    /// The clip is a `.mat` volume, which no video reader opens.
    #[error("`{clip}` is a .mat volume ({path:?}), not a video: unpack it first")]
    Volume {
        /// The clip's name.
        clip: String,
        /// The volume.
        path: PathBuf,
    },
}

impl DataError {
    /// Advice for the `hint:` line, where there is any.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::UnknownLayout { .. } => Some("`vadis data list` describes every layout"),
            Self::NotThisLayout { .. } => Some(
                "give the folder that the official archive unpacks to; `vadis data list` shows each layout",
            ),
            Self::NeedsFile { hint, .. } => Some(hint),
            Self::Mat { source, .. } => source.hint(),
            Self::LengthMismatch { .. } => Some(
                "if the decoder counts a few frames more or fewer than the annotators did, set a length tolerance",
            ),
            Self::UnknownVideo { .. } => {
                Some("labels name a video by its file name, with or without its ending")
            }
            _ => None,
        }
    }

    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        move |source| Self::Io { path: path.to_owned(), source }
    }

    pub(crate) fn unexpected(path: &Path, what: impl Into<String>) -> Self {
        Self::Unexpected { path: path.to_owned(), what: what.into() }
    }

    pub(crate) fn line(path: &Path, line: u64, what: impl Into<String>) -> Self {
        Self::Line { path: path.to_owned(), line, what: what.into() }
    }
}
