//! A combination of systems that read other sizes and colours and are late by other numbers of frames: live equals offline
//! bit for bit, and each frame is what its members say of it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::atomic::AtomicBool;

use proptest::prelude::*;
use tempfile::TempDir;
use vadis_systems::combination::{Blend, Combination, Standard, Weights};
use vadis_systems::{
    ColumnStatistics, FrameStoreWriter, InputFormat, Model, Preset, Scored, Session, Setting, Statistics,
    SystemError, cpu_device, method,
};
use vadis_video::{Colour, Frame, FrameFormat, resize};

/// Systems and their settings: grey and colour, three sizes, delays of 2, 7 and 8 frames or so.
const MEMBERS: [(&str, &[&str]); 3] = [
    ("frame-diff", &["size=32x24"]),
    ("one-path", &["size=40x16", "colour=rgb", "max_steps=2", "min_steps=2"]),
    ("memae", &["size=24x16", "max_steps=2", "min_steps=2"]),
];

/// A block that crosses a ground of some texture, in colour.
fn scene(frames: u64) -> Vec<Frame> {
    let picture = |index: u64| {
        let mut frame = Frame::filled(64, 40, Colour::Rgb, 0);
        for (i, pixel) in frame.data.chunks_exact_mut(3).enumerate() {
            let (x, y) = (i % 64, i / 64);
            let inside = x.abs_diff((index * 3 % 64) as usize) < 4 && (10..24).contains(&y);
            let ground = (60 + (x * 5 + y * 3) % 40) as u8;
            pixel.copy_from_slice(&if inside { [200, 40, 90] } else { [ground, ground / 2, 255 - ground] });
        }
        Frame { index, time_s: index as f64 / 10.0, ..frame }
    };
    (0..frames).map(picture).collect()
}

fn fitted(frame: &Frame, format: InputFormat) -> Frame {
    let coloured = if format.colour == Colour::Grey { frame.to_grey() } else { frame.clone() };
    resize(&coloured, format.width, format.height).unwrap()
}

fn trained(system: &str, settings: &[&str], frames: &[Frame]) -> Box<dyn Model> {
    let settings: Vec<Setting> = settings.iter().map(|text| text.parse().unwrap()).collect();
    let configured = method(system).unwrap().configure(Preset::Tiny, &settings).unwrap();
    let input = configured.input(64, 40);
    let folder = TempDir::new().unwrap();
    let mut writer = FrameStoreWriter::create(folder.path(), input, configured.max_frames()).unwrap();
    frames.iter().for_each(|frame| writer.push(0, &fitted(frame, input)).unwrap());
    let (interrupt, mut progress) = (AtomicBool::new(false), |_| {});
    let mut session = Session::new(0, cpu_device(), &interrupt, &mut progress);
    configured.train(&writer.finish().unwrap(), &mut session).unwrap()
}

fn members(frames: &[Frame]) -> Vec<(Box<dyn Model>, Standard)> {
    let member = |(system, settings): &(&str, &[&str])| {
        let model = trained(system, settings, frames);
        let standard = Standard::of(model.statistics()).unwrap();
        (model, standard)
    };
    MEMBERS.iter().map(member).collect()
}

fn score(model: &dyn Model, frames: &[Frame], chunk: usize) -> Vec<Scored> {
    let (mut scorer, mut out) = (model.scorer(), Vec::new());
    frames.chunks(chunk).for_each(|part| scorer.push(part, &mut out).unwrap());
    scorer.finish(&mut out).unwrap();
    out
}

/// What a member says of the frames alone, what is usual for it, width and height that it reads, and its delay.
type OfMember = (Vec<Scored>, Standard, (usize, usize), usize);

