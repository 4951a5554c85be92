//! Convolution with kernels of (1..=5, 3, 3) by Winograd's minimal filtering on the two spatial axes; the
//! temporal taps are summed between the transforms. The spatial stride is 1, or 2 of a convolution and of a transposed one; that in
//! time is any.
//!
//! At stride 1, F(4×4, 3×3) needs a quarter of the products of a direct convolution, F(2×2, 3×3) 4/9. At stride 2
//! F(2, 2) on the axes' phases needs 25/36 ([`strided`]). Between the
//! transforms stands one matrix product for each point of the transform (36, 16 or 25): tiles by output
//! channels, summed over input channels and temporal taps.
//!
//! Largest error against 64-bit sums, relative to the largest output, with 256 input channels and three
//! taps: 2.4e-6 for F(4×4), 6.7e-7 for F(2×2) and 8.2e-7 at stride 2, on uniform values.
//!
//! Every output element is a sum whose order depends on the layer alone; how the
//! work is cut into tasks depends on the batch and the layer, never on the number of threads. So an
//! output has the same bits for any batch and any number of threads.

mod forward;
mod gradient;
mod pack;
mod product;
mod scratch;
mod strided;
mod strip;
#[cfg(test)]
mod tests;
mod tiles;
mod transform;

use std::ops::Range;

pub(crate) use forward::{Epilogue, Pass};
pub(crate) use scratch::Scratch;

use super::blocked::Blocked;
use super::taps::{Axis, Window};
use crate::tile::{Isa, LANES};
use product::even_pieces;
use tiles::Place;

/// Products that take as long as the transform of one point of a tile and block of channels.
const TRANSFORM: f64 = 600.0;
/// Time of a product of a direct convolution, relative to one between the transforms.
const DIRECT: f64 = 1.2;

/// Tiles over all slices that are worth reading many weights for.
const TILES: usize = 128;

/// Sides of the tiles of outputs of a convolution of stride 1.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum TileSize {
    /// F(2×2, 3×3): as exact as a direct sum.
    Two,
    /// F(4×4, 3×3): faster.
    Four,
}

/// What is transformed at once, along a side.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Tile {
    /// Two outputs of stride 1.
    Two,
    /// Four outputs of stride 1.
    Four,
    /// Two outputs of stride 2.
    Half,
    /// Four outputs of a transposed convolution of stride 2.
    Double,
}

impl Tile {
    /// The tile of a convolution, if there is one for its kernel, padding and stride.
    fn of(window: &Window, phased: bool, size: TileSize) -> Option<Self> {
        // Otherwise slices between those that outputs read would be read by none.
        let dense = window.stride[0] <= window.kernel[0];
        if !dense || window.kernel[1..] != [3, 3] || window.padding[1..] != [1, 1] {
            return None;
        }
        match (&window.stride[1..], phased, size) {
            ([1, 1], _, TileSize::Two) => Some(Self::Two),
            ([1, 1], _, TileSize::Four) => Some(Self::Four),
            ([2, 2], false, _) => Some(Self::Half),
            ([2, 2], true, _) => Some(Self::Double),
            _ => None,
        }
    }

    /// Outputs along a side.
    fn outputs(self) -> usize {
        match self {
            Self::Two | Self::Half => 2,
            Self::Four | Self::Double => 4,
        }
    }

    /// Inputs from one tile to the next.
    fn advance(self) -> usize {
        match self {
            Self::Two | Self::Double => 2,
            Self::Four | Self::Half => 4,
        }
    }

    /// From the first input of a tile's place to the first that it reads.
    fn shift(self) -> isize {
        if self == Self::Double { 0 } else { -1 }
    }

    /// Points of the transform, on both axes.
    fn points(self) -> usize {
        match self {
            Self::Two => 16,
            Self::Four => 36,
            Self::Half | Self::Double => 25,
        }
    }
}

/// A convolution with kernels of (1..=5, 3, 3) and one pixel of spatial padding, of stride 1 or 2 in
/// space, or the adjoint of one (`phased`).
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Winograd {
    input: Blocked,
    output: Blocked,
    /// The temporal taps. In packed weights they lie phase by phase.
    time: Axis,
    tile: Tile,
    /// Whether it is the adjoint: the weights are `[from][to]`, and turned round.
    phased: bool,
    memory: Memory,
}

