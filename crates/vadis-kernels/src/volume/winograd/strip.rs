//! The convolution of one strip: transform, products, and transform back.

use std::marker::PhantomData;
use std::ops::Range;

use crate::tile::{LANES, Run};

use super::forward::{Operands, Task};
use super::pack::PANEL;
use super::product::{Product, even_pieces};
use super::tiles::{Place, Planes, RowOf, ToPixels, ToPoints};
use super::transform::{Axis, Input, Output};
use super::{Reads, Strip, Winograd, point_pitch, tile_rows};
use crate::vector::dispatch;

/// Most products in one chain of sums.
const RUN: usize = 256;

/// The tiles of a strip in groups that fill a register tile.
pub(super) struct StripWork<'a> {
    plan: &'a Winograd,
    operands: Operands<'a>,
    /// Where the tiles read, and where they write.
    inputs: Vec<Place>,
    places: Vec<Place>,
    groups: Vec<Group>,
    /// Output and input slices.
    times: Range<usize>,
    slices: Range<usize>,
    /// Elements from point to point of the transformed input, which is
    /// `[point][group][slice][block][tile][16]`.
    pitch: usize,
}

/// Tiles of one register tile.
struct Group {
    tiles: Range<usize>,
    /// Index of its transformed input.
    start: usize,
}

/// Products with some panels of weights: `[point][time][tile][lanes of the panels]`.
struct Products {
    panels: Range<usize>,
    lanes: usize,
    pitch: usize,
}

impl<'a> StripWork<'a> {
    pub(super) fn new(plan: &'a Winograd, operands: Operands<'a>, strip: &Strip) -> Self {
        let [inputs, places] =
            [plan.tile.advance(), plan.tile.outputs()].map(|side| plan.places(strip, side));
        let slices = plan.slices(&strip.times);
        let tile_len = slices.len() * plan.input.blocks() * LANES;
        let groups = even_pieces(places.len(), tile_rows(operands.pass.isa))
            .map(|(first, count)| Group { tiles: first..first + count, start: first * tile_len })
            .collect();
        let pitch = point_pitch(places.len() * tile_len);
        Self { plan, operands, inputs, places, groups, times: strip.times.clone(), slices, pitch }
    }

    /// Computes a task on the strip with tiles of W × W pixels, N × N points and M × M outputs.
    pub(super) fn run<const W: usize, const N: usize, const M: usize>(&self, mut task: Task<'_>)
    where
        Input: Axis<W, N>,
        Output: Axis<N, M>,
    {
        let scratch = self.operands.pass.scratch;
        let mut points = scratch.lend(N * N * self.pitch);
        for group in &self.groups {
            self.transform::<W, N>(group, &mut points);
        }
        let per_panel = N * N * self.places.len() * self.times.len() * PANEL;
        let panels = (self.plan.memory.products / per_panel).max(1);
        for (first, count) in even_pieces(task.panels.len(), panels) {
            let panels = task.panels.start + first..task.panels.start + first + count;
            let lanes = self.plan.blocks_of(&panels).len() * LANES;
            let pitch = point_pitch(self.places.len() * self.times.len() * lanes);
            let layout = Products { panels, lanes, pitch };
            let mut products = scratch.lend(N * N * pitch);
            self.multiply(&points, &layout, &mut products);
            for block in self.plan.blocks_of(&layout.panels) {
                for t in self.times.clone() {
                    self.write::<N, M>(&products, &layout, [block, t], &mut task);
                }
            }
        }
    }

    /// Transforms the input of a group.
    fn transform<const W: usize, const N: usize>(&self, group: &Group, points: &mut [f32])
    where
        Input: Axis<W, N>,
    {
        let input = &self.plan.input;
        let mut start = group.start;
        for t in self.slices.clone() {
            for block in 0..input.blocks() {
                let to_points = ToPoints::<Input, W, N> {
                    planes: Planes::new(input, self.operands.input, [block, self.operands.slices.from[t]]),
                    places: &self.inputs[group.tiles.clone()],
                    shift: self.plan.tile.shift(),
                    points: &mut points[start..],
                    point_pitch: self.pitch,
                    tile_pitch: LANES,
                    map: PhantomData,
                };
                dispatch(self.operands.pass.isa, to_points);
                start += group.tiles.len() * LANES;
            }
        }
    }

    /// The runs of the products of an output slice with a group's tiles.
    fn runs(&self, t: usize, tiles: usize, width: usize) -> Vec<Run> {
        let plan = self.plan;
        let depth = plan.input.channels;
        let block_len = tiles * LANES;
        let Reads { taps, slice } = plan.reads(t);
        let pieces = |tap: usize, count: usize| {
            let start = (slice + tap - taps.start - self.slices.start) * plan.input.blocks() * block_len;
            let len = count * depth;
            even_pieces(len.div_ceil(LANES), RUN / LANES).map(move |(block, blocks)| Run {
                a: start + block * block_len,
                b: (tap * depth + block * LANES) * width,
                len: (len - block * LANES).min(blocks * LANES),
            })
        };
        if depth.is_multiple_of(LANES) && !taps.is_empty() {
            // The next slice's channels follow the last.
            return pieces(taps.start, taps.len()).collect();
        }
        taps.clone().flat_map(|tap| pieces(tap, 1)).collect()
    }

    /// Multiplies the points with some panels of weights.
    fn multiply(&self, points: &[f32], layout: &Products, products: &mut [f32]) {
        let runs_of = |width| -> Vec<Vec<Run>> {
            let pairs = self.groups.iter().flat_map(|group| self.times.clone().map(move |t| (group, t)));
            pairs.map(|(group, t)| self.runs(t, group.tiles.len(), width)).collect()
        };
        let runs = [runs_of(LANES), runs_of(PANEL)];
        let order: Vec<[usize; 2]> = (0..self.plan.points())
            .flat_map(|point| layout.panels.clone().map(move |panel| [panel, point]))
            .collect();
        for (i, &[panel, point]) in order.iter().enumerate() {
            let next = order.get(i + 1).map_or(&[][..], |&[panel, point]| self.weights(panel, point));
            let runs = &runs[usize::from(self.plan.panel_width(panel) == PANEL)];
            let first = point * layout.pitch + (panel - layout.panels.start) * PANEL;
            let points = &points[point * self.pitch..];
            self.multiply_panel([panel, point], runs, points, next, layout.lanes, &mut products[first..]);
        }
    }

    /// The packed weights of a panel and point.
    fn weights(&self, panel: usize, point: usize) -> &'a [f32] {
        let plan = self.plan;
        let len = plan.taps() * plan.input.channels * plan.panel_width(panel);
        &self.operands.packed[plan.packed_at(panel, point)..][..len]
    }

