use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::prepare::stated_smoothing;
use super::sanity::sanity_rows;
use super::{
    AgainstReport, EvalError, Kinds, LabelledTable, Ladder, LadderRow, PreparedVideo, SanityRow,
    ScoreProtocol, ladder, prepare,
};
use crate::metrics::bootstrap::{Bootstrap, Interval, Intervals};
use crate::metrics::{
    Curves, LabelledVideo, MacroAuc, RankFigures, Ranking, Separation, VideoAuc, macro_auc,
};
use crate::normalise::TrainingStatistics;
use crate::operations::{Operations, TruthVideo};
use crate::poisson::garwood;
use crate::run::{Decision, Event, Figure, KindFigure, Metrics, Protocol, ScoreTable};

/// What [`evaluate`] computes.
#[derive(Debug, Clone, PartialEq)]
pub struct EvalOptions {
    /// What the system's paper does.
    pub paper: ScoreProtocol,
    /// What a live camera can have.
    pub causal: ScoreProtocol,
    /// Where the labels came from, for the figures.
    pub labels: String,
    /// How 95 % intervals are made; none to leave them out.
    pub bootstrap: Option<Bootstrap>,
    /// Whether the ladder of the paper's column is wanted.
    pub ladder: bool,
    /// Statistics of training footage, for the ladder.
    pub training: Option<TrainingStatistics>,
    /// Columns that stand beside `random` and `constant`: `frame_diff` …
    pub sanity_columns: Vec<String>,
    /// Seed of the random sanity row.
    pub seed: u64,
    /// Accept labels of frames and videos that have no score.
    pub allow_unscored: bool,
    /// Judge each kind of anomaly by itself.
    pub kinds: Option<Kinds>,
}

impl EvalOptions {
    /// The protocols of the system with that key; those of `mle` for one that has none of its own.
    pub fn of_system(key: &str, labels: impl Into<String>) -> Self {
        let options = Self::mle(labels);
        match key {
            "one-path" | "itae" | "itae-nf" | "nf-frames" => {
                let (paper, causal) = (ScoreProtocol::itae_paper(), ScoreProtocol::itae_causal());
                Self { paper, causal, ..options }
            }
            // Paper 004 speaks neither of normalisation nor of smoothing, so its scores are taken as they are too.
            "frame-diff" | "mog2" | "flow-magnitude" | "patch-knn" | "motion-mae" | "cae" | "gan" => {
                let (paper, causal) = (ScoreProtocol::itae_paper(), ScoreProtocol::itae_causal());
                Self { paper, causal, ..options }
            }
            "ae3d" | "memae" | "lntra-patch" | "lntra-skip" | "steal" | "pseudo" => {
                let (paper, causal) = (ScoreProtocol::ae3d_paper(), ScoreProtocol::ae3d_causal());
                Self { paper, causal, ..options }
            }
            // No paper has these combinations: their scores are taken as they are.
            members if members.contains('+') => {
                let (paper, causal) = (ScoreProtocol::itae_paper(), ScoreProtocol::itae_causal());
                Self { paper, causal, ..options }
            }
            _ => options,
        }
    }

    /// `mle`'s protocols, intervals of 1000 resamples, no ladder.
    pub fn mle(labels: impl Into<String>) -> Self {
        Self {
            paper: ScoreProtocol::mle_paper(),
            causal: ScoreProtocol::mle_causal(),
            labels: labels.into(),
            bootstrap: Some(Bootstrap::default()),
            ladder: false,
            training: None,
            sanity_columns: Vec::new(),
            seed: 0,
            allow_unscored: false,
            kinds: None,
        }
    }
}

/// The events of a run, and how they were made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EventRun<'a> {
    /// Ranked, most unusual first.
    pub events: &'a [Event],
    /// What turned scores into them.
    pub decision: &'a Decision,
}

