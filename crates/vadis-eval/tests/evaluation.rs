//! `evaluate` as the commands use it: labels joined, protocols applied, events judged, and what is refused.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use proptest::prelude::*;
use vadis_eval::metrics::{Edges, MetricError};
use vadis_eval::normalise::{Normalisation, TrainingStatistics};
use vadis_eval::operations::{Operations, TruthVideo, true_events};
use vadis_eval::protocol::{
    ContaminationError, EvalError, EvalOptions, Evaluation, EventRun, Kinds, LabelledTable, Ladder,
    ScoreProtocol, contaminated_subset, evaluate, ladder,
};
use vadis_eval::run::{Decision, Event, Figure, KindFigure, KindSpan, ScoreRow, ScoreTable, VideoScores};

type Labels = BTreeMap<String, Vec<u8>>;

/// A video of `fps`, scored by `score(frame)`; the causal column is its half, `frame_diff` its frame number.
fn video(name: &str, frames: u64, fps: f64, score: impl Fn(u64) -> f64) -> VideoScores {
    let row = |frame: u64| ScoreRow {
        frame,
        time_s: frame as f64 / fps,
        score: score(frame),
        causal: score(frame) / 2.0,
        edge: false,
        indicators: vec![frame as f64],
    };
    VideoScores { video: name.to_owned(), rows: (0..frames).map(row).collect() }
}

fn table(videos: Vec<VideoScores>) -> ScoreTable {
    ScoreTable { indicators: vec!["frame_diff".to_owned()], videos }
}

fn labels(of: &[(&str, Vec<u8>)]) -> Labels {
    of.iter().map(|(name, labels)| ((*name).to_owned(), labels.clone())).collect()
}

/// Abnormal from `from` on.
fn from(from: usize, frames: usize) -> Vec<u8> {
    (0..frames).map(|frame| u8::from(frame >= from)).collect()
}

/// A hash as noise in [0, 1).
fn noise(frame: u64) -> f64 {
    (frame.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) as f64 / (1_u64 << 24) as f64
}

fn options() -> EvalOptions {
    EvalOptions { sanity_columns: vec!["frame_diff".to_owned()], ..EvalOptions::mle("by hand") }
}

#[track_caller]
fn figure<'a>(evaluation: &'a Evaluation, protocol: &str, metric: &str) -> &'a Figure {
    let mut found =
        evaluation.metrics.figures.iter().filter(|f| f.protocol.name == protocol && f.metric == metric);
    let figure = found.next().unwrap_or_else(|| panic!("no {metric} under {protocol}"));
    assert!(found.next().is_none(), "{metric} under {protocol} is there twice");
    figure
}

/// Three noisy videos whose score rises by `gap` where abnormal; the last is abnormal throughout.
fn run(gap: f64) -> (ScoreTable, Labels) {
    let score = move |offset: u64, from: u64| {
        move |frame: u64| noise(offset + frame) + if frame >= from { gap } else { 0.0 }
    };
    let videos = vec![
        video("a", 200, 5.0, score(0, 100)),
        video("b", 200, 5.0, score(500, 150)),
        video("c", 200, 5.0, score(900, 0)),
    ];
    (table(videos), labels(&[("a", from(100, 200)), ("b", from(150, 200)), ("c", from(0, 200))]))
}

#[test]
fn both_protocols_stand_side_by_side_and_say_what_they_did() {
    let (table, labels) = run(0.2);
    let evaluation = evaluate(&table, &labels, None, &options()).unwrap();
    let paper = figure(&evaluation, "paper", "micro_auc");
    let causal = figure(&evaluation, "causal", "micro_auc");
    assert_eq!((paper.protocol.score.as_str(), paper.protocol.smoothing.as_str()), ("score", "median:25"));
    assert_eq!(
        (causal.protocol.score.as_str(), causal.protocol.smoothing.as_str()),
        ("causal", "causal_median:25")
    );
    assert_eq!((paper.protocol.edges.as_str(), paper.protocol.labels.as_str()), ("keep", "by hand"));
    assert!(paper.value > 0.9 && paper.value > causal.value, "{} and {}", paper.value, causal.value);
    assert!(paper.low.unwrap() <= paper.value && paper.value <= paper.high.unwrap());
    let macro_auc = figure(&evaluation, "paper", "macro_auc");
    assert_eq!(macro_auc.note, "1 of 3 videos have one class and are left out");
    assert_eq!(figure(&evaluation, "paper", "prevalence").value, 350.0 / 600.0);
    assert_eq!(evaluation.protocols.len(), 2);
    assert_eq!(evaluation.protocols[0].curves.confusion.true_positive as f64, {
        (figure(&evaluation, "paper", "recall_at_best_f1").value * 350.0).round()
    });
    let histogram = &evaluation.protocols[0].curves.histogram;
    assert_eq!(histogram.normal.iter().sum::<u64>(), 250);
    assert_eq!(histogram.abnormal.iter().sum::<u64>(), 350);
}

