//! The convolution itself, and its input gradient.

use std::marker::PhantomData;
use std::ops::Range;

use rayon::prelude::*;

use crate::Activation;
use crate::tile::{Isa, LANES, Run};

use super::pack::PANEL;
use super::product::{Product, even_pieces};
use super::scratch::Scratch;
use super::tiles::{Finish, Place, Planes, RowOf, ToPixels, ToPoints};
use super::transform::{Axis, Input, Output};
use super::vector::dispatch;
use super::{Strip, TileSize, Winograd, point_pitch, tile_rows};

/// What is done to each output element: activation(scale · x + shift).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Epilogue<'a> {
    /// One for each output channel; empty for 1.
    pub(crate) scale: &'a [f32],
    /// One for each output channel; empty for 0.
    pub(crate) shift: &'a [f32],
    pub(crate) activation: Activation,
}

impl Epilogue<'_> {
    fn of_block(&self, channels: usize, block: usize) -> Finish {
        let first = block * LANES;
        let lanes = LANES.min(channels - first);
        let pad = |values: &[f32], fill| {
            let mut padded = [0.0; LANES];
            if values.is_empty() {
                padded[..lanes].fill(fill);
            } else {
                padded[..lanes].copy_from_slice(&values[first..first + lanes]);
            }
            padded
        };
        let [scale, shift] = [pad(self.scale, 1.0), pad(self.shift, 0.0)];
        Finish { scale, shift, activation: self.activation, lanes }
    }
}

/// What a pass over data needs besides its operands.
#[derive(Clone, Copy)]
pub(crate) struct Pass<'a> {
    pub(crate) isa: Isa,
    pub(crate) scratch: &'a Scratch,
}

/// One strip and some panels of output channels.
struct Task<'a> {
    strip: Strip,
    panels: Range<usize>,
    blocks: Range<usize>,
    /// The rows it writes: `[clip][block][time]`.
    rows: Vec<&'a mut [f32]>,
    /// `[block][sum, sum of squares][lane]`, or empty.
    sums: &'a mut [f64],
}

/// A task's transformed input: `[point][group][slice][block][tile][16]`, where a group is the tiles of
/// one register tile.
struct Points<'a> {
    values: &'a [f32],
    pitch: usize,
    /// (first tile, tiles) of the groups.
    groups: &'a [(usize, usize)],
    slices: Range<usize>,
}

impl Winograd {
    /// Elements of the sums that [`Winograd::forward`] gives for a batch.
    pub(crate) fn sums_len(&self, batch: usize) -> usize {
        self.forward_strips(batch).len() * self.output.blocks() * 2 * LANES
    }

    /// Adds the sums of all tasks: for each output channel, the sum of its outputs before the
    /// activation, and the sum of their squares.
    pub(crate) fn reduce_sums(&self, sums: &[f64]) -> Vec<[f64; 2]> {
        let mut totals = vec![[0.0; 2]; self.output.channels];
        for strip in sums.chunks_exact(self.output.blocks().max(1) * 2 * LANES) {
            for (c, total) in totals.iter_mut().enumerate() {
                for (i, total) in total.iter_mut().enumerate() {
                    *total += strip[(c / LANES * 2 + i) * LANES + c % LANES];
                }
            }
        }
        totals
    }

    /// Convolves a batch: `input` and `output` are whole clips in the plan's layouts, one after the
    /// other. Writes the output without its border; lanes beyond the last channel become zero.
    ///
    /// `sums`, if not empty, receives sums for [`Winograd::reduce_sums`].
    ///
    /// # Panics
    /// If a length does not fit.
    pub(crate) fn forward(
        &self,
        pass: Pass<'_>,
        input: &[f32],
        packed: &[f32],
        epilogue: &Epilogue<'_>,
        output: &mut [f32],
        sums: &mut [f64],
    ) {
        let batch = self.batch(input, output);
        assert_eq!(packed.len(), self.packed_len(), "packed weights");
        for values in [epilogue.scale, epilogue.shift] {
            assert!(values.is_empty() || values.len() == self.output.channels, "values of the epilogue");
        }
        assert!(sums.is_empty() || sums.len() == self.sums_len(batch), "elements of the sums");
        sums.fill(0.0);
        let tasks = self.tasks(batch, output, sums);
        tasks.into_par_iter().with_max_len(1).for_each(|task| match self.size {
            TileSize::Two => self.run::<4, 2>(pass, input, packed, epilogue, task),
            TileSize::Four => self.run::<6, 4>(pass, input, packed, epilogue, task),
        });
    }

    fn forward_strips(&self, batch: usize) -> Vec<Strip> {
        let tile = self.points() * self.input.blocks().max(1) * LANES;
        self.strips(batch, self.memory.inputs / tile)
    }

