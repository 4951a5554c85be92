//! Reading: every frame once, at its own time, with the right pixels.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::path::Path;

use common::{GREY, RGB, ffmpeg, moving, read, read_file};
use image::{GrayImage, ImageBuffer, Luma, LumaA, Rgb, RgbImage};
use tempfile::tempdir;
use vadis_video::{
    Colour, FrameFormat, FrameReader, ReadOptions, Source, SourceKind, VideoError, discover_path,
    grab_frames, natural_cmp, probe, resize,
};

const FFV1_GREY: [&str; 4] = ["-c:v", "ffv1", "-pix_fmt", "gray"];

#[test]
fn frames_are_numbered_and_timed() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("a.mp4");
    moving("64x48", 12, &["-c:v", "libx264"], &path);
    let frames = read_file(&path, &RGB);
    assert_eq!(frames.len(), 12);
    for (i, frame) in frames.iter().enumerate() {
        assert_eq!((frame.index, frame.width, frame.height, frame.colour), (i as u64, 64, 48, Colour::Rgb));
        assert!((frame.time_s - i as f64 / 10.0).abs() < 1e-9, "{}", frame.time_s);
        assert_eq!(frame.data.len(), 64 * 48 * 3);
    }
    assert!(frames.windows(2).all(|w| w[0].data != w[1].data));
}

#[test]
fn probe_tells_what_is_there() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("street cam.mkv");
    moving("64x48", 20, &["-c:v", "mpeg4"], &path);
    let info = probe(&Source::file(&path), &ReadOptions::default()).unwrap();
    assert_eq!((info.width, info.height, info.fps, info.frames), (64, 48, 10.0, Some(20)));
    assert_eq!((info.codec.as_str(), info.container.as_str()), ("mpeg4", "matroska,webm"));
    assert_eq!(info.duration_s, Some(2.0));
    assert_eq!(Source::file(&path).name, "street cam");
}

#[test]
fn variable_frame_rate_keeps_its_times() {
    let folder = tempdir().unwrap();
    // Frame n at 0.1·n² seconds: nothing between is filled in, nothing close together is dropped.
    let filter = "setpts=N*N";
    for name in ["v.mp4", "v.mkv"] {
        let path = folder.path().join(name);
        let rate = ["-vf", filter, "-fps_mode", "passthrough", "-enc_time_base", "1:1000", "-c:v", "libx264"];
        moving("32x32", 9, &rate, &path);
        let times: Vec<f64> = read_file(&path, &GREY).iter().map(|f| f.time_s).collect();
        assert_eq!(times.len(), 9, "{name}");
        for (n, t) in times.iter().enumerate() {
            assert!((t - (n * n) as f64 / 10.0).abs() < 1.1e-3, "{name} frame {n} at {t}");
        }
    }
}

#[test]
fn odd_sizes_and_single_frames() {
    let folder = tempdir().unwrap();
    for (size, width, height) in [("63x47", 63, 47), ("1x1", 1, 1), ("17x2", 17, 2)] {
        let path = folder.path().join("odd.mkv");
        let source = format!("nullsrc=size={size}:rate=10:duration=0.1,format=gray,geq=lum=9*X+7*Y");
        ffmpeg(&[&["-f", "lavfi", "-i", &source][..], &FFV1_GREY].concat(), &path);
        for format in [GREY, RGB] {
            let frames = read_file(&path, &format);
            assert_eq!(frames.len(), 1);
            assert_eq!((frames[0].width, frames[0].height, frames[0].time_s), (width, height, 0.0));
        }
    }
}

#[test]
fn grey_is_full_range_luma() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("level.mkv");
    // (luma stored, pixel format, grey delivered): video range is stretched, full range passed through.
    let cases = [
        (16, "yuv420p", 0),
        (235, "yuv420p", 255),
        (126, "yuv420p", 128),
        (0, "yuvj420p", 0),
        (126, "yuvj420p", 126),
        (255, "yuvj420p", 255),
        (77, "gray", 77),
    ];
    for (luma, pixels, grey) in cases {
        let range = if pixels == "yuv420p" { "tv" } else { "pc" };
        let filter = format!("format={pixels},geq=lum={luma}:cb=128:cr=128");
        let source = ["-f", "lavfi", "-i", "color=black:size=16x16:rate=5:duration=0.4", "-vf", &filter];
        ffmpeg(&[&source[..], &["-c:v", "ffv1", "-pix_fmt", pixels, "-color_range", range]].concat(), &path);
        let frames = read_file(&path, &GREY);
        assert!(frames[0].data.iter().all(|&v| v == grey), "{luma} {pixels}: {}", frames[0].data[0]);
        let colour = read_file(&path, &RGB);
        assert!(
            colour[0].data.iter().all(|&v| v.abs_diff(grey) <= 1),
            "{luma} {pixels}: {}",
            colour[0].data[0]
        );
    }
}

