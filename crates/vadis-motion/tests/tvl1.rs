//! TV-L1 flow against OpenCV's, and against motion that is known.

#![allow(clippy::unwrap_used, reason = "a helper of tests may panic as they do")]

use proptest::prelude::*;
use vadis_motion::{FlowField, MotionError, TvL1, TvL1Config};
use vadis_video::{Colour, Frame};

/// A pair of frames and its flow by OpenCV (`scripts/tvl1.py`).
struct Case {
    before: Frame,
    after: Frame,
    u: Vec<f32>,
    v: Vec<f32>,
}

fn read_cases() -> Vec<Case> {
    let mut bytes = include_bytes!("fixtures/tvl1.bin").as_slice();
    let mut cases = Vec::new();
    while !bytes.is_empty() {
        let mut take = |count: usize| bytes.split_off(..count).unwrap();
        let mut side = || u32::from_le_bytes(take(4).try_into().unwrap()) as usize;
        let (width, height) = (side(), side());
        let mut frame =
            || Frame { data: take(width * height).to_vec(), ..Frame::filled(width, height, Colour::Grey, 0) };
        let (before, after) = (frame(), frame());
        let mut plane = || {
            let values = take(2 * width * height).chunks_exact(2);
            values.map(|v| f32::from(i16::from_le_bytes([v[0], v[1]])) / 1024.0).collect()
        };
        let (u, v) = (plane(), plane());
        cases.push(Case { before, after, u, v });
    }
    cases
}

fn mean_end_point_error(flow: &FlowField, u: &[f32], v: &[f32]) -> f32 {
    let ours = flow.u.iter().zip(&flow.v);
    let errors = ours.zip(u.iter().zip(v)).map(|((a, b), (c, d))| (a - c).hypot(b - d));
    errors.sum::<f32>() / u.len() as f32
}

/// Mean of a plane at least `margin` pixels from the edge.
fn inner_mean(flow: &FlowField, plane: &[f32], margin: usize) -> f32 {
    let rows = plane.chunks_exact(flow.width).skip(margin).take(flow.height - 2 * margin);
    let values: Vec<_> = rows.flat_map(|row| &row[margin..flow.width - margin]).collect();
    values.iter().copied().sum::<f32>() / values.len() as f32
}

/// A smooth texture without a period, moved by (`dx`, `dy`).
fn texture(width: usize, height: usize, dx: f64, dy: f64, phase: f64) -> Frame {
    let mut frame = Frame::filled(width, height, Colour::Grey, 0);
    for (i, value) in frame.data.iter_mut().enumerate() {
        let (x, y) = ((i % width) as f64 - dx, (i / width) as f64 - dy);
        let waves = (0.31 * x + phase).sin()
            + (0.27 * y - 0.5 * phase).sin()
            + (0.17 * x + 0.23 * y).cos()
            + (0.41 * x - 0.37 * y + 2.0 * phase).sin();
        *value = (128.0 + 28.0 * waves).round() as u8;
    }
    frame
}

fn mirrored(frame: &Frame) -> Frame {
    let data = frame.data.chunks_exact(frame.width).flat_map(|row| row.iter().rev().copied()).collect();
    Frame { data, ..frame.clone() }
}

fn threads(count: usize) -> rayon::ThreadPool {
    rayon::ThreadPoolBuilder::new().num_threads(count).build().unwrap()
}

#[test]
fn flow_is_opencvs() {
    let mut flows = TvL1::default();
    for case in read_cases() {
        let flow = flows.flow(&case.before, &case.after).unwrap();
        let error = mean_end_point_error(&flow, &case.u, &case.v);
        assert!(error < 0.01, "{}×{}: {error}", flow.width, flow.height);
    }
}

#[test]
fn floats_are_read_as_opencv_reads_them() {
    let case = &read_cases()[1];
    let floats = |frame: &Frame| -> Vec<f32> { frame.data.iter().map(|&v| f32::from(v) / 255.0).collect() };
    let (before, after) = (floats(&case.before), floats(&case.after));
    let flow =
        TvL1::default().flow_of_floats(case.before.width, case.before.height, &before, &after).unwrap();
    assert!(mean_end_point_error(&flow, &case.u, &case.v) < 0.01);
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let (before, after) = (texture(330, 210, 0.0, 0.0, 1.0), texture(330, 210, 1.3, -0.8, 1.0));
    let flow = |count| threads(count).install(|| TvL1::default().flow(&before, &after).unwrap());
    let one = flow(1);
    for count in [2, 3, 4, 7] {
        assert!(flow(count) == one, "{count} threads");
    }
}

