//! The synthetic scene and the insertion of anomalies: labels, masks and frames agree, whatever the settings.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use proptest::prelude::*;
use vadis_video::synth::{
    Donors, InsertConfig, Kind, KindSpan, PixelBox, Scene, SceneConfig, SceneFrame, SynthError, difficulty,
    insert_anomalies, normal, write_scene,
};
use vadis_video::{
    Colour, Frame, FrameFormat, FrameReader, Mask, ReadOptions, Source, SourceKind, ffmpeg_version,
};

fn small(seed: u64) -> SceneConfig {
    SceneConfig { seed, width: 96, height: 64, frames: 240, fraction: 0.3, ..SceneConfig::default() }
}

fn film(config: &SceneConfig) -> Vec<SceneFrame> {
    Scene::new(config).unwrap().collect()
}

fn bounds(mask: &Mask) -> Option<PixelBox> {
    let set: Vec<usize> = (0..mask.data.len()).filter(|&i| mask.data[i] != 0).collect();
    let (x0, x1) = (set.iter().map(|i| i % mask.width).min()?, set.iter().map(|i| i % mask.width).max()?);
    let (y0, y1) = (set.first()? / mask.width, set.last()? / mask.width);
    Some(PixelBox { x: x0, y: y0, width: x1 + 1 - x0, height: y1 + 1 - y0 })
}

/// What holds for every frame, rendered or edited.
fn check_shot(shot: &SceneFrame) {
    let frame = &shot.frame;
    assert_eq!(frame.data.len(), frame.width * frame.height * frame.colour.channels());
    assert_eq!((shot.mask.width, shot.mask.height), (frame.width, frame.height));
    assert!(shot.mask.data.iter().all(|&v| v <= 1));
    assert_eq!(shot.mask.area() > 0, !shot.kinds.is_empty());
    assert_eq!(shot.label(), u8::from(!shot.kinds.is_empty()));
    assert_eq!(shot.kinds.len(), shot.boxes.len());
    assert!(shot.kinds.is_sorted_by(|a, b| a < b));
    assert_eq!(shot.boxes.iter().copied().reduce(PixelBox::union), bounds(&shot.mask));
}

#[test]
fn same_seed_same_frames() {
    let config = SceneConfig { frames: 40, ..small(3) };
    assert_eq!(film(&config), film(&config));
}

#[test]
fn another_take_is_another_day_in_the_same_street() {
    let config = SceneConfig { noise: 0.0, jitter: 0.0, frames: 120, ..small(3) };
    let mean = |config: &SceneConfig| {
        let shots = film(config);
        let mut sum = vec![0.0; config.width * config.height];
        shots
            .iter()
            .for_each(|s| sum.iter_mut().zip(s.frame.to_grey().data).for_each(|(a, v)| *a += f64::from(v)));
        let centre = sum.iter().sum::<f64>() / sum.len() as f64;
        sum.iter().map(|v| v - centre).collect::<Vec<f64>>()
    };
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
    let correlation = |a: &[f64], b: &[f64]| dot(a, b) / (dot(a, a) * dot(b, b)).sqrt();
    let here = mean(&config);
    let same_street = mean(&normal(&config));
    let elsewhere = mean(&SceneConfig { seed: 4, ..config.clone() });
    assert_ne!(here, same_street);
    assert!(correlation(&here, &same_street) > 0.9);
    assert!(correlation(&here, &elsewhere) < correlation(&here, &same_street));
}

#[test]
fn every_kind_is_shown_alone_when_asked_for_alone() {
    for kind in Kind::ALL {
        let shots = film(&SceneConfig { kinds: vec![kind], ..small(1) });
        shots.iter().for_each(check_shot);
        let abnormal = shots.iter().filter(|s| s.kinds == [kind]).count();
        assert!(abnormal >= 6, "{kind}: {abnormal} frames");
        assert!(abnormal < shots.len() / 2, "{kind}: {abnormal} frames");
        assert!(shots.iter().all(|s| s.kinds.is_empty() || s.kinds == [kind]));
    }
}

