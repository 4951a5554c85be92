//! The weight gradient of a convolution by tiles: rows are the channels of the vector image, lanes the window's places and
//! channels of the scalar one, terms the pixels of the vector image.
//!
//! Only the vector image is flipped, once; a row of the scalar one is brought to pairs of pixels as each tap in width meets it.
//! Some rows of both are worked on at a time, which stay in the first-level cache meanwhile.

use super::{Chunk, End, LINE, PAIR, Product, TERMS, TILE, Terms, Tiles, flip, pairs};
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
    /// Terms of a row of the vector image: its pixels in whole pairs.
    row: usize,
    /// Most rows of the vector image at a time.
    band: usize,
    /// Halves of the vector image from one channel to the next.
    channel: usize,
    /// Where the rows of the scalar image that are alike modulo the stride start in a block of lanes, and the block's end.
    starts: Vec<usize>,
    /// The blocks of lanes of all rows of the kernel, in the order in which their terms lie.
    places: Vec<Block>,
}

/// A block of sixteen lanes of a row of the kernel: where its terms start and its sums.
#[derive(Clone, Copy, Debug)]
struct Block {
    terms: usize,
    sums: usize,
}

impl Correlation {
    /// If the vector image has whole blocks of channels, and rows of some length.
    pub(crate) fn new(window: Window, scalar: Image, vector: Image) -> Option<Self> {
        let suits =
            scalar.channels >= LANES && vector.channels.is_multiple_of(LANES) && vector.width >= LEAST_PIXELS;
        suits.then(|| {
            let row = vector.width.next_multiple_of(2);
            let (starts, places) = (vec![0], Vec::new());
            let mut new = Self { window, scalar, vector, row, band: 0, channel: 0, starts, places };
            let of_row = 2 * row * vector.channels + window.stride[0] * new.blocks() * new.row_len();
            let bands = (vector.height * of_row).div_ceil(BAND).clamp(1, vector.height);
            new.band = vector.height.div_ceil(bands);
            // An odd number of cache lines: channels do not share sets.
            new.channel = ((new.band * row).div_ceil(LINE) + 1 | 1) * LINE;
            for phase in 0..window.stride[0].min(window.kernel[0]) {
                // And what a last tile reads beyond.
                let len = (new.band + new.carried(phase)) * new.row_len() + TILE;
                new.starts.push(new.starts[phase] + len);
            }
            new.places = new.places();
            new
        })
    }

    /// Blocks of lanes of a row of the kernel.
    fn blocks(&self) -> usize {
        (self.window.kernel[1] * self.scalar.channels).div_ceil(LANES)
    }

    /// Halves of a row of the scalar image in a block of lanes.
    fn row_len(&self) -> usize {
        self.row / 2 * PAIR
    }

    /// Halves of a block of lanes.
    fn block_len(&self) -> usize {
        self.starts[self.starts.len() - 1]
    }

    /// Rows of a phase of the scalar image that the next band needs too.
    fn carried(&self, phase: usize) -> usize {
        (self.window.kernel[0] - 1 - phase) / self.window.stride[0]
    }

    /// Halves of the vector image, upper ones or lower ones.
    fn lower(&self) -> usize {
        self.vector.channels * self.channel
    }

    /// Adds one image's share to sums that lie as `[ky][group of 32 lanes (kx, scalar channel)][vector channel][32]`.
    pub(crate) fn accumulate(&self, scalar: &[f32], vector: &[f32], sums: &mut [f32]) {
        let lanes_len = self.blocks() * self.block_len();
        super::with_buffer(2 * self.lower() + lanes_len + TILE, |buffer| {
            let (rows, buffer) = buffer.split_at_mut(2 * self.lower());
            let (lanes, pairs) = buffer.split_at_mut(lanes_len);
            self.clear_ends(lanes);
            Tiles::with(|tiles| {
                for first in (0..self.vector.height).step_by(self.band) {
                    let count = (self.vector.height - first).min(self.band);
                    self.read_vector(vector, [first, count], rows, pairs);
                    self.read_scalar(scalar, [first, count], lanes);
                    self.sum(tiles, count, rows, lanes, sums);
                }
            });
        });
    }

    /// What tiles read after a phase's last row is to be finite.
    fn clear_ends(&self, lanes: &mut [u16]) {
        for block in lanes.chunks_exact_mut(self.block_len()) {
            self.starts[1..].iter().for_each(|&end| block[end - TILE..end].fill(0));
        }
    }

