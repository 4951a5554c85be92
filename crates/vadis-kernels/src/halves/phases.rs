//! How two images lie in halves whose rows meet in a weight gradient.
//!
//! Rows of sums are the channels of the one, which is flipped: `[channel][row][column]`. Lanes are sixteen neighbours in the
//! window that slides over the other: `[row modulo the stride][row][pair of columns][lane]`. For each row of the kernel the
//! terms of all rows then lie one after another on both sides.

use super::{Chunk, End, LINE, PAIR, Product, TERMS, TILE, Terms, Tiles, flip, pairs};
use crate::amx::ROWS;
use crate::tile::LANES;

/// Where the rows lie of sixteen lanes of the window.
#[derive(Clone, Debug)]
pub(crate) struct Phases {
    stride: usize,
    kernel: usize,
    /// Halves of a row.
    row: usize,
    /// Where each phase starts, and the end.
    starts: Vec<usize>,
}

impl Phases {
    /// For so many rows of the flipped image, of `row` terms each, by a kernel and a stride in height.
    pub(crate) fn new(rows: usize, row: usize, kernel: usize, stride: usize) -> Self {
        let mut new = Self { stride, kernel, row: row / 2 * PAIR, starts: vec![0] };
        for phase in 0..stride.min(kernel) {
            // And what a last tile reads beyond.
            let len = (rows + new.beyond(phase)) * new.row + TILE;
            new.starts.push(new.starts[phase] + len);
        }
        new
    }

    /// Halves of all rows.
    pub(crate) fn len(&self) -> usize {
        self.starts[self.starts.len() - 1]
    }

    pub(crate) fn row_len(&self) -> usize {
        self.row
    }

    /// Rows of a phase that are read after as many as the flipped image has.
    pub(crate) fn beyond(&self, phase: usize) -> usize {
        (self.kernel - 1 - phase) / self.stride
    }

    /// Where the `index`-th row of a phase starts.
    pub(crate) fn row(&self, phase: usize, index: usize) -> usize {
        self.starts[phase] + index * self.row
    }

    /// Where the terms of a row of the kernel start.
    pub(crate) fn start(&self, ky: usize) -> usize {
        self.row(ky % self.stride, ky / self.stride)
    }

    /// The rows that so many of the flipped image meet, as they lie in the other: phases and indices.
    pub(crate) fn rows(&self, rows: usize) -> impl Iterator<Item = [usize; 2]> {
        let phases = self.starts.len() - 1;
        let all =
            (0..rows + self.beyond(0)).flat_map(move |index| (0..phases).map(move |phase| [phase, index]));
        all.filter(move |&[phase, index]| index < rows + self.beyond(phase))
    }

    /// Blocks of lanes for each row of the kernel, in the order in which their terms lie: so many, `block_len` halves apart, of
    /// which `sums` tells where those of a block and a row of the kernel go.
    pub(crate) fn blocks(
        &self,
        count: usize,
        block_len: usize,
        sums: impl Fn(usize, usize) -> usize,
    ) -> Vec<Block> {
        let all = (0..self.kernel).flat_map(|ky| (0..count).map(move |block| (ky, block)));
        let place = |(ky, block)| Block { terms: block * block_len + self.start(ky), sums: sums(block, ky) };
        let mut blocks: Vec<_> = all.map(place).collect();
        blocks.sort_unstable_by_key(|block| block.terms);
        blocks
    }

    /// The phases, each with its rows.
    pub(crate) fn split<'a>(
        &'a self,
        mut lanes: &'a mut [u16],
    ) -> impl Iterator<Item = (usize, &'a mut [u16])> {
        self.starts.windows(2).enumerate().map(move |(phase, place)| {
            let (rows, rest) = std::mem::take(&mut lanes).split_at_mut(place[1] - place[0]);
            lanes = rest;
            (phase, rows)
        })
    }
}

/// How sixteen channels lie that are flipped.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flipped {
    /// Terms of a row: its columns in whole pairs.
    pub(crate) row: usize,
    /// Halves from one channel to the next.
    pub(crate) channel: usize,
    /// From the upper halves to the lower ones.
    pub(crate) lower: usize,
}

