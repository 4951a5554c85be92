//! Clock and camera health, on rendered scenes and, where `VADIS_DATA` says where it is, on real footage.
#![allow(clippy::unwrap_used, reason = "a test helper that fails is a test that fails")]

use std::path::PathBuf;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use vadis_video::{
    ClockDetector, Colour, Frame, FrameFormat, FrameReader, HealthConfig, HealthMonitor, ReadOptions, Source,
    Trouble, Zone,
};

const WIDTH: usize = 160;
const HEIGHT: usize = 120;
const FPS: f64 = 5.0;

/// Rows of three pixels for each digit.
const DIGITS: [[u8; 5]; 10] = [
    [7, 5, 5, 5, 7],
    [2, 6, 2, 2, 7],
    [7, 1, 7, 4, 7],
    [7, 1, 7, 1, 7],
    [5, 5, 7, 1, 1],
    [7, 4, 7, 1, 7],
    [7, 4, 7, 5, 7],
    [7, 1, 1, 1, 1],
    [7, 5, 7, 5, 7],
    [7, 5, 7, 1, 7],
];

/// A room with furniture, a walker, sensor noise.
struct Scene {
    rng: ChaCha8Rng,
    room: Vec<f32>,
    index: u64,
    clock: bool,
    light: f32,
    noise: f32,
    blur: bool,
    shift: usize,
}

impl Scene {
    fn new(seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut room = vec![120.0f32; WIDTH * HEIGHT];
        for _ in 0..60 {
            let (x, y) = (rng.random_range(0..WIDTH), rng.random_range(0..HEIGHT));
            let (w, h) = (rng.random_range(4..40), rng.random_range(4..40));
            let value = rng.random_range(20.0..230.0);
            for row in y..(y + h).min(HEIGHT) {
                room[row * WIDTH + x..row * WIDTH + (x + w).min(WIDTH)].fill(value);
            }
        }
        Self { rng, room, index: 0, clock: false, light: 1.0, noise: 3.0, blur: false, shift: 0 }
    }

    fn next(&mut self) -> Frame {
        let time_s = self.index as f64 / FPS;
        let mut picture = self.room.clone();
        picture.rotate_left(self.shift);
        let walker = (60.0 + 50.0 * (time_s * 0.7).sin()) as usize;
        for row in 60..100 {
            picture[row * WIDTH + walker..row * WIDTH + walker + 12].fill(40.0);
        }
        if self.blur {
            (0..2).for_each(|_| blur(&mut picture));
        }
        let mut data: Vec<u8> = picture
            .iter()
            .map(|v| {
                (v * self.light + self.rng.random_range(-self.noise..=self.noise)).clamp(0.0, 255.0) as u8
            })
            .collect();
        if self.clock {
            draw_clock(&mut data, 36_000 + time_s as usize);
        }
        let frame =
            Frame { index: self.index, time_s, width: WIDTH, height: HEIGHT, colour: Colour::Grey, data };
        self.index += 1;
        frame
    }

    /// The troubles of so many seconds.
    fn watch(&mut self, monitor: &mut HealthMonitor, seconds: usize) -> Vec<Option<Trouble>> {
        (0..seconds * FPS as usize).map(|_| monitor.push(&self.next())).collect()
    }
}

fn blur(picture: &mut [f32]) {
    let before = picture.to_vec();
    let near = |at: usize, side: usize| (at.saturating_sub(3)..=at + 3).map(move |i| i.min(side - 1));
    for y in 0..HEIGHT {
        for x in 0..WIDTH {
            let window = near(y, HEIGHT).flat_map(|y| near(x, WIDTH).map(move |x| y * WIDTH + x));
            let (sum, count) = window.fold((0.0, 0.0), |(sum, count), i| (sum + before[i], count + 1.0));
            picture[y * WIDTH + x] = sum / count;
        }
    }
}

/// `hh:mm:ss` in the upper right corner, six pixels a digit.
fn draw_clock(data: &mut [u8], seconds: usize) {
    let digits = [
        seconds / 36000 % 10,
        seconds / 3600 % 10,
        seconds / 600 % 6,
        seconds / 60 % 10,
        seconds / 10 % 6,
        seconds % 10,
    ];
    for (i, &digit) in digits.iter().enumerate() {
        let left = WIDTH - 56 + i * 8 + i / 2 * 3;
        for y in 0..10 {
            for x in 0..6 {
                let lit = DIGITS[digit][y / 2] >> (2 - x / 2) & 1 == 1;
                data[(y + 2) * WIDTH + left + x] = if lit { 250 } else { 30 };
            }
        }
    }
}

