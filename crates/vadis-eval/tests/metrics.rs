//! Figures against scikit-learn (`scripts/metrics.py`), against brute force, and by their invariances.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use proptest::prelude::*;
use serde::Deserialize;
use vadis_eval::metrics::bootstrap::{Bootstrap, Intervals};
use vadis_eval::metrics::{CurvePoint, Edges, LabelledVideo, MetricError, Ranking, Separation, macro_auc};

#[derive(Deserialize)]
struct Fixture {
    cases: Vec<Case>,
    several: Several,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    scores: Vec<f64>,
    labels: Vec<u8>,
    auc: f64,
    eer: f64,
    average_precision: f64,
    prevalence: f64,
    best_f1: f64,
    best_threshold: f64,
    confusion: [u64; 4],
    accuracy: f64,
    fpr_at_90_recall: f64,
    d_prime: Option<f64>,
    roc: [Vec<f64>; 3],
    precision_recall: [Vec<f64>; 3],
}

#[derive(Deserialize)]
struct Several {
    scores: Vec<Vec<f64>>,
    labels: Vec<Vec<u8>>,
    micro_auc: f64,
    macro_auc: f64,
    micro_interval: [f64; 2],
    macro_interval: [f64; 2],
}

/// Labelled frames that own their columns, one second a frame.
struct Owned {
    video: String,
    scores: Vec<f64>,
    labels: Vec<u8>,
    edge: Vec<bool>,
    time_s: Vec<f64>,
}

impl Owned {
    fn new(video: &str, scores: &[f64], labels: &[u8]) -> Self {
        let time_s = (0..scores.len()).map(|frame| frame as f64).collect();
        let (scores, labels) = (scores.to_vec(), labels.to_vec());
        Self { video: video.to_owned(), edge: vec![false; scores.len()], scores, labels, time_s }
    }

    fn labelled(&self) -> LabelledVideo<'_> {
        LabelledVideo {
            video: &self.video,
            scores: &self.scores,
            edge: &self.edge,
            labels: &self.labels,
            time_s: &self.time_s,
        }
    }
}

fn fixture() -> Fixture {
    serde_json::from_str(include_str!("fixtures/metrics.json")).expect("the fixture is what the script wrote")
}

#[track_caller]
fn close(got: Option<f64>, want: f64, what: &str) {
    let got = got.unwrap_or_else(|| panic!("{what} is undefined"));
    assert!((got - want).abs() < 1e-9, "{what}: {got} instead of {want}");
}

#[test]
fn figures_are_scikit_learns() {
    for case in fixture().cases {
        let ranking = Ranking::new(&case.scores, &case.labels).unwrap();
        let (figures, name) = (ranking.figures(), &case.name);
        close(figures.auc, case.auc, &format!("{name}: AUC"));
        close(figures.eer, case.eer, &format!("{name}: EER"));
        close(figures.average_precision, case.average_precision, &format!("{name}: AP"));
        close(figures.prevalence, case.prevalence, &format!("{name}: prevalence"));
        close(figures.best_f1, case.best_f1, &format!("{name}: F1"));
        close(figures.fpr_at_90_recall, case.fpr_at_90_recall, &format!("{name}: FPR at 90 %"));
        let owned = Owned::new(name, &case.scores, &case.labels);
        let classes = Separation::of(&[owned.labelled()], Edges::Keep).unwrap();
        match case.d_prime {
            Some(want) => close(classes.d_prime(), want, &format!("{name}: d′")),
            None => assert_eq!(classes.d_prime(), None, "{name}: d′"),
        }
    }
}

#[test]
fn the_best_threshold_has_scikit_learns_confusion_matrix() {
    for case in fixture().cases {
        let (threshold, confusion) = Ranking::new(&case.scores, &case.labels).unwrap().best_f1().unwrap();
        let counts = [
            confusion.true_positive,
            confusion.false_positive,
            confusion.true_negative,
            confusion.false_negative,
        ];
        assert_eq!((threshold, counts), (case.best_threshold, case.confusion), "{}", case.name);
        close(Some(confusion.f1()), case.best_f1, "F1");
        close(Some(confusion.accuracy()), case.accuracy, "accuracy");
    }
}