#[test]
fn default_kinds_all_occur_and_stay_rare() {
    let config = SceneConfig { width: 64, height: 40, frames: 2400, noise: 0.0, ..SceneConfig::default() };
    let shots = film(&config);
    for kind in Kind::ALL {
        assert!(shots.iter().any(|s| s.kinds.contains(&kind)), "{kind} never shown");
    }
    let share = shots.iter().filter(|s| s.label() == 1).count() as f64 / shots.len() as f64;
    assert!((0.06..0.2).contains(&share), "{share}");
}

#[test]
fn a_normal_street_has_no_anomaly() {
    let shots = film(&normal(&small(2)));
    shots.iter().for_each(check_shot);
    assert!(shots.iter().all(|s| s.label() == 0));
}

#[test]
fn a_failing_lamp_darkens_what_the_mask_says() {
    let config = SceneConfig {
        kinds: vec![Kind::LightOut],
        density: 0.0,
        noise: 0.0,
        jitter: 0.0,
        exposure: 0.0,
        drift: 0.0,
        clouds: 0.0,
        wind: 0.0,
        ..small(5)
    };
    let shots = film(&config);
    let dark = shots.iter().find(|s| s.label() == 1).unwrap();
    let bright = &shots.iter().find(|s| s.label() == 0).unwrap().frame.to_grey();
    let ratio = |inside: u8| {
        let pairs = dark.frame.to_grey().data.into_iter().zip(&bright.data).zip(&dark.mask.data);
        let (dark, bright) = pairs
            .filter(|(_, m)| **m == inside)
            .fold((0.0, 0.0), |(d, b), ((x, y), _)| (d + f64::from(x), b + f64::from(*y)));
        dark / bright
    };
    assert!(ratio(1) < 0.9 && ratio(1) < ratio(0) - 0.04, "{} inside, {} outside", ratio(1), ratio(0));
}

#[test]
fn settings_outside_their_range_are_named() {
    let wrong = [
        (SceneConfig { width: 8, ..small(0) }, "width"),
        (SceneConfig { height: 5000, ..small(0) }, "height"),
        (SceneConfig { fps: f64::NAN, ..small(0) }, "fps"),
        (SceneConfig { density: f32::INFINITY, ..small(0) }, "density"),
        (SceneConfig { fraction: -0.1, ..small(0) }, "fraction"),
        (SceneConfig { jpeg: Some(0), ..small(0) }, "jpeg"),
    ];
    for (config, name) in wrong {
        let error = Scene::new(&config).unwrap_err();
        assert!(matches!(error, SynthError::Setting { setting, .. } if setting == name), "{error}");
    }
    let short = InsertConfig { window: 2, ..InsertConfig::default() };
    assert!(matches!(insert_anomalies([], &short), Err(SynthError::Setting { setting: "window", .. })));
    let crossed = InsertConfig { shortest: 9, longest: 8, ..InsertConfig::default() };
    assert!(matches!(insert_anomalies([], &crossed), Err(SynthError::Setting { setting: "longest", .. })));
}

#[test]
fn a_written_scene_reads_back() {
    if ffmpeg_version().is_err() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let config = SceneConfig { frames: 150, ..small(1) };
    let files = write_scene(&config, dir.path()).unwrap();
    let shots = film(&config);

    let text = std::fs::read_to_string(&files.config).unwrap();
    assert_eq!(toml::from_str::<SceneConfig>(&text).unwrap(), config);
    let labels: Vec<(String, u64, u8)> =
        csv::Reader::from_path(&files.labels).unwrap().deserialize().map(Result::unwrap).collect();
    assert!(labels.iter().map(|l| l.2).eq(shots.iter().map(SceneFrame::label)));
    assert_eq!(files.frames, 150);
    assert_eq!(files.abnormal, labels.iter().filter(|l| l.2 == 1).count() as u64);

    let spans: Vec<KindSpan> =
        csv::Reader::from_path(&files.kinds).unwrap().deserialize().map(Result::unwrap).collect();
    for shot in &shots {
        let holds = |s: &&KindSpan| (s.start_frame..=s.end_frame).contains(&shot.frame.index);
        let mut kinds: Vec<Kind> = spans.iter().filter(holds).map(|s| s.kind).collect();
        kinds.sort_unstable();
        assert_eq!(kinds, shot.kinds);
    }

    let read = |path| {
        let source = Source { name: "read".to_owned(), kind: SourceKind::File(path) };
        let format = FrameFormat { size: None, colour: Colour::Grey };
        FrameReader::open(&source, &format, &ReadOptions::default()).unwrap().map(Result::unwrap).collect()
    };
    let masks: Vec<Frame> = read(files.masks.clone());
    assert!(
        masks.iter().zip(&shots).all(|(m, s)| m.data.iter().zip(&s.mask.data).all(|(a, b)| *a == 255 * b))
    );
    let video: Vec<Frame> = read(files.video.clone());
    assert_eq!((video.len(), masks.len()), (150, 150));

    assert!(matches!(write_scene(&config, dir.path()), Err(SynthError::Exists { .. })));
    let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().collect();
    assert_eq!(left.len(), 5);
}

