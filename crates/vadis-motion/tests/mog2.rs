//! MOG2's masks against OpenCV's.

#![allow(clippy::unwrap_used, reason = "a helper of tests may panic as they do")]

use vadis_motion::{Mog2, Mog2Config, MotionError};
use vadis_video::{Colour, Frame};

/// The next `count` bytes of a fixture.
fn take<'a>(bytes: &mut &'a [u8], count: usize) -> &'a [u8] {
    bytes.split_off(..count).unwrap()
}

/// Frames with OpenCV's mask of each, in grey and in colour (`scripts/mog2.py`).
fn read_videos() -> Vec<Vec<(Frame, Vec<u8>)>> {
    let mut bytes = include_bytes!("fixtures/mog2.bin").as_slice();
    let mut videos = Vec::new();
    while !bytes.is_empty() {
        let [width, height, channels, frames] =
            [(); 4].map(|()| u32::from_le_bytes(take(&mut bytes, 4).try_into().unwrap()) as usize);
        let colour = if channels == 1 { Colour::Grey } else { Colour::Rgb };
        let mut read = |_| {
            let data = take(&mut bytes, width * height * channels).to_vec();
            let classes = take(&mut bytes, width * height / 4);
            let mask = classes.iter().flat_map(|&four| [0, 2, 4, 6].map(|shift| four >> shift & 3));
            let mask =
                mask.map(|class| [Mog2::BACKGROUND, Mog2::SHADOW, Mog2::FOREGROUND][usize::from(class)]);
            (Frame { data, ..Frame::filled(width, height, colour, 0) }, mask.collect())
        };
        videos.push((0..frames).map(&mut read).collect());
    }
    videos
}

#[test]
fn masks_are_opencvs() {
    for video in read_videos() {
        let mut subtractor = Mog2::new(Mog2Config::default()).unwrap();
        let (mut differing, mut pixels) = (0, 0);
        for (frame, expected) in &video {
            let mask = subtractor.push(frame).unwrap();
            differing += mask.data.iter().zip(expected).filter(|(ours, theirs)| ours != theirs).count();
            pixels += expected.len();
        }
        let share = differing as f64 / pixels as f64;
        assert!(share < 1e-3, "{:?}: {differing} of {pixels} pixels differ", video[0].0.colour);
    }
}

#[test]
fn the_fixture_has_background_shadow_and_foreground() {
    for video in read_videos() {
        for class in [Mog2::BACKGROUND, Mog2::SHADOW, Mog2::FOREGROUND] {
            let count =
                video.iter().skip(1).flat_map(|(_, mask)| mask).filter(|&&value| value == class).count();
            assert!(count > 200, "{count} pixels of {class}");
        }
    }
}

#[test]
fn without_shadows_the_rest_is_foreground() {
    let config = Mog2Config { shadows: false, ..Mog2Config::default() };
    let (mut with, mut without) = (Mog2::new(Mog2Config::default()).unwrap(), Mog2::new(config).unwrap());
    for (frame, _) in &read_videos()[0] {
        let expected = with.push(frame).unwrap().data.into_iter();
        let expected: Vec<_> =
            expected.map(|value| if value == Mog2::SHADOW { 255 } else { value }).collect();
        assert_eq!(without.push(frame).unwrap().data, expected);
    }
}

#[test]
fn a_frame_that_is_refused_changes_nothing() {
    let frames: Vec<_> = read_videos().swap_remove(0).into_iter().map(|(frame, _)| frame).collect();
    let mut steady = Mog2::new(Mog2Config::default()).unwrap();
    let mut disturbed = steady.clone();
    for frame in &frames {
        let small = Frame::filled(5, 5, Colour::Grey, 0);
        let coloured = frame.to_rgb();
        let mask = disturbed.push(frame).unwrap();
        assert!(matches!(disturbed.push(&small), Err(MotionError::SizeChanged { .. })));
        assert!(matches!(disturbed.push(&coloured), Err(MotionError::ColourChanged { .. })));
        assert_eq!(mask, steady.push(frame).unwrap());
    }
}

#[test]
fn impossible_settings_are_errors() {
    let none = Mog2Config { history: 0, ..Mog2Config::default() };
    assert!(matches!(Mog2::new(none), Err(MotionError::Setting { name: "history", .. })));
    let nan = Mog2Config { threshold: f32::NAN, ..Mog2Config::default() };
    assert!(matches!(Mog2::new(nan), Err(MotionError::Setting { name: "threshold", .. })));
}
