//! Convolution with stride 1 and kernels of (1..=5, 3, 3) by Winograd's minimal filtering on the two
//! spatial axes; the temporal taps are summed between the transforms.
//!
//! F(4×4, 3×3) needs a quarter of the products of a direct convolution, F(2×2, 3×3) 4/9. Between the
//! transforms stands one matrix product for each point of the transform (36 or 16): tiles by output
//! channels, summed over input channels and temporal taps.
//!
//! Largest error against 64-bit sums, relative to the largest output, with 256 input channels and three
//! taps: 2.4e-6 for F(4×4), 6.7e-7 for F(2×2), on uniform values.
//!
//! Every output element is a sum whose order depends on the layer alone; how the
//! work is cut into tasks depends on the batch and the layer, never on the number of threads. So an
//! output has the same bits for any batch and any number of threads.

mod forward;
mod gradient;
mod pack;
mod product;
mod scratch;
mod strip;
#[cfg(test)]
mod tests;
mod tiles;
mod transform;

use std::ops::Range;

pub(crate) use forward::{Epilogue, Pass};
pub(crate) use scratch::{Aligned, Scratch};

use super::blocked::Blocked;
use crate::tile::{Isa, LANES};
use product::even_pieces;
use tiles::Place;

/// Products that take as long as the transform of one point of a tile and block of channels.
const TRANSFORM: f64 = 600.0;
/// Time of a product of a direct convolution, relative to one between the transforms.
const DIRECT: f64 = 1.2;

/// Sides of the tiles of outputs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum TileSize {
    /// F(2×2, 3×3): as exact as a direct sum.
    Two,
    /// F(4×4, 3×3): faster.
    Four,
}

impl TileSize {
    /// Outputs along a side.
    fn outputs(self) -> usize {
        match self {
            Self::Two => 2,
            Self::Four => 4,
        }
    }

    /// Points of the transform of a tile.
    fn points(self) -> usize {
        (self.outputs() + 2).pow(2)
    }
}

/// A stride-1 convolution with kernels of (`taps`, 3, 3) and one pixel of spatial padding.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Winograd {
    input: Blocked,
    output: Blocked,
    taps: usize,
    /// Zero slices before the first one; negative where the first slices are not used.
    padding: isize,
    size: TileSize,
    /// Whether the weights are those of the convolution whose input gradient this is.
    flipped: bool,
    memory: Memory,
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
    /// Few weights are read again at little cost, so that pieces can be small enough for the
    /// second-level cache; many weights need pieces that are worth reading them for. The limits are
    /// measured, with 2 MiB of cache.
    fn new(weights: usize) -> Self {
        Self {
            inputs: weights.clamp(1 << 17, 5 << 17),
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
    /// A convolution with `padding` zero slices before and after the time axis.
    ///
    /// # Panics
    /// If `taps` is not in 1..=5, or the output's shape is not the input's [T, H, W] with
    /// T + 2 · `padding` − `taps` + 1 slices.
    pub(crate) fn new(input: Blocked, output: Blocked, taps: usize, padding: usize, size: TileSize) -> Self {
        assert!((1..=5).contains(&taps), "{taps} temporal taps");
        assert_eq!(output.shape[0] + taps, input.shape[0] + 2 * padding + 1, "slices of the output");
        assert_eq!(output.shape[1..], input.shape[1..], "height and width of the output");
        let memory = Memory::new(size.points() * taps * input.channels * output.channels);
        Self { input, output, taps, padding: padding as isize, size, flipped: false, memory }
    }

    /// The convolution that takes the gradient of this one's output to that of its input.
    pub(crate) fn input_gradient(&self) -> Self {
        Self {
            input: self.output,
            output: self.input,
            padding: self.taps as isize - 1 - self.padding,
            flipped: !self.flipped,
            ..*self
        }
    }

    /// The same over buffers of other numbers of slots.
    pub(crate) fn with_slots(mut self, [input, output]: [usize; 2]) -> Self {
        (self.input.slots, self.output.slots) = (input, output);
        self
    }

    /// Floating-point operations of the direct convolution of one clip, products with padding in
    /// time left out.
    pub(crate) fn direct_operations(&self) -> f64 {
        let terms: usize = (0..self.output.shape[0]).map(|t| self.valid_taps(t).len()).sum();
        let area = self.output.shape[1] * self.output.shape[2];
        2.0 * 9.0 * (terms * area) as f64 * (self.input.channels * self.output.channels) as f64
    }

    /// Whether this is faster than a direct convolution, by a model of both that was fitted to
    /// measurements: few channels do not pay for the transforms, and small images leave tiles half empty.
    pub(crate) fn is_worth_it(&self) -> bool {
        let [rows, columns] = self.grid();
        let tiles = (rows * columns) as f64;
        let slices = [&self.input, &self.output].map(|side| (side.blocks() * side.shape[0]) as f64);
        let terms: usize = (0..self.output.shape[0]).map(|t| self.valid_taps(t).len()).sum();
        let lanes = (self.input.channels * self.output.blocks() * LANES) as f64;
        let products = tiles * (self.points() * terms) as f64 * lanes;
        let transforms = tiles * (slices[0] + slices[1]) * self.points() as f64;
        products + TRANSFORM * transforms < DIRECT * 0.5 * self.direct_operations()
    }

    fn points(&self) -> usize {
        self.size.points()
    }

    /// Rows and columns of tiles of a clip.
    fn grid(&self) -> [usize; 2] {
        [1, 2].map(|axis| self.output.shape[axis].div_ceil(self.size.outputs()))
    }

    /// Temporal taps that meet a slice of the input.
    fn valid_taps(&self, t: usize) -> Range<usize> {
        let first = t as isize - self.padding;
        let clamp = |tap: isize| tap.clamp(0, self.taps as isize) as usize;
        let start = clamp(-first);
        start..clamp(self.input.shape[0] as isize - first).max(start)
    }

    /// Input slice of tap 0 of an output slice; may lie outside the input.
    fn first_slice(&self, t: usize) -> isize {
        t as isize - self.padding
    }

    /// Input slices that output slices need.
    fn slices(&self, times: &Range<usize>) -> Range<usize> {
        let clamp = |t: isize| t.clamp(0, self.input.shape[0] as isize) as usize;
        let start = clamp(self.first_slice(times.start));
        start..clamp(self.first_slice(times.end) - 1 + self.taps as isize).max(start)
    }

    /// The tiles of a strip, row by row.
    fn places(&self, strip: &Strip) -> Vec<Place> {
        let [rows, columns] = self.grid();
        let side = self.size.outputs();
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
        let overlap = self.taps - 1;
        let inputs = self.input.shape[0].min(times.len() + overlap);
        let slices = if most / columns >= inputs.max(times.len()) {
            times.len()
        } else {
            (most / columns).saturating_sub(overlap).clamp(1, times.len())
        };
        let mut strips = Vec::new();
        for (t, len) in even_pieces(times.len(), slices) {
            let t = times.start + t;
            let inputs = (len + overlap).min(self.input.shape[0].max(len));
            let in_strip = (most / (columns * inputs)).max(1);
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
        Isa::Avx512 => 14,
        _ => 12,
    }
}

/// Elements from one point to the next: at least `elements`, and an odd number of cache lines, so that
/// the points of a tile do not all fall on the same cache set.
fn point_pitch(elements: usize) -> usize {
    let lines = elements.div_ceil(LANES);
    (lines | 1) * LANES
}