#[test]
fn sanity_rows_reach_what_nothing_reaches() {
    let (table, labels) = run(0.2);
    let raw = EvalOptions {
        paper: ScoreProtocol { name: "paper".to_owned(), ..ScoreProtocol::raw() },
        ..options()
    };
    let evaluation = evaluate(&table, &labels, None, &raw).unwrap();
    let names: Vec<&str> = evaluation.sanity.iter().map(|row| row.name.as_str()).collect();
    assert_eq!(names, ["random", "constant", "frame_diff"]);
    let random = evaluation.sanity[0].micro_auc.unwrap();
    assert!((0.42..0.58).contains(&random), "{random}");
    assert_eq!(evaluation.sanity[1].micro_auc, Some(0.5));
    assert_eq!(evaluation.sanity[1].average_precision, Some(350.0 / 600.0));
    assert_eq!(evaluation.sanity[2].macro_auc, Some(1.0), "within a video the frame number separates");
    assert_eq!(evaluation, evaluate(&table, &labels, None, &raw).unwrap(), "same seed, same rows");
}

#[test]
fn the_ladder_has_every_rule_and_agrees_with_the_protocols() {
    let (mut table, labels) = run(0.2);
    let training = Some(TrainingStatistics { mean: 0.5, std: 0.3 });
    let with_ladder = EvalOptions { ladder: true, training, ..options() };
    let evaluation = evaluate(&table, &labels, None, &with_ladder).unwrap();
    let rows = evaluation.ladder.as_ref().unwrap();
    assert_eq!(rows.len(), 4 * 5, "no frame is an edge frame: one edge rule");
    let row = |normalisation: &str, smoothing: &str| {
        rows.iter().find(|row| row.normalisation == normalisation && row.smoothing == smoothing).unwrap()
    };
    let paper = row("none", "median:25");
    assert_eq!(paper.micro_auc, Some(figure(&evaluation, "paper", "micro_auc").value));
    assert!(paper.looks_ahead && row("per_video", "none").looks_ahead && !row("causal", "ema:8").looks_ahead);
    assert_eq!(
        row("training", "none").micro_auc,
        row("none", "none").micro_auc,
        "a linear scale ranks alike"
    );
    table.videos[0].rows[0].edge = true;
    let joined = LabelledTable::join(&table, &labels, false).unwrap();
    let rules = Ladder { normalisations: vec![Normalisation::None], ..Ladder::new(None) };
    assert_eq!(ladder(&joined, "score", &rules).unwrap().len(), 2 * 5);
}

#[test]
fn videos_of_different_rates_state_their_width_in_seconds() {
    let mut slow = video("a", 100, 5.0, noise);
    slow.rows.iter_mut().for_each(|row| row.score += f64::from(u8::from(row.frame >= 50)));
    let table = table(vec![slow, video("b", 100, 25.0, noise)]);
    let labels = labels(&[("a", from(50, 100)), ("b", from(50, 100))]);
    let evaluation = evaluate(&table, &labels, None, &options()).unwrap();
    assert_eq!(figure(&evaluation, "paper", "micro_auc").protocol.smoothing, "median:5s");
}

#[test]
fn what_the_labels_leave_undefined_is_absent_and_said() {
    let table = table(vec![video("a", 50, 5.0, noise)]);
    let normal = evaluate(&table, &labels(&[("a", vec![0; 50])]), None, &options()).unwrap();
    assert!(
        normal.metrics.figures.iter().all(|figure| figure.metric != "micro_auc" && figure.value.is_finite())
    );
    assert!(
        normal.notes.iter().any(|note| note.contains("no frame is labelled abnormal")),
        "{:?}",
        normal.notes
    );
    let abnormal = evaluate(&table, &labels(&[("a", vec![1; 50])]), None, &options()).unwrap();
    assert!(abnormal.notes.iter().any(|note| note.contains("every frame is labelled abnormal")));
    assert_eq!(figure(&abnormal, "paper", "ap").value, 1.0);
}