#[test]
fn memory_that_was_used_before_changes_nothing() {
    let mut flows = TvL1::default();
    for case in read_cases().iter().chain(&read_cases()) {
        let again = flows.flow(&case.before, &case.after).unwrap();
        assert!(again == TvL1::default().flow(&case.before, &case.after).unwrap());
    }
}

#[test]
fn every_size_has_a_flow() {
    for (width, height) in [(1, 1), (1, 9), (16, 1), (17, 33), (2, 40)] {
        let still = texture(width, height, 0.0, 0.0, 0.0);
        let flow = TvL1::default().flow(&still, &still).unwrap();
        assert_eq!((flow.u.len(), flow.v.len()), (width * height, width * height));
    }
}

#[test]
fn impossible_pictures_and_settings_are_errors() {
    let mut flows = TvL1::default();
    let (a, b) = (Frame::filled(8, 4, Colour::Grey, 0), Frame::filled(8, 5, Colour::Grey, 0));
    assert!(matches!(flows.flow(&a, &b), Err(MotionError::SizeChanged { .. })));
    let nan = flows.flow_of_floats(2, 1, &[0.0, f32::NAN], &[0.0; 2]);
    assert_eq!(nan, Err(MotionError::NotFinite { x: 1, y: 0 }));
    let short = flows.flow_of_floats(2, 2, &[0.0; 3], &[0.0; 4]);
    assert!(matches!(short, Err(MotionError::WrongLength { .. })));
    let large = Frame::filled(1 << 12, (1 << 12) + 1, Colour::Grey, 0);
    assert!(matches!(flows.flow(&large, &large), Err(MotionError::TooLarge { .. })));
    for config in [
        TvL1Config { theta: 0.0, ..TvL1Config::default() },
        TvL1Config { scale_step: 1.0, ..TvL1Config::default() },
        TvL1Config { warps: 0, ..TvL1Config::default() },
        TvL1Config { lambda: f32::NAN, ..TvL1Config::default() },
    ] {
        assert!(matches!(TvL1::new(config), Err(MotionError::Setting { .. })));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn a_known_shift_is_recovered(dx in -4.0..4.0_f64, dy in -4.0..4.0_f64, phase in 0.0..6.0_f64) {
        let (before, after) = (texture(80, 72, 0.0, 0.0, phase), texture(80, 72, dx, dy, phase));
        let flow = TvL1::default().flow(&before, &after).unwrap();
        let (u, v) = (inner_mean(&flow, &flow.u, 12), inner_mean(&flow, &flow.v, 12));
        prop_assert!((f64::from(u) - dx).abs() < 0.1 && (f64::from(v) - dy).abs() < 0.1, "{u} {v} for {dx} {dy}");
    }

    #[test]
    fn equal_frames_have_no_flow(phase in 0.0..6.0_f64, width in 20_usize..60) {
        let still = texture(width, 40, 0.0, 0.0, phase);
        let flow = TvL1::default().flow(&still, &still).unwrap();
        prop_assert!(flow.u.iter().chain(&flow.v).all(|&value| value.abs() < 1e-4));
    }

    #[test]
    fn mirrored_frames_have_mirrored_flow(dx in -2.0..2.0_f64, dy in -2.0..2.0_f64, phase in 0.0..6.0_f64) {
        let (before, after) = (texture(80, 72, 0.0, 0.0, phase), texture(80, 72, dx, dy, phase));
        let flow = TvL1::default().flow(&before, &after).unwrap();
        let other = TvL1::default().flow(&mirrored(&before), &mirrored(&after)).unwrap();
        let u = inner_mean(&flow, &flow.u, 12) + inner_mean(&other, &other.u, 12);
        let v = inner_mean(&flow, &flow.v, 12) - inner_mean(&other, &other.v, 12);
        prop_assert!(u.abs() < 0.05 && v.abs() < 0.05, "{u} {v}");
    }
}