#[test]
fn a_stream_of_members_is_the_members_own_scores_averaged() {
    let frames = scene(80);
    let weights = Weights { values: vec![1.0, 2.0, 5.0], from: "given".to_owned() };
    let of_each: Vec<OfMember> = members(&frames)
        .into_iter()
        .map(|(model, standard)| {
            let input = model.input();
            let own: Vec<Frame> = frames.iter().map(|frame| fitted(frame, input)).collect();
            (score(model.as_ref(), &own, 80), standard, (input.width, input.height), model.delay())
        })
        .collect();
    let combination = Combination::new(members(&frames), &weights).unwrap();
    assert_eq!(combination.reads(), FrameFormat { size: None, colour: Colour::Rgb });
    assert_eq!(combination.indicators(), ["frame-diff", "one-path", "memae"]);
    assert_eq!(combination.input(), InputFormat { width: 32, height: 24, colour: Colour::Rgb });
    let slowest = of_each.iter().map(|(.., delay)| *delay).max().unwrap();
    assert!(combination.delay() == slowest && of_each.iter().any(|(.., delay)| *delay < slowest));

    let whole = score(&combination, &frames, 80);
    let standards: Vec<_> = of_each.iter().map(|(_, standard, size, _)| (*standard, *size)).collect();
    let blend = Blend::new(&standards, &weights).unwrap();
    let expected = (0..80).map(|i| {
        let said: Vec<Scored> = of_each.iter().map(|(scored, ..)| scored[i].clone()).collect();
        blend.blend(&said)
    });
    assert_eq!(whole, expected.collect::<Vec<_>>());
    for chunk in [1, 7, 64] {
        assert_eq!(whole, score(&combination, &frames, chunk), "frames come by {chunk}");
    }
    assert!(
        whole.iter().all(|s| s.heat.len() == 32 * 24 && s.heat.iter().all(|h| h.is_finite() && *h >= 0.0))
    );

    let (mut scorer, mut out) = (combination.scorer(), Vec::new());
    for (i, frame) in frames.iter().enumerate() {
        scorer.push(std::slice::from_ref(frame), &mut out).unwrap();
        assert!(out.len() + slowest > i, "frame {} waits for longer than the slowest member", out.len());
    }
    drop(scorer);
    let spent: Vec<&str> = combination.spent().iter().map(|(name, _)| *name).collect();
    assert_eq!(spent, ["frame-diff", "one-path", "memae"]);
    let [before, after] = combination.context();
    let at = before.min(40);
    assert!(!combination.explain_at(&frames[..at + 1 + after], at).unwrap().latent.is_empty());
}

#[test]
fn members_of_one_size_are_read_at_it() {
    let frames = scene(60);
    let member = |system: &str| {
        let model = trained(system, &["size=32x24"], &frames);
        let standard = Standard::of(model.statistics()).unwrap();
        (model, standard)
    };
    let both = vec![member("frame-diff"), member("mog2")];
    let combination = Combination::new(both, &Weights::equal(2)).unwrap();
    assert_eq!(combination.reads(), FrameFormat { size: Some((32, 24)), colour: Colour::Grey });
    let few = Combination::new(vec![member("mog2")], &Weights::equal(1));
    assert!(matches!(few, Err(SystemError::Members { .. })));
}

const PLAIN: Standard = Standard { mean: 0.0, std: 1.0, heat_mean: 0.0, heat_std: 1.0 };

fn said(score: f64, edge: bool, heat: &[f32]) -> Scored {
    let indicators = Vec::new();
    Scored { frame: 3, time_s: 0.3, score, causal: score - 1.0, edge, indicators, heat: heat.to_vec() }
}

