use std::collections::BTreeMap;

use super::{EvalError, ScoreProtocol};
use crate::metrics::{LabelledVideo, MetricError};
use crate::run::{ScoreRow, ScoreTable, VideoScores};
use crate::smooth::{Smoothing, SmoothingSpec};

/// Names an error message lists at most.
const NAMES_SHOWN: usize = 5;

/// The scored videos that have labels, each row with its label.
#[derive(Debug, Clone)]
pub struct LabelledTable<'a> {
    /// Names of the indicator columns.
    pub(crate) indicators: &'a [String],
    /// Video and one label a row.
    pub(crate) videos: Vec<(&'a VideoScores, Vec<u8>)>,
    /// Scored videos without labels, left out.
    pub(crate) unlabelled: usize,
}

impl<'a> LabelledTable<'a> {
    /// Joins scores and labels; `labels[video][frame]` is 0 or 1.
    ///
    /// `allow_unscored` accepts labels of frames and videos that have no score (a paper that cuts its edge frames off,
    /// a file that broke); without it they are an error, because the figures would silently be over part of the data.
    ///
    /// # Errors
    /// [`EvalError::NothingLabelled`], [`EvalError::NotScored`], [`EvalError::LabelCount`].
    pub fn join(
        table: &'a ScoreTable,
        labels: &BTreeMap<String, Vec<u8>>,
        allow_unscored: bool,
    ) -> Result<Self, EvalError> {
        let is_scored = |name: &String| table.videos.iter().any(|video| video.video == *name);
        let mut videos = Vec::new();
        for video in &table.videos {
            if let Some(labels) = labels.get(&video.video) {
                videos.push((video, labels_of_rows(video, labels, allow_unscored)?));
            }
        }
        if videos.is_empty() {
            return Err(nothing_labelled(table, labels));
        }
        if let Some(video) = labels.keys().find(|name| !allow_unscored && !is_scored(name)) {
            return Err(EvalError::NotScored { video: video.clone() });
        }
        let unlabelled = table.videos.len() - videos.len();
        Ok(Self { indicators: &table.indicators, videos, unlabelled })
    }

    /// True if any row is flagged as an edge frame.
    pub(crate) fn has_edges(&self) -> bool {
        self.videos.iter().any(|(video, _)| video.rows.iter().any(|row| row.edge))
    }
}

fn nothing_labelled(table: &ScoreTable, labels: &BTreeMap<String, Vec<u8>>) -> EvalError {
    EvalError::NothingLabelled {
        scored: table.videos.iter().take(NAMES_SHOWN).map(|video| video.video.clone()).collect(),
        labelled: labels.keys().take(NAMES_SHOWN).cloned().collect(),
    }
}

fn labels_of_rows(video: &VideoScores, labels: &[u8], allow_unscored: bool) -> Result<Vec<u8>, EvalError> {
    let mismatch = || EvalError::LabelCount {
        video: video.video.clone(),
        frames: video.rows.len(),
        last: video.rows.last().map_or(0, |row| row.frame),
        labels: labels.len(),
    };
    if !allow_unscored && labels.len() != video.rows.len() {
        return Err(mismatch());
    }
    let label = |row: &ScoreRow| usize::try_from(row.frame).ok().and_then(|frame| labels.get(frame)).copied();
    video.rows.iter().map(|row| label(row).ok_or_else(mismatch)).collect()
}

/// One video's scores as a protocol has them, owned.
#[derive(Debug, Clone, PartialEq)]
pub struct PreparedVideo {
    /// The source's name.
    pub video: String,
    /// Normalised and smoothed, one a row.
    pub scores: Vec<f64>,
    /// True where the raw score is a neighbour's.
    pub edge: Vec<bool>,
    /// 0 or 1.
    pub labels: Vec<u8>,
    /// Seconds from the first frame.
    pub time_s: Vec<f64>,
    /// The filter used, its width in frames.
    pub smoothing: Smoothing,
}

impl PreparedVideo {
    /// As the metrics take it.
    pub fn labelled(&self) -> LabelledVideo<'_> {
        LabelledVideo {
            video: &self.video,
            scores: &self.scores,
            edge: &self.edge,
            labels: &self.labels,
            time_s: &self.time_s,
        }
    }
}