#[test]
fn a_frame_that_begins_like_a_start_code_is_whole() {
    // NUT leaves out frame beginnings such as 00 00 01; they must come back.
    let folder = tempdir().unwrap();
    let begin =
        [[0, 0, 1, 0xB6], [0, 0, 1, 0], [0, 0, 0, 1], [0x4E, 0x4B, 0xE4, 0xAD], [0xFF, 0xD8, 0xFF, 0xE0]];
    let pictures: Vec<Vec<u8>> =
        begin.iter().map(|b| b.iter().copied().cycle().take(256).collect()).collect();
    let raw = folder.path().join("raw.bin");
    fs::write(&raw, pictures.concat()).unwrap();
    let path = folder.path().join("codes.mkv");
    let input = ["-f", "rawvideo", "-pix_fmt", "gray", "-s", "16x16", "-r", "5", "-i", raw.to_str().unwrap()];
    ffmpeg(&[&input[..], &["-c:v", "ffv1"]].concat(), &path);
    let data: Vec<Vec<u8>> = read_file(&path, &GREY).into_iter().map(|f| f.data).collect();
    assert!(data == pictures);
}

#[test]
fn rotation_is_applied() {
    let folder = tempdir().unwrap();
    let (plain, turned) = (folder.path().join("a.mp4"), folder.path().join("b.mp4"));
    moving("64x48", 3, &["-c:v", "libx264", "-pix_fmt", "yuv420p"], &plain);
    let copy = ["-display_rotation", "90", "-i", plain.to_str().unwrap(), "-c", "copy"];
    let by_tag = ["-i", plain.to_str().unwrap(), "-c", "copy", "-metadata:s:v:0", "rotate=90"];
    // The option came with ffmpeg 6.0, when the tag went.
    let has_option = std::process::Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-y"])
        .args(copy)
        .arg(&turned)
        .status()
        .unwrap()
        .success();
    if !has_option {
        ffmpeg(&by_tag, &turned);
    }
    let info = probe(&Source::file(&turned), &ReadOptions::default()).unwrap();
    assert_eq!((info.width, info.height), (48, 64));
    let frames = read_file(&turned, &GREY);
    assert_eq!((frames.len(), frames[0].width, frames[0].height), (3, 48, 64));
}

#[test]
fn size_asked_for_is_our_own_resize() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("a.mkv");
    moving("70x50", 4, &FFV1_GREY, &path);
    let small = read_file(&path, &FrameFormat { size: Some((33, 64)), colour: Colour::Grey });
    for (native, small) in read_file(&path, &GREY).iter().zip(&small) {
        assert_eq!(&resize(native, 33, 64).unwrap(), small);
    }
    assert_eq!(small.len(), 4);
}

#[test]
fn a_change_of_size_keeps_the_first_one() {
    let folder = tempdir().unwrap();
    let (a, b, path) = (folder.path().join("a.ts"), folder.path().join("b.ts"), folder.path().join("ab.ts"));
    moving("64x48", 5, &["-c:v", "mpeg2video", "-bf", "0"], &a);
    moving("96x80", 5, &["-c:v", "mpeg2video", "-bf", "0", "-output_ts_offset", "0.5"], &b);
    fs::write(&path, [fs::read(&a).unwrap(), fs::read(&b).unwrap()].concat()).unwrap();
    let (frames, _) = read(&Source::file(&path), &GREY, &ReadOptions::default()).unwrap();
    assert!((9..=10).contains(&frames.len()), "{}", frames.len());
    assert!(frames.iter().all(|f| (f.width, f.height, f.data.len()) == (64, 48, 64 * 48)));
}

#[test]
fn threads_change_no_bit() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("a.mp4");
    moving("160x120", 30, &["-c:v", "libx264", "-pix_fmt", "yuv420p"], &path);
    let of =
        |threads| read(&Source::file(&path), &RGB, &ReadOptions { threads, ..Default::default() }).unwrap().0;
    assert!(of(1) == of(4));
}

