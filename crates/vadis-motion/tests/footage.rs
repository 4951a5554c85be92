//! Frame differencing on footage: UCSD Ped2's test clips where `VADIS_DATA` has them, else clips made here.

#![allow(clippy::unwrap_used, reason = "a helper of tests may panic as they do")]

use std::path::{Path, PathBuf};

use vadis_eval::metrics::Ranking;
use vadis_motion::{FrameDiff, FrameDiffConfig, FrameMotion, Span};
use vadis_video::{Colour, Frame, FrameFormat, FrameReader, ReadOptions, Source};

/// Frames and labels (1 = abnormal) of one clip.
struct Clip {
    frames: Vec<Frame>,
    labels: Vec<u8>,
}

/// Frames of Ped2's test clips with the first and last abnormal frame, from 1 (`UCSDped2.m`).
const PED2: [(usize, [usize; 2]); 12] = [
    (180, [61, 180]),
    (180, [95, 180]),
    (150, [1, 146]),
    (180, [31, 180]),
    (150, [1, 129]),
    (180, [1, 159]),
    (180, [46, 180]),
    (180, [1, 180]),
    (120, [1, 120]),
    (150, [1, 150]),
    (180, [1, 180]),
    (180, [88, 180]),
];

fn ped2() -> Option<PathBuf> {
    let path = Path::new(&std::env::var_os("VADIS_DATA")?).join("ped2/test.mkv");
    path.exists().then_some(path)
}

fn read_ped2(path: PathBuf) -> Vec<Clip> {
    let format = FrameFormat { size: Some((240, 160)), colour: Colour::Grey };
    let mut reader = FrameReader::open(&Source::file(path), &format, &ReadOptions::default()).unwrap();
    let clip = |(length, [first, last]): (usize, [usize; 2])| {
        let frames: Vec<_> = reader.by_ref().take(length).map(Result::unwrap).collect();
        let labels = (1..=length).map(|t| u8::from((first..=last).contains(&t))).collect();
        Clip { frames, labels }
    };
    PED2.map(clip).into()
}

/// Slow squares everywhere, and in the second half of each clip one that is fast.
fn make_clips() -> Vec<Clip> {
    let paint = |frame: &mut Frame, x: usize, y: usize, value: u8| {
        for row in y..y + 12 {
            let start = row * frame.width + x % (frame.width - 12);
            frame.data[start..start + 12].fill(value);
        }
    };
    let picture = |clip: usize, t: usize| {
        let mut frame = Frame::filled(96, 64, Colour::Grey, 90);
        for walker in 0..4 {
            paint(&mut frame, 20 * walker + 7 * clip + t / 4, 12 * walker, 140);
        }
        if t >= 30 {
            paint(&mut frame, 4 * t, 50, 140);
        }
        frame
    };
    (0..4)
        .map(|clip| Clip {
            frames: (0..60).map(|t| picture(clip, t)).collect(),
            labels: (0..60).map(|t| u8::from(t >= 30)).collect(),
        })
        .collect()
}

/// One score a frame; frames at a clip's ends have their nearest neighbour's.
fn scores(clip: &Clip, span: Span, score: impl Fn(&FrameMotion) -> f64) -> Vec<f64> {
    let mut scorer = FrameDiff::new(FrameDiffConfig { span, patch: 16 }).unwrap();
    let motions: Vec<_> = clip.frames.iter().filter_map(|frame| scorer.push(frame).unwrap()).collect();
    let mut values: Vec<_> = motions.iter().map(score).collect();
    values.insert(0, values[0]);
    values.resize(clip.frames.len(), values[values.len() - 1]);
    values
}

fn micro_auc(clips: &[Clip], span: Span, score: impl Fn(&FrameMotion) -> f64) -> f64 {
    let scores: Vec<_> = clips.iter().flat_map(|clip| scores(clip, span, &score)).collect();
    let labels: Vec<_> = clips.iter().flat_map(|clip| clip.labels.clone()).collect();
    Ranking::new(&scores, &labels).unwrap().figures().auc.unwrap()
}

/// Mean and worst patch between consecutive frames, then the same around a frame.
fn micro_aucs(clips: &[Clip]) -> [f64; 4] {
    [
        micro_auc(clips, Span::Backward, |motion| motion.mean),
        micro_auc(clips, Span::Backward, |motion| motion.worst.mean),
        micro_auc(clips, Span::Symmetric, |motion| motion.mean),
        micro_auc(clips, Span::Symmetric, |motion| motion.worst.mean),
    ]
}

#[test]
fn frame_differencing_finds_what_is_fast() {
    let Some(path) = ped2() else {
        let aucs = micro_aucs(&make_clips());
        assert!(aucs.iter().all(|&auc| auc > 0.9), "{aucs:?}");
        return;
    };
    // OpenCV and scikit-learn (`scripts/ped2.py`)
    let expected = [0.73293, 0.90290, 0.68295, 0.86843];
    let aucs = micro_aucs(&read_ped2(path));
    assert!(aucs.iter().zip(expected).all(|(auc, expected)| (auc - expected).abs() < 1e-3), "{aucs:?}");
}