/// The labelled videos' scores under `protocol`.
///
/// # Errors
/// [`EvalError::UnknownColumn`], [`EvalError::MissingIndicator`], [`EvalError::NoFrameRate`], and
/// [`MetricError::NotFinite`] for a raw score that is not finite.
pub fn prepare(table: &LabelledTable<'_>, protocol: &ScoreProtocol) -> Result<Vec<PreparedVideo>, EvalError> {
    let column = Column::find(&protocol.column, table.indicators)?;
    table
        .videos
        .iter()
        .map(|(video, labels)| {
            prepare_with(video, labels, &column.scores(video, &protocol.column)?, protocol)
        })
        .collect()
}

/// One video, its raw scores given.
pub(crate) fn prepare_with(
    video: &VideoScores,
    labels: &[u8],
    raw: &[f64],
    protocol: &ScoreProtocol,
) -> Result<PreparedVideo, EvalError> {
    // Before any filter spreads it: the message must name the frame at fault.
    if let Some(frame) = raw.iter().position(|score| !score.is_finite()) {
        return Err(MetricError::NotFinite { video: video.video.clone(), frame, value: raw[frame] }.into());
    }
    let smoothing = resolve(&protocol.smoothing, video)?;
    Ok(PreparedVideo {
        video: video.video.clone(),
        scores: smoothing.apply(&protocol.normalisation.apply(raw)),
        edge: video.rows.iter().map(|row| row.edge).collect(),
        labels: labels.to_vec(),
        time_s: video.rows.iter().map(|row| row.time_s).collect(),
        smoothing,
    })
}

/// A width in seconds becomes frames by the video's mean rate.
fn resolve(spec: &SmoothingSpec, video: &VideoScores) -> Result<Smoothing, EvalError> {
    let (Some(first), Some(last)) = (video.rows.first(), video.rows.last()) else {
        return Ok(Smoothing::None);
    };
    if video.rows.len() == 1 {
        // No filter changes a single frame, and it has no rate.
        return Ok(Smoothing::None);
    }
    let fps = (video.rows.len() - 1) as f64 / (last.time_s - first.time_s);
    spec.resolve(fps).map_err(|source| EvalError::NoFrameRate {
        video: video.video.clone(),
        smoothing: spec.to_string(),
        source,
    })
}

/// The smoothing as a figure states it: in frames where all videos agree, else as the protocol has it.
pub(crate) fn stated_smoothing(videos: &[PreparedVideo], spec: &SmoothingSpec) -> String {
    let filters = || videos.iter().filter(|video| video.scores.len() > 1).map(|video| video.smoothing);
    match filters().next() {
        Some(first) if filters().all(|filter| filter == first) => first.to_string(),
        _ => spec.to_string(),
    }
}

/// A column of the score table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Column {
    Score,
    Causal,
    Indicator(usize),
}

impl Column {
    fn find(name: &str, indicators: &[String]) -> Result<Self, EvalError> {
        match name {
            "score" => Ok(Self::Score),
            "causal" => Ok(Self::Causal),
            _ => match indicators.iter().position(|indicator| indicator == name) {
                Some(index) => Ok(Self::Indicator(index)),
                None => Err(unknown_column(name, indicators)),
            },
        }
    }

    fn scores(self, video: &VideoScores, name: &str) -> Result<Vec<f64>, EvalError> {
        let value = |row: &ScoreRow| match self {
            Self::Score => Some(row.score),
            Self::Causal => Some(row.causal),
            Self::Indicator(index) => row.indicators.get(index).copied(),
        };
        let missing = |row: &ScoreRow| EvalError::MissingIndicator {
            video: video.video.clone(),
            frame: row.frame,
            column: name.to_owned(),
        };
        video.rows.iter().map(|row| value(row).ok_or_else(|| missing(row))).collect()
    }
}

fn unknown_column(name: &str, indicators: &[String]) -> EvalError {
    let mut known = vec!["score".to_owned(), "causal".to_owned()];
    known.extend(indicators.iter().cloned());
    EvalError::UnknownColumn { column: name.to_owned(), known }
}