    /// Rows of the vector image as `[half][channel][row][column]`, with zeros after the last.
    fn read_vector(&self, image: &[f32], [first, count]: [usize; 2], halves: &mut [u16], buffer: &mut [u16]) {
        let (channels, width) = (self.vector.channels, self.vector.width);
        for y in 0..count {
            let row = &image[self.vector.row(first + y)];
            for x in (0..width).step_by(TERMS) {
                let count = (width - x).min(TERMS);
                for channel in (0..channels).step_by(LANES) {
                    let values = &row[x * channels + channel..];
                    pairs(Terms { values, step: channels, count }, 1, buffer);
                    let to = channel * self.channel + y * self.row + x;
                    flip(buffer, PAIR, &mut halves[to..], self.channel);
                    flip(&buffer[LINE..], PAIR, &mut halves[self.lower() + to..], self.channel);
                }
            }
        }
        let terms = count * self.row;
        if !terms.is_multiple_of(TERMS) {
            let channels = halves.chunks_exact_mut(self.channel);
            channels.for_each(|channel| channel[terms..terms.next_multiple_of(TERMS)].fill(0));
        }
    }

    /// The rows of the scalar image that those of the vector image meet, as `[block of lanes][phase][row][pair of columns]`.
    fn read_scalar(&self, image: &[f32], [first, count]: [usize; 2], lanes: &mut [u16]) {
        let [sy, sx] = self.window.stride;
        let [top, left] = [0, 1].map(|axis| self.scalar.halo.0[axis][0] - self.window.padding[axis]);
        let (pitch, channels, len) = (self.scalar.pitch(), self.scalar.channels, self.row_len());
        for (index, block) in lanes.chunks_exact_mut(self.block_len()).enumerate() {
            for (phase, place) in self.starts.windows(2).enumerate() {
                let carried = self.carried(phase);
                let rows = &mut block[place[0]..place[1]];
                let new = if first == 0 { 0 } else { carried };
                // The rows of a band before, of which all but the last have as many.
                rows.copy_within(self.band * len..(self.band + new) * len, 0);
                for (row, to) in rows.chunks_exact_mut(len).enumerate().take(count + carried).skip(new) {
                    let y = top + (first + row) * sy + phase;
                    let values = &image[y * pitch + left * channels + index * LANES..];
                    pairs(Terms { values, step: sx * channels, count: self.vector.width }, 1, to);
                }
            }
        }
    }

    /// Adds the sums of so many rows of the vector image.
    fn sum(&self, tiles: &mut Tiles, count: usize, rows: &[u16], lanes: &[u16], sums: &mut [f32]) {
        let chunks = (count * self.row).div_ceil(TERMS);
        let chunks: Vec<_> = (0..chunks).map(|i| Chunk { a: i * TERMS, b: i * TILE }).collect();
        for channel in (0..self.vector.channels).step_by(2 * ROWS) {
            let two = channel + ROWS < self.vector.channels;
            for blocks in self.places.chunks(if two { 2 } else { 3 }) {
                let from = |block: usize| blocks.get(block).map_or(0, |block| block.terms);
                let product = Product {
                    a: rows,
                    first: channel * self.channel,
                    lower: self.lower(),
                    a_row: self.channel,
                    a_next: ROWS * self.channel,
                    b: &lanes[from(0)..],
                    b_next: [1, 2].map(|block| from(block).wrapping_sub(from(block - 1))),
                    chunks: &chunks,
                    rows: [ROWS, if two { ROWS } else { 0 }],
                    blocks: blocks.len(),
                };
                product.sum(tiles);
                for tile in 0..if two { 2 } else { 1 } {
                    for (block, place) in blocks.iter().enumerate() {
                        let sums = &mut sums[place.sums + (channel + tile * ROWS) * WIDTH..];
                        tiles.write([tile, block], ROWS, End::Add, sums, WIDTH);
                    }
                }
            }
        }
    }

    /// See the field.
    fn places(&self) -> Vec<Block> {
        let [kh, _] = self.window.kernel;
        let len = self.blocks().div_ceil(2) * self.vector.channels * WIDTH;
        let place = |ky: usize, block: usize| {
            let (phase, row) = (ky % self.window.stride[0], ky / self.window.stride[0]);
            let terms = block * self.block_len() + self.starts[phase] + row * self.row_len();
            let group = block / 2 * self.vector.channels * WIDTH;
            Block { terms, sums: ky * len + group + block % 2 * LANES }
        };
        let blocks = (0..kh).flat_map(|ky| (0..self.blocks()).map(move |block| (ky, block)));
        let mut blocks: Vec<_> = blocks.map(|(ky, block)| place(ky, block)).collect();
        blocks.sort_unstable_by_key(|block| block.terms);
        blocks
    }
}
