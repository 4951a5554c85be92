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
use super::{Reads, Tile, Winograd, point_pitch};
use crate::vector::dispatch;

/// Most blocks of output gradients side by side.
const PANEL_BLOCKS: usize = 3;
/// Most tiles that are summed before they are added to the sums of other tiles.
const CHUNK: usize = 256;

/// Where the transformed pixels of a strip are: `[panel][slice][point][tile][lanes of the panel]`.
struct Layout {
    panels: Vec<Panel>,
    tiles: usize,
    slices: Range<usize>,
    points: usize,
}

/// Blocks of channels side by side.
#[derive(Clone, Copy)]
struct Panel {
    block: usize,
    width: usize,
    /// Index of its first element.
    start: usize,
}

impl Layout {
    /// Panels of at most `most` blocks.
    fn new(side: &Blocked, most: usize, tiles: usize, slices: Range<usize>, points: usize) -> Self {
        let mut layout = Self { panels: Vec::new(), tiles, slices, points };
        for (block, count) in even_pieces(side.blocks(), most) {
            let panel = Panel { block, width: count * LANES, start: layout.len() };
            layout.panels.push(panel);
        }
        layout
    }

    fn point_pitch(&self, panel: &Panel) -> usize {
        point_pitch(self.tiles * panel.width)
    }

    /// Elements of a slice of a panel.
    fn slice_len(&self, panel: &Panel) -> usize {
        self.points * self.point_pitch(panel)
    }

    fn len(&self) -> usize {
        self.panels.last().map_or(0, |panel| panel.start + self.slices.len() * self.slice_len(panel))
    }

    /// Index of the first tile.
    fn at(&self, panel: &Panel, slice: usize, point: usize) -> usize {
        panel.start + (slice - self.slices.start) * self.slice_len(panel) + point * self.point_pitch(panel)
    }
}

