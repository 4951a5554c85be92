//! How well each kind of anomaly is told from the normal frames.

use std::collections::BTreeSet;

use super::{EvalError, LabelledTable, PreparedVideo};
use crate::metrics::{Edges, Ranking};
use crate::run::{Event, KindFigure, KindSpan};

/// What is known of the anomalies' kinds.
#[derive(Debug, Clone, PartialEq)]
pub struct Kinds {
    /// Where each kind is seen.
    pub spans: Vec<KindSpan>,
    /// Kinds that are also judged together, by the name of the group.
    pub groups: Vec<(String, Vec<String>)>,
    /// The share of normal frames that may be flagged, for the recall; in [0, 1).
    pub fpr: f64,
}

impl Kinds {
    /// One row for each kind, by name, then one for each group of which a kind is there.
    ///
    /// A kind's frames are those of its spans that are labelled abnormal; they are set against all frames that are
    /// labelled normal. Frames of two kinds count for both.
    ///
    /// # Errors
    /// [`EvalError::KindOfUnknownVideo`] for a span of a video that has no labels; a score that is not finite.
    pub(super) fn figures(
        &self,
        table: &LabelledTable<'_>,
        prepared: &[PreparedVideo],
        edges: Edges,
        protocol: &str,
        events: Option<&[Event]>,
    ) -> Result<Vec<KindFigure>, EvalError> {
        let known: BTreeSet<&str> = prepared.iter().map(|video| video.video.as_str()).collect();
        if let Some(span) = self.spans.iter().find(|span| !known.contains(span.video.as_str())) {
            return Err(EvalError::KindOfUnknownVideo { video: span.video.clone(), kind: span.kind.clone() });
        }
        let judge = Judge { table, prepared, edges, events, normal: normal_scores(prepared, edges) };
        let names: BTreeSet<&str> = self.spans.iter().map(|span| span.kind.as_str()).collect();
        let single = names.iter().map(|name| ((*name).to_owned(), vec![*name]));
        let grouped = self.groups.iter().map(|(group, kinds)| {
            let present = kinds.iter().map(String::as_str).filter(|kind| names.contains(kind));
            (group.clone(), present.collect::<Vec<_>>())
        });
        single
            .chain(grouped.filter(|(_, kinds)| !kinds.is_empty()))
            .map(|(name, kinds)| {
                let spans: Vec<&KindSpan> =
                    self.spans.iter().filter(|span| kinds.contains(&span.kind.as_str())).collect();
                judge.row(name, protocol, &spans, self.fpr)
            })
            .collect()
    }
}

/// Scores of the frames labelled normal, falling.
fn normal_scores(prepared: &[PreparedVideo], edges: Edges) -> Vec<f64> {
    let videos = prepared.iter().map(PreparedVideo::labelled);
    let mut scores: Vec<f64> = videos
        .flat_map(|video| {
            video
                .counted(edges)
                .filter(|(_, _, label)| *label == 0)
                .map(|(_, score, _)| score)
                .collect::<Vec<_>>()
        })
        .collect();
    scores.sort_unstable_by(|a, b| b.total_cmp(a));
    scores
}

struct Judge<'a> {
    table: &'a LabelledTable<'a>,
    prepared: &'a [PreparedVideo],
    edges: Edges,
    events: Option<&'a [Event]>,
    normal: Vec<f64>,
}

impl Judge<'_> {
    fn row(
        &self,
        kind: String,
        protocol: &str,
        spans: &[&KindSpan],
        fpr: f64,
    ) -> Result<KindFigure, EvalError> {
        let (mut scores, mut inside) = (Vec::new(), 0_usize);
        for ((video, _), prepared) in self.table.videos.iter().zip(self.prepared) {
            let own: Vec<&&KindSpan> = spans.iter().filter(|span| span.video == video.video).collect();
            let labelled = prepared.labelled();
            for (place, score, label) in labelled.counted(self.edges) {
                let frame = video.rows[place].frame;
                if label == 1 && own.iter().any(|span| span.holds(frame)) {
                    scores.push(score);
                    inside += usize::from(self.in_event(&video.video, frame));
                }
            }
        }
        let frames = scores.len();
        let share = |part: usize| (frames > 0).then(|| part as f64 / frames as f64);
        // The normal score that would be one false positive too many.
        let limit = self.normal.get((fpr * self.normal.len() as f64).floor() as usize);
        let found = limit.map(|&limit| scores.iter().filter(|&&score| score > limit).count());
        Ok(KindFigure {
            kind,
            protocol: protocol.to_owned(),
            spans: spans.len() as u64,
            frames: frames as u64,
            auc: self.auc(&scores)?,
            fpr,
            recall_at_fpr: found.and_then(share),
            recall_in_events: self.events.and_then(|_| share(inside)),
            spans_found: self
                .events
                .map(|events| spans.iter().filter(|span| span.met_by(events)).count() as u64),
        })
    }

    fn in_event(&self, video: &str, frame: u64) -> bool {
        let events = self.events.unwrap_or_default().iter();
        events
            .filter(|e| !e.is_camera())
            .any(|e| e.video == video && (e.start_frame..=e.end_frame).contains(&frame))
    }

    fn auc(&self, abnormal: &[f64]) -> Result<Option<f64>, EvalError> {
        let scores: Vec<f64> = self.normal.iter().chain(abnormal).copied().collect();
        let labels: Vec<u8> = (0..scores.len()).map(|i| u8::from(i >= self.normal.len())).collect();
        Ok(Ranking::new(&scores, &labels)?.figures().auc)
    }
}

impl KindSpan {
    fn holds(&self, frame: u64) -> bool {
        (self.start_frame..=self.end_frame).contains(&frame)
    }

    fn met_by(&self, events: &[Event]) -> bool {
        let meets = |e: &&Event| {
            !e.is_camera()
                && e.video == self.video
                && e.start_frame <= self.end_frame
                && self.start_frame <= e.end_frame
        };
        events.iter().any(|e| meets(&e))
    }
}
