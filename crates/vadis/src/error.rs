//! Errors as the user sees them: what failed, why, and what helps.

use std::path::{Path, PathBuf};

use miette::Diagnostic;
use thiserror::Error;
use vadis_systems::SystemError;

/// What helps, if anything is known to.
pub trait Hint {
    /// A sentence that begins in lower case.
    fn hint(&self) -> Option<String>;
}

/// A failure of a command.
#[derive(Debug, Error, Diagnostic)]
#[non_exhaustive]
pub enum Failure {
    /// Reading or writing video.
    #[error(transparent)]
    Video(#[from] vadis_video::VideoError),
    /// Training, scoring, model files.
    #[error(transparent)]
    System(#[from] SystemError),
    /// A model file, where the error itself does not name it.
    #[error("{path}: {source}")]
    Model {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: SystemError,
    },
    /// Files of a run.
    #[error(transparent)]
    Run(#[from] vadis_eval::run::RunError),
    /// Labels and benchmark layouts.
    #[error(transparent)]
    Data(#[from] vadis_data::DataError),
    /// Evaluation.
    #[error(transparent)]
    Eval(#[from] vadis_eval::protocol::EvalError),
    /// Smoothing.
    #[error(transparent)]
    Smooth(#[from] vadis_eval::smooth::SmoothError),
    /// Thresholds.
    #[error(transparent)]
    Threshold(#[from] vadis_eval::threshold::ThresholdError),
    /// Events.
    #[error(transparent)]
    Events(#[from] vadis_eval::events::EventError),
    /// Frame differences.
    #[error(transparent)]
    Motion(#[from] vadis_motion::MotionError),
    /// The report.
    #[error(transparent)]
    Report(#[from] vadis_report::ReportError),
    /// The synthetic scene.
    #[error(transparent)]
    Synth(#[from] vadis_video::synth::SynthError),
    /// Zones.
    #[error(transparent)]
    Zone(#[from] vadis_video::ZoneError),
    /// Localisation.
    #[error(transparent)]
    Localisation(#[from] vadis_eval::localisation::LocalisationError),
    /// The file system refused.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's word.
        source: std::io::Error,
    },
    /// No frame of any source could be read.
    #[error("no frame could be read from {sources}")]
    NoFrames {
        /// What was tried.
        sources: String,
    },
    /// The output folder holds a run already.
    #[error("{path} holds a run already")]
    RunExists {
        /// The folder.
        path: PathBuf,
        /// Whether the command could go on with it.
        resumable: bool,
    },
    /// A folder that is no run.
    #[error("{path} is no run directory: it has no {missing}")]
    NotARun {
        /// The folder.
        path: PathBuf,
        /// The file it lacks.
        missing: &'static str,
    },
    /// The user stopped the work.
    #[error("interrupted while {stage}")]
    Interrupted {
        /// What was being done.
        stage: &'static str,
        /// Whether the command can go on where it stopped.
        resumable: bool,
    },
    /// Something that vadis needs is not there.
    #[error("vadis cannot work without {what}")]
    NotReady {
        /// What is missing.
        what: &'static str,
    },
    /// A benchmark that is not whole.
    #[error("{dataset} is not complete")]
    Incomplete {
        /// Its name.
        dataset: String,
    },
    /// Something the user asked for that cannot be.
    #[error("{what}")]
    Usage {
        /// What is wrong.
        what: String,
        /// What helps.
        hint: Option<String>,
    },
}

impl Failure {
    /// The file system's refusal at `path`.
    pub fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self + '_ {
        move |source| Self::Io { path: path.to_owned(), source }
    }

    /// The same, of a command that has no `--resume`: its hint must not promise one.
    #[must_use]
    pub fn without_resume(self) -> Self {
        match self {
            Self::Interrupted { stage, .. } => Self::Interrupted { stage, resumable: false },
            Self::RunExists { path, .. } => Self::RunExists { path, resumable: false },
            other => other,
        }
    }
}

impl Hint for Failure {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Video(error) => error.hint().map(str::to_owned),
            Self::Data(vadis_data::DataError::LengthMismatch { .. }) => {
                Some("one label is needed for every frame of the video as it was scored".to_owned())
            }
            Self::Data(error) => error.hint().map(str::to_owned),
            Self::Interrupted { resumable: false, .. } => {
                Some("run the same command again; it begins anew".to_owned())
            }
            Self::System(SystemError::Interrupted { .. }) | Self::Interrupted { .. } => {
                Some("run the same command with --resume to go on".to_owned())
            }
            Self::System(SystemError::Checkpoint { .. }) => {
                Some("leave --resume out to begin anew (with --force in the same folder)".to_owned())
            }
            Self::System(SystemError::TooFewFrames { .. }) => {
                Some("give more footage: minutes rather than seconds".to_owned())
            }
            Self::RunExists { resumable: true, .. } => {
                Some("use --force to replace it, --resume to go on with it, or another -o".to_owned())
            }
            Self::RunExists { .. } => Some("use --force to replace it, or another -o".to_owned()),
            Self::NotARun { .. } => Some("`vadis scan` and `vadis score` make run directories".to_owned()),
            Self::Io { source, .. } if source.kind() == std::io::ErrorKind::StorageFull => {
                Some("make room on the disk; what was written so far is kept".to_owned())
            }
            Self::NotReady { .. } => Some(
                "install it (Debian and Ubuntu: apt-get install ffmpeg), or set VADIS_FFMPEG and VADIS_FFPROBE".to_owned(),
            ),
            Self::Usage { hint, .. } => hint.clone(),
            _ => None,
        }
    }
}