#[test]
fn a_part_is_on_the_clock_of_the_whole() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("a.mp4");
    moving("64x48", 50, &["-c:v", "libx264", "-g", "20"], &path);
    let whole = read_file(&path, &GREY);
    let options = ReadOptions { start_s: 2.5, duration_s: Some(1.0), ..Default::default() };
    let (part, error) = read(&Source::file(&path), &GREY, &options).unwrap();
    assert!(error.is_none());
    assert_eq!(part.len(), 10);
    for (i, frame) in part.iter().enumerate() {
        assert_eq!(frame.index, i as u64);
        assert!((frame.time_s - whole[25 + i].time_s).abs() < 1e-6, "{}", frame.time_s);
        assert!(frame.data == whole[25 + i].data, "frame {i}");
    }
}

#[test]
fn sound_that_begins_earlier_moves_no_time() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("late.mkv");
    let inputs = ["-f", "lavfi", "-i", "sine=duration=3", "-itsoffset", "0.8", "-f", "lavfi", "-i"];
    let video =
        ["testsrc2=size=32x32:rate=10:duration=2", "-map", "0:a", "-map", "1:v", "-c:v", "ffv1", "-g", "1"];
    ffmpeg(&[&inputs[..], &video].concat(), &path);
    let whole = read_file(&path, &GREY);
    assert_eq!((whole.len(), whole[0].time_s), (20, 0.0));
    let options = ReadOptions { start_s: 1.0, duration_s: Some(0.35), ..Default::default() };
    let (part, _) = read(&Source::file(&path), &GREY, &options).unwrap();
    assert!((part[0].time_s - 1.0).abs() < 1e-3, "{}", part[0].time_s);
    assert!(part[0].data == whole[10].data);
}

#[test]
fn at_most_as_many_as_wanted() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("a.mkv");
    moving("32x32", 10, &FFV1_GREY, &path);
    let options = ReadOptions { max_frames: Some(3), ..Default::default() };
    let (frames, error) = read(&Source::file(&path), &GREY, &options).unwrap();
    assert_eq!((frames.len(), error.is_none()), (3, true));
}

#[test]
fn frames_grabbed_by_index() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("a.mkv");
    moving("32x32", 10, &FFV1_GREY, &path);
    let whole = read_file(&path, &GREY);
    let source = Source::file(&path);
    let some = grab_frames(&source, &GREY, &ReadOptions::default(), &[7, 2, 2, 99]).unwrap();
    assert_eq!(some, vec![whole[2].clone(), whole[7].clone()]);
    assert_eq!(grab_frames(&source, &GREY, &ReadOptions::default(), &[]).unwrap(), vec![]);
}

#[test]
fn dropping_early_ends_the_child() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("a.mkv");
    moving("320x240", 100, &["-c:v", "mpeg4"], &path);
    for _ in 0..5 {
        let mut reader = FrameReader::open(&Source::file(&path), &GREY, &ReadOptions::default()).unwrap();
        assert!(reader.next().unwrap().is_ok());
    }
    #[cfg(target_os = "linux")]
    {
        let own = std::process::id().to_string();
        let left = fs::read_dir("/proc").unwrap().flatten().filter_map(|p| {
            let stat = fs::read_to_string(p.path().join("stat")).ok()?;
            let (name, rest) = stat.rsplit_once(')')?;
            let parent = rest.split_whitespace().nth(1)? == own;
            let reads_it = fs::read(p.path().join("cmdline")).ok()?;
            let reads_it = String::from_utf8_lossy(&reads_it).contains(path.to_str()?);
            (parent && reads_it).then(|| name.to_owned())
        });
        assert_eq!(left.collect::<Vec<_>>(), Vec::<String>::new());
    }
}

// --- images -------------------------------------------------------------------------------------------------------

fn grey_frame(value: u8) -> GrayImage {
    GrayImage::from_fn(8, 6, |x, y| Luma([value.wrapping_add((x + 8 * y) as u8)]))
}

