//! Clips: windows of consecutive frames of one source, and the split of footage into what is learnt from and what
//! is held out.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::{FrameStore, StoredFrame, SystemError};

/// Sources shorter than so many clips are learnt from whole.
const CLIPS_TO_SPLIT: usize = 4;

/// Consecutive frames of one source: places `start..end` of a store.
pub(crate) type Run = std::ops::Range<usize>;

/// Stretches of footage without a gap, by what they are for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Parts {
    /// To learn from.
    pub(crate) train: Vec<Run>,
    /// Held out: for statistics, and an early look.
    pub(crate) held_out: Vec<Run>,
}

impl Parts {
    /// The last `share` of each gapless stretch is held out: at least one clip of `length` frames, where four are
    /// there. With a `share` of 0 nothing is.
    pub(crate) fn of(frames: &[StoredFrame], share: f64, length: usize) -> Self {
        let mut parts = Self::default();
        for run in gapless(frames) {
            let held = match share > 0.0 && run.len() >= CLIPS_TO_SPLIT * length {
                true => ((run.len() as f64 * share) as usize).max(length),
                false => 0,
            };
            let middle = run.end - held;
            parts.train.push(run.start..middle);
            parts.held_out.extend((held > 0).then_some(middle..run.end));
        }
        parts
    }
}

/// Stretches in which each frame follows the one before in the same source.
fn gapless(frames: &[StoredFrame]) -> Vec<Run> {
    let follows = |a: &StoredFrame, b: &StoredFrame| a.clip == b.clip && a.index + 1 == b.index;
    let mut start = 0;
    let run = |run: &[StoredFrame]| {
        start += run.len();
        start - run.len()..start
    };
    frames.chunk_by(follows).map(run).collect()
}

/// Of `runs`, pieces of one clip's `length` to two spread evenly, some `budget` frames in all; the runs themselves where
/// they are no more.
pub(crate) fn thinned(runs: &[Run], length: usize, budget: usize) -> Vec<Run> {
    if runs.iter().map(Run::len).sum::<usize>() <= budget {
        return runs.to_vec();
    }
    let cut = |run: &Run| {
        let end = run.end;
        run.clone().step_by(2 * length).map(move |start| start..end.min(start + 2 * length))
    };
    let pieces: Vec<Run> = runs.iter().flat_map(cut).filter(|piece| piece.len() >= length).collect();
    let frames = pieces.iter().map(Run::len).sum::<usize>().max(1);
    let count = (pieces.len() * budget / frames).clamp(1, pieces.len().max(1)).min(pieces.len());
    (0..count).map(|i| pieces[i * pieces.len() / count].clone()).collect()
}

/// First places of the clips of `length` frames in `runs`, `stride` apart.
pub(crate) fn clip_starts(runs: &[Run], length: usize, stride: usize) -> Vec<usize> {
    let starts = |run: &Run| (run.start..(run.end + 1).saturating_sub(length)).step_by(stride.max(1));
    runs.iter().flat_map(starts).collect()
}

/// The clips in the order in which an epoch visits them.
pub(crate) fn shuffled(starts: &[usize], seed: u64, epoch: u64) -> Vec<usize> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(epoch + 1);
    let mut order = starts.to_vec();
    order.shuffle(&mut rng);
    order
}

/// The clip of the frames at `places`, `[channels, places, height, width]`. `to_planes` makes one frame's
/// `[channels, height, width]` of its bytes.
pub(crate) fn read_clip(
    footage: &FrameStore,
    places: &[usize],
    to_planes: impl Fn(&[u8]) -> Vec<f32>,
) -> Result<Vec<f32>, SystemError> {
    let format = footage.format();
    let shape = [format.colour.channels(), places.len()];
    let mut clip = vec![0.0; places.len() * format.frame_bytes()];
    let bytes = footage.read(places)?;
    for (t, frame) in bytes.chunks_exact(format.frame_bytes()).enumerate() {
        put_frame(&mut clip, t, &to_planes(frame), shape);
    }
    Ok(clip)
}

/// Puts a frame `[channels, plane]` into a clip `[channels, length, plane]` as its frame `t`.
pub(crate) fn put_frame(clip: &mut [f32], t: usize, frame: &[f32], [channels, length]: [usize; 2]) {
    let plane = frame.len() / channels;
    for (c, values) in frame.chunks_exact(plane).enumerate() {
        clip[(c * length + t) * plane..][..plane].copy_from_slice(values);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use vadis_video::{Colour, Frame};

    use super::*;
    use crate::{FrameStoreWriter, InputFormat};

    fn stored(clip: usize, indices: std::ops::Range<u64>) -> impl Iterator<Item = StoredFrame> {
        indices.map(move |index| StoredFrame { clip, index, time_s: index as f64 })
    }

    #[test]
    fn clips_never_cross_a_source_or_a_gap() {
        let frames: Vec<_> = stored(0, 0..10).chain(stored(1, 0..5)).chain(stored(1, 6..12)).collect();
        let parts = Parts::of(&frames, 0.0, 4);
        assert_eq!(parts.train, [0..10, 10..15, 15..21]);
        assert_eq!(clip_starts(&parts.train, 4, 2), [0, 2, 4, 6, 10, 15, 17]);
        assert_eq!(clip_starts(&parts.train, 11, 1), [0; 0]);
    }

    #[test]
    fn the_end_of_each_long_source_is_held_out() {
        let frames: Vec<_> = stored(0, 0..100).chain(stored(1, 0..15)).chain(stored(2, 0..16)).collect();
        let parts = Parts::of(&frames, 0.2, 4);
        assert_eq!(parts.train, [0..80, 100..115, 115..127]);
        assert_eq!(parts.held_out, [80..100, 127..131], "a whole clip at least");
        assert_eq!(thinned(&parts.held_out, 4, 24), parts.held_out);
        assert_eq!(thinned(&parts.held_out, 4, 12), [80..88, 96..100]);
        assert_eq!(thinned(&[0..4, 9..13, 20..24], 4, 8), [0..4, 9..13], "runs of one clip each");
        assert_eq!(thinned(&[0..4, 9..13], 8, 4), [0..0; 0]);
    }

    #[test]
    fn a_clip_has_its_channels_apart() {
        let format = InputFormat { width: 2, height: 1, colour: Colour::Rgb };
        let folder = tempfile::tempdir().unwrap();
        let mut writer = FrameStoreWriter::create(folder.path(), format, 9).unwrap();
        for t in 0..3u8 {
            let data = (0..6).map(|i| 10 * t + i).collect();
            writer
                .push(0, &Frame { index: u64::from(t), data, ..Frame::filled(2, 1, Colour::Rgb, 0) })
                .unwrap();
        }
        let planes =
            |bytes: &[u8]| -> Vec<f32> { (0..6).map(|i| f32::from(bytes[(i % 2) * 3 + i / 2])).collect() };
        let clip = read_clip(&writer.finish().unwrap(), &[1, 2], planes).unwrap();
        assert_eq!(clip, [10., 13., 20., 23., 11., 14., 21., 24., 12., 15., 22., 25.]);
    }

    proptest! {
        #[test]
        fn every_clip_is_visited_once_an_epoch(count in 0usize..50, seed: u64, epoch in 0u64..9) {
            let starts: Vec<usize> = (0..count).collect();
            let mut order = shuffled(&starts, seed, epoch);
            prop_assert_eq!(&order, &shuffled(&starts, seed, epoch));
            order.sort_unstable();
            prop_assert_eq!(order, starts);
        }
    }
}
