//! Writing, and reading back what was written.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::process::Command;

use common::{GREY, RGB, moving, read_file};
use tempfile::tempdir;
use vadis_video::{
    Codec, Colour, Frame, ReadOptions, Source, SourceKind, Timing, Tools, VideoError, VideoWriter,
    WriterSpec, extract_clip, probe,
};

/// A picture of noise, different for each index.
fn noise(index: u64, width: usize, height: usize, colour: Colour) -> Frame {
    let mut state = index.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut frame = Frame::filled(width, height, colour, 0);
    frame.data.fill_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    });
    Frame { index, time_s: index as f64 / 10.0, ..frame }
}

#[test]
fn lossless_comes_back_bit_by_bit() {
    let folder = tempdir().unwrap();
    for (codec, colour, format) in [
        (Codec::Ffv1Grey, Colour::Grey, GREY),
        (Codec::Ffv1Rgb, Colour::Rgb, RGB),
        (Codec::Ffv1Rgb, Colour::Grey, RGB),
    ] {
        for (width, height) in [(64, 48), (33, 17), (1, 1)] {
            let path = folder.path().join("a.mkv");
            let mut writer = VideoWriter::create(&path, width, height, 10.0, codec).unwrap();
            let frames: Vec<Frame> = (0..5).map(|i| noise(i, width, height, colour)).collect();
            frames.iter().for_each(|f| writer.write(f).unwrap());
            assert!(!path.exists());
            writer.finish().unwrap();
            let back = read_file(&path, &format);
            fs::remove_file(&path).unwrap();
            assert_eq!(back.len(), 5);
            for (frame, back) in frames.iter().zip(&back) {
                let frame = if format == RGB { frame.to_rgb() } else { frame.clone() };
                assert!(frame.data == back.data, "{codec:?} {width}×{height} frame {}", frame.index);
                assert!((frame.time_s - back.time_s).abs() < 1e-9);
            }
        }
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn the_same_frames_make_the_same_file() {
    let folder = tempdir().unwrap();
    let make = |name: &str| {
        let path = folder.path().join(name);
        let mut writer = VideoWriter::create(&path, 16, 16, 10.0, Codec::Ffv1Grey).unwrap();
        (0..3).for_each(|i| writer.write(&noise(i, 16, 16, Colour::Grey)).unwrap());
        writer.finish().unwrap();
        fs::read(path).unwrap()
    };
    assert!(make("a.mkv") == make("b.mkv"));
}

#[test]
fn h264_of_any_size_plays() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("a.mp4");
    for (width, height) in [(64, 48), (63, 47), (1, 3)] {
        let mut writer =
            VideoWriter::create(&path, width, height, 30_000.0 / 1001.0, Codec::H264 { crf: 18 }).unwrap();
        for i in 0..6 {
            writer.write(&Frame::filled(width, height, Colour::Rgb, 40 * i)).unwrap();
        }
        writer.finish().unwrap();
        let info = probe(&Source::file(&path), &ReadOptions::default()).unwrap();
        assert_eq!((info.width, info.height), (width.next_multiple_of(2), height.next_multiple_of(2)));
        assert!((info.fps - 29.97).abs() < 0.01, "{}", info.fps);
        let back = read_file(&path, &GREY);
        assert_eq!(back.len(), 6);
        for (i, frame) in back.iter().enumerate() {
            assert!(frame.data.iter().all(|v| v.abs_diff(40 * i as u8) <= 3), "frame {i}: {}", frame.data[0]);
        }
    }
}

#[test]
fn frames_keep_their_own_times() {
    let folder = tempdir().unwrap();
    let times = [0.0, 0.2, 0.25, 1.0, 1.0, 3.5];
    for (name, codec) in
        [("a.mp4", Codec::H264 { crf: 23 }), ("a.mkv", Codec::Ffv1Grey), ("b.mkv", Codec::H264 { crf: 23 })]
    {
        let path = folder.path().join(name);
        let mut writer = VideoWriter::create_timed(&path, 32, 32, codec).unwrap();
        for (i, &time_s) in times.iter().enumerate() {
            writer.write(&Frame { time_s, ..noise(i as u64, 32, 32, Colour::Grey) }).unwrap();
        }
        writer.finish().unwrap();
        let back = read_file(&path, &GREY);
        assert_eq!(back.len(), times.len(), "{name}");
        for (frame, time_s) in back.iter().zip(times) {
            assert!((frame.time_s - time_s).abs() <= 1.01e-3, "{name}: {} for {time_s}", frame.time_s);
        }
    }
}

#[test]
fn an_unfinished_file_leaves_nothing() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("a.mkv");
    let mut writer = VideoWriter::create(&path, 8, 8, 5.0, Codec::Ffv1Grey).unwrap();
    writer.write(&Frame::filled(8, 8, Colour::Grey, 1)).unwrap();
    drop(writer);
    let none = VideoWriter::create(&path, 8, 8, 5.0, Codec::Ffv1Grey).unwrap();
    assert!(matches!(none.finish(), Err(VideoError::Encode { .. })));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[cfg(unix)]
#[test]
fn a_file_that_is_replaced_has_usual_permissions() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempdir().unwrap();
    let (path, plain) = (folder.path().join("a.mkv"), folder.path().join("plain"));
    fs::write(&path, b"old").unwrap();
    fs::write(&plain, b"").unwrap();
    let mut writer = VideoWriter::create(&path, 8, 8, 5.0, Codec::Ffv1Grey).unwrap();
    writer.write(&Frame::filled(8, 8, Colour::Grey, 1)).unwrap();
    writer.finish().unwrap();
    let mode = |p| fs::metadata(p).unwrap().permissions().mode();
    assert_eq!(mode(&path), mode(&plain));
    assert_eq!(read_file(&path, &GREY).len(), 1);
}