/// The transformed input and output gradient of a strip.
struct Points<'a> {
    isa: Isa,
    times: Range<usize>,
    layouts: [&'a Layout; 2],
    values: [&'a [f32]; 2],
    /// Whether the products are added to those of earlier strips.
    resume: bool,
}

impl Winograd {
    /// Whether the weight gradient is computed here: of convolutions of stride 1.
    pub(crate) fn has_weight_gradient(&self) -> bool {
        let steps = (self.time.advance, self.time.phases.len());
        !self.phased && matches!(self.tile, Tile::Two | Tile::Four) && steps == (1, 1)
    }

    /// The gradient of the weights, `[cout][cin][taps][3][3]`, summed over a batch: of `input` and
    /// `output_gradient`, both with zeros in their borders and beyond their last channels.
    ///
    /// # Panics
    /// If a length does not fit, or the convolution has not [`Winograd::has_weight_gradient`].
    pub(crate) fn weight_gradient(
        &self,
        pass: Pass<'_>,
        input: &[f32],
        output_gradient: &[f32],
        weight_gradient: &mut [f32],
    ) {
        let batch = self.batch(input, output_gradient);
        assert_eq!(weight_gradient.len(), self.weight_len(), "weights");
        assert!(self.has_weight_gradient(), "a convolution of stride 1");
        let sides = [input, output_gradient];
        match self.tile {
            Tile::Two => self.gradient::<4, 2>(pass, batch, sides, weight_gradient),
            Tile::Four => self.gradient::<6, 4>(pass, batch, sides, weight_gradient),
            Tile::Half | Tile::Double => unreachable!("it has stride 1"),
        }
    }

    fn gradient<const N: usize, const M: usize>(
        &self,
        pass: Pass<'_>,
        batch: usize,
        sides: [&[f32]; 2],
        weight_gradient: &mut [f32],
    ) where
        Input: Axis<N, N>,
        OutputTransposed: Axis<M, N>,
        WeightTransposed: Axis<N, 3>,
    {
        let blocks = self.input.blocks() + self.output.blocks();
        let strips = self.strips(batch, self.memory.gradient / (self.points() * blocks * LANES).max(1));
        if strips.is_empty() {
            return weight_gradient.fill(0.0);
        }
        let mut sums = pass.scratch.lend(self.points() * self.input.blocks() * self.sums_block());
        for (i, strip) in strips.iter().enumerate() {
            let places = self.places(strip, self.tile.outputs());
            let layout = |side, most, slices| Layout::new(side, most, places.len(), slices, self.points());
            let inputs = layout(&self.input, 1, self.slices(&strip.times));
            let outputs = layout(&self.output, PANEL_BLOCKS, strip.times.clone());
            let mut values = pass.scratch.lend(inputs.len());
            let mut gradients = pass.scratch.lend(outputs.len());
            transform::<Input, N, N>(pass.isa, (&self.input, sides[0]), -1, &places, &inputs, &mut values);
            let side = (&self.output, sides[1]);
            transform::<OutputTransposed, M, N>(pass.isa, side, 0, &places, &outputs, &mut gradients);
            let points = Points {
                isa: pass.isa,
                times: strip.times.clone(),
                layouts: [&inputs, &outputs],
                values: [&values, &gradients],
                resume: i > 0,
            };
            self.add_products(&points, &mut sums);
        }
        self.unpack::<N>(pass.isa, &sums, weight_gradient);
    }

    /// Lanes of output channels.
    fn lanes(&self) -> usize {
        self.output.blocks() * LANES
    }

    /// Elements of the sums of a point and block of inputs: `[tap][16][output lanes]`, and a cache line,
    /// so that the points of a kernel do not all fall on the same cache set.
    fn sums_block(&self) -> usize {
        self.taps() * LANES * self.lanes() + LANES
    }

    /// Index of the sums of an input channel and tap, within a point.
    fn sums_at(&self, input: usize, tap: usize) -> usize {
        input / LANES * self.sums_block() + (tap * LANES + input % LANES) * self.lanes()
    }

    /// Adds a strip's products to the sums `[point][input block]…`.
    fn add_products(&self, points: &Points<'_>, sums: &mut [f32]) {
        let blocks = self.input.blocks();
        // The transformed input of a task should stay in the second-level cache from panel to panel.
        let share = blocks.div_ceil(2);
        let tasks: Vec<_> = sums
            .chunks_mut(blocks * self.sums_block())
            .enumerate()
            .flat_map(|(point, sums)| {
                let shares = sums.chunks_mut(share * self.sums_block()).enumerate();
                shares.map(move |(i, sums)| (point, i * share, sums))
            })
            .collect();
        tasks.into_par_iter().with_max_len(1).for_each(|(point, first, sums)| {
            for panel in 0..points.layouts[1].panels.len() {
                for (i, sums) in sums.chunks_mut(self.sums_block()).enumerate() {
                    self.add_panel(points, [point, first + i, panel], [i, share], sums);
                }
            }
        });
    }

    /// Adds the products of a block of inputs with a panel of outputs, and fetches a share of the next
    /// panel.
    fn add_panel(
        &self,
        points: &Points<'_>,
        [point, block, panel]: [usize; 3],
        [part, parts]: [usize; 2],
        sums: &mut [f32],
    ) {
        let [inputs, outputs] = points.layouts;
        let following = outputs.panels.get(panel + 1);
        let panel = &outputs.panels[panel];
        let lane = panel.block * LANES;
        let mut begun = vec![points.resume; self.taps()];
        for t in points.times.clone() {
            let mut next = following.map_or(&[][..], |panel| {
                let len = inputs.tiles * panel.width;
                let whole = &points.values[1][outputs.at(panel, t, point)..][..len];
                &whole[part * len / parts..(part + 1) * len / parts]
            });
            for (first, len) in even_pieces(inputs.tiles, CHUNK) {
                let Reads { taps, slice } = self.reads(t);
                for (tap, slice) in taps.zip(slice..) {
                    let a = inputs.at(&inputs.panels[block], slice, point) + first * LANES;
                    let b = outputs.at(panel, t, point) + first * panel.width;
                    let product = Product::<1, LANES, LANES> {
                        a: points.values[0],
                        b: points.values[1],
                        runs: &[Run { a, b, len }],
                        block: LANES * LANES,
                        rows: LANES,
                        width: panel.width,
                        out: &mut sums[tap * LANES * self.lanes() + lane..],
                        out_row: self.lanes(),
                        resume: begun[tap],
                        next: std::mem::take(&mut next),
                    };
                    dispatch(points.isa, product);
                    begun[tap] = true;
                }
            }
        }
        for tap in (0..self.taps()).filter(|&tap| !begun[tap]) {
            let rows = &mut sums[tap * LANES * self.lanes()..][..LANES * self.lanes()];
            rows.chunks_exact_mut(self.lanes()).for_each(|row| row[lane..lane + panel.width].fill(0.0));
        }
    }

    /// Takes the sums back to `[cout][cin][taps][3][3]`.
    fn unpack<const N: usize>(&self, isa: Isa, sums: &[f32], weight_gradient: &mut [f32])
    where
        WeightTransposed: Axis<N, 3>,
    {
        let channel = self.input.channels * self.taps() * 9;
        let point_pitch = self.input.blocks() * self.sums_block();
        let order: Vec<[usize; 2]> = (0..self.input.channels)
            .flat_map(|input| (0..self.taps()).map(move |tap| [input, tap]))
            .collect();
        weight_gradient.par_chunks_mut((LANES * channel).max(1)).enumerate().for_each(|(block, gradient)| {
            for (i, &[input, tap]) in order.iter().enumerate() {
                let start = self.sums_at(input, tap);
                let next = order.get(i + 2).map_or(start, |&[input, tap]| self.sums_at(input, tap));
                let mut kernels: Kernels = [[0.0; LANES]; 9];
                let unpack = Unpack::<N> {
                    points: &sums[start + block * LANES..],
                    point_pitch,
                    next: next.wrapping_sub(start),
                    kernels: &mut kernels,
                };
                dispatch(isa, unpack);
                for (lane, gradient) in gradient.chunks_exact_mut(channel).enumerate() {
                    for (value, lanes) in gradient[i * 9..][..9].iter_mut().zip(&kernels) {
                        *value = lanes[lane];
                    }
                }
            }
        });
    }
}

/// Transforms the pixels of tiles; `shift` is from a tile's first output to its first pixel, on both axes.
fn transform<A: Axis<M, N>, const M: usize, const N: usize>(
    isa: Isa,
    (side, pixels): (&Blocked, &[f32]),
    shift: isize,
    places: &[Place],
    layout: &Layout,
    mut values: &mut [f32],
) {
    let mut tasks = Vec::new();
    for panel in &layout.panels {
        for slice in layout.slices.clone() {
            let (own, rest) = std::mem::take(&mut values).split_at_mut(layout.slice_len(panel));
            tasks.push((panel, slice, own));
            values = rest;
        }
    }
    tasks.into_par_iter().for_each(|(panel, slice, values)| {
        for lane in (0..panel.width).step_by(LANES) {
            let to_points = ToPoints::<A, M, N> {
                planes: Planes::new(side, pixels, [panel.block + lane / LANES, slice]),
                places,
                shift,
                points: &mut values[lane..],
                point_pitch: layout.point_pitch(panel),
                tile_pitch: panel.width,
                map: PhantomData,
            };
            dispatch(isa, to_points);
        }
    });
}