    /// Cuts the work into tasks, each with the rows that it writes.
    fn tasks<'a>(&self, batch: usize, output: &'a mut [f32], sums: &'a mut [f64]) -> Vec<Task<'a>> {
        let strips = self.forward_strips(batch);
        let mut sums = sums.chunks_mut(self.output.blocks().max(1) * 2 * LANES);
        let mut tasks: Vec<Task<'a>> = Vec::new();
        for strip in strips {
            let (panels, blocks) = (0..self.panels(), 0..self.output.blocks());
            tasks.push(Task {
                strip,
                panels,
                blocks,
                rows: Vec::new(),
                sums: sums.next().unwrap_or_default(),
            });
        }
        self.hand_out(batch, output, &mut tasks);
        tasks
    }

    /// Gives each task the rows of the output that are its own.
    fn hand_out<'a>(&self, batch: usize, output: &'a mut [f32], tasks: &mut [Task<'a>]) {
        let mut rest = output;
        let mut done = 0;
        for clip in 0..batch {
            for block in 0..self.output.blocks() {
                for t in 0..self.output.shape[0] {
                    for task in tasks.iter_mut() {
                        let Some([first, last]) = self.rows_of(&task.strip, clip) else { continue };
                        if !task.strip.times.contains(&t) || !task.blocks.contains(&block) {
                            continue;
                        }
                        let clip_start = clip * self.output.len();
                        let start = clip_start + self.output.row(block, t, first).start;
                        let end = clip_start + self.output.row(block, t, last).end;
                        let (_, tail) = std::mem::take(&mut rest).split_at_mut(start - done);
                        let (rows, tail) = tail.split_at_mut(end - start);
                        task.rows.push(rows);
                        rest = tail;
                        done = end;
                    }
                }
            }
        }
    }

    /// First and last row of pixels of a strip in a clip.
    fn rows_of(&self, strip: &Strip, clip: usize) -> Option<[usize; 2]> {
        let [rows, _] = self.grid();
        let side = self.size.outputs();
        let first = strip.rows.start.max(clip * rows);
        let end = strip.rows.end.min((clip + 1) * rows);
        (first < end).then(|| {
            let [first, end] = [first, end].map(|row| (row - clip * rows) * side);
            [first, end.min(self.output.shape[1]) - 1]
        })
    }

    fn run<const N: usize, const M: usize>(
        &self,
        pass: Pass<'_>,
        input: &[f32],
        packed: &[f32],
        epilogue: &Epilogue<'_>,
        mut task: Task<'_>,
    ) where
        Input: Axis<N, N>,
        Output: Axis<N, M>,
    {
        let places = self.places(&task.strip);
        let groups: Vec<_> = even_pieces(places.len(), tile_rows(pass.isa)).collect();
        let slices = self.slices(&task.strip.times);
        let pitch = point_pitch(places.len() * slices.len() * self.input.blocks() * LANES);
        let mut values = pass.scratch.lend(self.points() * pitch);
        for (&(first, count), start) in groups.iter().zip(self.group_starts(&groups, slices.len())) {
            let places = &places[first..first + count];
            self.to_points::<N>(pass.isa, input, places, &slices, &mut values[start..], pitch);
        }
        let points = Points { values: &values, pitch, groups: &groups, slices };

        let per_panel = self.points() * places.len() * task.strip.times.len() * PANEL;
        let panels = (self.memory.products / per_panel).max(1);
        let pieces: Vec<_> = even_pieces(task.panels.len(), panels).collect();
        for (first, count) in pieces {
            let first = task.panels.start + first;
            self.panels_forward::<N, M>(
                pass,
                packed,
                epilogue,
                &mut task,
                &places,
                &points,
                first..first + count,
            );
        }
    }

    /// Where the groups of a point begin.
    fn group_starts(&self, groups: &[(usize, usize)], slices: usize) -> impl Iterator<Item = usize> {
        let tile = slices * self.input.blocks() * LANES;
        groups.iter().map(move |&(first, _)| first * tile)
    }

    /// Transforms the input of a group of tiles.
    fn to_points<const N: usize>(
        &self,
        isa: Isa,
        input: &[f32],
        places: &[Place],
        slices: &Range<usize>,
        points: &mut [f32],
        point_pitch: usize,
    ) where
        Input: Axis<N, N>,
    {
        let plane = |block: usize, t: usize| {
            let border = self.input.border[0][0];
            block * self.input.block_pitch() + (t + border) * self.input.slice_pitch()
        };
        let mut start = 0;
        for t in slices.clone() {
            for block in 0..self.input.blocks() {
                let planes = Planes {
                    pixels: &input[plane(block, t)..],
                    clip_pitch: self.input.len(),
                    padded: [1, 2].map(|axis| self.input.padded(axis)),
                };
                let to_points = ToPoints::<Input, N, N> {
                    planes,
                    places,
                    offset: [1, 2].map(|axis| self.input.border[axis][0] as isize - 1),
                    points: &mut points[start..],
                    point_pitch,
                    tile_pitch: LANES,
                    map: PhantomData,
                };
                dispatch(isa, to_points);
                start += places.len() * LANES;
            }
        }
    }