#[test]
fn unlabelled_videos_are_left_out_aloud() {
    let table = table(vec![video("train", 50, 5.0, noise), video("test", 50, 5.0, noise)]);
    let evaluation = evaluate(&table, &labels(&[("test", from(20, 50))]), None, &options()).unwrap();
    assert_eq!(evaluation.protocols[0].videos.len(), 1);
    assert!(evaluation.notes.iter().any(|note| note.starts_with("1 scored videos have no labels")));
}

#[test]
fn labels_that_do_not_fit_are_refused() {
    let table = table(vec![video("a", 50, 5.0, noise)]);
    let refuse = |labels: Labels| evaluate(&table, &labels, None, &options()).unwrap_err();
    assert!(matches!(refuse(labels(&[("b", vec![0; 50])])), EvalError::NothingLabelled { .. }));
    assert!(matches!(
        refuse(labels(&[("a", vec![0; 49])])),
        EvalError::LabelCount { frames: 50, labels: 49, .. }
    ));
    assert!(matches!(refuse(labels(&[("a", vec![0; 51])])), EvalError::LabelCount { labels: 51, .. }));
    let error = refuse(labels(&[("a", vec![0; 50]), ("z", vec![1])]));
    assert_eq!(error, EvalError::NotScored { video: "z".to_owned() });
    let lenient = EvalOptions { allow_unscored: true, ..options() };
    let longer = labels(&[("a", from(20, 60)), ("z", vec![1])]);
    assert!(evaluate(&table, &longer, None, &lenient).is_ok());
    assert!(evaluate(&table, &labels(&[("a", vec![0; 49])]), None, &lenient).is_err());
    assert!(matches!(refuse(labels(&[("a", vec![7; 50])])), EvalError::Metric(MetricError::BadLabel { .. })));
}

#[test]
fn scores_that_cannot_be_ranked_are_named() {
    let mut scores = table(vec![video("a", 50, 5.0, noise)]);
    scores.videos[0].rows[31].score = f64::NAN;
    let error = evaluate(&scores, &labels(&[("a", from(20, 50))]), None, &options()).unwrap_err();
    assert_eq!(error.to_string(), "a: frame 31 has the score NaN, which is not a finite number");
}

#[test]
fn protocols_that_cannot_be_are_refused() {
    let mut scores = table(vec![video("a", 50, 5.0, noise)]);
    let labels = labels(&[("a", from(20, 50))]);
    let ahead = EvalOptions { causal: ScoreProtocol::mle_paper(), ..options() };
    let error = evaluate(&scores, &labels, None, &ahead).unwrap_err();
    assert_eq!(error, EvalError::LooksAhead { what: "median:5s".to_owned() });
    let mut unknown = options();
    unknown.paper.column = "flow".to_owned();
    let error = evaluate(&scores, &labels, None, &unknown).unwrap_err();
    assert_eq!(error.to_string(), "there is no score column `flow`; there are: score, causal, frame_diff");
    let wanted = EvalOptions {
        paper: ScoreProtocol { column: "frame_diff".to_owned(), ..unknown.paper },
        ..options()
    };
    scores.videos[0].rows[3].indicators.clear();
    let error = evaluate(&scores, &labels, None, &wanted).unwrap_err();
    assert!(matches!(error, EvalError::MissingIndicator { frame: 3, .. }));
    scores.videos[0].rows.iter_mut().for_each(|row| row.time_s = 0.0);
    let error = evaluate(&scores, &labels, None, &options()).unwrap_err();
    assert!(matches!(error, EvalError::NoFrameRate { .. }), "{error}");
}

#[test]
fn single_frames_and_empty_videos_pass() {
    let table =
        table(vec![video("a", 1, 5.0, noise), video("b", 0, 5.0, noise), video("c", 1, 5.0, |_| 2.0)]);
    let labels = labels(&[("a", vec![0]), ("b", vec![]), ("c", vec![1])]);
    let evaluation = evaluate(&table, &labels, None, &options()).unwrap();
    assert_eq!(figure(&evaluation, "paper", "micro_auc").value, 1.0);
}

