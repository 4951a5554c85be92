//! From scores to ranked events.
#![allow(clippy::unwrap_used, reason = "a test helper that fails is a test that fails")]

use proptest::prelude::*;
use vadis_eval::events::*;
use vadis_eval::threshold::{Footage, Rule, Threshold};

const FPS: f64 = 5.0;

/// Scores with a known spread: median 0, robust deviation 1, so that scores are deviations.
fn threshold() -> Threshold {
    let scores: Vec<f64> = (0..1001).map(|i| (f64::from(i) - 500.0) / 500.0 * 2.0 / 1.4826).collect();
    let time_s: Vec<f64> = (0..1001).map(|i| f64::from(i) / FPS).collect();
    let threshold = Rule::default().fit(&[Footage { scores: &scores, time_s: &time_s }]).unwrap();
    assert!((threshold.spread - 1.0).abs() < 1e-9 && (threshold.value - 3.0).abs() < 1e-9);
    threshold
}

struct Signal {
    frame: Vec<u64>,
    time_s: Vec<f64>,
    scores: Vec<f64>,
}

impl Signal {
    /// Pieces of (seconds, score).
    fn new(pieces: &[(f64, f64)]) -> Self {
        let scores: Vec<f64> = pieces
            .iter()
            .flat_map(|&(seconds, score)| std::iter::repeat_n(score, (seconds * FPS) as usize))
            .collect();
        let frame: Vec<u64> = (0..scores.len() as u64).collect();
        let time_s = frame.iter().map(|&i| i as f64 / FPS).collect();
        Self { frame, time_s, scores }
    }

    fn of(&self) -> VideoSignal<'_> {
        VideoSignal {
            video: "v.mp4",
            frame: &self.frame,
            time_s: &self.time_s,
            raw: &self.scores,
            smoothed: &self.scores,
            ..VideoSignal::default()
        }
    }

    fn spans(&self) -> Vec<(u64, u64)> {
        let events = find_events(&self.of(), &EventConfig::new(threshold())).unwrap();
        events.iter().map(|found| (found.event.start_frame, found.event.end_frame)).collect()
    }
}

#[test]
fn an_event_begins_and_ends_at_the_lower_threshold() {
    // rises above 2 at 2 s, above 3 at 4 s, falls to 1.9 at 8 s
    let signal = Signal::new(&[(2.0, 0.0), (2.0, 2.5), (2.0, 5.0), (2.0, 2.1), (2.0, 1.9)]);
    assert_eq!(signal.spans(), [(10, 39)]);
    // never above the upper one
    assert_eq!(Signal::new(&[(2.0, 0.0), (9.0, 2.9), (2.0, 0.0)]).spans(), []);
    // open at both ends of the video
    assert_eq!(Signal::new(&[(2.0, 4.0), (9.0, 0.0), (2.0, 4.0)]).spans(), [(0, 9), (55, 64)]);
    assert_eq!(Signal::new(&[]).spans(), []);
}

#[test]
fn short_gaps_close_and_short_events_vanish() {
    assert_eq!(
        Signal::new(&[(2.0, 0.0), (2.0, 4.0), (2.0, 0.0), (2.0, 4.0), (9.0, 0.0)]).spans(),
        [(10, 39)]
    );
    assert_eq!(Signal::new(&[(2.0, 4.0), (4.0, 0.0), (2.0, 4.0)]).spans(), [(0, 9), (30, 39)]);
    assert_eq!(Signal::new(&[(2.0, 0.0), (0.8, 9.0), (2.0, 0.0)]).spans(), []);
    assert_eq!(Signal::new(&[(2.0, 0.0), (1.0, 9.0), (2.0, 0.0)]).spans(), [(10, 14)]);
}