    /// The runs of the products of an output slice with a group's tiles.
    fn runs(&self, t: usize, points: &Points<'_>, tiles: usize, width: usize) -> Vec<Run> {
        let depth = self.input.channels;
        let slice_len = self.input.blocks() * tiles * LANES;
        let taps = self.valid_taps(t);
        let a =
            |tap: usize| ((self.first_slice(t) + tap as isize) as usize - points.slices.start) * slice_len;
        if depth.is_multiple_of(LANES) && !taps.is_empty() {
            // The next slice's channels follow the last.
            let Range { start, end } = taps;
            return vec![Run { a: a(start), b: start * depth * width, len: (end - start) * depth }];
        }
        taps.map(|tap| Run { a: a(tap), b: tap * depth * width, len: depth }).collect()
    }

    /// Products and inverse transform of some panels.
    #[expect(clippy::too_many_arguments, reason = "one stage of one loop")]
    fn panels_forward<const N: usize, const M: usize>(
        &self,
        pass: Pass<'_>,
        packed: &[f32],
        epilogue: &Epilogue<'_>,
        task: &mut Task<'_>,
        places: &[Place],
        points: &Points<'_>,
        panels: Range<usize>,
    ) where
        Output: Axis<N, M>,
    {
        let times = task.strip.times.clone();
        let lanes: usize = panels.clone().map(|panel| self.panel_width(panel)).sum();
        let pitch = point_pitch(places.len() * times.len() * lanes);
        let mut products = pass.scratch.lend(self.points() * pitch);
        let starts: Vec<_> = self.group_starts(points.groups, points.slices.len()).collect();
        let runs: Vec<Vec<Vec<Vec<Run>>>> = panels
            .clone()
            .map(|panel| {
                points
                    .groups
                    .iter()
                    .map(|group| {
                        times
                            .clone()
                            .map(|t| self.runs(t, points, group.1, self.panel_width(panel)))
                            .collect()
                    })
                    .collect()
            })
            .collect();
        let b_of = |index: usize| {
            let (point, panel) = (index / panels.len(), panels.start + index % panels.len());
            if point == self.points() {
                return &packed[..0];
            }
            &packed[self.packed_at(panel, point)..]
                [..self.taps * self.input.channels * self.panel_width(panel)]
        };
        let calls = points.groups.len() * times.len();
        for point in 0..self.points() {
            for (j, panel) in panels.clone().enumerate() {
                let index = point * panels.len() + j;
                let [b, next] = [b_of(index), b_of(index + 1)];
                let mut piece = next.chunks(next.len().div_ceil(calls).next_multiple_of(16).max(1));
                for ((&(first, rows), &start), runs) in points.groups.iter().zip(&starts).zip(&runs[j]) {
                    for (i, runs) in runs.iter().enumerate() {
                        let out = point * pitch
                            + (i * places.len() + first) * lanes
                            + (panel - panels.start) * PANEL;
                        dispatch(
                            pass.isa,
                            Product::<LANES, 1, LANES> {
                                a: &points.values[point * points.pitch + start..],
                                b,
                                runs,
                                block: rows * LANES,
                                rows,
                                width: self.panel_width(panel),
                                out: &mut products[out..],
                                out_row: lanes,
                                resume: false,
                                next: piece.next().unwrap_or_default(),
                            },
                        );
                    }
                }
            }
        }
        for block in panels.start * 2..panels.start * 2 + lanes / LANES {
            let finish = epilogue.of_block(self.output.channels, block);
            let own = block - task.blocks.start;
            for (i, _) in times.clone().enumerate() {
                let sums = task.sums.get_mut(own * 2 * LANES..(own + 1) * 2 * LANES);
                let start = i * places.len() * lanes + (block - panels.start * 2) * LANES;
                let first_clip = places[0].clip;
                let row_of = RowOf {
                    first_clip,
                    pitch: task.blocks.len() * times.len(),
                    start: own * times.len() + i,
                    first_y: places[0].y,
                };
                dispatch(
                    pass.isa,
                    ToPixels::<N, M> {
                        points: &products[start..],
                        point_pitch: pitch,
                        tile_pitch: lanes,
                        places,
                        finish: &finish,
                        rows: &mut task.rows,
                        row_of,
                        row_pitch: self.output.row_pitch(),
                        size: [self.output.shape[1], self.output.shape[2]],
                        sums: sums.map(|sums| sums.split_at_mut(LANES).into()),
                    },
                );
            }
        }
    }
}
