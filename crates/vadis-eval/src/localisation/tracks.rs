use std::collections::BTreeMap;

use super::components::Parts;
use super::region::TrueRegion;
use super::{Bounds, TruthMask};

/// Makes tracks of masks: the parts of consecutive frames that overlap are one thing moving.
///
/// Of several that overlap, the pair with the most common pixels is joined first, each part once; what is left over
/// begins a track. Benchmarks that have tracks of their own draw them by hand: figures on these are not comparable.
#[derive(Debug, Clone, Default)]
pub struct TrackLinker {
    /// The last frame's parts, its size and the track of each part.
    last: Option<(Parts, (usize, usize), Vec<usize>)>,
    tracks: usize,
}

impl TrackLinker {
    /// All tracks end: a new video begins, or a frame has nothing in it.
    pub fn end_tracks(&mut self) {
        self.last = None;
    }

    /// Regions of the next frame, each with its track.
    pub fn link(&mut self, mask: &TruthMask<'_>) -> Vec<TrueRegion> {
        let (parts, size) = (mask.parts(), (mask.width(), mask.height()));
        let mut tracks: Vec<Option<usize>> = vec![None; parts.bounds.len()];
        if let Some((before, _, known)) = self.last.as_ref().filter(|(_, last_size, _)| *last_size == size) {
            for (from, to) in pairs(before, &parts) {
                tracks[to] = Some(known[from]);
            }
        }
        let tracks: Vec<usize> =
            tracks.into_iter().map(|track| track.unwrap_or_else(|| self.begin())).collect();
        let region = |(&bounds, &track): (&Bounds, &usize)| TrueRegion { bounds, track };
        let regions = parts.bounds.iter().zip(&tracks).map(region).collect();
        self.last = Some((parts, size, tracks));
        regions
    }

    fn begin(&mut self) -> usize {
        self.tracks += 1;
        self.tracks - 1
    }
}

/// Parts of two frames that belong together, each at most once, the largest overlap first.
fn pairs(before: &Parts, after: &Parts) -> Vec<(usize, usize)> {
    let mut common: BTreeMap<(usize, usize), usize> = BTreeMap::new();
    for (&from, &to) in before.of_pixel.iter().zip(&after.of_pixel) {
        if from != 0 && to != 0 {
            *common.entry((from as usize - 1, to as usize - 1)).or_default() += 1;
        }
    }
    let mut by_overlap: Vec<((usize, usize), usize)> = common.into_iter().collect();
    by_overlap.sort_by_key(|&(pair, pixels)| (std::cmp::Reverse(pixels), pair));
    let (mut left, mut taken) = (vec![false; before.bounds.len()], vec![false; after.bounds.len()]);
    by_overlap.retain(|&((from, to), _)| {
        let free = !left[from] && !taken[to];
        left[from] |= free;
        taken[to] |= free;
        free
    });
    by_overlap.into_iter().map(|(pair, _)| pair).collect()
}