#[test]
fn an_evaluation_survives_json() {
    let (table, labels) = run(0.2);
    let evaluation = evaluate(&table, &labels, None, &EvalOptions { ladder: true, ..options() }).unwrap();
    let text = serde_json::to_string(&evaluation).unwrap();
    let read: Evaluation = serde_json::from_str(&text).unwrap();
    assert_eq!(read.metrics.figures.len(), evaluation.metrics.figures.len());
    for (read, written) in read.metrics.figures.iter().zip(&evaluation.metrics.figures) {
        assert_eq!((&read.metric, &read.protocol), (&written.metric, &written.protocol));
        assert!((read.value - written.value).abs() <= 1e-12 * written.value.abs(), "{read:?}");
    }
    assert_eq!(read.protocols[0].curves.confusion, evaluation.protocols[0].curves.confusion);
    assert_eq!(read.notes, evaluation.notes);
}

fn event(video: &str, start: u64, end: u64, reason: &str) -> Event {
    Event {
        video: video.to_owned(),
        start_frame: start,
        end_frame: end,
        start_s: start as f64 / 10.0,
        end_s: end as f64 / 10.0,
        peak_frame: start,
        peak_score: 1.0,
        reason: reason.to_owned(),
    }
}

/// One minute at 10 frames a second, abnormal in 100–199 and 300–309.
struct Minute {
    frames: Vec<u64>,
    labels: Vec<u8>,
    time_s: Vec<f64>,
}

impl Minute {
    fn new() -> Self {
        let frames: Vec<u64> = (0..600).collect();
        let labels =
            frames.iter().map(|f| u8::from((100..200).contains(f) || (300..310).contains(f))).collect();
        let time_s = frames.iter().map(|&f| f as f64 / 10.0).collect();
        Self { frames, labels, time_s }
    }

    fn truth(&self) -> TruthVideo<'_> {
        TruthVideo { video: "a", frames: &self.frames, labels: &self.labels, time_s: &self.time_s }
    }
}

#[test]
fn events_are_judged_by_their_frames() {
    let minute = Minute::new();
    let events = [
        event("a", 120, 219, "score"),         // 80 of 100 abnormal: true, 2 s late
        event("a", 0, 599, "camera: dark"),    // not judged
        event("a", 290, 319, "score"),         // 10 of 30: a false alarm, yet it finds the second event
        event("a", 190, 209, "score"),         // 10 of 20: half is enough; later than the first
        event("a", 400, 409, "score"),         // nothing
        event("elsewhere", 100, 199, "score"), // no labels there
    ];
    let got = Operations::judge(&events, &[minute.truth()]);
    let ranks: Vec<usize> = got.events.iter().map(|event| event.rank).collect();
    assert_eq!(ranks, [1, 3, 4, 5]);
    let shares: Vec<f64> = got.events.iter().map(|event| event.abnormal_share).collect();
    assert_eq!(shares, [0.8, 1.0 / 3.0, 0.5, 0.0]);
    assert_eq!((got.true_detections(), got.found()), (2, 2));
    assert_eq!((got.truth[0].delay_s, got.truth[1].delay_s), (Some(2.0), Some(0.0)));
    assert_eq!(got.median_delay_s(), Some(1.0));
    assert_eq!((got.precision(), got.recall()), (Some(0.5), Some(1.0)));
    assert!((got.false_alarms_per_hour().unwrap() - 120.0).abs() < 1e-9, "two in a minute");
    assert_eq!((got.top.considered, got.top.abnormal, got.top.distinct), (4, 2, 2));
    // 120–219, 290–319 and 400–409 are flagged
    assert_eq!((got.frames.true_positive, got.frames.false_positive), (90, 50));
    assert_eq!((got.frames.false_negative, got.frames.true_negative), (20, 440));
}

#[test]
fn only_ten_events_are_the_top() {
    let minute = Minute::new();
    let mut events: Vec<Event> = (0..10).map(|i| event("a", 100 + 10 * i, 104 + 10 * i, "score")).collect();
    events.push(event("a", 300, 309, "score"));
    let top = Operations::judge(&events, &[minute.truth()]).top;
    assert_eq!((top.considered, top.abnormal, top.distinct), (10, 10, 1));
}

#[test]
fn without_events_or_truth_shares_are_undefined() {
    let minute = Minute::new();
    let got = Operations::judge(&[], &[minute.truth()]);
    assert_eq!((got.precision(), got.recall(), got.median_delay_s()), (None, Some(0.0), None));
    assert_eq!(got.false_alarms_per_hour(), Some(0.0));
    let nothing = Operations::judge(&[event("a", 0, 9, "score")], &[]);
    assert_eq!((nothing.recall(), nothing.false_alarms_per_hour()), (None, None));
    assert_eq!(true_events(&minute.truth()).len(), 2);
    // an event that ends before it begins, from a file someone edited
    assert_eq!(
        Operations::judge(&[event("a", 300, 100, "score")], &[minute.truth()]).events[0].abnormal_share,
        0.0
    );
}

