//! The weight gradient of a convolution by tiles: rows are the channels of the vector image, lanes the window's places and
//! channels of the scalar one, terms the pixels of the vector image.
//!
//! Only the vector image is flipped, once; a row of the scalar one is brought to pairs of pixels as each tap in width meets it.
//! Some rows of both are worked on at a time, which stay near the first-level cache meanwhile.

use super::{Block, Flipped, Phases, TILE, Terms, Tiles, pairs};
use crate::amx::ROWS;
use crate::conv::{Image, Window};
use crate::tile::{LANES, WIDTH};

/// Pixels of a row below which tiles take longer than vectors.
const LEAST_PIXELS: usize = 8;
/// Halves of both images that are worked on at a time.
const BAND: usize = 24 * 1024;

/// A weight gradient whose images suit tiles.
#[derive(Clone, Debug)]
pub(crate) struct Correlation {
    window: Window,
    scalar: Image,
    vector: Image,
    /// Most rows of the vector image at a time.
    band: usize,
    flipped: Flipped,
    phases: Phases,
    /// The blocks of lanes of all rows of the kernel, in the order in which their terms lie.
    places: Vec<Block>,
}

impl Correlation {
    /// If both images have whole blocks of channels, and the vector one rows of some length.
    pub(crate) fn new(window: Window, scalar: Image, vector: Image) -> Option<Self> {
        let whole = |image: &Image| image.channels.is_multiple_of(LANES);
        let suits = whole(&scalar) && whole(&vector) && vector.width >= LEAST_PIXELS;
        suits.then(|| {
            let ([kernel, across], [stride, _]) = (window.kernel, window.stride);
            let blocks = across * scalar.channels / LANES;
            let row = vector.width.next_multiple_of(2);
            let of_row = 2 * row * (vector.channels + stride * blocks * LANES);
            let bands = (vector.height * of_row).div_ceil(BAND).clamp(1, vector.height);
            let band = vector.height.div_ceil(bands);
            let flipped = Flipped::new([band, vector.width], vector.channels);
            let phases = Phases::new(band, row, kernel, stride);
            let group = vector.channels * WIDTH;
            let places = phases.blocks(blocks, phases.len(), |block, ky| {
                (ky * blocks.div_ceil(2) + block / 2) * group + block % 2 * LANES
            });
            Self { window, scalar, vector, band, flipped, phases, places }
        })
    }

    /// Adds one image's share to sums that lie as `[ky][group of 32 lanes (kx, scalar channel)][vector channel][32]`.
    pub(crate) fn accumulate(&self, scalar: &[f32], vector: &[f32], sums: &mut [f32]) {
        let lanes_len = self.places.len() / self.window.kernel[0] * self.phases.len();
        super::with_buffer(self.flipped.len() + lanes_len + TILE, |buffer| {
            let (rows, buffer) = buffer.split_at_mut(self.flipped.len());
            let (lanes, pairs) = buffer.split_at_mut(lanes_len);
            self.clear_ends(lanes);
            Tiles::with(|tiles| {
                for first in (0..self.vector.height).step_by(self.band) {
                    let count = (self.vector.height - first).min(self.band);
                    self.read_vector(vector, [first, count], rows, pairs);
                    self.read_scalar(scalar, [first, count], lanes);
                    let pitch = [ROWS * WIDTH, WIDTH];
                    self.flipped.multiply(tiles, [rows, lanes], count, &self.places, sums, pitch);
                }
            });
        });
    }

    /// What tiles read after a phase's last row is to be finite.
    fn clear_ends(&self, lanes: &mut [u16]) {
        for block in lanes.chunks_exact_mut(self.phases.len()) {
            for (_, rows) in self.phases.split(block) {
                let end = rows.len() - TILE;
                rows[end..].fill(0);
            }
        }
    }

    fn read_vector(&self, image: &[f32], [first, count]: [usize; 2], halves: &mut [u16], buffer: &mut [u16]) {
        let Self { vector, flipped, .. } = self;
        for y in 0..count {
            let row = &image[vector.row(first + y)];
            for channel in (0..vector.channels).step_by(LANES) {
                let columns = Terms { values: &row[channel..], step: vector.channels, count: vector.width };
                flipped.read(columns, halves, channel * flipped.channel + y * flipped.row, buffer);
            }
        }
        flipped.end(count, halves);
    }

    /// The rows of the scalar image that those of the vector image meet.
    fn read_scalar(&self, image: &[f32], [first, count]: [usize; 2], lanes: &mut [u16]) {
        let [sy, sx] = self.window.stride;
        let [top, left] = [0, 1].map(|axis| self.scalar.halo.0[axis][0] - self.window.padding[axis]);
        let (pitch, channels, len) = (self.scalar.pitch(), self.scalar.channels, self.phases.row_len());
        for (index, block) in lanes.chunks_exact_mut(self.phases.len()).enumerate() {
            for (phase, rows) in self.phases.split(block) {
                let beyond = self.phases.beyond(phase);
                // Those that the band before read too, which had as many rows as any but the last.
                let old = if first == 0 { 0 } else { beyond };
                rows.copy_within(self.band * len..(self.band + old) * len, 0);
                for (row, to) in rows.chunks_exact_mut(len).enumerate().take(count + beyond).skip(old) {
                    let y = top + (first + row) * sy + phase;
                    let values = &image[y * pitch + left * channels + index * LANES..];
                    pairs(Terms { values, step: sx * channels, count: self.vector.width }, 1, to);
                }
            }
        }
    }
}
