//! The rows' side of a product from a matrix as it lies in memory.

use super::{
    Chunk, End, LINE, PAIR, Product, TERMS, TILE, Terms, Tiles, flip, next_rows, pairs, split, tile_len,
};
use crate::aligned::Aligned;
use crate::amx::ROWS;
use crate::tile::LANES;

/// Rows of a matrix by some of its terms, in halves: upper ones of all rows, then lower ones.
#[derive(Default)]
pub(crate) struct Rows {
    values: Aligned<u16>,
    /// Sixteen rows, before they are flipped.
    pairs: Vec<u16>,
    lanes: Vec<f32>,
}

/// Rows that are held at a time.
pub(crate) const MOST: usize = 2 * ROWS;

impl Rows {
    /// Halves from one row to the next, for so many terms: an odd number of cache lines, so that rows do not share sets.
    fn pitch(terms: usize) -> usize {
        (terms.div_ceil(LINE) | 1) * LINE
    }

    /// Makes room, and gives the pitch.
    fn fit(&mut self, terms: usize) -> usize {
        let pitch = Self::pitch(terms);
        self.values.resize(2 * MOST * pitch);
        pitch
    }

    /// From `[rows][terms]`, `step` apart: at most 32 rows.
    pub(crate) fn read_rows(&mut self, values: &[f32], step: usize, rows: usize, terms: usize) {
        let pitch = self.fit(terms);
        let (upper, lower) = self.values.split_at_mut(MOST * pitch);
        let halves = upper.chunks_exact_mut(pitch).zip(lower.chunks_exact_mut(pitch));
        for (row, (upper, lower)) in (0..rows).zip(halves) {
            split(&values[row * step..][..terms], &mut upper[..terms], &mut lower[..terms]);
            upper[terms..].fill(0);
            lower[terms..].fill(0);
        }
    }

    /// From `[terms][rows]`, `step` apart: at most 32 rows.
    pub(crate) fn read_terms(&mut self, values: &[f32], step: usize, rows: usize, terms: usize) {
        let pitch = self.fit(terms);
        let padded = terms.next_multiple_of(LINE);
        self.pairs.resize(padded / 2 * PAIR, 0);
        for first in (0..rows).step_by(LANES) {
            let count = (rows - first).min(LANES);
            let lanes = if count == LANES {
                Terms { values: &values[first..], step, count: terms }
            } else {
                self.lanes.clear();
                self.lanes.resize(terms * LANES, 0.0);
                for (term, to) in self.lanes.chunks_exact_mut(LANES).enumerate() {
                    to[..count].copy_from_slice(&values[term * step + first..][..count]);
                }
                Terms { values: &self.lanes, step: LANES, count: terms }
            };
            pairs(lanes, 1, &mut self.pairs);
            for (half, place) in [0, MOST * pitch].into_iter().enumerate() {
                for line in 0..padded / LINE {
                    let from = &self.pairs[line * LANES * PAIR + half * LINE..];
                    flip(from, PAIR, &mut self.values[place + first * pitch + line * LINE..], pitch);
                }
            }
        }
    }

    /// Σ_k rows[row][k] · panel[k][lane], `width` apart; the panel as [`pairs`] writes it, in whole tiles.
    pub(crate) fn times(
        &self,
        tiles: &mut Tiles,
        panel: &[u16],
        size: Size,
        end: End<'_>,
        sums: &mut [f32],
        width: usize,
    ) {
        let pitch = Self::pitch(size.terms);
        let len = tile_len(size.blocks);
        let chunks = size.terms.div_ceil(TERMS);
        let chunks: Vec<_> = (0..chunks).map(|i| Chunk { a: i * TERMS, b: i * len }).collect();
        let product = Product {
            a: &self.values,
            first: 0,
            lower: MOST * pitch,
            a_row: pitch,
            a_next: ROWS * pitch,
            b: panel,
            b_next: [TILE; 2],
            chunks: &chunks,
            rows: next_rows(size.rows),
            blocks: size.blocks,
        };
        product.run(tiles, end, sums, width, ROWS * width);
    }
}

/// The size of a product of rows and a panel.
#[derive(Clone, Copy)]
pub(crate) struct Size {
    pub(crate) rows: usize,
    pub(crate) terms: usize,
    /// Blocks of sixteen lanes, one or two.
    pub(crate) blocks: usize,
}