#[test]
fn events_of_a_run_become_figures() {
    let (table, labels) = run(0.2);
    let decision = Decision {
        normalisation: "none".to_owned(),
        smoothing: "median:25".to_owned(),
        rule: "median + 3 · 1.4826 · MAD".to_owned(),
        threshold: 1.0,
        alarms: None,
    };
    let events = [event("a", 100, 199, "score"), event("b", 0, 49, "score")];
    let run = EventRun { events: &events, decision: &decision };
    let evaluation = evaluate(&table, &labels, Some(run), &options()).unwrap();
    assert_eq!(figure(&evaluation, "events", "event_precision").value, 0.5);
    assert_eq!(figure(&evaluation, "events", "event_recall").note, "1 of 3 true events");
    assert_eq!(figure(&evaluation, "events", "top10_abnormal").value, 1.0);
    assert_eq!(figure(&evaluation, "events", "top10_distinct").value, 1.0);
    let false_alarms = figure(&evaluation, "events", "false_alarms_per_hour").value;
    assert!((false_alarms - 30.0).abs() < 1e-9, "one in 120 s: {false_alarms}");
    assert_eq!(evaluation.operations.map(|found| found.truth.len()), Some(3));
}

#[test]
fn edge_frames_drop_where_the_paper_drops_them() {
    let (mut table, labels) = run(0.2);
    table.videos[0].rows[0].edge = true;
    table.videos[2].rows.iter_mut().for_each(|row| row.edge = true);
    let paper = ScoreProtocol { edges: Edges::Drop, ..ScoreProtocol::mle_paper() };
    let evaluation = evaluate(&table, &labels, None, &EvalOptions { paper, ..options() }).unwrap();
    let frames =
        |protocol: usize| -> usize { evaluation.protocols[protocol].videos.iter().map(|v| v.frames).sum() };
    assert_eq!((frames(0), frames(1)), (399, 600));
    assert_eq!(figure(&evaluation, "paper", "prevalence").value, 150.0 / 399.0);
}

#[test]
fn contamination_is_met_by_thinning_one_class() {
    let labels: Vec<u8> = (0..1000).map(|frame| u8::from(frame % 25 < 9)).collect(); // 36 %
    for share in [0.05, 0.1, 0.2, 0.3, 0.5] {
        let subset = contaminated_subset(&labels, share, 3).unwrap();
        let abnormal = subset.iter().filter(|&&frame| labels[frame] == 1).count();
        let got = abnormal as f64 / subset.len() as f64;
        assert!((got - share).abs() < 1e-3, "{got} instead of {share}");
        assert!(subset.is_sorted_by(|a, b| a < b));
        assert_eq!(subset, contaminated_subset(&labels, share, 3).unwrap());
        assert_ne!(subset, contaminated_subset(&labels, share, 4).unwrap());
    }
    assert_eq!(contaminated_subset(&labels, 0.0, 0).unwrap().len(), 640);
    assert_eq!(contaminated_subset(&labels, 1.0, 0), Err(ContaminationError::Share { share: 1.0 }));
    assert!(contaminated_subset(&labels, f64::NAN, 0).is_err());
    assert_eq!(contaminated_subset(&[1, 1], 0.1, 0), Err(ContaminationError::NoNormal { frames: 2 }));
    assert!(matches!(contaminated_subset(&[0, 0], 0.1, 0), Err(ContaminationError::NoAbnormal { .. })));
}

