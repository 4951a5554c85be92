//! Random masks by the generators of LaMa (Suvorov et al., *Resolution-robust Large Mask Inpainting with Fourier
//! Convolutions*, WACV 2022): irregular strokes of a brush, and boxes; and masks of the user's.

use std::f64::consts::TAU;
use std::path::Path;

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use crate::{Colour, Frame, FrameFormat, FrameReader, Mask, ReadOptions, VideoError, discover_path};

/// Side of the pictures that the generators' lengths are given for.
const REFERENCE: f64 = 256.0;
/// Polylines of an irregular mask, and segments of each.
const LINES: (usize, usize) = (4, 5);
const SEGMENTS: (usize, usize) = (1, 5);
/// A segment's length and the brush's width in pixels.
const LENGTH: (f64, f64) = (10.0, 100.0);
const BRUSH: (f64, f64) = (5.0, 50.0);
/// Directions that a segment may have, one radian apart: up to so many.
const ANGLES: usize = 4;
/// Boxes of a mask, their sides in pixels, and what they keep from the border.
const BOXES: (usize, usize) = (1, 5);
const BOX_SIDE: (f64, f64) = (10.0, 50.0);
const BOX_MARGIN: f64 = 10.0;
/// Most masks read from a folder.
const MOST_MASKS: u64 = 4096;

/// What a random mask looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MaskKind {
    /// Polylines of a broad brush: LaMa's `medium` setting.
    Irregular,
    /// Boxes.
    Boxes,
}

/// Draws masks for pictures of one size; lengths are scaled from those for 256×256 by the shorter side.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MaskGenerator {
    width: usize,
    height: usize,
    scale: f64,
}

impl MaskGenerator {
    /// For pictures of `width`×`height` pixels.
    pub fn new(width: usize, height: usize) -> Self {
        Self { width, height, scale: width.min(height) as f64 / REFERENCE }
    }

    /// A mask of either kind, as often of one as of the other.
    pub fn draw(&self, rng: &mut ChaCha8Rng) -> Mask {
        let kind = if rng.random_bool(0.5) { MaskKind::Irregular } else { MaskKind::Boxes };
        self.draw_kind(kind, rng)
    }

    /// A mask of that kind.
    pub fn draw_kind(&self, kind: MaskKind, rng: &mut ChaCha8Rng) -> Mask {
        match kind {
            MaskKind::Irregular => self.irregular(rng),
            MaskKind::Boxes => self.boxes(rng),
        }
    }

    fn irregular(&self, rng: &mut ChaCha8Rng) -> Mask {
        let mut mask = Mask::empty(self.width, self.height);
        for line in 0..rng.random_range(LINES.0..=LINES.1) {
            let mut from = [self.width, self.height].map(|side| rng.random_range(0.0..=side as f64));
            for _ in 0..rng.random_range(SEGMENTS.0..=SEGMENTS.1) {
                let angle = 0.01 + rng.random_range(0..ANGLES) as f64;
                // Every other line turns the other way.
                let angle = if line % 2 == 0 { TAU - angle } else { angle };
                let length = self.scale * rng.random_range(LENGTH.0..=LENGTH.1);
                let brush = self.scale * rng.random_range(BRUSH.0..=BRUSH.1);
                let to = [
                    (from[0] + length * angle.sin()).clamp(0.0, self.width as f64),
                    (from[1] + length * angle.cos()).clamp(0.0, self.height as f64),
                ];
                stroke(&mut mask, from, to, brush / 2.0);
                from = to;
            }
        }
        mask
    }

    fn boxes(&self, rng: &mut ChaCha8Rng) -> Mask {
        let mut mask = Mask::empty(self.width, self.height);
        let margin = (self.scale * BOX_MARGIN).round() as usize;
        for _ in 0..rng.random_range(BOXES.0..=BOXES.1) {
            let [(left, w), (top, h)] = [self.width, self.height].map(|side| {
                let room = side.saturating_sub(2 * margin).max(1);
                let [least, most] =
                    [BOX_SIDE.0, BOX_SIDE.1].map(|s| ((self.scale * s).round() as usize).clamp(1, room));
                let length = rng.random_range(least..=most).min(side);
                let last = side.saturating_sub(margin + length).max(margin.min(side - length));
                (rng.random_range(margin.min(last)..=last), length)
            });
            for row in top..top + h {
                mask.data[row * self.width + left..][..w].fill(1);
            }
        }
        mask
    }
}

/// Sets what is within `radius` of the line.
fn stroke(mask: &mut Mask, from: [f64; 2], to: [f64; 2], radius: f64) {
    let radius = radius.max(0.5);
    let span = |axis: usize, side: usize| {
        let low = (from[axis].min(to[axis]) - radius).floor().max(0.0) as usize;
        let high = (from[axis].max(to[axis]) + radius).ceil().max(0.0) as usize;
        low.min(side)..(high + 1).min(side)
    };
    let along = [to[0] - from[0], to[1] - from[1]];
    let squared = (along[0] * along[0] + along[1] * along[1]).max(f64::MIN_POSITIVE);
    for y in span(1, mask.height) {
        for x in span(0, mask.width) {
            let [dx, dy] = [x as f64 - from[0], y as f64 - from[1]];
            let t = ((dx * along[0] + dy * along[1]) / squared).clamp(0.0, 1.0);
            if (dx - t * along[0]).hypot(dy - t * along[1]) <= radius {
                mask.data[y * mask.width + x] = 1;
            }
        }
    }
}

