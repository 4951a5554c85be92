//! Pictures, clips and overlay of a video made here with the `ffmpeg` command.

#![allow(clippy::unwrap_used)]

mod common;

use std::path::{Path, PathBuf};

use common::FakeRun;
use vadis_eval::run::{HeatColours, RunInfo, ScoreTable, read_events, write_labels};
use vadis_report::{
    MediaOptions, OverlayOptions, Palette, ReportOptions, Seen, make_event_media, make_mistake_media,
    overlay, recolour, write_chapters, write_comparison, write_report,
};
use vadis_video::{Codec, Colour, Frame, FrameFormat, FrameReader, ReadOptions, Source, VideoWriter};

const FPS: f64 = 10.0;
const FRAMES: u64 = 60;
const SIZE: (usize, usize) = (96, 48);

/// Each frame one grey, brighter with time, so that a picture tells which frame it was.
fn footage(dir: &Path) -> Source {
    let path = dir.join("door.mkv");
    let mut writer = VideoWriter::create(&path, SIZE.0, SIZE.1, FPS, Codec::Ffv1Grey).unwrap();
    for index in 0..FRAMES {
        let frame = Frame::filled(SIZE.0, SIZE.1, Colour::Grey, index as u8 * 4);
        writer.write(&Frame { index, time_s: index as f64 / FPS, ..frame }).unwrap();
    }
    writer.finish().unwrap();
    Source::file(path)
}

fn run_over(dir: &Path, source: &Source) -> PathBuf {
    let run = dir.join("run");
    let fake = FakeRun::tiny();
    fake.write(&run);
    fake.write_heat(&run.join("heat.mkv"));
    let mut info = RunInfo::read(&run.join("run.json")).unwrap();
    info.sources[0].path = source.location();
    (info.sources[0].width, info.sources[0].height) = (SIZE.0 as u32, SIZE.1 as u32);
    info.write(&run.join("run.json")).unwrap();
    run
}

#[test]
fn events_get_the_picture_of_their_peak_and_a_clip() {
    let dir = tempfile::tempdir().unwrap();
    let source = footage(dir.path());
    let run = run_over(dir.path(), &source);
    let events = read_events(&run.join("events.csv")).unwrap();
    let stale = run.join("events/002");
    std::fs::create_dir_all(run.join("events/001")).unwrap();
    std::fs::create_dir_all(&stale).unwrap();
    std::fs::write(stale.join("frame.jpg"), "of an earlier run").unwrap();

    let sources = std::slice::from_ref(&source);
    let keep = |_: &_, frame: &Frame| Seen {
        reconstruction: Some(frame.clone()),
        likelihood: Some(Frame::filled(8, 4, Colour::Grey, 200)),
        layers: [10, 200].map(|v| (format!("part/conv{v}"), Frame::filled(8, 4, Colour::Grey, v))).to_vec(),
    };
    let summary = make_event_media(&run, &events, sources, keep, &MediaOptions::default()).unwrap();
    assert_eq!(summary.problems, Vec::<String>::new());
    assert_eq!((summary.frames, summary.reconstructions, summary.heats, summary.clips), (1, 1, 1, 1));
    assert!(!stale.join("frame.jpg").exists());
    let unlikely = image::open(run.join("events/001/likelihood.png")).unwrap();
    assert_eq!((unlikely.width(), unlikely.height()), (8, 4));

    let picture = image::open(run.join("events/001/frame.jpg")).unwrap().to_luma8();
    assert_eq!(picture.dimensions(), (SIZE.0 as u32, SIZE.1 as u32));
    let expected = events[0].peak_frame as i32 * 4;
    let shown = i32::from(picture.get_pixel(40, 20).0[0]);
    assert!((shown - expected).abs() <= 2, "{shown} for {expected}");

    let page = std::fs::read_to_string(write_report(&run, &ReportOptions::default()).unwrap()).unwrap();
    assert!(page.contains("data:video/mp4;base64,") && page.contains("data:image/jpeg;base64,"));
    assert!(page.contains("data:image/png;base64,") && page.contains(">unlikely<"));
    let layers = ["events/001/grad-cam-1-part_conv10.png", "events/001/grad-cam-2-part_conv200.png"];
    assert!(layers.iter().all(|file| run.join(file).is_file()));
    assert!(page.contains("<section id=\"layers\"") && page.contains(">part_conv200<"));
    make_event_media(&run, &events, sources, |_, _| Seen::default(), &MediaOptions::default()).unwrap();
    assert!(layers.iter().all(|file| !run.join(file).exists()), "those of an earlier run are gone");
}