proptest! {
    #[test]
    fn a_contaminated_subset_is_within_half_a_frame(
        labels in prop::collection::vec(0u8..2, 2..200), share in 0.0..0.99f64, seed in any::<u64>(),
    ) {
        if let Ok(subset) = contaminated_subset(&labels, share, seed) {
            let abnormal = subset.iter().filter(|&&frame| labels[frame] == 1).count();
            let normal = subset.len() - abnormal;
            // one class is exact, so the other may be half a frame off, or the one frame that must stay
            let odds = share / (1.0 - share);
            let off = (abnormal as f64 - odds * normal as f64).abs();
            prop_assert!(off <= 0.5 * odds.max(1.0) + 1e-9 || normal == 1, "{abnormal} and {normal} for {share}");
        }
    }

    #[test]
    fn the_causal_figure_does_not_see_the_future(cut in 30usize..190) {
        // Scores of the frames before `cut` are the same whatever follows.
        let (table, labels) = run(0.2);
        let causal = ScoreProtocol::mle_causal();
        let prepared = |table: &ScoreTable, labels: &Labels| {
            let joined = LabelledTable::join(table, labels, true).unwrap();
            vadis_eval::protocol::prepare(&joined, &causal).unwrap()[0].scores.clone()
        };
        let whole = prepared(&table, &labels);
        let mut part = table.clone();
        part.videos[0].rows.truncate(cut);
        prop_assert_eq!(&whole[..cut], &prepared(&part, &labels)[..]);
    }
}

fn span(video: &str, start_frame: u64, end_frame: u64, kind: &str) -> KindSpan {
    KindSpan { video: video.to_owned(), start_frame, end_frame, kind: kind.to_owned() }
}

/// 100 normal frames scored 0..100, then a kind above all of them, then one in their middle.
#[test]
fn each_kind_is_set_against_the_normal_frames() {
    let score = |frame: u64| match frame {
        0..100 => frame as f64,
        100..110 => 1000.0,
        _ => 94.5,
    };
    let table = table(vec![video("a", 130, 5.0, score)]);
    let labels = labels(&[("a", from(100, 130))]);
    let raw = |name: &str| ScoreProtocol { name: name.to_owned(), ..ScoreProtocol::raw() };
    let spans =
        vec![span("a", 100, 109, "plain"), span("a", 90, 119, "hidden"), span("a", 120, 129, "hidden")];
    let groups = vec![
        ("both".to_owned(), vec!["plain".to_owned(), "hidden".to_owned()]),
        ("absent".to_owned(), vec!["other".to_owned()]),
    ];
    let decision = Decision {
        normalisation: "none".into(),
        smoothing: "none".into(),
        rule: "by hand".into(),
        threshold: 500.0,
        alarms: None,
    };
    let events = [event("a", 98, 104, "the picture"), event("a", 115, 129, "camera: dark")];
    let run = EventRun { events: &events, decision: &decision };
    let of = |fpr: f64| {
        let kinds = Kinds { spans: spans.clone(), groups: groups.clone(), fpr };
        let options =
            EvalOptions { paper: raw("paper"), causal: raw("causal"), kinds: Some(kinds), ..options() };
        evaluate(&table, &labels, Some(run), &options).unwrap().metrics.kinds
    };
    let kinds = of(0.05);
    let paper: Vec<&KindFigure> = kinds.iter().filter(|kind| kind.protocol == "paper").collect();
    assert_eq!(kinds.len(), 2 * paper.len());
    assert_eq!(paper.iter().map(|k| k.kind.as_str()).collect::<Vec<_>>(), ["hidden", "plain", "both"]);
    let [hidden, plain, both] = paper[..] else { panic!("three rows") };
    // Frames 90 to 99 are normal whatever the span says; 100 to 109 belong to both kinds.
    assert_eq!((hidden.frames, plain.frames, both.frames), (30, 10, 30));
    assert_eq!((hidden.spans, plain.spans), (2, 1));
    assert_eq!(plain.auc, Some(1.0));
    let expected = (10.0 * 100.0 + 20.0 * 95.0) / (30.0 * 100.0);
    assert!((hidden.auc.unwrap() - expected).abs() < 1e-12, "{:?}", hidden.auc);
    // Five of a hundred may be flagged: 95 to 99, so that 94.5 is just above the limit of 94.
    assert_eq!((plain.recall_at_fpr, hidden.recall_at_fpr), (Some(1.0), Some(1.0)));
    assert_eq!(of(0.04)[0].recall_at_fpr, Some(10.0 / 30.0));
    assert_eq!((plain.recall_in_events, hidden.recall_in_events), (Some(0.5), Some(5.0 / 30.0)));
    assert_eq!((plain.spans_found, hidden.spans_found), (Some(1), Some(1)), "camera trouble finds nothing");

    let kinds = Kinds { spans: vec![span("b", 0, 1, "plain")], groups: Vec::new(), fpr: 0.05 };
    let error =
        evaluate(&table, &labels, None, &EvalOptions { kinds: Some(kinds), ..options() }).unwrap_err();
    assert!(matches!(error, EvalError::KindOfUnknownVideo { .. }), "{error}");
}
