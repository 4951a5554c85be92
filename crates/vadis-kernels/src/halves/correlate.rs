//! The weight gradient of a convolution by tiles: rows are a tap's input channels, terms the pixels of a row of the vector
//! image, lanes its channels.

use super::{Chunk, LINE, Product, Start, Terms, cut, flip, pair_len, pairs};
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
    /// Tiles of a row of the vector image, and pixels of each.
    tiles: usize,
    pixels: usize,
    /// Halves from one pixel class, row and channel of the scalar image to the next.
    class: usize,
    channel: usize,
}

impl Correlation {
    /// If both images have whole blocks of channels, and rows of some length.
    pub(crate) fn new(window: Window, scalar: Image, vector: Image) -> Option<Self> {
        let suits = scalar.channels.is_multiple_of(LANES)
            && vector.channels.is_multiple_of(LANES)
            && vector.width >= LEAST_PIXELS;
        let [tiles, pixels] = cut(vector.width);
        // A class of pixels: those of a row whose columns differ by whole strides, in whole lines of a tile.
        let columns = scalar.pitch() / scalar.channels;
        let class = columns.div_ceil(window.stride[1]).next_multiple_of(LINE);
        let rows = scalar.halo.0[0].iter().sum::<usize>() + scalar.height;
        // An odd number of cache lines: channels do not share sets.
        let channel = (rows * window.stride[1] * class / LINE | 1) * LINE;
        suits.then_some(Self { window, scalar, vector, tiles, pixels, class, channel })
    }

    /// Halves of the scalar image, of which the lower ones are the second part.
    fn scalar_len(&self) -> usize {
        // A last tile may read a line beyond.
        2 * self.lower()
    }

    fn lower(&self) -> usize {
        self.scalar.channels * self.channel + LINE
    }

    /// Blocks of lanes of the `group`-th 32.
    fn blocks(&self, group: usize) -> usize {
        ((self.vector.channels - group * WIDTH) / LANES).min(2)
    }

    /// Halves of one row of the vector image in so many blocks.
    fn row_len(&self, blocks: usize) -> usize {
        self.tiles * self.pixels / 2 * pair_len(blocks)
    }

    /// Adds one image's share to sums that lie as `[ky][group of 32 lanes][kx][channel][32]`.
    pub(crate) fn accumulate(&self, scalar: &[f32], vector: &[f32], sums: &mut [f32]) {
        let groups = self.vector.channels.div_ceil(WIDTH);
        let group_len = self.vector.height * self.row_len(2);
        super::with_buffer(self.scalar_len() + groups * group_len + LANES * pair_len(1), |buffer| {
            let (halves, buffer) = buffer.split_at_mut(self.scalar_len());
            let (lanes, flipped) = buffer.split_at_mut(groups * group_len);
            self.read_scalar(scalar, halves, flipped);
            for (group, lanes) in lanes.chunks_exact_mut(group_len).enumerate() {
                self.read_vector(vector, group, lanes);
                self.sum(group, halves, lanes, sums);
            }
        });
    }

    /// The scalar image as `[half][channel][row][class][column of the class]`, with its halo.
    fn read_scalar(&self, image: &[f32], halves: &mut [u16], buffer: &mut [u16]) {
        let channels = self.scalar.channels;
        let (pitch, stride) = (self.scalar.pitch(), self.window.stride[1]);
        let columns = pitch / channels;
        let rows = image[..self.scalar.len()].chunks_exact(pitch).enumerate();
        for (y, row) in rows.take(self.scalar.halo.0[0].iter().sum::<usize>() + self.scalar.height) {
            for class in 0..stride.min(columns) {
                let count = (columns - class).div_ceil(stride);
                let to = (y * stride + class) * self.class;
                for channel in (0..channels).step_by(LANES) {
                    for first in (0..count).step_by(LINE) {
                        let values = &row[(class + first * stride) * channels + channel..];
                        let count = (count - first).min(LINE);
                        pairs(Terms { values, step: stride * channels, count }, 1, buffer);
                        for (half, place) in [0, self.lower()].into_iter().enumerate() {
                            let to = place + channel * self.channel + to + first;
                            flip(&buffer[half * LINE..], pair_len(1), &mut halves[to..], self.channel);
                        }
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
    fn sum(&self, group: usize, halves: &[u16], lanes: &[u16], sums: &mut [f32]) {
        let blocks = self.blocks(group);
        let len = self.row_len(blocks) / self.tiles;
        let stride = self.window.stride[1];
        let row = self.window.stride[0] * stride * self.class;
        let tiles = (0..self.vector.height).flat_map(|y| (0..self.tiles).map(move |tile| [y, tile]));
        let chunks: Vec<_> = tiles
            .map(|[y, tile]| Chunk { a: y * row + tile * self.pixels, b: (y * self.tiles + tile) * len })
            .collect();
        let rows = self.rows(group);
        for pair in rows.chunks(2) {
            let (first, second) = (pair[0], pair.get(1));
            let product = Product {
                a: halves,
                first: first.0,
                lower: self.lower(),
                a_row: self.channel,
                a_next: second.map_or(0, |second| second.0.wrapping_sub(first.0)),
                b: lanes,
                chunks: &chunks,
                terms: self.pixels,
                rows: [ROWS, if second.is_some() { ROWS } else { 0 }],
                blocks,
                start: Start::Output,
            };
            let next = second.map_or(0, |second| second.1 - first.1);
            product.run(&mut sums[first.1..], WIDTH, next);
        }
    }

    /// For sixteen channels of each tap, where they start in the scalar image's halves and in the sums.
    fn rows(&self, group: usize) -> Vec<(usize, usize)> {
        let [kh, kw] = self.window.kernel;
        let (channels, stride) = (self.scalar.channels, self.window.stride[1]);
        let groups = self.vector.channels.div_ceil(WIDTH);
        let [top, left] = [0, 1].map(|axis| self.scalar.halo.0[axis][0] - self.window.padding[axis]);
        let taps = (0..kh).flat_map(|ky| (0..kw).map(move |kx| [ky, kx]));
        taps.flat_map(|[ky, kx]| {
            let column = left + kx;
            let place = ((top + ky) * stride + column % stride) * self.class + column / stride;
            let sums = ((ky * groups + group) * kw + kx) * channels * WIDTH;
            (0..channels)
                .step_by(ROWS)
                .map(move |channel| (place + channel * self.channel, sums + channel * WIDTH))
        })
        .collect()
    }
}
