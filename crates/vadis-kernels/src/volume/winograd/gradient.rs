//! The weight gradient: for each point, the product of the transformed input with the transformed
//! output gradient, summed over all tiles; then back to 3×3 kernels.

use std::marker::PhantomData;
use std::ops::Range;

use rayon::prelude::*;

use crate::tile::{Isa, LANES, Run};
use crate::volume::blocked::Blocked;

use super::forward::Pass;
use super::pack::{Kernels, Unpack};
use super::product::{Product, even_pieces};
use super::tiles::{Place, Planes, ToPoints};
use super::transform::{Axis, Input, OutputTransposed, WeightTransposed};
use super::vector::dispatch;
use super::{Strip, TileSize, Winograd, point_pitch};

/// Output channels of a full panel of transformed output gradients.
const PANEL: usize = 3 * LANES;
/// Tiles whose transformed pixels are used while they are in the first-level cache.
const CHUNK: usize = 256;

/// Transformed pixels of a strip: `[panel][slice][point][tile][lanes of the panel]`.
struct Points<'a> {
    values: &'a [f32],
    tiles: usize,
    slices: Range<usize>,
    /// Lanes of a full panel, and of all.
    width: usize,
    lanes: usize,
    points: usize,
}

impl Points<'_> {
    /// Elements of a slice of a panel with so many lanes.
    fn slice_len(&self, width: usize) -> usize {
        self.points * point_pitch(self.tiles * width)
    }

    fn panel_width(&self, panel: usize) -> usize {
        (self.lanes - panel * self.width).min(self.width)
    }

    /// Index of the first tile.
    fn at(&self, panel: usize, slice: usize, point: usize) -> usize {
        let width = self.panel_width(panel);
        panel * self.slices.len() * self.slice_len(self.width)
            + (slice - self.slices.start) * self.slice_len(width)
            + point * point_pitch(self.tiles * width)
    }
}

impl Winograd {
    /// The gradient of the weights, `[cout][cin][taps][3][3]`, summed over a batch: of `input` and
    /// `output_gradient`, both with zeros in their borders and beyond their last channels.
    ///
    /// # Panics
    /// If a length does not fit, or the plan is an input gradient.
    pub(crate) fn weight_gradient(
        &self,
        pass: Pass<'_>,
        input: &[f32],
        output_gradient: &[f32],
        weight_gradient: &mut [f32],
    ) {
        let batch = self.batch(input, output_gradient);
        assert_eq!(weight_gradient.len(), self.weight_len(), "weights");
        assert!(!self.flipped, "the weight gradient belongs to the convolution itself");
        match self.size {
            TileSize::Two => self.gradient::<4, 2>(pass, batch, input, output_gradient, weight_gradient),
            TileSize::Four => self.gradient::<6, 4>(pass, batch, input, output_gradient, weight_gradient),
        }
    }

    fn gradient<const N: usize, const M: usize>(
        &self,
        pass: Pass<'_>,
        batch: usize,
        input: &[f32],
        output_gradient: &[f32],
        weight_gradient: &mut [f32],
    ) where
        Input: Axis<N, N>,
        OutputTransposed: Axis<M, N>,
        WeightTransposed: Axis<N, 3>,
    {
        let lanes = [&self.input, &self.output].map(|side| side.blocks() * LANES);
        let tile = self.points() * (lanes[0] + lanes[1]);
        let strips = self.strips(batch, self.memory.gradient / tile.max(1));
        if strips.is_empty() {
            return weight_gradient.fill(0.0);
        }
        let mut sums =
            pass.scratch.lend(self.points() * self.input.blocks() * (self.taps * LANES * lanes[1] + LANES));
        for (i, strip) in strips.iter().enumerate() {
            let places = self.places(strip);
            let inputs = self.slices(&strip.times);
            let mut values = Points {
                values: &[],
                tiles: places.len(),
                slices: inputs,
                width: LANES,
                lanes: lanes[0],
                points: self.points(),
            };
            let mut gradients =
                Points { slices: strip.times.clone(), width: PANEL, lanes: lanes[1], ..values };
            let mut buffers = [&values, &gradients].map(|points| {
                let panels = points.lanes.div_ceil(points.width);
                let last = panels.saturating_sub(1);
                pass.scratch.lend(points.at(last, points.slices.end, 0))
            });
            let [a, b] = &mut buffers;
            transform::<Input, N, N>(pass.isa, (&self.input, input), -1, &places, &values, a);
            transform::<OutputTransposed, M, N>(
                pass.isa,
                (&self.output, output_gradient),
                0,
                &places,
                &gradients,
                b,
            );
            values.values = a;
            gradients.values = b;
            self.add_products(pass.isa, strip, [&values, &gradients], i > 0, &mut sums);
        }
        self.unpack::<N>(pass.isa, &sums, weight_gradient);
    }