#[test]
fn trouble_is_no_anomaly() {
    let signal = Signal::new(&[(10.0, 0.0), (5.0, 9.0), (5.0, 0.0), (5.0, 6.0)]);
    let trouble: Vec<Option<&str>> =
        signal.time_s.iter().map(|t| (10.0..15.0).contains(t).then_some("dark")).collect();
    let video = VideoSignal { trouble: Some(&trouble), ..signal.of() };
    let events = find_events(&video, &EventConfig::new(threshold())).unwrap();
    let kinds: Vec<_> = events.iter().map(|e| (e.kind, e.event.start_frame, e.event.end_frame)).collect();
    assert_eq!(kinds, [(EventKind::Anomaly, 100, 124), (EventKind::Camera, 50, 74)]);
    let ranking = rank(events, &RankConfig::default());
    assert_eq!((ranking.events.len(), ranking.camera.len()), (1, 1));
    let rows = ranking.into_rows();
    assert!(!rows[0].reason.starts_with("camera: "));
    assert_eq!(rows[1].reason, "camera: dark");
}

#[test]
fn the_reason_says_which_where_and_how_unusual() {
    let signal = Signal::new(&[(60.0, 0.0), (3.0, 9.3), (60.0, 0.0)]);
    let wiggle = |i: usize| (i % 7) as f64;
    let calm: Vec<f64> = (0..signal.scores.len()).map(wiggle).collect();
    let fired: Vec<f64> = signal.scores.iter().enumerate().map(|(i, s)| wiggle(i) + 30.0 * s).collect();
    let place = vec![Some([0.1, 0.2]); calm.len()];
    let video = VideoSignal {
        indicators: vec![("flow", &calm), ("patch_error", &fired)],
        place: Some(&place),
        ..signal.of()
    };
    let events = find_events(&video, &EventConfig::new(threshold())).unwrap();
    assert_eq!(
        events[0].event.reason,
        "in the upper left, clearly unlike what this camera usually shows there: \
         9.3 deviations above the median, more than 99.9 % of the frames (patch error)"
    );
    assert!((events[0].deviations - 9.3).abs() < 1e-9);
}

#[test]
fn the_picture_is_divided_in_nine() {
    let words: Vec<_> = [[0.0, 0.0], [0.5, 0.1], [1.0, 0.5], [0.5, 0.5], [0.99, 1.0], [f32::NAN, -1.0]]
        .into_iter()
        .map(place_in_words)
        .collect();
    assert_eq!(words, ["upper left", "top", "right", "centre", "lower right", "upper left"]);
}

#[test]
fn the_peak_frame_is_the_most_striking_of_the_plateau() {
    let signal = Signal::new(&[(2.0, 0.0), (2.0, 5.0), (2.0, 0.0)]);
    let mut raw = signal.scores.clone();
    raw[17] = 8.0;
    raw[25] = 99.0; // outside the event
    let video = VideoSignal { raw: &raw, ..signal.of() };
    let events = find_events(&video, &EventConfig::new(threshold())).unwrap();
    assert_eq!((events[0].event.peak_frame, events[0].event.peak_score), (17, 5.0));
}

#[test]
fn strength_is_the_excess_of_the_strongest_ten_seconds() {
    let strength = |pieces: &[(f64, f64)]| {
        find_events(&Signal::new(pieces).of(), &EventConfig::new(threshold())).unwrap()[0].strength
    };
    assert!((strength(&[(5.0, 0.0), (4.0, 5.0), (5.0, 0.0)]) - 8.0).abs() < 1e-9);
    // an hour just above the threshold is less than ten seconds well above
    let hour = strength(&[(5.0, 0.0), (3600.0, 3.2), (5.0, 0.0)]);
    assert!((hour - 2.0).abs() < 1e-9);
    assert!(strength(&[(5.0, 0.0), (10.0, 6.0), (5.0, 0.0)]) > hour);
}

fn candidate(name: &str, strength: f64, feature: Option<Vec<f32>>) -> EventCandidate {
    let mut found =
        find_events(&Signal::new(&[(2.0, 5.0), (5.0, 0.0)]).of(), &EventConfig::new(threshold())).unwrap();
    let mut candidate = found.remove(0);
    candidate.event.video = name.into();
    (candidate.strength, candidate.feature) = (strength, feature);
    candidate
}