#[test]
fn images_in_natural_order_hidden_ones_left_out() {
    let folder = tempdir().unwrap();
    for (name, value) in [("1.png", 10), ("2.tif", 20), ("10.bmp", 30), ("._2.tif", 99)] {
        let path = folder.path().join(name);
        match name.starts_with('.') {
            true => fs::write(path, b"not an image").unwrap(),
            false => grey_frame(value).save(path).unwrap(),
        }
    }
    let sources = discover_path(folder.path()).unwrap();
    assert_eq!(sources.len(), 1);
    let options = ReadOptions { image_fps: 4.0, ..Default::default() };
    let info = probe(&sources[0], &options).unwrap();
    assert_eq!((info.frames, info.duration_s, info.container.as_str()), (Some(3), Some(0.75), "images"));
    let (frames, error) = read(&sources[0], &GREY, &options).unwrap();
    assert!(error.is_none());
    let seen: Vec<_> = frames.iter().map(|f| (f.index, f.time_s, f.data[0])).collect();
    assert_eq!(seen, [(0, 0.0, 10), (1, 0.25, 20), (2, 0.5, 30)]);
    let part = ReadOptions { start_s: 0.25, duration_s: Some(0.25), ..options };
    let (frames, _) = read(&sources[0], &GREY, &part).unwrap();
    assert_eq!(frames.iter().map(|f| (f.index, f.time_s, f.data[0])).collect::<Vec<_>>(), [(0, 0.25, 20)]);
}

#[test]
fn deep_images_are_scaled_to_eight_bits() {
    let folder = tempdir().unwrap();
    let values = [0u16, 128, 129, 257, 32_768, 65_535];
    let grey: ImageBuffer<Luma<u16>, _> = ImageBuffer::from_raw(6, 1, values.to_vec()).unwrap();
    let alpha: ImageBuffer<LumaA<u16>, _> =
        ImageBuffer::from_raw(6, 1, values.iter().flat_map(|&v| [v, 7]).collect::<Vec<u16>>()).unwrap();
    let colour: ImageBuffer<Rgb<u16>, _> =
        ImageBuffer::from_raw(6, 1, values.iter().flat_map(|&v| [v; 3]).collect::<Vec<u16>>()).unwrap();
    grey.save(folder.path().join("1.png")).unwrap();
    grey.save(folder.path().join("2.tif")).unwrap();
    alpha.save(folder.path().join("3.png")).unwrap();
    colour.save(folder.path().join("4.tif")).unwrap();
    let (frames, error) =
        read(&discover_path(folder.path()).unwrap()[0], &GREY, &ReadOptions::default()).unwrap();
    assert!(error.is_none(), "{error:?}");
    for frame in frames {
        assert_eq!(frame.data, [0, 0, 1, 1, 128, 255], "image {}", frame.index + 1);
    }
}

#[test]
fn colour_images_as_grey_and_back() {
    let folder = tempdir().unwrap();
    RgbImage::from_pixel(4, 4, Rgb([200, 100, 50])).save(folder.path().join("c.png")).unwrap();
    let source = &discover_path(&folder.path().join("c.png")).unwrap()[0];
    let (grey, _) = read(source, &GREY, &ReadOptions::default()).unwrap();
    // 0.299·200 + 0.587·100 + 0.114·50 = 124.2
    assert!(grey[0].data.iter().all(|&v| v == 124));
    let (colour, _) = read(source, &RGB, &ReadOptions::default()).unwrap();
    assert_eq!(colour[0].data[..3], [200, 100, 50]);
}

#[test]
fn images_of_another_size_become_as_the_first() {
    let folder = tempdir().unwrap();
    grey_frame(0).save(folder.path().join("1.png")).unwrap();
    GrayImage::from_pixel(20, 30, Luma([7])).save(folder.path().join("2.png")).unwrap();
    let (frames, error) =
        read(&discover_path(folder.path()).unwrap()[0], &GREY, &ReadOptions::default()).unwrap();
    assert!(error.is_none());
    assert_eq!((frames[1].width, frames[1].height), (8, 6));
    assert!(frames[1].data.iter().all(|&v| v == 7));
}

#[test]
fn a_corrupt_image_is_named_with_its_index() {
    let folder = tempdir().unwrap();
    for name in ["1.png", "2.png", "3.png"] {
        grey_frame(0).save(folder.path().join(name)).unwrap();
    }
    let broken = folder.path().join("2.png");
    let bytes = fs::read(&broken).unwrap();
    fs::write(&broken, &bytes[..bytes.len() / 2]).unwrap();
    let (frames, error) =
        read(&discover_path(folder.path()).unwrap()[0], &GREY, &ReadOptions::default()).unwrap();
    assert_eq!(frames.len(), 1);
    assert!(matches!(error, Some(VideoError::BadImage { path, frame: 1, .. }) if path == broken));
    fs::write(&broken, b"").unwrap();
    let (_, error) = read(&discover_path(folder.path()).unwrap()[0], &GREY, &ReadOptions::default()).unwrap();
    assert!(matches!(error, Some(VideoError::EmptyFile { path }) if path == broken));
}

