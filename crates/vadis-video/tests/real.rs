//! Real footage, where `VADIS_DATA` names its folder.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::path::Path;
use std::process::Command;

use common::{GREY, real_data};
use vadis_video::{FrameReader, ReadOptions, Source, SourceKind, discover, discover_path, probe};

/// Frames, and the time of the last one.
fn count(path: &Path) -> (u64, f64) {
    let reader = FrameReader::open(&Source::file(path), &GREY, &ReadOptions::default()).expect("opens");
    reader.map(|frame| frame.expect("whole")).enumerate().fold((0, 0.0), |(_, before), (i, frame)| {
        assert_eq!(frame.index, i as u64);
        assert!(i == 0 || frame.time_s > before);
        (frame.index + 1, frame.time_s)
    })
}

#[test]
fn every_frame_of_a_pedestrian_video() {
    let Some(data) = real_data() else { return };
    let path = data.join("vtest.avi");
    let info = probe(&Source::file(&path), &ReadOptions::default()).unwrap();
    assert_eq!((info.width, info.height, info.fps, info.frames), (768, 576, 10.0, Some(795)));
    let (frames, end_s) = count(&path);
    assert_eq!(frames, 795);
    assert!((end_s - 79.4).abs() < 1e-9);
}

#[test]
fn every_frame_of_an_hour() {
    let Some(data) = real_data() else { return };
    let (frames, end_s) = count(&data.join("upcam/eval.mp4"));
    assert_eq!(frames, 18_066);
    assert!((end_s - 3613.0).abs() < 1e-9);
}

#[test]
fn lossless_grey_is_bit_exact() {
    let Some(data) = real_data() else { return };
    let tree = tempfile::tempdir().unwrap();
    assert!(Command::new(data.join("ped2/unpack")).arg(tree.path()).status().unwrap().success());
    let clips = discover_path(&tree.path().join("UCSDped2/Test")).unwrap();
    let clips: Vec<_> = clips.into_iter().filter(|c| !c.name.ends_with("_gt")).collect();
    assert_eq!(clips.len(), 12);
    let options = ReadOptions::default();
    let mut video = FrameReader::open(&Source::file(data.join("ped2/test.mkv")), &GREY, &options).unwrap();
    let mut frames = 0;
    for clip in &clips {
        for image in FrameReader::open(clip, &GREY, &options).unwrap() {
            let (image, frame) = (image.unwrap(), video.next().unwrap().unwrap());
            assert!(image.data == frame.data, "{} frame {}", clip.name, image.index);
            frames += 1;
        }
    }
    assert_eq!(frames, 2010);
    assert!(video.next().is_none());
}

#[test]
fn a_day_of_videos_in_natural_order() {
    let Some(data) = real_data() else { return };
    let day = discover(data.join("upcam/train").to_str().unwrap()).unwrap();
    assert_eq!(day.len(), 24);
    assert_eq!((day[0].name.as_str(), day[23].name.as_str()), ("08-00", "08-23"));
    assert!(day.iter().all(|s| matches!(s.kind, SourceKind::File(_))));
}