#[test]
fn curves_are_scikit_learns() {
    for case in fixture().cases {
        let ranking = Ranking::new(&case.scores, &case.labels).unwrap();
        // so many points that none is thinned out
        let roc = ranking.roc(1_000_000);
        assert_eq!(roc[0], CurvePoint { x: 0.0, y: 0.0, threshold: None });
        assert_eq!(roc.len(), case.roc[0].len() + 1, "{}", case.name);
        assert_on_curve(&roc[1..], &case.roc);
        assert_on_curve(&ranking.precision_recall(1_000_000)[1..], &case.precision_recall);
    }
}

#[track_caller]
fn assert_on_curve(points: &[CurvePoint], [x, y, thresholds]: &[Vec<f64>; 3]) {
    for point in points {
        let at = thresholds
            .iter()
            .position(|&t| Some(t) == point.threshold)
            .expect("the threshold is one of the reference");
        assert!((point.x - x[at]).abs() < 1e-12 && (point.y - y[at]).abs() < 1e-12, "{point:?}");
    }
}

#[test]
fn a_thinned_curve_keeps_its_ends_and_its_size() {
    let scores: Vec<f64> = (0..50_000).map(|i| f64::from(i * 7919 % 50_021)).collect();
    let labels: Vec<u8> = (0..50_000).map(|i| u8::from(i % 3 == 0)).collect();
    let ranking = Ranking::new(&scores, &labels).unwrap();
    let (roc, pr) = (ranking.roc(200), ranking.precision_recall(200));
    assert!((100..=203).contains(&roc.len()), "{}", roc.len());
    assert!((100..=203).contains(&pr.len()), "{}", pr.len());
    assert_eq!(roc.last().map(|p| (p.x, p.y)), Some((1.0, 1.0)));
    assert_eq!(pr.last().map(|p| p.x), Some(1.0));
}

#[test]
fn micro_and_macro_over_several_videos() {
    let several = fixture().several;
    let videos = owned_videos(&several);
    let videos: Vec<_> = videos.iter().map(Owned::labelled).collect();
    close(Ranking::pooled(&videos, Edges::Keep).unwrap().figures().auc, several.micro_auc, "micro AUC");
    let macro_auc = macro_auc(&videos, Edges::Keep).unwrap();
    close(macro_auc.value, several.macro_auc, "macro AUC");
    assert_eq!(macro_auc.skipped, 3);
    assert_eq!(macro_auc.videos[7].auc, None);
}

#[test]
fn dropped_edges_do_not_count() {
    let mut video = Owned::new("a", &[9.0, 0.1, 0.2, 0.3, 0.4, 9.0], &[0, 0, 0, 1, 1, 0]);
    video.edge[0] = true;
    video.edge[5] = true;
    let auc = |edges| Ranking::pooled(&[video.labelled()], edges).unwrap().figures().auc;
    assert_eq!(auc(Edges::Drop), Some(1.0));
    assert_eq!(auc(Edges::Keep), Some(0.5));
}

#[test]
fn one_class_leaves_undefined_what_needs_two() {
    let normal = Ranking::new(&[0.1, 0.2], &[0, 0]).unwrap();
    let figures = normal.figures();
    assert_eq!(
        (figures.auc, figures.eer, figures.average_precision, figures.best_f1),
        (None, None, None, None)
    );
    assert_eq!(figures.prevalence, Some(0.0));
    assert!(
        normal.roc(100).is_empty() && normal.precision_recall(100).is_empty() && normal.best_f1().is_none()
    );
    let abnormal = Ranking::new(&[0.1, 0.2], &[1, 1]).unwrap().figures();
    assert_eq!((abnormal.auc, abnormal.eer, abnormal.fpr_at_90_recall), (None, None, None));
    assert_eq!((abnormal.average_precision, abnormal.best_f1), (Some(1.0), Some(1.0)));
    assert_eq!(Ranking::new(&[], &[]).unwrap().figures().prevalence, None);
}

#[test]
fn what_cannot_be_ranked_is_named() {
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let video = Owned::new("street.mp4", &[0.0, value, 1.0], &[0, 1, 1]);
        let error = Ranking::pooled(&[video.labelled()], Edges::Keep).unwrap_err();
        assert!(matches!(&error, MetricError::NotFinite { video, frame: 1, .. } if video == "street.mp4"));
        assert!(error.to_string().starts_with("street.mp4: frame 1 has the score"), "{error}");
    }
    assert!(matches!(Ranking::new(&[0.0], &[2]), Err(MetricError::BadLabel { frame: 0, value: 2, .. })));
    assert!(matches!(
        Ranking::new(&[0.0], &[]),
        Err(MetricError::LengthMismatch { scores: 1, others: 0, .. })
    ));
}