/// One named protocol's results in full.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProtocolReport {
    /// What was done to the scores.
    pub protocol: Protocol,
    /// ROC, precision–recall, histogram, confusion.
    pub curves: Curves,
    /// Means and deviations of both classes; none where one is empty.
    pub separation: Option<Separation>,
    /// Frames and AUC of each video.
    pub videos: Vec<VideoAuc>,
    /// 95 % intervals, where asked for.
    pub intervals: Option<Intervals>,
}

/// All that labels tell of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// `metrics.json`: each figure once for each named protocol.
    pub metrics: Metrics,
    /// `paper`, then `causal`.
    pub protocols: Vec<ProtocolReport>,
    /// Random, constant and other scores without learning, under the paper's rules.
    pub sanity: Vec<SanityRow>,
    /// How much of the figure is protocol; where asked for.
    pub ladder: Option<Vec<LadderRow>>,
    /// Detected events against true ones; where there are events.
    pub operations: Option<Operations>,
    /// False positives beside those of another run; where asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub against: Vec<AgainstReport>,
    /// What a reader must know.
    pub notes: Vec<String>,
}

impl Evaluation {
    /// Takes in how the run's false positives compare with another run's: its figures and, where there are none, a note.
    pub fn set_against(&mut self, reports: Vec<AgainstReport>) {
        if reports.is_empty() {
            self.notes.push("one class only: false positives at equal recall are undefined".to_owned());
        }
        for report in &reports {
            let own = self.protocols.iter().find(|p| p.protocol.name == report.protocol);
            self.metrics.figures.extend(own.into_iter().flat_map(|own| report.figures(&own.protocol)));
        }
        self.against = reports;
    }
}

/// Every metric of `table` by `labels[video][frame]` (0 normal, 1 abnormal).
///
/// Scored videos without labels are left out, and a note says so. A figure that the labels leave undefined (one class
/// only) is absent, and a note says why.
///
/// # Errors
/// [`EvalError`]: labels that do not fit the scores, an unknown column, a score that is not finite, a causal protocol
/// that looks ahead.
pub fn evaluate(
    table: &ScoreTable,
    labels: &BTreeMap<String, Vec<u8>>,
    events: Option<EventRun<'_>>,
    options: &EvalOptions,
) -> Result<Evaluation, EvalError> {
    if let Some(what) = options.causal.looks_ahead() {
        return Err(EvalError::LooksAhead { what });
    }
    let joined = LabelledTable::join(table, labels, options.allow_unscored)?;
    let mut metrics = Metrics::default();
    let mut protocols = Vec::with_capacity(2);
    for protocol in [&options.paper, &options.causal] {
        let (figures, kinds, report) = under_protocol(&joined, protocol, events.map(|e| e.events), options)?;
        metrics.figures.extend(figures);
        metrics.kinds.extend(kinds);
        protocols.push(report);
    }
    let operations = events.map(|run| (judge(&joined, run.events), run.decision));
    if let Some((operations, decision)) = &operations {
        metrics.figures.extend(operation_figures(operations, decision, &options.labels));
    }
    let sanity = sanity_rows(&joined, &options.paper, &options.sanity_columns, options.seed)?;
    let rules = options.ladder.then(|| Ladder::new(options.training));
    let ladder = rules.map(|rules| ladder(&joined, &options.paper.column, &rules)).transpose()?;
    let notes = notes(&joined, &protocols);
    Ok(Evaluation {
        metrics,
        protocols,
        sanity,
        ladder,
        operations: operations.map(|(judged, _)| judged),
        against: Vec::new(),
        notes,
    })
}