#[test]
fn heat_is_drawn_anew_in_other_colours_and_back() {
    let dir = tempfile::tempdir().unwrap();
    let source = footage(dir.path());
    let run = run_over(dir.path(), &source);
    let events = read_events(&run.join("events.csv")).unwrap();
    let sources = std::slice::from_ref(&source);
    let heat = run.join("events/001/heat.png");
    let made_in = |colours| {
        let options = MediaOptions { colours, ..MediaOptions::default() };
        make_event_media(&run, &events, sources, |_, _| Seen::default(), &options).unwrap();
        std::fs::read(&heat).unwrap()
    };
    let (red_blue, ember) = (made_in(HeatColours::RedBlue), made_in(HeatColours::Ember));
    assert_ne!(red_blue, ember);
    let likelihood = run.join("events/001/likelihood.png");
    std::fs::copy(run.join("events/001/frame.jpg"), &likelihood).unwrap();

    let problems = recolour(&run, HeatColours::RedBlue).unwrap();
    assert!(problems.len() == 1 && problems[0].contains("likelihood.png"), "{problems:?}");
    assert_eq!(std::fs::read(&heat).unwrap(), red_blue);
    let colours = RunInfo::read(&run.join("run.json")).unwrap().heat.map(|heat| heat.colours);
    assert_eq!(colours, Some(HeatColours::RedBlue));
    let page = std::fs::read_to_string(write_report(&run, &ReportOptions::default()).unwrap()).unwrap();
    let [r, g, b] = Palette::of(HeatColours::RedBlue).colour(255);
    assert!(
        page.contains(&format!("#{r:02x}{g:02x}{b:02x})\n"))
            || page.contains(&format!("#{r:02x}{g:02x}{b:02x})"))
    );

    std::fs::remove_file(&likelihood).unwrap();
    assert_eq!(recolour(&run, HeatColours::Ember).unwrap(), Vec::<String>::new());
    assert_eq!(std::fs::read(&heat).unwrap(), ember);
    assert!(!std::fs::read_to_string(run.join("run.json")).unwrap().contains("colours"));
}

#[test]
fn a_source_that_is_gone_is_a_problem_not_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let source = footage(dir.path());
    let run = run_over(dir.path(), &source);
    let events = read_events(&run.join("events.csv")).unwrap();
    let gone = Source { name: source.name.clone(), ..Source::file(dir.path().join("gone.mkv")) };
    let summary =
        make_event_media(&run, &events, &[gone], |_, _| Seen::default(), &MediaOptions::default()).unwrap();
    assert_eq!((summary.frames, summary.clips, summary.heats), (0, 0, 1));
    assert_eq!(summary.problems.len(), 2);
}