fn clock_of(frames: impl Iterator<Item = Frame>) -> Option<Zone> {
    let mut detector = ClockDetector::new();
    frames.for_each(|frame| detector.push(&frame));
    detector.suggestion()
}

/// Share of the pixels of a rectangle that the zone covers.
fn covered(zone: &Zone, size: (usize, usize), x: std::ops::Range<usize>, y: std::ops::Range<usize>) -> f64 {
    let mask = zone.rasterise(size, size.0, size.1).unwrap();
    let pixels = y.clone().flat_map(|y| x.clone().map(move |x| y * size.0 + x));
    pixels.map(|i| f64::from(mask.data[i])).sum::<f64>() / (x.len() * y.len()) as f64
}

/// Frames of so many seconds of a file below `VADIS_DATA`.
fn real(path: &str, seconds: std::ops::Range<u32>) -> Option<impl Iterator<Item = Frame>> {
    let path = PathBuf::from(std::env::var_os("VADIS_DATA")?).join(path);
    let format = FrameFormat { size: None, colour: Colour::Grey };
    let options = ReadOptions {
        start_s: seconds.start.into(),
        duration_s: Some(seconds.len() as f64),
        ..ReadOptions::default()
    };
    let reader = FrameReader::open(&Source::file(path), &format, &options).unwrap();
    Some(reader.map(|frame| frame.unwrap()))
}

#[test]
fn a_rendered_clock_is_found() {
    let mut scene = Scene::new(1);
    scene.clock = true;
    let zone = clock_of((0..1000).map(|_| scene.next())).unwrap();
    // all that moves within minutes: seconds and minutes
    let covers = covered(&zone, (WIDTH, HEIGHT), WIDTH - 34..WIDTH - 4, 2..12);
    assert!(covers > 0.95, "{zone} covers {covers}");
    let area = zone.rasterise((WIDTH, HEIGHT), WIDTH, HEIGHT).unwrap().area();
    assert!(area < WIDTH * HEIGHT / 20, "{zone} is too large");
}

#[test]
fn a_scene_without_a_clock_has_none() {
    for seed in 2..5 {
        let mut scene = Scene::new(seed);
        assert_eq!(clock_of((0..1000).map(|_| scene.next())), None);
    }
    // too slow, or too short, to tell
    let mut scene = Scene::new(1);
    scene.clock = true;
    assert_eq!(clock_of((0..200).map(|_| scene.next())), None);
    let slow = (0..1000).map(|_| scene.next()).filter(|frame| frame.index % 5 == 0);
    assert_eq!(clock_of(slow), None);
    assert_eq!(ClockDetector::new().suggestion(), None);
}

#[test]
fn the_clock_of_a_real_camera_is_found() {
    let Some(frames) = real("upcam/eval.mp4", 0..600) else { return a_rendered_clock_is_found() };
    let zone = clock_of(frames).unwrap();
    println!("upCam: {zone}");
    let covers = covered(&zone, (128, 64), 122..128, 0..2);
    assert!(covers > 0.95, "{zone} covers {covers} of the clock's end");
    assert!(zone.rasterise((128, 64), 128, 64).unwrap().area() < 128 * 64 / 20, "{zone} is too large");
}

#[test]
fn real_footage_without_a_clock_has_none() {
    let files = ["vtest.avi", "ped2/train.mkv", "ped2/test.mkv"];
    for file in files {
        let Some(frames) = real(file, 0..90) else { return a_scene_without_a_clock_has_none() };
        assert_eq!(clock_of(frames), None, "{file}");
    }
}

fn first(troubles: &[Option<Trouble>], trouble: Trouble) -> f64 {
    let others: Vec<_> = troubles.iter().flatten().filter(|&&t| t != trouble).collect();
    assert!(others.is_empty(), "{trouble} was taken for {others:?}");
    let at = troubles.iter().position(Option::is_some);
    at.unwrap_or_else(|| panic!("{trouble} was not seen")) as f64 / FPS
}