/// Trivial scores must not solve the scene; the figures of the default scene are in the README.
#[test]
fn trivial_scores_do_not_solve_the_scene() {
    let config = SceneConfig {
        width: 96,
        height: 60,
        frames: 900,
        fraction: 0.2,
        colour: Colour::Grey,
        ..SceneConfig::default()
    };
    let found = difficulty(&config).unwrap();
    assert_eq!(found.frames, 900);
    assert!(found.overall.frame_difference < 0.8, "{found:?}");
    assert!(found.overall.median_background < 0.8, "{found:?}");
    assert!(found.kinds.len() >= 5, "{found:?}");
}

/// Footage without anomalies: real where `VADIS_DATA` names it, else the synthetic street.
fn footage(width: usize, height: usize, colour: Colour, frames: usize) -> Vec<Frame> {
    let real = std::env::var_os("VADIS_DATA").map(|root| std::path::PathBuf::from(root).join("vtest.avi"));
    match real.filter(|path| path.exists()) {
        Some(path) => {
            let source = Source { name: "vtest".to_owned(), kind: SourceKind::File(path) };
            let format = FrameFormat { size: Some((width, height)), colour };
            let reader = FrameReader::open(&source, &format, &ReadOptions::default()).unwrap();
            reader.take(frames).map(Result::unwrap).collect()
        }
        None => {
            let config = SceneConfig { width, height, colour, frames: frames as u64, ..normal(&small(0)) };
            film(&config).into_iter().map(|s| s.frame).collect()
        }
    }
}

/// Whether a pixel of the mask lies within `reach` pixels.
fn is_near(mask: &Mask, x: usize, y: usize, reach: usize) -> bool {
    let columns = x.saturating_sub(reach)..(x + reach + 1).min(mask.width);
    (y.saturating_sub(reach)..(y + reach + 1).min(mask.height))
        .any(|v| mask.data[v * mask.width..][columns.clone()].iter().any(|&m| m != 0))
}

#[test]
fn insertion_changes_only_what_the_mask_names_and_its_edge() {
    for (width, height, colour) in [(161, 121, Colour::Rgb), (128, 96, Colour::Grey)] {
        let before = footage(width, height, colour, 160);
        for kind in Kind::ALL {
            let config = InsertConfig { kinds: vec![kind], seed: 7, ..InsertConfig::default() };
            let after: Vec<SceneFrame> = insert_anomalies(before.clone(), &config).unwrap().collect();
            assert_eq!(after.len(), before.len());
            assert!(after.iter().any(|s| s.kinds == [kind]), "{kind} never inserted");
            // A light fades over a part of its radius; of anything else the mask is every pixel that changed.
            let reach = if kind == Kind::LightOut { width / 12 } else { 0 };
            for (shot, plain) in after.iter().zip(&before) {
                check_shot(shot);
                assert_eq!((shot.frame.index, shot.frame.time_s), (plain.index, plain.time_s));
                if shot.label() == 0 {
                    assert_eq!(&shot.frame, plain);
                    continue;
                }
                let pixels =
                    shot.frame.data.chunks(colour.channels()).zip(plain.data.chunks(colour.channels()));
                for (i, _) in pixels.enumerate().filter(|(_, (a, b))| a != b) {
                    assert!(
                        is_near(&shot.mask, i % width, i / width, reach),
                        "{kind}: a change far from the mask"
                    );
                }
            }
        }
    }
}