fn under_protocol(
    table: &LabelledTable<'_>,
    protocol: &ScoreProtocol,
    events: Option<&[Event]>,
    options: &EvalOptions,
) -> Result<(Vec<Figure>, Vec<KindFigure>, ProtocolReport), EvalError> {
    let prepared = prepare(table, protocol)?;
    let kinds = options.kinds.as_ref();
    let kinds =
        kinds.map(|k| k.figures(table, &prepared, protocol.edges, &protocol.name, events)).transpose()?;
    let videos: Vec<LabelledVideo<'_>> = prepared.iter().map(PreparedVideo::labelled).collect();
    let edges = protocol.edges;
    let ranking = Ranking::pooled(&videos, edges)?;
    let intervals = options.bootstrap.map(|bootstrap| bootstrap.intervals(&videos, edges)).transpose()?;
    let macro_auc = macro_auc(&videos, edges)?;
    let separation = Separation::of(&videos, edges);
    let curves = Curves::new(&videos, edges, &ranking);
    let stated = protocol.stated(&stated_smoothing(&prepared, &protocol.smoothing), &options.labels);
    let sheet = Sheet { protocol: &stated, intervals: intervals.as_ref() };
    let figures = sheet.figures(&ranking.figures(), &macro_auc, separation, &curves);
    let report = ProtocolReport { protocol: stated, curves, separation, videos: macro_auc.videos, intervals };
    Ok((figures, kinds.unwrap_or_default(), report))
}

/// Makes the figures of one protocol.
struct Sheet<'a> {
    protocol: &'a Protocol,
    intervals: Option<&'a Intervals>,
}