#[test]
fn like_events_make_room_for_unlike_ones() {
    let (a, b, c) = (Some(vec![0.0, 0.0]), Some(vec![9.0, 0.0]), Some(vec![0.0, 9.0]));
    let candidates = vec![
        candidate("a3", 7.0, a.clone()),
        candidate("a1", 9.0, a.clone()),
        candidate("a2", 8.0, a),
        candidate("b1", 5.0, b.clone()),
        candidate("c1", 3.0, c),
        candidate("b2", 4.9, b),
        candidate("none", 1.0, None),
    ];
    let ranking = rank(candidates, &RankConfig::default());
    let order: Vec<_> = ranking.events.iter().map(|e| (e.event.video.as_str(), e.group)).collect();
    // counted: a1 9, b1 5, a2 8/2, c1 3, b2 4.9/2, a3 7/3, none 1
    assert_eq!(order, [("a1", 1), ("b1", 2), ("a2", 1), ("c1", 3), ("b2", 2), ("a3", 1), ("none", 4)]);
    assert_eq!(rank(Vec::new(), &RankConfig::default()), Ranking::default());
}

#[test]
fn latents_of_an_event_are_averaged() {
    let signal = Signal::new(&[(1.0, 0.0), (2.0, 5.0), (2.0, 0.0)]);
    let values: Vec<f32> = signal.frame.iter().flat_map(|&i| [i as f32, 1.0]).collect();
    let video = VideoSignal { latents: Some(Latents { dimension: 2, values: &values }), ..signal.of() };
    let events = find_events(&video, &EventConfig::new(threshold())).unwrap();
    assert_eq!(events[0].feature, Some(vec![9.5, 1.0]));
}

#[test]
fn columns_of_another_length_are_an_error() {
    let signal = Signal::new(&[(1.0, 0.0)]);
    let config = EventConfig::new(threshold());
    let video = VideoSignal { raw: &signal.scores[1..], ..signal.of() };
    let error = find_events(&video, &config).unwrap_err();
    assert_eq!(error.to_string(), "`v.mp4` has 5 frames, but 4 values of raw");
    let video = VideoSignal { latents: Some(Latents { dimension: 2, values: &[0.0; 11] }), ..signal.of() };
    assert!(find_events(&video, &config).is_err());
    let nan = [f64::NAN; 5];
    assert!(find_events(&VideoSignal { smoothed: &nan, ..signal.of() }, &config).is_err());
}

proptest! {
    #[test]
    fn events_are_apart_in_order_and_long_enough(
        pieces in prop::collection::vec((0.2..6.0f64, -1.0..6.0f64), 0..30),
        dark in prop::collection::vec(any::<bool>(), 30),
    ) {
        let signal = Signal::new(&pieces);
        let trouble: Vec<Option<&str>> =
            (0..signal.frame.len()).map(|i| dark[(i / 20) % 30].then_some("dark")).collect();
        let video = VideoSignal { trouble: Some(&trouble), ..signal.of() };
        let config = EventConfig::new(threshold());
        let found = find_events(&video, &config).unwrap();
        let anomalies: Vec<_> = found.iter().filter(|e| e.kind == EventKind::Anomaly).collect();
        for pair in anomalies.windows(2) {
            prop_assert!(pair[0].event.end_frame < pair[1].event.start_frame);
        }
        for EventCandidate { event, strength, .. } in anomalies {
            prop_assert!((event.start_frame..=event.end_frame).contains(&event.peak_frame));
            prop_assert!(event.end_s - event.start_s + 1.0 / FPS + 2e-3 >= config.minimum_s);
            prop_assert!(event.peak_score > 3.0 - 1e-9 && *strength > 0.0);
            prop_assert!((event.start_frame..=event.end_frame).all(|i| trouble[i as usize].is_none()));
        }
        let count = found.len();
        prop_assert_eq!(rank(found, &RankConfig::default()).into_rows().len(), count);
    }
}