#[test]
fn the_overlay_has_every_frame_at_its_time() {
    let dir = tempfile::tempdir().unwrap();
    let source = footage(dir.path());
    let run = run_over(dir.path(), &source);
    let out = dir.path().join("overlay.mp4");
    // Small, so that the test is quick.
    let options = OverlayOptions { min_width: 2 * SIZE.0, ..OverlayOptions::default() };
    assert_eq!(overlay(&run, &out, &options).unwrap(), FRAMES);
    let format = FrameFormat { size: None, colour: Colour::Rgb };
    let made: Vec<Frame> = FrameReader::open(&Source::file(&out), &format, &ReadOptions::default())
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(made.len() as u64, FRAMES);
    assert!((made[30].time_s - 3.0).abs() < 0.01, "{}", made[30].time_s);
    assert_eq!((made[0].width % 2, made[0].width / SIZE.0), (0, 2));
    assert!(made[0].height > SIZE.1 * 2, "the panel is below the picture");

    let unknown = OverlayOptions { video: Some("other".to_owned()), ..OverlayOptions::default() };
    let error = overlay(&run, &out, &unknown).unwrap_err().to_string();
    assert!(error.contains("other") && error.contains("door"), "{error}");
}

#[test]
fn chapters_are_written_beside() {
    let dir = tempfile::tempdir().unwrap();
    FakeRun::tiny().write(dir.path());
    let events = read_events(&dir.path().join("events.csv")).unwrap();
    let out = dir.path().join("events.vtt");
    write_chapters(&events, "door", &out).unwrap();
    let text = std::fs::read_to_string(out).unwrap();
    assert!(text.starts_with("WEBVTT\n\n1\n00:00:"), "{text}");
    assert!(text.contains(" --> ") && text.contains("clearly unlike"));
}

/// Half of the video is labelled, so that some normal frame scores highest and some abnormal one lowest.
#[test]
fn the_worst_mistakes_get_pictures() {
    let dir = tempfile::tempdir().unwrap();
    let source = footage(dir.path());
    let run = run_over(dir.path(), &source);
    let frames = ScoreTable::read(&run.join("scores.csv")).unwrap().videos[0].rows.len();
    let labels = (0..frames).map(|i| u8::from(i >= frames / 2)).collect();
    write_labels(&run.join("labels.csv"), &[(source.name.clone(), labels)].into()).unwrap();
    assert_eq!(make_mistake_media(&run, &ReadOptions::default()).unwrap(), Vec::<String>::new());
    for name in ["false-positive-1-frame.jpg", "false-positive-1-heat.png", "false-negative-1-frame.jpg"] {
        assert!(run.join("mistakes").join(name).exists(), "{name}");
    }
    let page = std::fs::read_to_string(write_report(&run, &ReportOptions::default()).unwrap()).unwrap();
    assert!(page.contains("Labelled normal, and scored highest"));

    let all_normal = [(source.name.clone(), vec![0; frames])].into();
    write_labels(&run.join("labels.csv"), &all_normal).unwrap();
    make_mistake_media(&run, &ReadOptions::default()).unwrap();
    assert!(!run.join("mistakes/false-positive-1-frame.jpg").exists(), "of one class there are no mistakes");
}

#[test]
fn a_comparison_shows_the_same_frames_under_each_runs_heat() {
    let dir = tempfile::tempdir().unwrap();
    let source = footage(dir.path());
    let first = run_over(dir.path(), &source);
    let second = dir.path().join("second");
    let page = dir.path().join("comparison.html");
    std::fs::create_dir(&second).unwrap();
    for name in ["run.json", "scores.csv", "events.csv", "heat.mkv"] {
        std::fs::copy(first.join(name), second.join(name)).unwrap();
    }
    write_comparison(&[first.clone(), second.clone()], &page, &ReportOptions::default()).unwrap();
    let text = std::fs::read_to_string(&page).unwrap();
    assert!(text.contains("The same frames"));
    let moments = text.matches("data:image/jpeg;base64,").count();
    assert!(moments > 0 && text.matches("data:image/png;base64,").count() == 2 * moments);

    std::fs::remove_file(dir.path().join("door.mkv")).unwrap();
    write_comparison(&[first, second], &page, &ReportOptions::default()).unwrap();
    assert!(!std::fs::read_to_string(&page).unwrap().contains("The same frames"), "the footage is gone");
}
