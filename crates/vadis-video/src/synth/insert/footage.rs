//! What moves in a window of footage: median background, noise, and people followed through the window.

use std::collections::VecDeque;

use super::cutout::Cutout;
use crate::frame::connected;
use crate::{Frame, Mask};

/// Frames from which the background is taken.
const SAMPLES: usize = 15;
/// Grey levels by which a moving pixel differs from the background at least.
const LEAST_CONTRAST: f32 = 14.0;
/// Share of the frame that a moving thing covers, least and greatest.
const AREA: (f32, f32) = (8.0e-4, 0.06);
/// Frames a thing is followed at least.
const LEAST_FRAMES: usize = 6;
/// Pixels of background kept around a cutout, for its feathered edge.
const MARGIN: usize = 2;
/// Moving things looked at in a frame; more are noise.
const BLOBS: usize = 64;

/// The background of a window of frames.
#[derive(Debug, Clone)]
pub(super) struct Background {
    pub(super) width: usize,
    pub(super) height: usize,
    /// Grey level a pixel.
    pub(super) grey: Vec<u8>,
    /// Standard deviation of the noise in grey levels.
    pub(super) noise: f32,
}

/// A moving thing, followed.
#[derive(Debug, Clone)]
pub(super) struct Track {
    /// Its picture in successive frames.
    pub(super) cutouts: Vec<Cutout>,
    /// Bottom centre in each frame, pixels.
    pub(super) feet: Vec<(f32, f32)>,
}

/// A connected set of moving pixels in one frame.
#[derive(Debug, Clone)]
struct Blob {
    from: (usize, usize),
    inside: Mask,
    area: usize,
}

/// A track while it is followed: the blob of each frame, from frame `first` on.
struct Trail {
    first: usize,
    blobs: Vec<Blob>,
}

impl Background {
    /// The per-pixel median over frames of one size. `None` for fewer than three.
    pub(super) fn of(frames: &VecDeque<Frame>) -> Option<Self> {
        let first = frames.front().filter(|_| frames.len() >= 3)?;
        let every = frames.len().div_ceil(SAMPLES);
        let greys: Vec<Vec<u8>> = frames.iter().step_by(every).map(|f| f.to_grey().data).collect();
        let mut column = vec![0; greys.len()];
        let grey: Vec<u8> = (0..first.width * first.height)
            .map(|i| {
                column.iter_mut().zip(&greys).for_each(|(c, g)| *c = g[i]);
                column.sort_unstable();
                column[column.len() / 2]
            })
            .collect();
        let noise = noise(&grey, &greys);
        Some(Self { width: first.width, height: first.height, grey, noise })
    }

    /// Mean grey level in a rectangle, clipped to the frame.
    pub(super) fn mean(&self, from: (isize, isize), size: (usize, usize)) -> f32 {
        let clip = |v: isize, end: usize| v.clamp(0, end as isize) as usize;
        let (x0, x1) = (clip(from.0, self.width), clip(from.0 + size.0 as isize, self.width));
        let (y0, y1) = (clip(from.1, self.height), clip(from.1 + size.1 as isize, self.height));
        let rows = (y0..y1).flat_map(|y| &self.grey[y * self.width + x0..y * self.width + x1]);
        let (sum, count) = rows.fold((0u64, 0u64), |(s, n), &v| (s + u64::from(v), n + 1));
        if count == 0 { 128.0 } else { sum as f32 / count as f32 }
    }

    /// The things that move through the frames, longest path first.
    pub(super) fn tracks(&self, frames: &VecDeque<Frame>) -> Vec<Track> {
        let mut open: Vec<Trail> = Vec::new();
        let mut done: Vec<Trail> = Vec::new();
        for (i, frame) in frames.iter().enumerate() {
            let mut blobs = self.blobs(frame);
            let (kept, ended): (Vec<Trail>, Vec<Trail>) =
                open.into_iter().filter_map(|t| follow(t, &mut blobs, i)).partition(|t| t.end() > i);
            open = kept;
            done.extend(ended);
            open.extend(blobs.into_iter().map(|blob| Trail { first: i, blobs: vec![blob] }));
        }
        done.extend(open);
        let mut tracks: Vec<Track> = done
            .into_iter()
            .filter(|t| t.blobs.len() >= LEAST_FRAMES && t.moves())
            .map(|t| self.cut(&t, frames))
            .collect();
        tracks.sort_by(|a, b| b.path().total_cmp(&a.path()));
        tracks
    }

    /// Connected moving things of a plausible size, wholly inside the frame, largest first.
    fn blobs(&self, frame: &Frame) -> Vec<Blob> {
        let grey = frame.to_grey().data;
        let contrast = LEAST_CONTRAST.max(4.5 * self.noise) as u8;
        let moving: Vec<bool> =
            grey.iter().zip(&self.grey).map(|(a, b)| a.abs_diff(*b) >= contrast).collect();
        let moving = majority(&moving, self.width, self.height);
        let pixels = (self.width * self.height) as f32;
        let plausible =
            |b: &Blob| (AREA.0 * pixels..AREA.1 * pixels).contains(&(b.area as f32)) && b.area >= 24;
        let mut blobs: Vec<Blob> = components(&moving, self.width, self.height)
            .into_iter()
            .filter(|b| plausible(b) && self.holds(b))
            .collect();
        blobs.sort_by_key(|b| std::cmp::Reverse(b.area));
        blobs.truncate(BLOBS);
        blobs
    }

