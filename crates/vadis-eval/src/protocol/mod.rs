//! From a run's raw scores to figures under a stated protocol.
//!
//! A figure means nothing without what was done to the scores first, so a [`ScoreProtocol`] says it all: column,
//! normalisation, smoothing, edge frames. Two are named and always computed side by side, each once for a run:
//! `paper`, what the system's paper does, and `causal`, what a live camera can have. [`evaluate`] is the one entry that
//! every command and the report use; the [`ladder`] shows how much of a figure is protocol.

mod against;
mod contamination;
mod evaluate;
mod kinds;
mod ladder;
mod prepare;
mod sanity;

pub use against::{AgainstReport, Rival, against};
pub use contamination::{ContaminationError, contaminated_subset};
pub use evaluate::{EvalOptions, Evaluation, EventRun, ProtocolReport, evaluate};
pub use kinds::Kinds;
pub use ladder::{Ladder, LadderRow, ladder};
pub use prepare::{LabelledTable, PreparedVideo, prepare};
pub use sanity::SanityRow;

use crate::metrics::{Edges, MetricError};
use crate::normalise::Normalisation;
use crate::run;
use crate::smooth::{SmoothError, Smoothing, SmoothingKind, SmoothingSpec};

/// Seconds of the median filter by which `mle` smooths within a clip; its predecessor's was 100 frames.
const MLE_MEDIAN_S: f64 = 5.0;

/// What is done to raw scores before a figure is computed: normalised, smoothed, edge frames kept or dropped, in this
/// order, each video by itself.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoreProtocol {
    /// `paper`, `causal`, or another.
    pub name: String,
    /// The column used: `score`, `causal`, or an indicator.
    pub column: String,
    /// What scores are compared with.
    pub normalisation: Normalisation,
    /// Filter over time; a width in seconds becomes frames by each video's mean rate.
    pub smoothing: SmoothingSpec,
    /// Whether frames that a window could not score count.
    pub edges: Edges,
    /// True if any of it was picked by test labels.
    pub tuned_on_test: bool,
}

impl ScoreProtocol {
    /// `mle` after its paper: the raw score, smoothed by a centred median over 5 s, every frame counted.
    pub fn mle_paper() -> Self {
        let smoothing = SmoothingSpec::Seconds { kind: SmoothingKind::Median, seconds: MLE_MEDIAN_S };
        Self { name: "paper".to_owned(), column: "score".to_owned(), smoothing, ..Self::raw() }
    }

    /// What a live camera can have of `mle`: the causal column and a median over the last 5 s.
    pub fn mle_causal() -> Self {
        let smoothing = SmoothingSpec::Seconds { kind: SmoothingKind::CausalMedian, seconds: MLE_MEDIAN_S };
        Self { name: "causal".to_owned(), column: "causal".to_owned(), smoothing, ..Self::raw() }
    }

    /// `itae` after its paper: the reconstruction error as it is (Eq. 12), neither normalised nor smoothed.
    pub fn itae_paper() -> Self {
        Self { name: "paper".to_owned(), ..Self::raw() }
    }

    /// What a live camera can have of `itae`: the causal column as it is.
    pub fn itae_causal() -> Self {
        Self { name: "causal".to_owned(), column: "causal".to_owned(), ..Self::raw() }
    }

    /// `ae3d` and all that come from it after their papers: scaled to [0, 1] over each video, and frames in the middle of
    /// no window dropped (labels [8 : len − 7]).
    pub fn ae3d_paper() -> Self {
        let normalisation = Normalisation::PerVideo;
        Self { name: "paper".to_owned(), normalisation, edges: Edges::Drop, ..Self::raw() }
    }

    /// What a live camera can have of `ae3d`: the causal column as it is, every frame counted.
    pub fn ae3d_causal() -> Self {
        Self { name: "causal".to_owned(), column: "causal".to_owned(), ..Self::raw() }
    }