#[test]
fn a_healthy_camera_has_no_trouble() {
    for seed in 0..2 {
        let (mut scene, mut monitor) = (Scene::new(seed), HealthMonitor::new(HealthConfig::default()));
        assert_eq!(scene.watch(&mut monitor, 60).into_iter().flatten().count(), 0);
        // a light switched off, and on again, is no trouble; neither is more noise, as at night
        (scene.light, scene.noise) = (0.3, 6.0);
        assert_eq!(scene.watch(&mut monitor, 60).into_iter().flatten().count(), 0);
        (scene.light, scene.noise) = (1.0, 3.0);
        assert_eq!(scene.watch(&mut monitor, 60).into_iter().flatten().count(), 0);
    }
}

#[test]
fn each_trouble_is_told_and_ends() {
    let start = || {
        let (mut scene, mut monitor) = (Scene::new(9), HealthMonitor::new(HealthConfig::default()));
        assert_eq!(scene.watch(&mut monitor, 60).into_iter().flatten().count(), 0);
        (scene, monitor)
    };
    let (mut scene, mut monitor) = start();
    scene.light = 0.01;
    assert!(first(&scene.watch(&mut monitor, 20), Trouble::Dark) <= 11.0);
    scene.light = 1.0;
    assert_eq!(scene.watch(&mut monitor, 20).into_iter().flatten().count(), 0);

    let (mut scene, mut monitor) = start();
    scene.blur = true;
    let seen = scene.watch(&mut monitor, 60);
    assert!(first(&seen, Trouble::Blurred) <= 8.0);
    scene.blur = false;
    let after = scene.watch(&mut monitor, 20);
    assert_eq!(after[5 * FPS as usize..].iter().flatten().count(), 0);

    let (mut scene, mut monitor) = start();
    scene.shift = 40 + 31 * WIDTH;
    let seen = scene.watch(&mut monitor, 120);
    assert!(first(&seen, Trouble::Moved) <= 8.0);
    assert_eq!(
        seen[60 * FPS as usize..].iter().flatten().count(),
        0,
        "the new place was never taken for normal"
    );

    let (mut scene, mut monitor) = start();
    let still = scene.next();
    let seen: Vec<_> = (1..300u64)
        .map(|i| monitor.push(&Frame { time_s: still.time_s + i as f64 / FPS, ..still.clone() }))
        .collect();
    assert!((19.0..22.0).contains(&first(&seen, Trouble::Frozen)));
    scene.index += 300;
    assert_eq!(scene.watch(&mut monitor, 20).into_iter().flatten().count(), 0);
}

#[test]
fn odd_frames_do_no_harm() {
    let mut monitor = HealthMonitor::new(HealthConfig::default());
    let mut clock = ClockDetector::new();
    for (i, (width, height)) in
        [(1, 1), (1, 700), (700, 1), (0, 0), (3, 2), (3, 2)].into_iter().cycle().take(60).enumerate()
    {
        let time_s = [0.0, 5.0, -3.0, f64::NAN, 1e300][i % 5];
        let frame = Frame { time_s, ..Frame::filled(width, height, Colour::Rgb, i as u8) };
        monitor.push(&frame);
        clock.push(&frame);
    }
    assert_eq!(clock.suggestion(), None);
}

#[test]
fn a_real_camera_is_healthy() {
    // the lights of the room go off and on at 1622, 2102 and 2139 s, and are off for minutes
    let files = [
        ("upcam/eval.mp4", 1560..1700),
        ("upcam/eval.mp4", 2050..2250),
        ("vtest.avi", 0..80),
        ("ped2/train.mkv", 0..60),
    ];
    for (file, seconds) in files {
        let Some(frames) = real(file, seconds) else { return a_healthy_camera_has_no_trouble() };
        let mut monitor = HealthMonitor::new(HealthConfig::default());
        let mut told = Vec::new();
        let mut count = 0;
        for frame in frames {
            count += 1;
            if let Some(trouble) = monitor.push(&frame) {
                told.push((frame.index, trouble));
            }
        }
        println!("{file}: {} of {count} frames in trouble; {:?}", told.len(), told.first());
        assert!(told.len() * 200 < count, "{file}: {} of {count} frames: {told:?}", told.len());
    }
}
