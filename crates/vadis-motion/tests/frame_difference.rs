//! Frame differencing against OpenCV and NumPy (`scripts/frame_difference.py`), and its properties.

#![allow(clippy::unwrap_used, reason = "a helper of tests may panic as they do")]

use proptest::prelude::*;
use serde::Deserialize;
use vadis_motion::{
    FrameDiff, FrameDiffConfig, FrameMotion, MotionError, Span, frame_difference, mean_level,
};
use vadis_video::{Colour, Frame};

#[derive(Deserialize)]
struct Fixture {
    width: usize,
    height: usize,
    patch: usize,
    rgb: Vec<Vec<u8>>,
    backward: Vec<Expected>,
    symmetric: Vec<Expected>,
}

#[derive(Deserialize)]
struct Expected {
    difference: Vec<u8>,
    mean: f64,
    worst: ExpectedPatch,
}

#[derive(Deserialize)]
struct ExpectedPatch {
    x: usize,
    y: usize,
    mean: f64,
}

fn fixture() -> Fixture {
    serde_json::from_str(include_str!("fixtures/frame_difference.json")).unwrap()
}

fn frame(index: u64, width: usize, height: usize, colour: Colour, data: Vec<u8>) -> Frame {
    Frame { index, time_s: index as f64 / 10.0, width, height, colour, data }
}

fn fixture_frames(fixture: &Fixture) -> Vec<Frame> {
    let frames = fixture.rgb.iter().zip(0..);
    frames.map(|(data, t)| frame(t, fixture.width, fixture.height, Colour::Rgb, data.clone())).collect()
}

fn score(frames: &[Frame], span: Span, patch: usize) -> Vec<FrameMotion> {
    let mut scorer = FrameDiff::new(FrameDiffConfig { span, patch }).unwrap();
    frames.iter().filter_map(|frame| scorer.push(frame).unwrap()).collect()
}

/// Means and worst-patch means of consecutive frames.
fn score_values(frames: &[Frame]) -> Vec<(f64, f64)> {
    score(frames, Span::Backward, 4).iter().map(|motion| (motion.mean, motion.worst.mean)).collect()
}

/// The same frames under another light.
fn relit(frames: &[Frame], light: impl Fn(u8) -> u8) -> Vec<Frame> {
    let relight = |frame: &Frame| frame.data.iter().map(|&v| light(v)).collect();
    frames.iter().map(|frame| Frame { data: relight(frame), ..frame.clone() }).collect()
}

