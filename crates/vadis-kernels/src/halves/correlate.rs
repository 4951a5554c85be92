//! The weight gradient of a convolution by tiles: rows are a tap's input channels, terms the pixels of a row of the vector
//! image, lanes its channels.

use super::{Chunk, End, LINE, Product, TERMS, Terms, Tiles, flip, pair_len, pairs};
use crate::amx::ROWS;
use crate::conv::{Image, Window};
use crate::tile::{LANES, WIDTH};

/// Pixels of a row below which tiles take longer than vectors.
const LEAST_PIXELS: usize = 8;

/// A weight gradient whose images suit tiles.
#[derive(Clone, Debug)]
pub(crate) struct Correlation {
    window: Window,
    scalar: Image,
    vector: Image,
    /// Tiles of a row of the vector image.
    tiles: usize,
    /// Halves of the scalar image from one channel to the next.
    channel: usize,
}

impl Correlation {
    /// If both images have whole blocks of channels, and rows of some length.
    pub(crate) fn new(window: Window, scalar: Image, vector: Image) -> Option<Self> {
        let suits = scalar.channels.is_multiple_of(LANES)
            && vector.channels.is_multiple_of(LANES)
            && vector.width >= LEAST_PIXELS;
        let tiles = vector.width.div_ceil(TERMS);
        // An odd number of cache lines: channels do not share sets.
        let channel = ((scalar.rows() * window.kernel[1] * tiles) | 1) * LINE;
        suits.then_some(Self { window, scalar, vector, tiles, channel })
    }

    /// Halves of the scalar image, upper ones or lower ones.
    fn lower(&self) -> usize {
        self.scalar.channels * self.channel
    }

    /// Halves of one row of the scalar image as one tap in width meets it.
    fn tap(&self) -> usize {
        self.tiles * TERMS
    }

    /// Blocks of lanes of the `group`-th 32.
    fn blocks(&self, group: usize) -> usize {
        ((self.vector.channels - group * WIDTH) / LANES).min(2)
    }

    /// Halves of one row of the vector image in so many blocks.
    fn row_len(&self, blocks: usize) -> usize {
        self.tiles * TERMS / 2 * pair_len(blocks)
    }

    /// Adds one image's share to sums that lie as `[ky][group of 32 lanes][kx][channel][32]`.
    pub(crate) fn accumulate(&self, scalar: &[f32], vector: &[f32], sums: &mut [f32]) {
        let groups = self.vector.channels.div_ceil(WIDTH);
        let group_len = self.vector.height * self.row_len(2);
        super::with_buffer(2 * self.lower() + groups * group_len + LANES * pair_len(1), |buffer| {
            let (halves, buffer) = buffer.split_at_mut(2 * self.lower());
            let (lanes, pairs) = buffer.split_at_mut(groups * group_len);
            self.read_scalar(scalar, halves, pairs);
            for (group, lanes) in lanes.chunks_exact_mut(group_len).enumerate() {
                self.read_vector(vector, group, lanes);
            }
            Tiles::with(|tiles| {
                for (group, lanes) in lanes.chunks_exact(group_len).enumerate() {
                    self.sum(tiles, group, halves, lanes, sums);
                }
            });
        });
    }

    /// The scalar image as `[half][channel][row][tap in width][column]`, with its halo: each tap has its own columns, so that
    /// all start at cache lines.
    fn read_scalar(&self, image: &[f32], halves: &mut [u16], buffer: &mut [u16]) {
        let channels = self.scalar.channels;
        let (taps, stride) = (self.window.kernel[1], self.window.stride[1]);
        let left = self.scalar.halo.0[1][0] - self.window.padding[1];
        for (y, row) in image.chunks_exact(self.scalar.pitch()).take(self.scalar.rows()).enumerate() {
            for tap in 0..taps {
                for first in (0..self.vector.width).step_by(TERMS) {
                    let count = (self.vector.width - first).min(TERMS);
                    let row = &row[(left + tap + first * stride) * channels..];
                    for channel in (0..channels).step_by(LANES) {
                        pairs(Terms { values: &row[channel..], step: stride * channels, count }, 1, buffer);
                        let to = channel * self.channel + (y * taps + tap) * self.tap() + first;
                        flip(buffer, pair_len(1), &mut halves[to..], self.channel);
                        flip(&buffer[LINE..], pair_len(1), &mut halves[self.lower() + to..], self.channel);
                    }
                }
            }
        }
    }

    /// 32 lanes of the vector image in pairs of pixels, row after row.
    fn read_vector(&self, image: &[f32], group: usize, lanes: &mut [u16]) {
        let blocks = self.blocks(group);
        for (y, lanes) in (0..self.vector.height).zip(lanes.chunks_exact_mut(self.row_len(blocks))) {
            let values = &image[self.vector.row(y)][group * WIDTH..];
            pairs(Terms { values, step: self.vector.channels, count: self.vector.width }, blocks, lanes);
        }
    }

    /// The sums of one group of lanes.
    fn sum(&self, tiles: &mut Tiles, group: usize, halves: &[u16], lanes: &[u16], sums: &mut [f32]) {
        let blocks = self.blocks(group);
        let len = self.row_len(blocks) / self.tiles;
        let row = self.window.stride[0] * self.window.kernel[1] * self.tap();
        let places = (0..self.vector.height).flat_map(|y| (0..self.tiles).map(move |tile| [y, tile]));
        let chunks: Vec<_> = places
            .map(|[y, tile]| Chunk { a: y * row + tile * TERMS, b: (y * self.tiles + tile) * len })
            .collect();
        for pair in self.rows(group).chunks(2) {
            let (first, second) = (pair[0], pair.get(1));
            let product = Product {
                a: halves,
                first: first.0,
                lower: self.lower(),
                a_row: self.channel,
                a_next: second.map_or(0, |second| second.0.wrapping_sub(first.0)),
                b: lanes,
                chunks: &chunks,
                rows: [ROWS, if second.is_some() { ROWS } else { 0 }],
                blocks,
            };
            let next = second.map_or(0, |second| second.1 - first.1);
            product.run(tiles, End::Add, &mut sums[first.1..], WIDTH, next);
        }
    }

    /// For sixteen channels of each tap, where they start in the scalar image's halves and in the sums.
    fn rows(&self, group: usize) -> Vec<(usize, usize)> {
        let [kh, kw] = self.window.kernel;
        let channels = self.scalar.channels;
        let groups = self.vector.channels.div_ceil(WIDTH);
        let top = self.scalar.halo.0[0][0] - self.window.padding[0];
        let taps = (0..kh).flat_map(|ky| (0..kw).map(move |kx| [ky, kx]));
        taps.flat_map(|[ky, kx]| {
            let place = ((top + ky) * kw + kx) * self.tap();
            let sums = ((ky * groups + group) * kw + kx) * channels * WIDTH;
            (0..channels)
                .step_by(ROWS)
                .map(move |channel| (place + channel * self.channel, sums + channel * WIDTH))
        })
        .collect()
    }
}
