//! What can go wrong while a report is made.

use std::path::{Path, PathBuf};

use vadis_eval::run::RunError;
use vadis_video::VideoError;

/// Why a report, an overlay or an event's media could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// A file of the run directory could not be read.
    #[error(transparent)]
    Run(#[from] RunError),
    /// A file could not be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A source could not be read, or a video not be written.
    #[error(transparent)]
    Video(#[from] VideoError),
    /// A picture could not be encoded.
    #[error("cannot encode {}: {source}", path.display())]
    Picture {
        /// The file.
        path: PathBuf,
        /// What the encoder said.
        source: image::ImageError,
    },
    /// The video to be overlaid is not in the run, or not named where there are several.
    #[error("{}; the run has: {}", which(wanted.as_deref()), known.join(", "))]
    WhichVideo {
        /// The name given.
        wanted: Option<String>,
        /// Videos of the run, the first few.
        known: Vec<String>,
    },
    /// There is nothing to compare.
    #[error("no run directory was given")]
    NoRun,
}

fn which(wanted: Option<&str>) -> String {
    wanted.map_or_else(|| "say which video".to_owned(), |name| format!("there is no video `{name}`"))
}

impl ReportError {
    pub(crate) fn write(path: &Path) -> impl FnOnce(std::io::Error) -> Self + '_ {
        move |source| Self::Write { path: path.to_owned(), source }
    }
}