    fn holds(&self, blob: &Blob) -> bool {
        let (x, y) = blob.from;
        x > 0 && y > 0 && x + blob.inside.width < self.width && y + blob.inside.height < self.height
    }

    fn cut(&self, trail: &Trail, frames: &VecDeque<Frame>) -> Track {
        let cutouts = trail.blobs.iter().enumerate().map(|(i, blob)| {
            let from = (blob.from.0 as isize, blob.from.1 as isize);
            let surround = self.mean(from, (blob.inside.width, blob.inside.height));
            Cutout::from_frame(&frames[trail.first + i], blob.from, &blob.inside, surround)
        });
        Track { cutouts: cutouts.collect(), feet: trail.blobs.iter().map(Blob::foot).collect() }
    }
}

impl Track {
    /// Pixels between its first and its last place.
    fn path(&self) -> f32 {
        self.feet.first().zip(self.feet.last()).map_or(0.0, |(a, b)| distance(*a, *b))
    }

    /// Mean pixels a frame.
    pub(super) fn velocity(&self) -> (f32, f32) {
        let steps = self.feet.len().saturating_sub(1).max(1) as f32;
        self.feet
            .first()
            .zip(self.feet.last())
            .map_or((0.0, 0.0), |(a, b)| ((b.0 - a.0) / steps, (b.1 - a.1) / steps))
    }

    /// Median height in pixels.
    pub(super) fn height(&self) -> f32 {
        let mut heights: Vec<usize> = self.cutouts.iter().map(|c| c.height).collect();
        heights.sort_unstable();
        heights.get(heights.len() / 2).copied().unwrap_or(1) as f32
    }
}

impl Trail {
    fn end(&self) -> usize {
        self.first + self.blobs.len()
    }

    /// Whether it came further than it is wide.
    fn moves(&self) -> bool {
        self.blobs
            .first()
            .zip(self.blobs.last())
            .is_some_and(|(a, b)| distance(a.foot(), b.foot()) > 0.5 * a.inside.width as f32)
    }
}

impl Blob {
    fn foot(&self) -> (f32, f32) {
        let (w, h) = (self.inside.width as f32, self.inside.height as f32);
        (self.from.0 as f32 + w / 2.0, self.from.1 as f32 + h)
    }

    /// Whether this can be the same thing a frame later.
    fn continues(&self, before: &Self) -> bool {
        let reach = 0.7 * before.inside.width.max(before.inside.height) as f32;
        let alike = (0.55..1.8).contains(&(self.area as f32 / before.area as f32));
        alike && distance(self.foot(), before.foot()) < reach
    }
}

/// Gives a trail its next blob, the nearest that fits; a trail that found none is left as it is.
fn follow(mut trail: Trail, blobs: &mut Vec<Blob>, frame: usize) -> Option<Trail> {
    debug_assert_eq!(trail.end(), frame);
    let last = trail.blobs.last()?;
    let fits = blobs.iter().enumerate().filter(|(_, b)| b.continues(last));
    let nearest = fits
        .min_by(|(_, a), (_, b)| distance(a.foot(), last.foot()).total_cmp(&distance(b.foot(), last.foot())));
    if let Some(i) = nearest.map(|(i, _)| i) {
        trail.blobs.push(blobs.swap_remove(i));
    }
    Some(trail)
}

fn distance(a: (f32, f32), b: (f32, f32)) -> f32 {
    (a.0 - b.0).hypot(a.1 - b.1)
}

/// Robust standard deviation of the frames about the background: 1.4826 · median absolute deviation.
fn noise(background: &[u8], greys: &[Vec<u8>]) -> f32 {
    let mut counts = [0u64; 256];
    let differences = greys.iter().flat_map(|g| g.iter().zip(background).step_by(7));
    differences.for_each(|(a, b)| counts[a.abs_diff(*b) as usize] += 1);
    let half = counts.iter().sum::<u64>() / 2;
    let mut below = 0;
    let median = counts.iter().position(|&n| {
        below += n;
        below > half
    });
    1.4826 * median.unwrap_or(0) as f32
}

/// Keeps a pixel where five of its 3 × 3 neighbourhood are set.
fn majority(set: &[bool], width: usize, height: usize) -> Vec<bool> {
    let mut out = vec![false; set.len()];
    for y in 1..height.saturating_sub(1) {
        for x in 1..width.saturating_sub(1) {
            let rows = (y - 1..=y + 1).map(|v| &set[v * width + x - 1..v * width + x + 2]);
            out[y * width + x] = rows.flatten().filter(|&&v| v).count() >= 5;
        }
    }
    out
}

/// 8-connected components with their bounding boxes, each enlarged by the margin.
fn components(set: &[bool], width: usize, height: usize) -> Vec<Blob> {
    connected(set.to_vec(), width, height).iter().map(|pixels| blob(pixels, width, height)).collect()
}

fn blob(pixels: &[usize], width: usize, height: usize) -> Blob {
    let columns = || pixels.iter().map(|i| i % width);
    let rows = || pixels.iter().map(|i| i / width);
    let span = |low: Option<usize>, high: Option<usize>, end: usize| {
        let low = low.unwrap_or(0).saturating_sub(MARGIN);
        (low, (high.unwrap_or(0) + MARGIN + 1).min(end) - low)
    };
    let (x, w) = span(columns().min(), columns().max(), width);
    let (y, h) = span(rows().min(), rows().max(), height);
    let mut inside = Mask::empty(w, h);
    pixels.iter().for_each(|i| inside.data[(i / width - y) * w + i % width - x] = 1);
    Blob { from: (x, y), inside, area: pixels.len() }
}