    /// Multiplies all tiles of a point with a panel of weights, while `next` is fetched.
    fn multiply_panel(
        &self,
        [panel, point]: [usize; 2],
        runs: &[Vec<Run>],
        points: &[f32],
        next: &[f32],
        lanes: usize,
        products: &mut [f32],
    ) {
        let weights = self.weights(panel, point);
        let mut pieces = next.chunks(next.len().div_ceil(runs.len()).next_multiple_of(LANES).max(LANES));
        let mut runs = runs.iter();
        for group in &self.groups {
            for (i, runs) in (0..self.times.len()).zip(&mut runs) {
                let product = Product::<LANES, 1, LANES> {
                    a: &points[group.start..],
                    b: weights,
                    runs,
                    block: group.tiles.len() * LANES,
                    rows: group.tiles.len(),
                    width: self.plan.panel_width(panel),
                    out: &mut products[(i * self.places.len() + group.tiles.start) * lanes..],
                    out_row: lanes,
                    resume: false,
                    next: pieces.next().unwrap_or_default(),
                };
                dispatch(self.operands.pass.isa, product);
            }
        }
    }

    /// Transforms the products of a block and output slice back, and writes the pixels.
    fn write<const N: usize, const M: usize>(
        &self,
        products: &[f32],
        layout: &Products,
        [block, t]: [usize; 2],
        task: &mut Task<'_>,
    ) where
        Output: Axis<N, M>,
    {
        let output = &self.plan.output;
        let blocks = self.plan.blocks_of(&task.panels);
        let own = block - blocks.start;
        let time = t - self.times.start;
        let slots = self.operands.slices.to;
        let place = self.times.clone().filter(|&other| slots[other] < slots[t]).count();
        let lane = (block - self.plan.blocks_of(&layout.panels).start) * LANES;
        let finish = self.operands.epilogue.of_block(output.channels, block);
        let sums = task.sums.get_mut(own * 2 * LANES..(own + 1) * 2 * LANES);
        let to_pixels = ToPixels::<N, M> {
            points: &products[time * self.places.len() * layout.lanes + lane..],
            point_pitch: layout.pitch,
            tile_pitch: layout.lanes,
            places: &self.places,
            finish: &finish,
            rows: &mut task.rows,
            row_of: RowOf {
                clip_pitch: blocks.len() * self.times.len(),
                start: own * self.times.len() + place,
                row_pitch: output.row_pitch(),
            },
            size: [output.shape[1], output.shape[2]],
            sums: sums.map(|sums| sums.split_at_mut(LANES).into()),
        };
        dispatch(self.operands.pass.isa, to_pixels);
    }
}
