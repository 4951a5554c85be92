//! Makes a run directory out of nothing and its report, to look at while working on the page:
//! `cargo run -p vadis-report --example fake_run -- /tmp/fake [VIDEO]`. With a video the run is made over it, as far as it
//! goes, with clips and an overlay of it.

#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

#[path = "../tests/common/mod.rs"]
mod common;

use std::path::{Path, PathBuf};

use vadis_eval::run::{RunInfo, read_events};
use vadis_report::{
    MediaOptions, OverlayOptions, ReportOptions, Seen, make_event_media, overlay, write_chapters,
    write_comparison, write_report,
};
use vadis_video::{ReadOptions, Source, probe, shrink};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let dir = PathBuf::from(arguments.next().unwrap_or_else(|| "/tmp/vadis-fake".to_owned()));
    let video = arguments.next().map(Source::file);
    let (first, second) = (dir.join("mle"), dir.join("robust-pca"));
    let mut fake = common::FakeRun::hour();
    if let Some(source) = &video {
        let known = probe(source, &ReadOptions::default()).unwrap();
        fake.videos = vec![(source.name.clone(), known.frames.unwrap().min(18_000))];
        fake.fps = known.fps;
    }
    fake.write(&first);
    if let Some(source) = &video {
        with_footage(&first, source, &fake);
    }
    fake.seed = 2;
    fake.write(&second);
    let options = ReportOptions::default();
    println!("{}", write_report(&first, &options).unwrap().display());
    write_report(&second, &options).unwrap();
    let comparison = dir.join("comparison.html");
    write_comparison(&[first, second], &comparison, &options).unwrap();
    println!("{}", comparison.display());
}

/// Pictures, clips and an overlay of real footage; the "reconstruction" is a very blurred frame.
fn with_footage(run: &Path, source: &Source, fake: &common::FakeRun) {
    fake.write_heat(&run.join("heat.mkv"));
    let known = probe(source, &ReadOptions::default()).unwrap();
    let mut info = RunInfo::read(&run.join("run.json")).unwrap();
    info.sources[0].path = source.location();
    (info.sources[0].width, info.sources[0].height) = (known.width as u32, known.height as u32);
    info.write(&run.join("run.json")).unwrap();
    let events = read_events(&run.join("events.csv")).unwrap();
    let blurred = |frame: &vadis_video::Frame| {
        let small = shrink(frame, (frame.width / 8).max(1), (frame.height / 8).max(1)).ok()?;
        shrink(&small, frame.width, frame.height).ok()
    };
    let blur = |_: &_, frame: &vadis_video::Frame| Seen {
        reconstruction: blurred(frame),
        likelihood: None,
        layers: Vec::new(),
    };
    let sources = std::slice::from_ref(source);
    let summary = make_event_media(run, &events, sources, blur, &MediaOptions::default()).unwrap();
    println!("{summary:?}");
    write_chapters(&events, &source.name, &run.join("events.vtt")).unwrap();
    let options = OverlayOptions {
        read: ReadOptions { max_frames: Some(120), ..ReadOptions::default() },
        ..OverlayOptions::default()
    };
    println!("overlay: {} frames", overlay(run, &run.join("overlay.mp4"), &options).unwrap());
}
