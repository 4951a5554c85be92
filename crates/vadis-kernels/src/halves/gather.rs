//! The groups of a gather by tiles: which suit, their weights, and an image's halves.

use super::{Chunk, LINE, Product, Start, Terms, cut, pair_len, pairs};
use crate::amx::ROWS;
use crate::tile::{LANES, Run, WIDTH};

/// Terms of a run below which tiles take longer than vectors.
const LEAST_TERMS: usize = 12;
/// Rows below which they do.
const LEAST_ROWS: usize = 8;

/// How a group of lanes runs by tiles.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tiled {
    /// Tiles of a run, and terms of each.
    tiles: usize,
    terms: usize,
    blocks: usize,
}

impl Tiled {
    /// If tiles suit runs of `len` terms for `rows` rows of `lanes` lanes.
    pub(crate) fn new(len: usize, rows: usize, lanes: usize) -> Option<Self> {
        let suits = len >= LEAST_TERMS && rows >= LEAST_ROWS && lanes.is_multiple_of(LANES);
        let [tiles, terms] = cut(len);
        suits.then_some(Self { tiles, terms, blocks: lanes / LANES })
    }

    /// Halves of a run's weights.
    pub(crate) fn run_len(self) -> usize {
        self.tiles * self.tile_len()
    }

    /// Halves of a tile's weights.
    fn tile_len(self) -> usize {
        self.terms / 2 * pair_len(self.blocks)
    }

    /// The weights' halves of one run, `[terms][lanes]`, after those that there are.
    pub(crate) fn pack(self, run: &[f32], to: &mut Vec<u16>) {
        let width = self.blocks * LANES;
        let start = to.len();
        to.resize(start + self.run_len(), 0);
        let terms = Terms { values: run, step: width, count: run.len() / width };
        pairs(terms, self.blocks, &mut to[start..]);
    }

    /// Where the tiles of these runs start, the weights' from `panel` on.
    pub(crate) fn chunks(self, runs: &[Run], panel: usize) -> Vec<Chunk> {
        let tiles = runs.iter().flat_map(|run| (0..self.tiles).map(|tile| run.a + tile * self.terms));
        let places = (panel..).step_by(self.tile_len());
        tiles.zip(places).map(|(a, b)| Chunk { a, b }).collect()
    }
}

/// Rows of a group's sums.
pub(crate) struct Sums<'a> {
    pub(crate) tiled: Tiled,
    /// The image's halves, the lower ones `lower` after the upper ones.
    pub(crate) image: &'a [u16],
    pub(crate) lower: usize,
    /// From one row to the next.
    pub(crate) a_row: usize,
    pub(crate) weights: &'a [u16],
    pub(crate) chunks: &'a [Chunk],
    pub(crate) start: &'a [f32; WIDTH],
    pub(crate) rows: usize,
}

impl Sums<'_> {
    /// Writes the rows into `out`, each `out_row` elements after the one before.
    pub(crate) fn run(&self, out: &mut [f32], out_row: usize) {
        for first in (0..self.rows).step_by(2 * ROWS) {
            let rows = self.rows - first;
            let product = Product {
                a: self.image,
                first: first * self.a_row,
                lower: self.lower,
                a_row: self.a_row,
                a_next: ROWS * self.a_row,
                b: self.weights,
                chunks: self.chunks,
                terms: self.tiled.terms,
                rows: [rows.min(ROWS), rows.saturating_sub(ROWS).min(ROWS)],
                blocks: self.tiled.blocks,
                start: Start::Lanes(self.start),
            };
            product.run(&mut out[first * out_row..], out_row, ROWS * out_row);
        }
    }
}

const _: () = assert!(LINE <= crate::conv::SLACK, "a last tile may read so much beyond its run");