    /// The `score` column as it is, for scores of which nothing is known.
    pub fn raw() -> Self {
        Self {
            name: "raw".to_owned(),
            column: "score".to_owned(),
            normalisation: Normalisation::None,
            smoothing: SmoothingSpec::Frames(Smoothing::None),
            edges: Edges::Keep,
            tuned_on_test: false,
        }
    }

    /// What in it uses the video's future, in the protocol's own words; none if a live camera can have it.
    pub fn looks_ahead(&self) -> Option<String> {
        if !self.normalisation.kind().is_causal() {
            return Some(self.normalisation.to_string());
        }
        let centred = match self.smoothing {
            SmoothingSpec::Frames(smoothing) => !smoothing.is_causal(),
            SmoothingSpec::Seconds { kind, .. } => {
                matches!(kind, SmoothingKind::Median | SmoothingKind::Gaussian)
            }
        };
        centred.then(|| self.smoothing.to_string())
    }

    /// As a figure carries it; `smoothing` as resolved to frames.
    pub(crate) fn stated(&self, smoothing: &str, labels: &str) -> run::Protocol {
        run::Protocol {
            name: self.name.clone(),
            score: self.column.clone(),
            normalisation: self.normalisation.to_string(),
            smoothing: smoothing.to_owned(),
            edges: self.edges.to_string(),
            labels: labels.to_owned(),
            tuned_on_test: self.tuned_on_test,
        }
    }
}

/// Why a run cannot be evaluated.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum EvalError {
    /// A score or label that no figure can be made of.
    #[error(transparent)]
    Metric(#[from] MetricError),
    /// The protocol names a column that the scores do not have.
    #[error("there is no score column `{column}`; there are: {}", known.join(", "))]
    UnknownColumn {
        /// The name asked for.
        column: String,
        /// Those that exist.
        known: Vec<String>,
    },
    /// No scored video has labels.
    #[error("none of the scored videos ({}) has labels; labels are given for: {}", scored.join(", "), labelled.join(", "))]
    NothingLabelled {
        /// Scored videos, the first few.
        scored: Vec<String>,
        /// Labelled videos, the first few.
        labelled: Vec<String>,
    },
    /// Labels are given for a video that was not scored: figures would be over part of the data.
    #[error("`{video}` has labels but no scores")]
    NotScored {
        /// The labels' video.
        video: String,
    },
    /// A video's labels and scored frames do not match.
    #[error("{video}: {frames} frames are scored (the last is frame {last}), but there are {labels} labels")]
    LabelCount {
        /// The source's name.
        video: String,
        /// Rows of the score table.
        frames: usize,
        /// Number of its last frame.
        last: u64,
        /// Labels given.
        labels: usize,
    },
    /// Two runs that are to be compared have not scored the same frames.
    #[error("`{other}` does not fit, frame by frame: {video}: {what}")]
    OtherFootage {
        /// The video at fault.
        video: String,
        /// What the other run is called.
        other: String,
        /// Where they differ.
        what: String,
    },
    /// A row has fewer indicator values than the table has indicator columns.
    #[error("{video}: frame {frame} has no value for `{column}`")]
    MissingIndicator {
        /// The source's name.
        video: String,
        /// From 0.
        frame: u64,
        /// The indicator.
        column: String,
    },
    /// A width in seconds, and a video whose times do not rise.
    #[error("{video}: smoothing `{smoothing}` is in seconds, but the video's times give no frame rate")]
    NoFrameRate {
        /// The source's name.
        video: String,
        /// As stated.
        smoothing: String,
        /// What the smoothing says.
        source: SmoothError,
    },
    /// Kinds are given of a video that is not evaluated.
    #[error("`{video}`, in which a {kind} is said to be seen, is not among the scored and labelled videos")]
    KindOfUnknownVideo {
        /// The kinds' video.
        video: String,
        /// What is seen in it.
        kind: String,
    },
    /// The causal protocol uses something that no live camera has.
    #[error("the causal protocol may not use `{what}`, which looks ahead")]
    LooksAhead {
        /// Normalisation or smoothing.
        what: String,
    },
}
