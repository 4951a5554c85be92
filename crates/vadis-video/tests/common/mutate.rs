//! Small videos and images broken at random, each read to its end: nothing may panic, hang or grow without bound.

use std::collections::BTreeMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use vadis_video::{Colour, FrameFormat, FrameReader, ReadOptions, VideoError, discover_path};

/// Whole files to start from: extension and how `ffmpeg` makes it.
const SEEDS: &[(&str, &[&str])] = &[
    ("mp4", &["-c:v", "libx264", "-pix_fmt", "yuv420p", "-g", "6"]),
    ("mkv", &["-c:v", "libx264", "-pix_fmt", "yuv420p", "-movflags", "faststart"]),
    ("avi", &["-c:v", "mjpeg"]),
    ("m4v", &["-c:v", "mpeg4", "-f", "mp4"]),
    ("ts", &["-c:v", "mpeg2video"]),
    ("webm", &["-c:v", "libvpx"]),
    ("gif", &[]),
    ("png", &["-frames:v", "1"]),
    ("jpg", &["-frames:v", "1"]),
    ("bmp", &["-frames:v", "1"]),
    ("tif", &["-frames:v", "1", "-pix_fmt", "rgb24"]),
];

/// What became of the files of one extension.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Outcomes {
    /// Read to the end without a complaint.
    pub(crate) whole: usize,
    /// Some frames, then an error.
    pub(crate) damaged: usize,
    /// No frame at all: an error at opening or at the first frame.
    pub(crate) refused: usize,
    /// The decoder stood still and was ended.
    pub(crate) timed_out: usize,
    /// Panics: none is right.
    pub(crate) panicked: usize,
    /// The longest any took.
    pub(crate) longest: Duration,
}

/// Reads `count` mutated files, taking the seeds in turn (or those of one extension only); the same `seed` makes the
/// same files.
pub(crate) fn run(
    count: usize,
    seed: u64,
    timeout: Duration,
    only: Option<&str>,
) -> BTreeMap<&'static str, Outcomes> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let kinds = SEEDS.iter().filter(|(extension, _)| only.is_none_or(|o| o == *extension));
    let seeds: Vec<(&str, Vec<u8>)> =
        kinds.map(|(extension, options)| (*extension, make(folder.path(), extension, options))).collect();
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut outcomes: BTreeMap<&str, Outcomes> = BTreeMap::new();
    for i in 0..count {
        let (extension, bytes) = &seeds[i % seeds.len()];
        let donor = &seeds[rng.random_range(0..seeds.len())].1;
        let path = folder.path().join(format!("mutated.{extension}"));
        fs::write(&path, mutate(bytes, donor, &mut rng)).expect("written");
        let begun = Instant::now();
        let result = catch_unwind(AssertUnwindSafe(|| read_all(&path, timeout)));
        let entry = outcomes.entry(extension).or_default();
        entry.longest = entry.longest.max(begun.elapsed());
        match result {
            Err(_) => entry.panicked += 1,
            Ok((_, Some(VideoError::Timeout { .. }))) => entry.timed_out += 1,
            Ok((_, None)) => entry.whole += 1,
            Ok((0, Some(_))) => entry.refused += 1,
            Ok((_, Some(_))) => entry.damaged += 1,
        }
    }
    outcomes
}

fn make(folder: &Path, extension: &str, options: &[&str]) -> Vec<u8> {
    let out = folder.join(format!("seed.{extension}"));
    let status = Command::new("ffmpeg")
        .args([
            "-nostdin",
            "-v",
            "error",
            "-y",
            "-f",
            "lavfi",
            "-i",
            "testsrc2=size=64x48:rate=10:duration=2",
        ])
        .args(options)
        .arg(&out)
        .status()
        .expect("ffmpeg is installed");
    assert!(status.success(), "{extension}");
    let (frames, error) = read_all(&out, Duration::from_secs(60));
    assert!(frames > 0 && error.is_none(), "{extension}: {error:?}");
    fs::read(&out).expect("made")
}

/// One or two of: bytes changed, cut short, a run overwritten, taken out, doubled, or taken from another file.
pub(crate) fn mutate(bytes: &[u8], donor: &[u8], rng: &mut ChaCha8Rng) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..rng.random_range(1..=2) {
        if bytes.len() < 2 {
            break;
        }
        // Headers are where parsers live.
        let reach = if rng.random_bool(0.3) { bytes.len().min(600) } else { bytes.len() };
        let at = rng.random_range(0..reach);
        let run = rng.random_range(1..=(bytes.len() - at).min(60));
        match rng.random_range(0..6) {
            0 => (0..rng.random_range(1..8)).for_each(|_| {
                let i = rng.random_range(0..reach);
                bytes[i] = rng.random();
            }),
            1 => bytes.truncate(rng.random_range(1..bytes.len())),
            2 => bytes[at..at + run].fill(if rng.random_bool(0.5) { 0xFF } else { 0 }),
            3 => drop(bytes.drain(at..at + run)),
            4 => {
                let copy = bytes[at..at + run].to_vec();
                bytes.splice(at..at, copy);
            }
            _ => {
                let from = rng.random_range(0..donor.len());
                let part = &donor[from..donor.len().min(from + run)];
                bytes.splice(at..(at + run), part.iter().copied());
            }
        }
    }
    bytes
}

fn read_all(path: &Path, timeout: Duration) -> (usize, Option<VideoError>) {
    let options = ReadOptions { timeout, max_frames: Some(300), ..ReadOptions::default() };
    let format = FrameFormat { size: Some((32, 32)), colour: Colour::Rgb };
    let reader = discover_path(path).and_then(|sources| FrameReader::open(&sources[0], &format, &options));
    let reader = match reader {
        Ok(reader) => reader,
        Err(e) => return (0, Some(e)),
    };
    let mut frames = 0;
    for frame in reader {
        match frame {
            Ok(frame) => assert_eq!(frame.data.len(), 32 * 32 * 3),
            Err(e) => return (frames, Some(e)),
        }
        frames += 1;
    }
    (frames, None)
}