/// `len` grey frames of one size.
fn video(len: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Frame>> {
    (1_usize..24, 1_usize..24, len).prop_flat_map(|(width, height, len)| {
        prop::collection::vec(prop::collection::vec(any::<u8>(), width * height), len).prop_map(
            move |pictures| {
                let pictures = pictures.into_iter().zip(0..);
                pictures.map(|(data, t)| frame(t, width, height, Colour::Grey, data)).collect()
            },
        )
    })
}

fn assert_matches(fixture: &Fixture, span: Span, expected: &[Expected]) {
    let motions = score(&fixture_frames(fixture), span, fixture.patch);
    assert_eq!(motions.len(), expected.len());
    for (motion, expected) in motions.iter().zip(expected) {
        assert_eq!(motion.difference.data, expected.difference);
        assert!((motion.mean - expected.mean).abs() < 1e-12);
        assert_eq!((motion.worst.x, motion.worst.y), (expected.worst.x, expected.worst.y));
        assert!((motion.worst.mean - expected.worst.mean).abs() < 1e-12);
    }
}

#[test]
fn backward_differences_equal_opencv() {
    let fixture = fixture();
    assert_matches(&fixture, Span::Backward, &fixture.backward);
}

#[test]
fn motion_gradients_equal_opencv() {
    let fixture = fixture();
    assert_matches(&fixture, Span::Symmetric, &fixture.symmetric);
}

#[test]
fn a_score_belongs_to_the_frame_its_span_says() {
    let frames = fixture_frames(&fixture());
    let scored = |span| score(&frames, span, 16).iter().map(|m| m.difference.index).collect::<Vec<_>>();
    assert_eq!(scored(Span::Backward), [1, 2, 3, 4]);
    assert_eq!(scored(Span::Symmetric), [1, 2, 3]);
    assert_eq!(score(&frames, Span::Symmetric, 16)[1].difference.time_s, 0.2);
}

#[test]
fn scores_arrive_after_the_declared_delay() {
    let frames = fixture_frames(&fixture());
    for span in [Span::Backward, Span::Symmetric] {
        let mut scorer = FrameDiff::new(FrameDiffConfig { span, patch: 16 }).unwrap();
        for frame in &frames {
            if let Some(motion) = scorer.push(frame).unwrap() {
                assert_eq!(frame.index - motion.difference.index, scorer.delay() as u64);
            }
        }
    }
}

#[test]
fn a_frame_of_another_size_is_refused_and_forgotten() {
    for span in [Span::Backward, Span::Symmetric] {
        let mut scorer = FrameDiff::new(FrameDiffConfig { span, patch: 2 }).unwrap();
        let small = Frame::filled(4, 3, Colour::Grey, 10);
        let large = Frame { index: 2, ..Frame::filled(5, 3, Colour::Grey, 10) };
        scorer.push(&small).unwrap();
        scorer.push(&small).unwrap();
        assert_eq!(
            scorer.push(&large),
            Err(MotionError::SizeChanged {
                index: 2,
                width: 5,
                height: 3,
                expected_width: 4,
                expected_height: 3
            })
        );
        assert!(scorer.push(&small).unwrap().is_some());
    }
}

#[test]
fn frames_that_contradict_themselves_are_errors() {
    let mut short = Frame::filled(4, 3, Colour::Rgb, 0);
    short.data.pop();
    let empty = Frame::filled(4, 0, Colour::Grey, 0);
    let mut scorer = FrameDiff::new(FrameDiffConfig::default()).unwrap();
    assert!(matches!(scorer.push(&short), Err(MotionError::WrongLength { expected: 36, actual: 35, .. })));
    assert!(matches!(scorer.push(&empty), Err(MotionError::NoPixels { width: 4, height: 0 })));
    assert!(matches!(mean_level(&empty), Err(MotionError::NoPixels { .. })));
    assert_eq!(
        FrameDiff::new(FrameDiffConfig { span: Span::Backward, patch: 0 }).err(),
        Some(MotionError::NoPatch)
    );
}

proptest! {
    #[test]
    fn the_difference_is_symmetric_and_zero_with_itself(frames in video(2..3)) {
        let forth = frame_difference(&frames[0], &frames[1]).unwrap();
        let back = frame_difference(&frames[1], &frames[0]).unwrap();
        prop_assert_eq!(&forth.data, &back.data);
        prop_assert_eq!(mean_level(&frame_difference(&frames[0], &frames[0]).unwrap()).unwrap(), 0.0);
    }

    #[test]
    fn the_mean_obeys_the_triangle_inequality(frames in video(3..4)) {
        let distance = |a: usize, b: usize| {
            let difference = frame_difference(&frames[a], &frames[b]).unwrap();
            mean_level(&difference).unwrap()
        };
        prop_assert!(distance(0, 2) <= distance(0, 1) + distance(1, 2) + 1e-12);
    }

    #[test]
    fn scores_stay_in_their_range(frames in video(2..6), patch in 1_usize..20) {
        for span in [Span::Backward, Span::Symmetric] {
            for motion in score(&frames, span, patch) {
                let highest = f64::from(motion.difference.data.iter().copied().max().unwrap()) / 255.0;
                prop_assert!((0.0..=1.0).contains(&motion.mean));
                prop_assert!((0.0..=highest + 1e-12).contains(&motion.worst.mean));
                prop_assert_eq!(motion.mean, mean_level(&motion.difference).unwrap());
            }
        }
    }

    #[test]
    fn the_worst_pixel_is_a_patch_of_one(frames in video(2..3)) {
        let motion = score(&frames, Span::Backward, 1).remove(0);
        let highest = motion.difference.data.iter().copied().max().unwrap();
        let (x, y) = (motion.worst.x, motion.worst.y);
        prop_assert_eq!(motion.difference.data[y * motion.difference.width + x], highest);
        prop_assert!(motion.mean <= motion.worst.mean + 1e-12);
    }

    #[test]
    fn what_came_before_the_span_does_not_matter(frames in video(6..9)) {
        for span in [Span::Backward, Span::Symmetric] {
            let whole = score(&frames, span, 5);
            let tail = score(&frames[3..], span, 5);
            prop_assert_eq!(&whole[whole.len() - tail.len()..], &tail[..]);
        }
    }

    #[test]
    fn a_constant_light_changes_nothing(frames in video(3..5), light in 0_u8..128) {
        let dimmed = relit(&frames, |v| v / 2);
        let lit = relit(&dimmed, |v| v + light);
        prop_assert_eq!(score_values(&dimmed), score_values(&lit));
    }
}