/// The same mask for each of `length` frames, moving by `velocity` pixels a frame: what leaves the picture is lost.
pub fn clip_of_masks(mask: &Mask, velocity: [f64; 2], length: usize) -> Vec<Mask> {
    let moved = |t: usize| {
        let [dx, dy] = velocity.map(|v| (v * t as f64).round() as isize);
        let mut out = Mask::empty(mask.width, mask.height);
        for (i, _) in mask.data.iter().enumerate().filter(|(_, set)| **set != 0) {
            let place = |at: usize, by: isize, side: usize| at.checked_add_signed(by).filter(|&v| v < side);
            let x = place(i % mask.width, dx, mask.width);
            if let (Some(x), Some(y)) = (x, place(i / mask.width, dy, mask.height)) {
                out.data[y * mask.width + x] = 1;
            }
        }
        out
    };
    (0..length).map(moved).collect()
}

/// The mask with all that is within `radius` pixels of it, along each axis.
pub fn dilated(mask: &Mask, radius: usize) -> Mask {
    let mut out = Mask::empty(mask.width, mask.height);
    for (i, _) in mask.data.iter().enumerate().filter(|(_, set)| **set != 0) {
        let (x, y) = (i % mask.width, i / mask.width);
        let columns = x.saturating_sub(radius)..(x + radius + 1).min(mask.width);
        for row in y.saturating_sub(radius)..(y + radius + 1).min(mask.height) {
            out.data[row * mask.width..][columns.clone()].fill(1);
        }
    }
    out
}

/// The masks in a folder of pictures (white is the hole), scaled to `width`×`height`; at most 4096, empty ones left out.
///
/// # Errors
/// Whatever keeps the folder from being read; see [`VideoError`].
pub fn read_masks(folder: &Path, width: usize, height: usize) -> Result<Vec<Mask>, VideoError> {
    let format = FrameFormat { size: Some((width, height)), colour: Colour::Grey };
    let mut masks = Vec::new();
    for source in discover_path(folder)? {
        let left = MOST_MASKS - masks.len() as u64;
        let options = ReadOptions { max_frames: Some(left), ..ReadOptions::default() };
        for frame in FrameReader::open(&source, &format, &options)? {
            let Frame { data, .. } = frame?;
            let mask = Mask { width, height, data: data.iter().map(|&v| u8::from(v > 127)).collect() };
            masks.extend((mask.area() > 0).then_some(mask));
        }
        if masks.len() as u64 >= MOST_MASKS {
            break;
        }
    }
    Ok(masks)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng;

    use super::*;

    /// Made by `tests/scripts/lama_masks.py`: the share of the picture that 20 000 masks of a NumPy twin of the
    /// generators cover: mean, and the quantiles .1, .5 and .9.
    const COVERED: [(MaskKind, [f64; 4]); 2] = [
        (MaskKind::Irregular, [0.2501, 0.1596, 0.2473, 0.3435]),
        (MaskKind::Boxes, [0.0403, 0.0112, 0.0383, 0.0716]),
    ];

    fn shares(kind: MaskKind, width: usize, height: usize, count: usize) -> Vec<f64> {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let generator = MaskGenerator::new(width, height);
        let share = |_| generator.draw_kind(kind, &mut rng).area() as f64 / (width * height) as f64;
        let mut shares: Vec<f64> = (0..count).map(share).collect();
        shares.sort_unstable_by(f64::total_cmp);
        shares
    }

    #[test]
    fn masks_cover_as_much_as_lamas() {
        for (kind, [mean, low, middle, high]) in COVERED {
            for (width, height, slack) in [(256, 256, 0.06), (128, 128, 0.12)] {
                let got = shares(kind, width, height, 3000);
                let ours = got.iter().sum::<f64>() / 3000.0;
                for (ours, theirs) in [(ours, mean), (got[300], low), (got[1500], middle), (got[2700], high)]
                {
                    assert!((ours - theirs).abs() <= slack * theirs, "{kind:?} {width}: {ours} {theirs}");
                }
            }
        }
    }

    #[test]
    fn there_are_as_many_boxes_as_told_and_of_their_size() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let generator = MaskGenerator::new(256, 256);
        for _ in 0..200 {
            let mask = generator.draw_kind(MaskKind::Boxes, &mut rng);
            let parts = mask.components();
            assert!((1..=5).contains(&parts.len()));
            for pixels in parts {
                let columns = pixels.iter().map(|i| i % 256);
                let (low, high) = (columns.clone().min().unwrap(), columns.max().unwrap());
                // Boxes that touch are one part.
                assert!((10..=250).contains(&(high - low + 1)) && low >= 10 && high < 246);
            }
        }
    }

    #[test]
    fn a_moving_mask_leaves_the_picture() {
        let mut mask = Mask::empty(6, 2);
        mask.data[4] = 1;
        let clip = clip_of_masks(&mask, [1.0, 0.5], 3);
        let places = |m: &Mask| m.data.iter().position(|&v| v != 0);
        assert_eq!(clip.iter().map(places).collect::<Vec<_>>(), [Some(4), Some(11), None]);
        assert_eq!(dilated(&mask, 1).area(), 6);
    }

    proptest! {
        #[test]
        fn any_size_has_masks_that_are_not_empty(width in 1usize..200, height in 1usize..200, seed: u64) {
            let generator = MaskGenerator::new(width, height);
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let boxes = generator.draw_kind(MaskKind::Boxes, &mut rng);
            prop_assert!(boxes.area() > 0 && boxes.data.len() == width * height);
            prop_assert_eq!(generator.draw_kind(MaskKind::Irregular, &mut rng).data.len(), width * height);
        }
    }
}