/// The temporal taps of an output slice that meet the input.
#[derive(Clone, Debug, PartialEq)]
struct Reads {
    /// In the order of the packed weights.
    taps: Range<usize>,
    /// The input slice of the first; those of the others follow.
    slice: usize,
}

/// Elements that the pieces of the work may take between the transforms.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Memory {
    /// A task's transformed input.
    inputs: usize,
    /// A task's products with some panels of weights.
    products: usize,
    /// A strip's transformed input and output gradient.
    gradient: usize,
}

impl Memory {
    /// For so many packed weights, and `points` values of a transformed tile and its input channels.
    ///
    /// Few weights are read again at little cost, so that pieces can be small enough for the
    /// second-level cache; many weights need pieces that are worth reading them for. What is multiplied at a time
    /// is a point's, which fits that cache for [`TILES`]. The limits are measured, with 2 MiB of cache.
    fn new(weights: usize, points: usize) -> Self {
        Self {
            inputs: weights.clamp(1 << 17, points.saturating_mul(TILES).max(5 << 17)),
            products: 1 << 17,
            gradient: weights.saturating_mul(5).clamp(1 << 19, 5 << 22),
        }
    }
}

/// What one task works on: rows of tiles of the whole batch, and output times.
#[derive(Clone, Debug, PartialEq)]
struct Strip {
    /// Rows of tiles, counted through all clips.
    rows: Range<usize>,
    times: Range<usize>,
}

impl Winograd {
    /// A convolution, or its adjoint if `phased`; `None` if none of its kind is computed so.
    ///
    /// # Panics
    /// If height and width of the output do not follow from the input's.
    pub(crate) fn new(
        window: &Window,
        phased: bool,
        [input, output]: [Blocked; 2],
        size: TileSize,
    ) -> Option<Self> {
        let tile = Tile::of(window, phased, size)?;
        for axis in 1..3 {
            let (coarse, fine) = if phased { (&input, &output) } else { (&output, &input) };
            let expected = fine.shape[axis].div_ceil(window.stride[axis]);
            assert_eq!(coarse.shape[axis], expected, "height and width of the output");
        }
        let time = Axis::new(window, 0, phased, input.shape[0], output.shape[0]);
        let points = tile.points() * input.channels;
        let memory = Memory::new(points * window.kernel[0] * output.channels, points);
        Some(Self { input, output, time, tile, phased, memory })
    }

    /// The same over buffers of other numbers of slots.
    pub(crate) fn with_slots(mut self, [input, output]: [usize; 2]) -> Self {
        (self.input.slots, self.output.slots) = (input, output);
        self
    }

    /// Floating-point operations of the direct convolution of one clip, products with padding in
    /// time left out.
    pub(crate) fn direct_operations(&self) -> f64 {
        let area = |side: &Blocked| side.shape[1] * side.shape[2];
        let area = area(&self.input).min(area(&self.output));
        2.0 * 9.0 * (self.terms() * area) as f64 * (self.input.channels * self.output.channels) as f64
    }

    /// Pairs of an output slice and a tap that meets the input.
    fn terms(&self) -> usize {
        (0..self.output.shape[0]).map(|t| self.reads(t).taps.len()).sum()
    }

    /// Whether this is faster than a direct convolution, by a model of both that was fitted to
    /// measurements: few channels do not pay for the transforms, and small images leave tiles half empty.
    /// `direct` is the time of one of its products, relative to one of floats.
    pub(crate) fn is_worth_it(&self, direct: f64) -> bool {
        let [rows, columns] = self.grid();
        let tiles = (rows * columns) as f64;
        let slices = [&self.input, &self.output].map(|side| (side.blocks() * side.shape[0]) as f64);
        let lanes = (self.input.channels * self.output.blocks() * LANES) as f64;
        let products = tiles * (self.points() * self.terms()) as f64 * lanes;
        let transforms = tiles * (slices[0] + slices[1]) * self.points() as f64;
        products + TRANSFORM * transforms < direct * DIRECT * 0.5 * self.direct_operations()
    }