impl Flipped {
    /// For rows of so many columns and some channels.
    pub(crate) fn new([rows, columns]: [usize; 2], channels: usize) -> Self {
        let row = columns.next_multiple_of(2);
        // An odd number of cache lines: channels do not share sets.
        let channel = (((rows * row).div_ceil(LINE) + 1) | 1) * LINE;
        Self { row, channel, lower: channels * channel }
    }

    /// Halves of all channels.
    pub(crate) fn len(&self) -> usize {
        2 * self.lower
    }

    /// Writes a row of sixteen channels from a place on, row after row, with zeros up to the next tile; `buffer` is memory of
    /// [`TILE`].
    pub(crate) fn read(&self, columns: Terms<'_>, halves: &mut [u16], place: usize, buffer: &mut [u16]) {
        let Terms { values, step, count } = columns;
        for x in (0..count).step_by(TERMS) {
            let columns = Terms { values: &values[x * step..], step, count: (count - x).min(TERMS) };
            pairs(columns, 1, &mut buffer[..TILE]);
            flip(buffer, PAIR, &mut halves[place + x..], self.channel);
            flip(&buffer[LINE..], PAIR, &mut halves[self.lower + place + x..], self.channel);
        }
    }

    /// Writes zeros after so many rows, as far as tiles read.
    pub(crate) fn end(&self, rows: usize, halves: &mut [u16]) {
        let terms = rows * self.row;
        if !terms.is_multiple_of(TERMS) {
            let channels = halves.chunks_exact_mut(self.channel);
            channels.for_each(|channel| channel[terms..terms.next_multiple_of(TERMS)].fill(0));
        }
    }

    /// Adds the products of so many rows with blocks of lanes to sums. From a block's first sum on, those of sixteen channels
    /// lie `pitch` = `[from one sixteen to the next, from one channel to the next]` apart.
    pub(crate) fn multiply(
        &self,
        tiles: &mut Tiles,
        [halves, lanes]: [&[u16]; 2],
        rows: usize,
        blocks: &[Block],
        sums: &mut [f32],
        pitch: [usize; 2],
    ) {
        let chunks = (rows * self.row).div_ceil(TERMS);
        let chunks: Vec<_> = (0..chunks).map(|i| Chunk { a: i * TERMS, b: i * TILE }).collect();
        let sixteens = self.lower / self.channel / ROWS;
        for first in (0..sixteens).step_by(2) {
            let count = (sixteens - first).min(2);
            for blocks in blocks.chunks(if count == 2 { 2 } else { 3 }) {
                let product = Product {
                    a: halves,
                    first: first * ROWS * self.channel,
                    lower: self.lower,
                    a_row: self.channel,
                    a_next: ROWS * self.channel,
                    b: &lanes[blocks[0].terms..],
                    b_next: distances(blocks),
                    chunks: &chunks,
                    rows: [ROWS, if count == 2 { ROWS } else { 0 }],
                    blocks: blocks.len(),
                };
                product.sum(tiles);
                for tile in 0..count {
                    for (block, place) in blocks.iter().enumerate() {
                        let start = place.sums + (first + tile) * pitch[0];
                        let sums = &mut sums[start..][..(ROWS - 1) * pitch[1] + LANES];
                        tiles.write([tile, block], ROWS, End::Add, sums, pitch[1]);
                    }
                }
            }
        }
    }
}

/// Sixteen lanes of the terms of a row of the kernel, and where their sums go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Block {
    pub(crate) terms: usize,
    pub(crate) sums: usize,
}

/// The distances between three blocks, as a product is told.
fn distances(blocks: &[Block]) -> [usize; 2] {
    let terms = |block: usize| blocks.get(block).map_or(0, |block| block.terms);
    [1, 2].map(|block| terms(block).wrapping_sub(terms(block - 1)))
}

const _: () = assert!(LANES * PAIR == TILE, "a tile's terms are sixteen pairs");
