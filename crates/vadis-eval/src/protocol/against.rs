//! A run's false positives beside those of another run of the same footage.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::prepare::stated_smoothing;
use super::{EvalError, EvalOptions, LabelledTable, PreparedVideo, ScoreProtocol, prepare};
use crate::metrics::{Against, Edges, LabelledVideo};
use crate::run::{Figure, Protocol, ScoreTable, VideoScores};

/// The run that another is set against, under its own system's protocols.
#[derive(Debug, Clone, Copy)]
pub struct Rival<'a> {
    /// What it is called in figures.
    pub name: &'a str,
    /// Its scores.
    pub table: &'a ScoreTable,
    /// Its protocols.
    pub options: &'a EvalOptions,
}

/// What came of it under one protocol.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AgainstReport {
    /// `paper` or `causal`.
    pub protocol: String,
    /// What the other run is called.
    pub other_run: String,
    /// What was done to the other run's scores.
    pub other_protocol: Protocol,
    /// The figures.
    #[serde(flatten)]
    pub figures: Against,
}

/// Sets a run's false positives against those of `rival` at equal recall (0 to 1), under `paper` and under `causal`; under
/// neither where the labels have one class only. Frames are the same by video and number; one that either protocol drops
/// as an edge frame is dropped for both.
///
/// # Errors
/// [`EvalError::OtherFootage`] where the two have not scored the same labelled frames; else as
/// [`evaluate`](super::evaluate).
pub fn against(
    table: &ScoreTable,
    labels: &BTreeMap<String, Vec<u8>>,
    options: &EvalOptions,
    rival: Rival<'_>,
    recall: f64,
) -> Result<Vec<AgainstReport>, EvalError> {
    check_footage(table, labels, rival)?;
    let this = LabelledTable::join(table, labels, options.allow_unscored)?;
    let other = LabelledTable::join(rival.table, labels, options.allow_unscored)?;
    let other = LabelledTable { videos: in_order(&this, &other), ..other };
    let protocols = [(&options.paper, &rival.options.paper), (&options.causal, &rival.options.causal)];
    let mut reports = Vec::new();
    for (own, others) in protocols {
        let (mut a, mut b) = (prepare(&this, own)?, prepare(&other, others)?);
        drop_together(&mut a, &mut b, [own, others]);
        let [videos, rivals] =
            [&a, &b].map(|p| p.iter().map(PreparedVideo::labelled).collect::<Vec<LabelledVideo<'_>>>());
        if let Some(figures) = Against::of(&videos, &rivals, Edges::Drop, recall, options.bootstrap)? {
            let stated = others.stated(&stated_smoothing(&b, &others.smoothing), &options.labels);
            let (protocol, other_run) = (own.name.clone(), rival.name.to_owned());
            reports.push(AgainstReport { protocol, other_run, other_protocol: stated, figures });
        }
    }
    Ok(reports)
}

/// Both must have scored every labelled video that either has, and the same frames of it.
fn check_footage(
    table: &ScoreTable,
    labels: &BTreeMap<String, Vec<u8>>,
    rival: Rival<'_>,
) -> Result<(), EvalError> {
    let refuse = |video: &str, what: String| EvalError::OtherFootage {
        video: video.to_owned(),
        other: rival.name.to_owned(),
        what,
    };
    for video in table.videos.iter().filter(|v| labels.contains_key(&v.video)) {
        let Some(twin) = rival.table.video(&video.video) else {
            return Err(refuse(&video.video, "it has not scored this video".to_owned()));
        };
        if let Some(what) = first_difference(video, twin) {
            return Err(refuse(&video.video, what));
        }
    }
    let missing =
        rival.table.videos.iter().find(|v| labels.contains_key(&v.video) && table.video(&v.video).is_none());
    missing.map_or(Ok(()), |video| Err(refuse(&video.video, "only it has scored this video".to_owned())))
}

fn first_difference(video: &VideoScores, twin: &VideoScores) -> Option<String> {
    let pairs = video.rows.iter().zip(&twin.rows);
    let differing = pairs.map(|(a, b)| (a.frame, b.frame)).find(|(a, b)| a != b);
    if let Some((here, there)) = differing {
        return Some(format!("frame {here} here stands where it has frame {there}"));
    }
    let (here, there) = (video.rows.len(), twin.rows.len());
    (here != there).then(|| format!("{here} frames are scored here, {there} there"))
}

/// The other's videos in this one's order.
fn in_order<'a>(this: &LabelledTable<'_>, other: &LabelledTable<'a>) -> Vec<(&'a VideoScores, Vec<u8>)> {
    let twin = |name: &str| other.videos.iter().find(|(video, _)| video.video == name).cloned();
    this.videos.iter().filter_map(|(video, _)| twin(&video.video)).collect()
}

/// Marks in both what either drops.
fn drop_together(a: &mut [PreparedVideo], b: &mut [PreparedVideo], protocols: [&ScoreProtocol; 2]) {
    let drops = protocols.map(|protocol| protocol.edges == Edges::Drop);
    for (a, b) in a.iter_mut().zip(b) {
        for (x, y) in a.edge.iter_mut().zip(&mut b.edge) {
            let dropped = (*x && drops[0]) || (*y && drops[1]);
            (*x, *y) = (dropped, dropped);
        }
    }
}

impl AgainstReport {
    /// As `metrics.json` has them, under the run's own `protocol`.
    pub fn figures(&self, protocol: &Protocol) -> Vec<Figure> {
        let Against { recall, this, other, fewer, interval, unit, units } = &self.figures;
        let percent = (recall * 1e4).round() / 100.0;
        let figure = |name: &str, suffix: &str, value: f64, note: String| Figure {
            metric: format!("{name}_at_{percent}_recall{suffix}"),
            value,
            low: None,
            high: None,
            protocol: protocol.clone(),
            note,
        };
        let mut figures = Vec::new();
        for (side, suffix, whose) in
            [(this, "", String::new()), (other, "_other", format!("{}, ", self.other_run))]
        {
            let frames = &side.frames;
            let note = format!(
                "{whose}at the threshold {}, picked on labels: recall {:.4}, {} of {} normal frames",
                side.threshold,
                frames.recall(),
                frames.false_positive,
                frames.false_positive + frames.true_negative
            );
            figures.push(figure("false_positives", suffix, frames.false_positive as f64, note.clone()));
            figures.push(figure("false_alarm_minutes", suffix, side.alarm_minutes_per_hour(), note));
        }
        let note =
            format!("than {}; paired bootstrap, resampled unit: {unit}, {units} of them", self.other_run);
        figures.extend(fewer.map(|value| Figure {
            low: interval.map(|ends| ends.low),
            high: interval.map(|ends| ends.high),
            ..figure("fewer_false_positives", "", value, note)
        }));
        figures
    }
}
