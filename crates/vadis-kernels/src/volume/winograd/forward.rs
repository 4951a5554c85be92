//! The convolution itself, and its input gradient: operands, and the cut into tasks.

use std::ops::Range;

use rayon::prelude::*;

use crate::Activation;
use crate::tile::{Isa, LANES};
use crate::volume::slices::{InOrder, Slices};

use super::pack::PANEL;
use super::product::even_pieces;
use super::scratch::Scratch;
use super::strip::StripWork;
use super::tiles::Finish;
use super::{Strip, Tile, Winograd};

/// Tasks that are enough to keep the cores busy.
const TASKS: usize = 16;

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
    pub(super) fn of_block(&self, channels: usize, block: usize) -> Finish {
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

/// What every operation needs besides its operands.
#[derive(Clone, Copy)]
pub(crate) struct Pass<'a> {
    pub(crate) isa: Isa,
    pub(crate) scratch: &'a Scratch,
}

/// What all tasks of a convolution read.
#[derive(Clone, Copy)]
pub(super) struct Operands<'a> {
    pub(super) pass: Pass<'a>,
    pub(super) input: &'a [f32],
    pub(super) packed: &'a [f32],
    pub(super) epilogue: &'a Epilogue<'a>,
    pub(super) slices: &'a Slices<'a>,
}

/// The outputs of one strip and some panels of channels.
pub(super) struct Task<'a> {
    pub(super) strip: Strip,
    pub(super) panels: Range<usize>,
    /// The rows it writes: `[clip][block][time]`, the times in the order of their slots.
    pub(super) rows: Vec<&'a mut [f32]>,
    /// `[block][sum, sum of squares][lane]`, or empty.
    pub(super) sums: &'a mut [f64],
}

impl Winograd {
    /// Elements of the sums that [`Winograd::forward`] gives for a batch.
    pub(crate) fn sums_len(&self, batch: usize) -> usize {
        self.forward_strips(batch).len() * self.sums_pitch()
    }

    /// Elements of the sums of a strip: `[block][sum, sum of squares][lane]`.
    fn sums_pitch(&self) -> usize {
        self.output.blocks() * 2 * LANES
    }

    /// Adds the sums of all strips: for each output channel, the sum of its outputs before the
    /// activation, and the sum of their squares.
    pub(crate) fn reduce_sums(&self, sums: &[f64]) -> Vec<[f64; 2]> {
        let mut totals = vec![[0.0; 2]; self.output.channels];
        for strip in sums.chunks_exact(self.sums_pitch().max(1)) {
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
    /// `sums`, if not empty, receives [`Winograd::sums_len`] sums for [`Winograd::reduce_sums`].
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
        let all = InOrder::new(self.input.shape[0], self.output.shape[0]);
        self.forward_slices(pass, input, packed, epilogue, output, sums, &all.slices());
    }

    /// As [`Winograd::forward`], of some slices of the output; `sums` must be empty unless of all.
    #[expect(clippy::too_many_arguments, reason = "a convolution's operands")]
    pub(crate) fn forward_slices(
        &self,
        pass: Pass<'_>,
        input: &[f32],
        packed: &[f32],
        epilogue: &Epilogue<'_>,
        output: &mut [f32],
        sums: &mut [f64],
        slices: &Slices<'_>,
    ) {
        let batch = self.batch(input, output);
        assert_eq!(packed.len(), self.packed_len(), "packed weights");
        for values in [epilogue.scale, epilogue.shift] {
            assert!(values.is_empty() || values.len() == self.output.channels, "values of the epilogue");
        }
        assert!(sums.is_empty() || sums.len() == self.sums_len(batch), "elements of the sums");
        sums.fill(0.0);
        let operands = Operands { pass, input, packed, epilogue, slices };
        let tasks = self.tasks(batch, output, sums, slices);
        tasks.into_par_iter().with_max_len(1).for_each(|task| {
            let work = StripWork::new(self, operands, &task.strip);
            match self.tile {
                Tile::Two => work.run::<4, 4, 2>(task),
                Tile::Four => work.run::<6, 6, 4>(task),
                Tile::Half => work.run::<5, 5, 2>(task),
                Tile::Double => work.run::<3, 5, 4>(task),
            }
        });
    }

    fn forward_strips(&self, batch: usize) -> Vec<Strip> {
        self.strips(batch, self.tiles_of_strip())
    }

    /// Most tiles of a strip over all its slices.
    fn tiles_of_strip(&self) -> usize {
        self.memory.inputs / (self.points() * self.input.blocks().max(1) * LANES)
    }

    /// Cuts the work into tasks, each with the rows that it writes.
    fn tasks<'a>(
        &self,
        batch: usize,
        output: &'a mut [f32],
        mut sums: &'a mut [f64],
        slices: &Slices<'_>,
    ) -> Vec<Task<'a>> {
        let stretches = slices.times.chunk_by(|before, after| before + 1 == *after);
        let strips: Vec<Strip> = stretches
            .map(|stretch| stretch[0]..stretch[0] + stretch.len())
            .flat_map(|times| self.strips_of(batch, self.tiles_of_strip(), times))
            .collect();
        // Each part of the panels transforms the input anew, which many products must outweigh.
        let most = (self.panels() * self.taps()).div_ceil(6);
        let parts = TASKS.div_ceil(strips.len().max(1)).min(most).max(1);
        let mut tasks = Vec::new();
        for strip in strips {
            for (first, count) in even_pieces(self.panels(), self.panels().div_ceil(parts).max(1)) {
                let panels = first..first + count;
                let len = if sums.is_empty() { 0 } else { self.blocks_of(&panels).len() * 2 * LANES };
                let (own, rest) = std::mem::take(&mut sums).split_at_mut(len);
                sums = rest;
                tasks.push(Task { strip: strip.clone(), panels, rows: Vec::new(), sums: own });
            }
        }
        self.hand_out(batch, output, &mut tasks, slices);
        tasks
    }

    /// Blocks of output channels of some panels.
    pub(super) fn blocks_of(&self, panels: &Range<usize>) -> Range<usize> {
        const BLOCKS: usize = PANEL / LANES;
        panels.start * BLOCKS..(panels.end * BLOCKS).min(self.output.blocks())
    }

    /// Gives each task the rows of the output that are its own.
    fn hand_out<'a>(&self, batch: usize, output: &'a mut [f32], tasks: &mut [Task<'a>], slices: &Slices<'_>) {
        let mut rest = output;
        let mut done = 0;
        let mut by_slot = slices.times.to_vec();
        by_slot.sort_unstable_by_key(|&t| slices.to[t]);
        for clip in 0..batch {
            for block in 0..self.output.blocks() {
                for &t in &by_slot {
                    for task in tasks.iter_mut() {
                        let Some([first, last]) = self.rows_of(&task.strip, clip) else { continue };
                        if !task.strip.times.contains(&t) || !self.blocks_of(&task.panels).contains(&block) {
                            continue;
                        }
                        let clip = clip * self.output.len();
                        let start = clip + self.output.row(block, slices.to[t], first).start;
                        let end = clip + self.output.row(block, slices.to[t], last).end;
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
        let side = self.tile.outputs();
        let first = strip.rows.start.max(clip * rows);
        let end = strip.rows.end.min((clip + 1) * rows);
        (first < end).then(|| {
            let [first, end] = [first, end].map(|row| (row - clip * rows) * side);
            [first, end.min(self.output.shape[1]) - 1]
        })
    }
}