impl Sheet<'_> {
    fn figures(
        &self,
        rank: &RankFigures,
        macro_auc: &MacroAuc,
        classes: Option<Separation>,
        curves: &Curves,
    ) -> Vec<Figure> {
        let skipped = match macro_auc.skipped {
            0 => String::new(),
            skipped => {
                format!("{skipped} of {} videos have one class and are left out", macro_auc.videos.len())
            }
        };
        let f1_note =
            curves.best_threshold.map(|threshold| format!("at the threshold {threshold}, picked on labels"));
        let at_best = || f1_note.clone().unwrap_or_default();
        let best = |value: f64| curves.best_threshold.map(|_| value);
        let confusion = &curves.confusion;
        let plain = |metric, value| self.figure(metric, value, |_| None, String::new());
        [
            self.figure("micro_auc", rank.auc, |i| i.micro_auc, String::new()),
            self.figure("macro_auc", macro_auc.value, |i| i.macro_auc, skipped),
            self.figure("eer", rank.eer, |i| i.eer, String::new()),
            self.figure("ap", rank.average_precision, |i| i.average_precision, String::new()),
            plain("prevalence", rank.prevalence),
            self.figure("d_prime", classes.and_then(|c| c.d_prime()), |i| i.d_prime, String::new()),
            self.figure("best_f1", rank.best_f1, |i| i.best_f1, at_best()),
            self.figure("precision_at_best_f1", best(confusion.precision()), |_| None, at_best()),
            self.figure("recall_at_best_f1", best(confusion.recall()), |_| None, at_best()),
            self.figure("accuracy_at_best_f1", best(confusion.accuracy()), |_| None, at_best()),
            self.figure("fpr_at_90_recall", rank.fpr_at_90_recall, |i| i.fpr_at_90_recall, String::new()),
            plain("mean_normal", classes.map(|c| c.mean_normal)),
            plain("mean_abnormal", classes.map(|c| c.mean_abnormal)),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    fn figure(
        &self,
        metric: &str,
        value: Option<f64>,
        interval: impl Fn(&Intervals) -> Option<Interval>,
        note: String,
    ) -> Option<Figure> {
        let interval = self.intervals.and_then(interval);
        value.map(|value| Figure {
            metric: metric.to_owned(),
            value,
            low: interval.map(|ends| ends.low),
            high: interval.map(|ends| ends.high),
            protocol: self.protocol.clone(),
            note,
        })
    }
}

fn judge(table: &LabelledTable<'_>, events: &[Event]) -> Operations {
    let columns: Vec<(Vec<u64>, Vec<f64>)> = table
        .videos
        .iter()
        .map(|(video, _)| video.rows.iter().map(|row| (row.frame, row.time_s)).unzip())
        .collect();
    let videos: Vec<TruthVideo<'_>> = table
        .videos
        .iter()
        .zip(&columns)
        .map(|((video, labels), (frames, time_s))| TruthVideo { video: &video.video, frames, labels, time_s })
        .collect();
    Operations::judge(events, &videos)
}

fn operation_figures(operations: &Operations, decision: &Decision, labels: &str) -> Vec<Figure> {
    let protocol = Protocol {
        name: "events".to_owned(),
        score: "score".to_owned(),
        normalisation: decision.normalisation.clone(),
        smoothing: decision.smoothing.clone(),
        edges: "keep".to_owned(),
        labels: labels.to_owned(),
        tuned_on_test: false,
    };
    let sheet = Sheet { protocol: &protocol, intervals: None };
    let figure = |metric, value, note: String| sheet.figure(metric, value, |_| None, note);
    let top = operations.top;
    let (events, truth) = (operations.events.len(), operations.truth.len());
    [
        figure(
            "event_precision",
            operations.precision(),
            format!("{} of {events} events", operations.true_detections()),
        ),
        figure("event_recall", operations.recall(), format!("{} of {truth} true events", operations.found())),
        figure("median_delay_s", operations.median_delay_s(), "of the true events found".to_owned()),
        figure(
            "false_alarms_per_hour",
            operations.false_alarms_per_hour(),
            alarms_note(operations, decision),
        )
        .map(|alarms| with_poisson_interval(alarms, operations)),
        figure(
            "top10_abnormal",
            Some(top.abnormal as f64),
            format!("of the first {} events", top.considered),
        ),
        figure("top10_distinct", Some(top.distinct as f64), format!("of {truth} true events")),
        figure("event_frame_f1", Some(operations.frames.f1()), operations_note(operations)),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn alarms_note(operations: &Operations, decision: &Decision) -> String {
    let budget = decision.alarms.as_ref().map(|alarms| match &alarms.calibrated_on {
        Some(run) => format!(", budget {} on {run}", alarms.budget_per_hour),
        None => format!(", budget {} on this footage", alarms.budget_per_hour),
    });
    format!("{:.2} h of footage{}", operations.hours, budget.unwrap_or_default())
}

fn with_poisson_interval(figure: Figure, operations: &Operations) -> Figure {
    let count = operations.events.len() - operations.true_detections();
    let (low, high) = garwood(count as u64);
    Figure { low: Some(low / operations.hours), high: Some(high / operations.hours), ..figure }
}

fn operations_note(operations: &Operations) -> String {
    let frames = &operations.frames;
    format!("frames inside events: precision {:.3}, recall {:.3}", frames.precision(), frames.recall())
}

fn notes(table: &LabelledTable<'_>, protocols: &[ProtocolReport]) -> Vec<String> {
    let mut notes = Vec::new();
    if table.unlabelled > 0 {
        notes.push(format!("{} scored videos have no labels and are left out", table.unlabelled));
    }
    if let Some(report) = protocols.first() {
        let frames: usize = report.videos.iter().map(|video| video.frames).sum();
        let abnormal: usize = report.videos.iter().map(|video| video.abnormal).sum();
        if abnormal == 0 {
            notes.push("no frame is labelled abnormal: AUC, EER, AP and F1 are undefined".to_owned());
        } else if abnormal == frames {
            notes.push("every frame is labelled abnormal: AUC and EER are undefined".to_owned());
        }
        notes.extend(report.intervals.as_ref().map(interval_note));
    }
    notes
}

fn interval_note(intervals: &Intervals) -> String {
    match intervals.units {
        0 | 1 => "no intervals: there is only one video, and it is a minute long at most".to_owned(),
        units => format!("95 % intervals by bootstrap; resampled unit: {}, {units} of them", intervals.unit),
    }
}