#[test]
fn insertion_takes_about_the_share_asked_for() {
    let before = footage(96, 72, Colour::Grey, 600);
    let config = InsertConfig { shortest: 10, longest: 30, ..InsertConfig::default() };
    let after: Vec<SceneFrame> = insert_anomalies(before.clone(), &config).unwrap().collect();
    let share = after.iter().filter(|s| s.label() == 1).count() as f64 / after.len() as f64;
    assert!((0.25..0.65).contains(&share), "{share}");
    let again: Vec<SceneFrame> = insert_anomalies(before.clone(), &config).unwrap().collect();
    assert_eq!(after, again);
    let none = InsertConfig { kinds: Vec::new(), ..config };
    assert!(insert_anomalies(before, &none).unwrap().all(|s| s.label() == 0));
}

#[test]
fn insertion_holds_no_more_than_its_window() {
    let config = InsertConfig { window: 16, ..InsertConfig::default() };
    let frames = (0..400).map(|i| Frame { index: i, ..Frame::filled(64, 48, Colour::Grey, (i % 251) as u8) });
    let mut inserter = insert_anomalies(frames, &config).unwrap();
    let mut given = 0;
    while inserter.next().is_some() {
        assert!(inserter.held() <= 17);
        given += 1;
    }
    assert_eq!(given, 400);
}

#[test]
fn insertion_survives_odd_footage() {
    let sizes = [(1, 1), (2, 300), (300, 2), (5, 5), (64, 48)];
    let mixed = |colour| {
        let of = move |(w, h)| (0..30).map(move |i| Frame::filled(w, h, colour, 8 * i));
        sizes.into_iter().flat_map(of)
    };
    let frames: Vec<Frame> = mixed(Colour::Grey).chain(mixed(Colour::Rgb)).collect();
    let config =
        InsertConfig { shortest: 1, longest: 9, fraction: 0.9, window: 8, ..InsertConfig::default() };
    let after: Vec<SceneFrame> = insert_anomalies(frames.clone(), &config).unwrap().collect();
    assert_eq!(after.len(), frames.len());
    after.iter().for_each(check_shot);
    assert_eq!(insert_anomalies([], &config).unwrap().count(), 0);
    assert_eq!(insert_anomalies(frames.into_iter().take(1), &config).unwrap().count(), 1);
}

#[test]
fn donors_are_cut_from_other_footage() {
    let busy = SceneConfig { frames: 120, density: 14.0, width: 160, height: 96, ..normal(&small(6)) };
    let donors = Donors::from_frames(film(&busy).into_iter().map(|s| s.frame), 30);
    assert!(!donors.is_empty() && donors.len() <= 32);
    let empty_street = SceneConfig { density: 0.0, ..busy };
    let frames = film(&empty_street).into_iter().map(|s| s.frame);
    let config =
        InsertConfig { kinds: vec![Kind::WrongDirection, Kind::LeftObject], ..InsertConfig::default() };
    let after: Vec<SceneFrame> = insert_anomalies(frames, &config).unwrap().with_donors(donors).collect();
    after.iter().for_each(check_shot);
    assert!(after.iter().any(|s| s.label() == 1));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn frames_masks_and_kinds_agree_whatever_the_settings(
        seed in 0u64..1000,
        width in 32usize..130,
        height in 32usize..90,
        fps in 0.5f64..60.0,
        grey in any::<bool>(),
        density in 0.0f32..60.0,
        fraction in 0.0f64..=0.6,
        noise in 0.0f32..50.0,
        jitter in 0.0f32..=1.0,
        jpeg in proptest::option::of(1u8..=100),
    ) {
        let colour = if grey { Colour::Grey } else { Colour::Rgb };
        let config = SceneConfig {
            seed, width, height, fps, colour, density, fraction, noise, jitter, jpeg, frames: 30,
            ..SceneConfig::default()
        };
        let shots = film(&config);
        prop_assert_eq!(shots.len(), 30);
        shots.iter().for_each(check_shot);
        for (i, shot) in shots.iter().enumerate() {
            prop_assert_eq!(shot.frame.index, i as u64);
            prop_assert_eq!(shot.frame.time_s, i as f64 / fps);
        }
    }
}