#[test]
fn scores_are_standardised_and_averaged() {
    let members = [
        (Standard { mean: 2.0, std: 4.0, heat_mean: 1.0, heat_std: 2.0 }, (2, 1)),
        (Standard { mean: -1.0, std: 0.0, heat_mean: 0.0, heat_std: 0.5 }, (2, 1)),
    ];
    let weights = Weights { values: vec![1.0, 3.0], from: "given".to_owned() };
    let blend = Blend::new(&members, &weights).unwrap();
    assert_eq!(blend.members().map(|(weight, _)| weight).collect::<Vec<_>>(), [0.25, 0.75]);
    let got = blend.blend(&[said(10.0, true, &[0.0, 5.0]), said(0.5, false, &[1.0, 0.0])]);
    // (10 − 2) / 4 = 2 and 0.5 + 1 = 1.5, a deviation of 0 only centred.
    assert_eq!((got.score, got.indicators), (0.25 * 2.0 + 0.75 * 1.5, vec![2.0, 1.5]));
    assert_eq!(got.causal, 0.25 * 1.75 + 0.75 * 0.5);
    assert_eq!(got.heat, [0.75 * 2.0, 0.25 * 2.0], "what is cooler than usual is no heat");
    assert_eq!((got.frame, got.time_s, got.edge), (3, 0.3, false));
    let alone = Blend::new(&members, &Weights { values: vec![1.0, 0.0], ..weights }).unwrap();
    assert!(alone.blend(&[said(1.0, true, &[0.0; 2]), said(1.0, false, &[0.0; 2])]).edge);
}

#[test]
fn heat_maps_are_brought_to_the_largest_grid() {
    let blend = Blend::new(&[(PLAIN, (2, 1)), (PLAIN, (4, 2))], &Weights::equal(2)).unwrap();
    assert_eq!(blend.grid(), (4, 2));
    let got = blend.blend(&[said(0.0, false, &[0.0, 4.0]), said(0.0, false, &[2.0; 8])]);
    let row = [1.0, 1.5, 2.5, 3.0];
    assert_eq!(got.heat, [row, row].concat());
}

#[test]
fn weights_that_do_not_fit_are_told() {
    let members = [(PLAIN, (2, 1)); 2];
    let told = |values: &[f64]| {
        let weights = Weights { values: values.to_vec(), from: String::new() };
        Blend::new(&members, &weights).unwrap_err().to_string()
    };
    assert!(told(&[1.0]).contains("1 weights for 2 members"));
    for values in [[0.0, 0.0], [1.0, -1.0], [f64::NAN, 1.0], [f64::INFINITY, 1.0]] {
        assert!(told(&values).contains("weights must be 0 or more"), "{values:?}");
    }
    assert!(Blend::new(&members[..1], &Weights::equal(1)).is_err());
}

#[test]
fn a_model_that_says_nothing_of_its_score_has_no_standard() {
    let known = |frames: usize, values: &[f64]| Statistics {
        frames,
        columns: vec![ColumnStatistics::of("score", values)],
        ..Statistics::default()
    };
    let standard = Standard::of(&known(2, &[1.0, 3.0])).unwrap();
    assert_eq!((standard.mean, standard.std), (2.0, 1.0));
    assert_eq!(Standard::of(&known(0, &[])), None);
    assert_eq!(Standard::of(&known(2, &[1.0, f64::NAN])), None);
    assert_eq!(Standard::of(&Statistics::default()), None);
}

proptest! {
    #[test]
    fn a_resized_map_keeps_its_range(
        map in prop::collection::vec(0.0f32..9.0, 12), width in 1usize..20, height in 1usize..20,
    ) {
        let members = [(PLAIN, (4, 3)), (PLAIN, (width.max(4), height.max(3)))];
        let weights = Weights { values: vec![1.0, 0.0], from: String::new() };
        let blend = Blend::new(&members, &weights).unwrap();
        let (width, height) = members[1].1;
        let got = blend.blend(&[said(0.0, false, &map), said(0.0, false, &vec![0.0; width * height])]);
        let ends = |values: &[f32]| values.iter().fold([f32::MAX, f32::MIN], |[a, b], &v| [a.min(v), b.max(v)]);
        let ([low, high], [least, most]) = (ends(&map), ends(&got.heat));
        prop_assert!(least >= low - 1e-5 && most <= high + 1e-5);
    }
}