    fn points(&self) -> usize {
        self.tile.points()
    }

    /// Temporal taps of the kernel.
    fn taps(&self) -> usize {
        self.time.phases.iter().map(Vec::len).sum()
    }

    /// Rows and columns of tiles of a clip.
    fn grid(&self) -> [usize; 2] {
        [1, 2].map(|axis| self.output.shape[axis].div_ceil(self.tile.outputs()))
    }

    /// What an output slice reads.
    fn reads(&self, t: usize) -> Reads {
        let phases = &self.time.phases;
        let (phase, index) = (t % phases.len(), t / phases.len());
        let before: usize = phases[..phase].iter().map(Vec::len).sum();
        let mut inside = phases[phase]
            .iter()
            .enumerate()
            .filter_map(|(i, &tap)| Some((before + i, self.time.reads(index, tap)?)));
        let Some((first, slice)) = inside.next() else { return Reads { taps: 0..0, slice: 0 } };
        Reads { taps: first..first + 1 + inside.count(), slice }
    }

    /// Input slices that output slices need.
    fn slices(&self, times: &Range<usize>) -> Range<usize> {
        let reads = times.clone().map(|t| self.reads(t)).filter(|reads| !reads.taps.is_empty());
        reads
            .map(|reads| reads.slice..reads.slice + reads.taps.len())
            .reduce(|a, b| a.start.min(b.start)..a.end.max(b.end))
            .unwrap_or(0..0)
    }

    /// Most input slices that so many output slices of a stretch need.
    fn reach(&self, times: &Range<usize>, len: usize) -> usize {
        let starts = times.start..=times.end - len;
        starts.map(|t| self.slices(&(t..t + len)).len()).max().unwrap_or(0)
    }

    /// The tiles of a strip, row by row: their first pixels where a tile is `side` pixels wide.
    fn places(&self, strip: &Strip, side: usize) -> Vec<Place> {
        let [rows, columns] = self.grid();
        let row = |row: usize| {
            (0..columns).map(move |x| Place { clip: row / rows, y: row % rows * side, x: x * side })
        };
        strip.rows.clone().flat_map(row).collect()
    }

    /// Cuts the work of a batch into strips of at most `most` tiles over all their slices where a row
    /// of tiles allows it.
    fn strips(&self, batch: usize, most: usize) -> Vec<Strip> {
        self.strips_of(batch, most, 0..self.output.shape[0])
    }

    /// As [`Winograd::strips`], of some output slices.
    fn strips_of(&self, batch: usize, most: usize, times: Range<usize>) -> Vec<Strip> {
        let [rows, columns] = self.grid();
        if rows * columns * times.len() == 0 {
            return Vec::new();
        }
        let size = |len: usize| self.reach(&times, len).max(len);
        let slices = (2..=times.len()).rev().find(|&len| size(len) <= most / columns).unwrap_or(1);
        let mut strips = Vec::new();
        for (t, len) in even_pieces(times.len(), slices) {
            let t = times.start + t;
            let in_strip = (most / (columns * size(len))).max(1);
            for (row, count) in even_pieces(batch * rows, in_strip) {
                strips.push(Strip { rows: row..row + count, times: t..t + len });
            }
        }
        strips
    }

    /// Clips in a batch.
    ///
    /// # Panics
    /// If the buffers are not the same whole number of clips.
    fn batch(&self, input: &[f32], output: &[f32]) -> usize {
        let batch = input.len().checked_div(self.input.len()).unwrap_or(0);
        assert_eq!(input.len(), batch * self.input.len(), "elements of the input");
        assert_eq!(output.len(), batch * self.output.len(), "elements of the output");
        batch
    }
}

/// Most rows of a register tile of the products.
fn tile_rows(isa: Isa) -> usize {
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Amx | Isa::Avx512 => 14,
        _ => 12,
    }
}

/// Elements from one point to the next: at least `elements`, and an odd number of cache lines, so that
/// the points of a tile do not all fall on the same cache set.
fn point_pitch(elements: usize) -> usize {
    let lines = elements.div_ceil(LANES);
    (lines | 1) * LANES
}