    /// Adds a strip's products to the sums `[point][input block][tap][16][output lanes]`.
    fn add_products(
        &self,
        isa: Isa,
        strip: &Strip,
        [values, gradients]: [&Points<'_>; 2],
        resume: bool,
        sums: &mut [f32],
    ) {
        let lanes = gradients.lanes;
        let blocks = self.input.blocks();
        let tap_len = LANES * lanes;
        let block_len = self.taps * tap_len + LANES;
        // A task's transformed input should stay in the second-level cache from panel to panel.
        let tasks = sums.chunks_mut(blocks * block_len).enumerate().flat_map(|(point, sums)| {
            sums.chunks_mut(blocks.div_ceil(2) * block_len)
                .enumerate()
                .map(move |(half, sums)| (point, half * blocks.div_ceil(2), sums))
        });
        tasks.collect::<Vec<_>>().into_par_iter().with_max_len(1).for_each(|(point, first, sums)| {
            for panel in 0..lanes.div_ceil(PANEL) {
                for (i, sums) in sums.chunks_mut(block_len).enumerate() {
                    self.add_panel(isa, strip, [values, gradients], [point, first + i, panel], resume, sums);
                }
            }
        });
    }

    /// Adds the products of a block of inputs with a panel of outputs.
    fn add_panel(
        &self,
        isa: Isa,
        strip: &Strip,
        [values, gradients]: [&Points<'_>; 2],
        [point, block, panel]: [usize; 3],
        resume: bool,
        sums: &mut [f32],
    ) {
        let mut begun = vec![resume; self.taps];
        let lanes = gradients.lanes;
        let width = gradients.panel_width(panel);
        for t in strip.times.clone() {
            for (first, len) in even_pieces(values.tiles, CHUNK) {
                for tap in self.valid_taps(t) {
                    let slice = (self.first_slice(t) + tap as isize) as usize;
                    let a = values.at(block, slice, point) + first * LANES;
                    let b = gradients.at(panel, t, point) + first * width;
                    let product = Product::<1, LANES, { usize::MAX }> {
                        a: values.values,
                        b: gradients.values,
                        runs: &[Run { a, b, len }],
                        block: usize::MAX,
                        rows: LANES,
                        width,
                        out: &mut sums[tap * LANES * lanes + panel * PANEL..],
                        out_row: lanes,
                        resume: begun[tap],
                        next: &[],
                    };
                    dispatch(isa, product);
                    begun[tap] = true;
                }
            }
        }
        for tap in (0..self.taps).filter(|&tap| !begun[tap]) {
            for row in sums[tap * LANES * lanes..][..LANES * lanes].chunks_exact_mut(lanes) {
                row[panel * PANEL..][..width].fill(0.0);
            }
        }
    }

    /// Takes the sums back to `[cout][cin][taps][3][3]`.
    fn unpack<const N: usize>(&self, isa: Isa, sums: &[f32], weight_gradient: &mut [f32])
    where
        WeightTransposed: Axis<N, 3>,
    {
        let channel = self.input.channels * self.taps * 9;
        let lanes = self.output.blocks() * LANES;
        let pitch = self.input.blocks() * (self.taps * LANES * lanes + LANES);
        weight_gradient.par_chunks_mut((LANES * channel).max(1)).enumerate().for_each(|(block, gradient)| {
            let start = |input: usize, tap: usize| {
                let row = (input / LANES * self.taps + tap) * LANES + input % LANES;
                input / LANES * LANES + row * lanes + block * LANES
            };
            for input in 0..self.input.channels {
                for tap in 0..self.taps {
                    let points = &sums[start(input, tap)..];
                    let next = if tap + 1 < self.taps { start(input, tap + 1) } else { start(input + 1, 0) };
                    let next = next.wrapping_sub(start(input, tap));
                    let mut kernels: Kernels = [[0.0; LANES]; 9];
                    dispatch(isa, Unpack::<N> { points, point_pitch: pitch, next, kernels: &mut kernels });
                    for (lane, gradient) in gradient.chunks_exact_mut(channel).enumerate() {
                        let kernel = &mut gradient[(input * self.taps + tap) * 9..][..9];
                        for (value, lanes) in kernel.iter_mut().zip(&kernels) {
                            *value = lanes[lane];
                        }
                    }
                }
            }
        });
    }
}

/// Transforms the pixels of tiles; `shift` is from a tile's first output to its first pixel, on both axes.
fn transform<A: Axis<M, N>, const M: usize, const N: usize>(
    isa: Isa,
    (layout, pixels): (&Blocked, &[f32]),
    shift: isize,
    places: &[Place],
    points: &Points<'_>,
    values: &mut [f32],
) {
    let offset = [1, 2].map(|axis| layout.border[axis][0] as isize + shift);
    let one = |panel: usize, slice: usize, values: &mut [f32]| {
        let width = points.panel_width(panel);
        for lane in (0..width).step_by(LANES) {
            let block = (panel * points.width + lane) / LANES;
            let slice = points.slices.start + slice + layout.border[0][0];
            let plane = block * layout.block_pitch() + slice * layout.slice_pitch();
            let planes = Planes {
                pixels: &pixels[plane..],
                clip_pitch: layout.len(),
                padded: [1, 2].map(|axis| layout.padded(axis)),
            };
            let to_points = ToPoints::<A, M, N> {
                planes,
                places,
                offset,
                points: &mut values[lane..],
                point_pitch: point_pitch(points.tiles * width),
                tile_pitch: width,
                map: PhantomData,
            };
            dispatch(isa, to_points);
        }
    };
    let slices = points.slices.len();
    let full = points.lanes / points.width;
    let full_len = full * slices * points.slice_len(points.width);
    let (whole, last) = values.split_at_mut(full_len);
    let whole = whole.par_chunks_mut(points.slice_len(points.width));
    let last_width = points.lanes - full * points.width;
    let last = last.par_chunks_mut(points.slice_len(last_width).max(1));
    whole.chain(last).enumerate().for_each(|(i, values)| one(i / slices, i % slices, values));
}
