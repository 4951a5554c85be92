//! A gather's parts by tiles: which groups suit, their weights, and an image's halves.

use super::{Chunk, End, LINE, Product, TERMS, TILE, Terms, Tiles, next_rows, pairs, split, tile_len};
use crate::amx::ROWS;
use crate::conv::Image as Shape;
use crate::tile::LANES;

/// Terms of a run below which tiles take longer than vectors.
const LEAST_TERMS: usize = 12;
/// Rows below which they do.
const LEAST_ROWS: usize = 8;

/// How a group of lanes runs by tiles.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tiled {
    /// Tiles of a run of terms.
    tiles: usize,
    blocks: usize,
    /// Where its weights start in those that are packed for tiles.
    panel: usize,
}

impl Tiled {
    /// If tiles suit runs of `len` terms for `rows` rows of `lanes` lanes.
    pub(crate) fn new(len: usize, rows: usize, lanes: usize, panel: usize) -> Option<Self> {
        let suits = len >= LEAST_TERMS && rows >= LEAST_ROWS && lanes.is_multiple_of(LANES);
        suits.then_some(Self { tiles: len.div_ceil(TERMS), blocks: lanes / LANES, panel })
    }

    /// Halves of a run's weights.
    pub(crate) fn run_len(self) -> usize {
        self.tiles * tile_len(self.blocks)
    }

    /// Writes the halves of a run's weights, `[terms][lanes]`, [`Self::run_len`] of them.
    pub(crate) fn pack(self, run: &[f32], to: &mut [u16]) {
        let width = self.blocks * LANES;
        pairs(Terms { values: run, step: width, count: run.len() / width }, self.blocks, to);
    }

    /// The tiles of runs that start there in the image's halves.
    pub(crate) fn chunks(self, runs: impl ExactSizeIterator<Item = usize>) -> Vec<Chunk> {
        // Of its length from the start: a vector that grows waits for the other threads' memory.
        let mut chunks = Vec::with_capacity(runs.len() * self.tiles);
        let places = (self.panel..).step_by(tile_len(self.blocks));
        let tiles = runs.flat_map(|run| (0..self.tiles).map(move |tile| run + tile * TERMS));
        chunks.extend(tiles.zip(places).map(|(a, b)| Chunk { a, b }));
        chunks
    }

    /// The sums of a rectangle's places, from the image's start and to the output's.
    #[expect(clippy::too_many_arguments, reason = "a product's two sides and where it goes")]
    pub(crate) fn run(
        self,
        tiles: &mut Tiles,
        image: &Image<'_>,
        weights: &[u16],
        chunks: &[Chunk],
        end: End<'_>,
        out: &mut [f32],
        places: Rect,
    ) {
        let Rect { size: [height, width], from, to } = places;
        let mut run = |place: [usize; 2], rows: [usize; 2], next: [usize; 2]| {
            let at = |step: [usize; 2]| place[0] * step[0] + place[1] * step[1];
            let product = Product {
                a: image.values,
                first: at(from),
                lower: image.lower,
                a_row: from[1],
                a_next: next[0] * from[0] + next[1] * from[1],
                b: weights,
                b_next: [TILE; 2],
                chunks,
                rows,
                blocks: self.blocks,
            };
            product.run(tiles, end, &mut out[at(to)..], to[1], next[0] * to[0] + next[1] * to[1]);
        };
        if width <= ROWS {
            // Two rows of the rectangle at a time.
            for y in (0..height).step_by(2) {
                run([y, 0], [width, if y + 1 < height { width } else { 0 }], [1, 0]);
            }
            return;
        }
        for y in 0..height {
            for x in (0..width).step_by(2 * ROWS) {
                run([y, x], next_rows(width - x), [0, ROWS]);
            }
        }
    }
}

/// Places that are computed alike: how many of them down and across, and how far they are apart in the image's halves and in
/// the output.
#[derive(Clone, Copy)]
pub(crate) struct Rect {
    pub(crate) size: [usize; 2],
    pub(crate) from: [usize; 2],
    pub(crate) to: [usize; 2],
}

/// An image in halves, upper ones and then lower ones; its rows start at cache lines.
pub(crate) struct Image<'a> {
    values: &'a [u16],
    lower: usize,
    shape: &'a Shape,
}

impl<'a> Image<'a> {
    /// Halves of an image whose rows of sums are `a_row` apart: tiles read rows and terms beyond the last.
    pub(crate) fn len(shape: &Shape, a_row: usize) -> usize {
        2 * Self::lower(shape, a_row)
    }

    fn lower(shape: &Shape, a_row: usize) -> usize {
        shape.rows() * Self::pitch_of(shape) + (2 * ROWS * a_row + LINE).next_multiple_of(LINE)
    }

    fn pitch_of(shape: &Shape) -> usize {
        shape.pitch().next_multiple_of(LINE)
    }

    /// Splits an image into `to`, of [`Self::len`].
    pub(crate) fn read(shape: &'a Shape, a_row: usize, from: &[f32], to: &'a mut [u16]) -> Self {
        let (row, pitch) = (shape.pitch(), Self::pitch_of(shape));
        let lower = Self::lower(shape, a_row);
        let (above, below) = to.split_at_mut(lower);
        let end = shape.rows() * pitch;
        let halves = above.chunks_exact_mut(pitch).zip(below.chunks_exact_mut(pitch));
        for (from, (above, below)) in from.chunks_exact(row).take(shape.rows()).zip(halves) {
            split(from, &mut above[..row], &mut below[..row]);
            above[row..].fill(0);
            below[row..].fill(0);
        }
        // What the terms after the last row's may be: weights of zero do not make infinities zeros.
        above[end..].fill(0);
        below[end..].fill(0);
        Self { values: to, lower, shape }
    }

    /// Halves from one row to the next.
    pub(crate) fn pitch(&self) -> usize {
        Self::pitch_of(self.shape)
    }

    /// Index of the first channel of a pixel, which may lie in the halo.
    pub(crate) fn at(&self, y: isize, x: isize) -> usize {
        let [row, column] = [y + self.shape.halo.0[0][0] as isize, x + self.shape.halo.0[1][0] as isize];
        debug_assert!(row >= 0 && column >= 0, "within the halo");
        row as usize * self.pitch() + column as usize * self.shape.channels
    }
}