#[test]
fn an_image_of_absurd_size_is_refused() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("1.bmp");
    grey_frame(0).save(&path).unwrap();
    let mut bytes = fs::read(&path).unwrap();
    bytes[18..22].copy_from_slice(&60_000u32.to_le_bytes());
    bytes[22..26].copy_from_slice(&60_000u32.to_le_bytes());
    fs::write(&path, bytes).unwrap();
    let error = read(&discover_path(&path).unwrap()[0], &GREY, &ReadOptions::default()).unwrap_err();
    assert!(matches!(error, VideoError::TooLarge { .. } | VideoError::BadImage { .. }), "{error}");
}

// --- discovery ----------------------------------------------------------------------------------------------------

#[test]
fn folders_of_folders() {
    let root = tempdir().unwrap();
    let make = |path: &str| {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, b"x").unwrap();
    };
    let images = ["Test010/001.tif", "Test010/002.tif", "Test002/1.tif", "clip.v2/1.png", "day/thumb.jpg"];
    let others = ["day/cam.mp4", "day/cam.avi", "day/notes.txt", ".hidden/a.mp4", "b.MKV"];
    images.into_iter().chain(others).for_each(make);
    let sources = discover_path(root.path()).unwrap();
    let names: Vec<&str> = sources.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(names, ["Test002", "Test010", "b", "clip.v2", "day/cam.avi", "day/cam.mp4"]);
    assert!(matches!(&sources[1].kind, SourceKind::Images(paths) if paths.len() == 2));
}

#[cfg(unix)]
#[test]
fn a_link_to_the_folder_above_is_walked_once() {
    let root = tempdir().unwrap();
    fs::write(root.path().join("a.mp4"), b"x").unwrap();
    fs::create_dir(root.path().join("in")).unwrap();
    std::os::unix::fs::symlink(root.path(), root.path().join("in/up")).unwrap();
    assert_eq!(discover_path(root.path()).unwrap().len(), 1);
}

#[test]
fn nothing_to_read() {
    let root = tempdir().unwrap();
    assert!(matches!(discover_path(root.path()), Err(VideoError::NothingInFolder { .. })));
    assert!(matches!(discover_path(Path::new("/no/such/thing")), Err(VideoError::NotFound { .. })));
}

#[test]
fn natural_order() {
    let mut names = ["a10", "a2", "a02", "b", "a", "a2b", "A1", "10", "9", "a02a"];
    names.sort_by(|a, b| natural_cmp(a, b));
    assert_eq!(names, ["9", "10", "A1", "a", "a02", "a2", "a02a", "a2b", "a10", "b"]);
}

proptest::proptest! {
    #[test]
    fn natural_order_is_total(a in "[a0-9é]{0,8}", b in "[a0-9é]{0,8}", c in "[a0-9é]{0,8}") {
        use std::cmp::Ordering::{Equal, Greater};
        proptest::prop_assert_eq!(natural_cmp(&a, &b), natural_cmp(&b, &a).reverse());
        proptest::prop_assert_eq!(natural_cmp(&a, &b) == Equal, a == b);
        if natural_cmp(&a, &b) != Greater && natural_cmp(&b, &c) != Greater {
            proptest::prop_assert_ne!(natural_cmp(&a, &c), Greater);
        }
    }
}

#[test]
fn options_are_checked() {
    let source = Source::images("none", vec![]);
    let format = FrameFormat { size: Some((0, 5)), colour: Colour::Grey };
    assert!(matches!(
        FrameReader::open(&source, &format, &ReadOptions::default()).err(),
        Some(VideoError::BadSize { width: 0, height: 5 })
    ));
    for options in [
        ReadOptions { image_fps: 0.0, ..Default::default() },
        ReadOptions { start_s: f64::NAN, ..Default::default() },
        ReadOptions { duration_s: Some(-1.0), ..Default::default() },
    ] {
        assert!(matches!(
            FrameReader::open(&source, &GREY, &options).err(),
            Some(VideoError::BadOption { .. })
        ));
    }
    let error = FrameReader::open(&source, &GREY, &ReadOptions::default()).err();
    assert!(matches!(error, Some(VideoError::NoVideoStream { .. })));
}