#[test]
fn both_zeros_are_one_score() {
    close(Ranking::new(&[0.0, -0.0], &[0, 1]).unwrap().figures().auc, 0.5, "AUC of 0 against −0");
}

fn owned_videos(several: &Several) -> Vec<Owned> {
    let names = (0..several.scores.len()).map(|index| format!("clip {index}"));
    names.zip(&several.scores).zip(&several.labels).map(|((name, s), l)| Owned::new(&name, s, l)).collect()
}

#[test]
fn intervals_are_a_plain_bootstraps() {
    let several = fixture().several;
    let videos = owned_videos(&several);
    let videos: Vec<_> = videos.iter().map(Owned::labelled).collect();
    let got = Bootstrap { resamples: 4000, seed: 5 }.intervals(&videos, Edges::Keep).unwrap();
    assert_eq!((got.unit.as_str(), got.units), ("video", 20));
    for (interval, want) in [(got.micro_auc, several.micro_interval), (got.macro_auc, several.macro_interval)]
    {
        let interval = interval.unwrap();
        // two independent bootstraps of 4000: the quantiles scatter by about .002
        assert!((interval.low - want[0]).abs() < 0.01, "{interval:?} instead of {want:?}");
        assert!((interval.high - want[1]).abs() < 0.01, "{interval:?} instead of {want:?}");
    }
}

#[test]
fn one_video_is_resampled_by_the_minute() {
    let scores: Vec<f64> = (0..600).map(|i| f64::from(i * 37 % 101)).collect();
    let labels: Vec<u8> = (0..600).map(|i| u8::from(i / 40 % 2 == 0)).collect();
    let mut video = Owned::new("hour", &scores, &labels);
    let got = Bootstrap::default().intervals(&[video.labelled()], Edges::Keep).unwrap();
    assert_eq!((got.unit.as_str(), got.units), ("block of 60 s", 10));
    assert!(got.micro_auc.is_some());
    assert_eq!(got.micro_auc, got.macro_auc);
    video.time_s.iter_mut().for_each(|time| *time /= 600.0);
    let short = Bootstrap::default().intervals(&[video.labelled()], Edges::Keep).unwrap();
    assert_eq!((short.units, short.micro_auc), (1, None));
}

#[test]
fn intervals_do_not_depend_on_threads() {
    let several = fixture().several;
    let videos = owned_videos(&several);
    let with = |threads| -> Intervals {
        let labelled: Vec<_> = videos.iter().map(Owned::labelled).collect();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| Bootstrap { resamples: 300, seed: 1 }.intervals(&labelled, Edges::Keep).unwrap())
    };
    let one = with(1);
    assert_eq!(one, with(2));
    assert_eq!(one, with(5));
    let videos: Vec<_> = videos.iter().map(Owned::labelled).collect();
    assert_ne!(one, Bootstrap { resamples: 300, seed: 2 }.intervals(&videos, Edges::Keep).unwrap());
}

/// A million frames; prints what it takes (`cargo test --release -- --ignored --nocapture million`).
#[test]
#[ignore = "a measurement"]
fn a_million_frames() {
    let (mut state, n) = (1_u64, 1_000_000);
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1_u64 << 53) as f64
    };
    let labels: Vec<u8> = (0..n).map(|_| u8::from(random() < 0.1)).collect();
    let scores: Vec<f64> = labels.iter().map(|&label| random() + 0.3 * f64::from(label)).collect();
    let videos: Vec<Owned> = (0..50)
        .map(|v| v * n / 50..(v + 1) * n / 50)
        .map(|frames| Owned::new("v", &scores[frames.clone()], &labels[frames]))
        .collect();
    let videos: Vec<_> = videos.iter().map(Owned::labelled).collect();
    let start = std::time::Instant::now();
    let ranking = Ranking::pooled(&videos, Edges::Keep).unwrap();
    let figures = (ranking.figures(), ranking.best_f1(), ranking.roc(400), ranking.precision_recall(400));
    let per_video = macro_auc(&videos, Edges::Keep).unwrap();
    println!("AUC {:?}, macro {:?}: {:?}", figures.0.auc, per_video.value, start.elapsed());
    let start = std::time::Instant::now();
    let intervals = Bootstrap::default().intervals(&videos, Edges::Keep).unwrap();
    println!("1000 resamples {:?}: {:?}", intervals.micro_auc, start.elapsed());
}