#[test]
fn what_does_not_fit_is_refused() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("a.mkv");
    let mut writer = VideoWriter::create(&path, 8, 8, 5.0, Codec::Ffv1Grey).unwrap();
    for frame in [
        Frame::filled(8, 9, Colour::Grey, 0),
        Frame::filled(8, 8, Colour::Rgb, 0),
        Frame { data: vec![0; 3], ..Frame::filled(8, 8, Colour::Grey, 0) },
    ] {
        assert!(matches!(writer.write(&frame), Err(VideoError::WrongFrame { frame: 0, .. })));
    }
    for fps in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let made = VideoWriter::create(&path, 8, 8, fps, Codec::Ffv1Grey);
        assert!(matches!(made.err(), Some(VideoError::BadOption { .. })));
    }
    assert!(matches!(
        VideoWriter::create(&path, 0, 8, 1.0, Codec::Ffv1Grey).err(),
        Some(VideoError::BadSize { .. })
    ));
    for name in ["a.mp4", "a.txt", "a"] {
        let made = VideoWriter::create(&folder.path().join(name), 8, 8, 5.0, Codec::Ffv1Grey);
        assert!(matches!(made.err(), Some(VideoError::Encode { .. })), "{name}");
    }
    let nowhere = VideoWriter::create(&folder.path().join("no/a.mkv"), 8, 8, 5.0, Codec::Ffv1Grey);
    assert!(matches!(nowhere.err(), Some(VideoError::Io { .. })));
}

#[test]
fn a_missing_encoder_is_named() {
    let folder = tempdir().unwrap();
    let tools = Tools { ffmpeg: folder.path().join("ffmpeg"), ..Tools::default() };
    let spec =
        WriterSpec { width: 8, height: 8, timing: Timing::Constant(5.0), codec: Codec::Ffv1Grey, tools };
    let made = VideoWriter::with_spec(&folder.path().join("a.mkv"), spec);
    assert!(matches!(made.err(), Some(VideoError::MissingCommand { .. })));
}

#[test]
fn strange_names_are_names() {
    let folder = tempdir().unwrap();
    for name in ["-y.mkv", "a%03d.mkv", "pipe:1.mkv", "a b'\"c\n.mkv", "ü:é.mkv"] {
        let path = folder.path().join(name);
        let mut writer = VideoWriter::create(&path, 8, 8, 5.0, Codec::Ffv1Grey).unwrap();
        writer.write(&Frame::filled(8, 8, Colour::Grey, 1)).unwrap();
        writer.finish().unwrap();
        assert_eq!(read_file(&path, &GREY).len(), 1, "{name}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 5);
}

#[test]
fn a_clip_is_small_and_at_its_own_pace() {
    let folder = tempdir().unwrap();
    let (path, out) = (folder.path().join("a.mp4"), folder.path().join("clip.mp4"));
    moving("320x180", 40, &["-c:v", "libx264", "-pix_fmt", "yuv420p"], &path);
    let source = Source::file(&path);
    let options = ReadOptions::default();
    assert_eq!(extract_clip(&source, &options, (1.0, 2.0), 160, &out).unwrap(), 10);
    let info = probe(&Source::file(&out), &options).unwrap();
    assert_eq!((info.width, info.height, info.codec.as_str()), (160, 90, "h264"));
    let whole = read_file(&path, &GREY);
    for (i, frame) in read_file(&out, &GREY).iter().enumerate() {
        assert!((frame.time_s - i as f64 / 10.0).abs() < 1e-3);
        let small = vadis_video::shrink(&whole[10 + i], 160, 90).unwrap();
        let off: f64 = frame.data.iter().zip(&small.data).map(|(a, b)| f64::from(a.abs_diff(*b))).sum();
        assert!(off / (small.data.len() as f64) < 6.0, "frame {i}: {}", off / small.data.len() as f64);
    }
    // What a browser needs first must come first.
    let bytes = fs::read(&out).unwrap();
    let at = |tag: &[u8]| bytes.windows(4).position(|w| w == tag).unwrap();
    assert!(at(b"moov") < at(b"mdat"));
    let shown = Command::new("ffprobe")
        .args(["-v", "error", "-show_entries", "stream=profile,pix_fmt", "-of", "csv=p=0"])
        .arg(&out)
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&shown.stdout).trim(), "Constrained Baseline,yuv420p");
}

#[test]
fn clips_of_images_and_of_nothing() {
    let folder = tempdir().unwrap();
    let paths: Vec<_> = (0..8).map(|i| folder.path().join(format!("{i}.png"))).collect();
    for path in &paths {
        image::GrayImage::from_pixel(30, 20, image::Luma([90])).save(path).unwrap();
    }
    let (source, out) = (Source::images("i", paths), folder.path().join("c.mp4"));
    let options = ReadOptions::default();
    assert_eq!(extract_clip(&source, &options, (0.2, 0.5), 100, &out).unwrap(), 3);
    assert!(matches!(
        extract_clip(&source, &options, (0.5, 0.5), 100, &out),
        Err(VideoError::BadOption { .. })
    ));
    assert!(matches!(
        extract_clip(&source, &options, (60.0, 61.0), 100, &out),
        Err(VideoError::Encode { .. })
    ));
    let stream = Source { name: "s".to_owned(), kind: SourceKind::Stream("rtsp://u:p@cam/1".to_owned()) };
    let error = extract_clip(&stream, &options, (0.0, 1.0), 100, &out).unwrap_err();
    assert_eq!(error.to_string(), "rtsp://cam/1: a live stream has no earlier part to show");
}