/// Scores with many ties, and labels.
fn frames() -> impl Strategy<Value = (Vec<f64>, Vec<u8>)> {
    prop::collection::vec(((-20i32..20).prop_map(|v| f64::from(v) / 4.0), 0u8..2), 1..120)
        .prop_map(|frames| frames.into_iter().unzip())
}

/// The chance that an abnormal frame scores above a normal one, ties one half (Mann–Whitney), pair by pair.
fn brute_force_auc(scores: &[f64], labels: &[u8]) -> Option<f64> {
    let of = |class: u8| scores.iter().zip(labels).filter(move |(_, l)| **l == class).map(|(s, _)| *s);
    let (mut wins, mut pairs) = (0.0, 0.0);
    for abnormal in of(1) {
        for normal in of(0) {
            pairs += 1.0;
            wins += f64::from(u8::from(abnormal > normal)) + 0.5 * f64::from(u8::from(abnormal == normal));
        }
    }
    (pairs > 0.0).then(|| wins / pairs)
}

fn same(a: Option<f64>, b: Option<f64>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => (a - b).abs() < 1e-12,
        _ => a == b,
    }
}

proptest! {
    #[test]
    fn auc_is_the_mann_whitney_statistic((scores, labels) in frames()) {
        let auc = Ranking::new(&scores, &labels).unwrap().figures().auc;
        prop_assert!(same(auc, brute_force_auc(&scores, &labels)));
    }

    #[test]
    fn a_rising_transform_changes_nothing((scores, labels) in frames()) {
        let transformed: Vec<f64> = scores.iter().map(|s| (s / 3.0).exp() - 7.0).collect();
        let (a, b) = (Ranking::new(&scores, &labels).unwrap(), Ranking::new(&transformed, &labels).unwrap());
        prop_assert_eq!(a.figures(), b.figures());
    }

    #[test]
    fn negation_turns_the_auc_over((scores, labels) in frames()) {
        let negated: Vec<f64> = scores.iter().map(|s| -s).collect();
        let flipped: Vec<u8> = labels.iter().map(|l| 1 - l).collect();
        let figures = |s: &[f64], l: &[u8]| Ranking::new(s, l).unwrap().figures();
        let plain = figures(&scores, &labels);
        prop_assert!(same(figures(&negated, &labels).auc, plain.auc.map(|a| 1.0 - a)));
        prop_assert!(same(figures(&scores, &flipped).auc, plain.auc.map(|a| 1.0 - a)));
        prop_assert!(same(figures(&negated, &flipped).auc, plain.auc));
        prop_assert!(same(figures(&negated, &flipped).eer, plain.eer));
    }

    #[test]
    fn order_does_not_matter((scores, labels) in frames(), turn in 0usize..120) {
        let (mut s, mut l) = (scores.clone(), labels.clone());
        let turn = turn % s.len();
        s.rotate_left(turn);
        l.rotate_left(turn);
        s.reverse();
        l.reverse();
        prop_assert_eq!(Ranking::new(&scores, &labels).unwrap(), Ranking::new(&s, &l).unwrap());
    }

    #[test]
    fn figures_stay_in_range((scores, labels) in frames()) {
        let f = Ranking::new(&scores, &labels).unwrap().figures();
        for value in [f.auc, f.eer, f.average_precision, f.prevalence, f.best_f1, f.fpr_at_90_recall].into_iter().flatten() {
            prop_assert!((0.0..=1.0).contains(&value), "{value}");
        }
    }

    #[test]
    fn the_confusion_at_a_threshold_is_a_count((scores, labels) in frames(), threshold in -6.0..6.0f64) {
        let got = Ranking::new(&scores, &labels).unwrap().confusion_at(threshold);
        let count = |flagged: bool, label: u8| {
            scores.iter().zip(&labels).filter(|(s, l)| (**s >= threshold) == flagged && **l == label).count() as u64
        };
        prop_assert_eq!(got.true_positive, count(true, 1));
        prop_assert_eq!(got.false_positive, count(true, 0));
        prop_assert_eq!(got.true_negative, count(false, 0));
        prop_assert_eq!(got.false_negative, count(false, 1));
    }
}
