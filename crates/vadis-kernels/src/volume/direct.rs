//! Convolution by sums of products, in either direction: a convolution, a transposed one, and the
//! input gradient of both, which is the other's sum.
//!
//! A task is a few rows of one clip for a panel of 32 output channels. It goes through the panel's
//! weights in chunks that stay in the first-level cache, and through its rows for each chunk.
#![allow(unsafe_code)]

use rayon::prelude::*;

use super::kernel::{PANEL, Row, Run};
use super::layout::Layout;
use super::pass::{activate_row, add_moments};
use super::slices::{InOrder, Slices};
use super::taps::{Axis, Tap, Window};
use crate::shared::Shared;
use crate::tile::LANES;
use crate::{Activation, Isa};

/// Terms of a chunk: with a panel's width 32 KiB of weights.
const CHUNK: usize = 256;
/// Positions that a task should have.
const POSITIONS: usize = 512;
/// Input elements that a task may read: they stay in the second-level cache for all panels.
const INPUTS: usize = 320 << 10;
/// Sum and sum of squares for each lane of a panel.
pub(crate) const MOMENTS: usize = 2 * PANEL;

/// A convolution of volumes in given layouts. The weight is PyTorch's: `[to][from][taps]`, or for a
/// phased one `[from][to][taps]`.
#[derive(Clone, Debug)]
pub(crate) struct Direct {
    pub(crate) phased: bool,
    pub(crate) from: Layout,
    pub(crate) to: Layout,
    pub(crate) kernel: [usize; 3],
    pub(crate) axes: [Axis; 3],
    /// Rows of a task.
    rows: usize,
}

/// What happens to the sums.
#[derive(Clone, Copy)]
pub(crate) struct Finish<'a> {
    /// One for each output channel, or empty.
    pub(crate) bias: &'a [f32],
    pub(crate) activation: Activation,
    /// Adds to what the output holds, instead of the bias.
    pub(crate) accumulate: bool,
}

impl Finish<'_> {
    /// The sums alone.
    pub(crate) const PLAIN: Self = Self { bias: &[], activation: Activation::None, accumulate: false };

    /// What a panel's sums start from, unless they are added to the output.
    pub(crate) fn start(&self, panel: usize) -> [f32; PANEL] {
        let mut start = [0.0; PANEL];
        let bias = self.bias.get(panel * PANEL..).unwrap_or_default();
        start.iter_mut().zip(bias).for_each(|(start, bias)| *start = *bias);
        start
    }
}

/// A task's place: outputs `(t, first row + i · step)` of a clip, for a panel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Task<'a> {
    pub(crate) slices: &'a Slices<'a>,
    pub(crate) clip: usize,
    pub(crate) panel: usize,
    pub(crate) t: usize,
    pub(crate) phase: usize,
    pub(crate) first: usize,
    pub(crate) rows: usize,
}

impl Direct {
    /// # Panics
    /// If the output has not sixteen lanes.
    pub(crate) fn new(window: &Window, phased: bool, from: Layout, to: Layout) -> Self {
        assert!(to.is_blocked(), "outputs are vectors");
        let axes = axes(window, phased, &from, &to);
        let rows = rows_of_task(&axes, &from, INPUTS);
        Self { phased, from, to, kernel: window.kernel, axes, rows }
    }

    /// With tasks that read at most so many values, if they can.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn with_inputs(mut self, most: usize) -> Self {
        self.rows = rows_of_task(&self.axes, &self.from, most);
        self
    }

    /// Margins that its input needs.
    pub(crate) fn margin(window: &Window, phased: bool, from: &Layout, to: &Layout) -> [usize; 2] {
        axes(window, phased, from, to)[2].margin()
    }

    /// The same over buffers of other numbers of slots.
    pub(crate) fn with_slots(mut self, [from, to]: [usize; 2]) -> Self {
        (self.from.slots, self.to.slots) = (from, to);
        self
    }

    pub(crate) fn panels(&self) -> usize {
        self.to.blocks().div_ceil(2)
    }

    /// Blocks of a panel.
    pub(crate) fn width(&self, panel: usize) -> usize {
        (self.to.blocks() - 2 * panel).min(2)
    }

    /// Terms of all phases together.
    pub(crate) fn terms(&self) -> usize {
        self.kernel.iter().product::<usize>() * self.from.blocks() * self.from.lanes
    }

    pub(crate) fn packed_len(&self) -> usize {
        self.terms() * self.to.blocks() * LANES
    }

    pub(crate) fn panel_start(&self, panel: usize) -> usize {
        self.terms() * panel * PANEL
    }

    /// Terms before a phase in a panel.
    fn phase_start(&self, phase: [usize; 3]) -> usize {
        let [t, y, x] = phase;
        let lens = |axis: usize| self.axes[axis].phases.iter().map(Vec::len);
        let all = |axis: usize| lens(axis).sum::<usize>();
        let before = |axis: usize, phase: usize| lens(axis).take(phase).sum::<usize>();
        let len = |axis: usize, phase: usize| self.axes[axis].phases[phase].len();
        let taps =
            before(0, t) * all(1) * all(2) + len(0, t) * (before(1, y) * all(2) + len(1, y) * before(2, x));
        taps * self.from.blocks() * self.from.lanes
    }

    /// For each tap of the kernel: its first term in a panel, and terms from one block to the next.
    pub(crate) fn places(&self) -> Vec<[usize; 2]> {
        let [kt, kh, kw] = self.kernel;
        let mut places = vec![[0; 2]; kt * kh * kw];
        let blocks = self.from.blocks();
        for (pt, ts) in self.axes[0].phases.iter().enumerate() {
            for (py, ys) in self.axes[1].phases.iter().enumerate() {
                for (px, xs) in self.axes[2].phases.iter().enumerate() {
                    let start = self.phase_start([pt, py, px]);
                    for (i, (t, y)) in ts.iter().flat_map(|t| ys.iter().map(move |y| (t, y))).enumerate() {
                        for (j, x) in xs.iter().enumerate() {
                            places[(t.k * kh + y.k) * kw + x.k] = [
                                start + (i * blocks * xs.len() + j) * self.from.lanes,
                                xs.len() * self.from.lanes,
                            ];
                        }
                    }
                }
            }
        }
        places
    }

    /// Brings the weight into the order in which the kernel reads it:
    /// `[panel][phase][t tap][y tap][block][x tap][lane][output channel of the panel]`, in memory of
    /// [`Direct::packed_len`] that held the same or zeros before.
    pub(crate) fn pack_into(&self, weight: &[f32], packed: &mut [f32]) {
        let places = self.places();
        let (taps, lanes) = (places.len(), self.from.lanes);
        let (inputs, outputs) = (self.from.channels, self.to.channels);
        packed.par_chunks_mut(self.terms() * PANEL).enumerate().for_each(|(panel, packed)| {
            let first = panel * PANEL;
            let width = self.width(panel) * LANES;
            for from in 0..inputs {
                let start = self.weight_index(first, from);
                let pitch = if self.phased { taps } else { inputs * taps };
                for (k, [place, block_pitch]) in places.iter().enumerate() {
                    let term = place + from / lanes * block_pitch + from % lanes;
                    let values = weight[start + k..].iter().step_by(pitch);
                    let lanes = packed[term * width..][..width].iter_mut().take(outputs - first);
                    lanes.zip(values).for_each(|(lane, value)| *lane = *value);
                }
            }
        });
    }

    /// The place of a pair's first tap in the weight.
    pub(crate) fn weight_index(&self, to: usize, from: usize) -> usize {
        let taps: usize = self.kernel.iter().product();
        match self.phased {
            true => (from * self.to.channels + to) * taps,
            false => (to * self.from.channels + from) * taps,
        }
    }

    /// How many tasks a batch has.
    pub(crate) fn task_count(&self, batch: usize) -> usize {
        batch * self.to.shape[0] * self.tasks_of_slice()
    }

    /// How many tasks some slices of a batch have.
    pub(crate) fn tasks(&self, batch: usize, slices: &Slices<'_>) -> usize {
        batch * slices.times.len() * self.tasks_of_slice()
    }

    fn tasks_of_slice(&self) -> usize {
        self.row_groups() * self.panels()
    }

    fn row_groups(&self) -> usize {
        (0..self.axes[1].phases.len()).map(|phase| self.axes[1].count(phase).div_ceil(self.rows)).sum()
    }

    /// Panels vary fastest: they share the task's inputs.
    pub(crate) fn task<'a>(&self, index: usize, slices: &'a Slices<'a>) -> Task<'a> {
        let (panel, index) = (index % self.panels(), index / self.panels());
        let (mut group, index) = (index % self.row_groups(), index / self.row_groups());
        let (t, clip) = (slices.times[index % slices.times.len()], index / slices.times.len());
        for phase in 0..self.axes[1].phases.len() {
            let count = self.axes[1].count(phase);
            let groups = count.div_ceil(self.rows);
            if group < groups {
                let first = group * self.rows;
                return Task { slices, clip, panel, t, phase, first, rows: (count - first).min(self.rows) };
            }
            group -= groups;
        }
        unreachable!("the index is below the count of tasks")
    }

    /// Convolves a batch. `moments`, if not empty, has [`MOMENTS`] for each task and receives the sums
    /// and the sums of squares of the outputs before the activation.
    pub(crate) fn run(
        &self,
        isa: Isa,
        input: &[f32],
        packed: &[f32],
        finish: &Finish<'_>,
        output: &mut [f32],
        moments: &mut [f64],
    ) {
        let all = InOrder::new(self.from.shape[0], self.to.shape[0]);
        self.run_slices(isa, input, packed, finish, output, moments, &all.slices());
    }

    /// As [`Direct::run`], of some slices of the output; `moments` must be empty unless of all.
    #[expect(clippy::too_many_arguments, reason = "a convolution's operands")]
    pub(crate) fn run_slices(
        &self,
        isa: Isa,
        input: &[f32],
        packed: &[f32],
        finish: &Finish<'_>,
        output: &mut [f32],
        moments: &mut [f64],
        slices: &Slices<'_>,
    ) {
        let batch = output.len() / self.to.len();
        assert_eq!(input.len(), batch * self.from.len(), "input of a convolution");
        let (output, wanted) = (Shared::new(output), !moments.is_empty());
        let moments = Shared::new(moments);
        (0..self.tasks(batch, slices)).into_par_iter().with_max_len(1).for_each(|index| {
            let task = self.task(index, slices);
            let input = &input[task.clip * self.from.len()..][..self.from.len()];
            let packed =
                &packed[self.panel_start(task.panel)..][..self.terms() * self.width(task.panel) * LANES];
            // SAFETY: each task has moments of its own.
            let moments = wanted.then(|| unsafe { moments.part(index * MOMENTS..(index + 1) * MOMENTS) });
            self.run_task(isa, &task, input, packed, finish, &output, moments);
        });
    }

    #[expect(clippy::too_many_arguments, reason = "private, one task's state")]
    fn run_task(
        &self,
        isa: Isa,
        task: &Task<'_>,
        input: &[f32],
        packed: &[f32],
        finish: &Finish<'_>,
        output: &Shared<'_>,
        moments: Option<&mut [f64]>,
    ) {
        let start = finish.start(task.panel);
        let start = (!finish.accumulate).then_some(&start);
        for px in 0..self.axes[2].phases.len() {
            self.run_phase(isa, task, px, [input, packed], start, output);
        }
        self.finish_task(isa, task, finish, output, moments);
    }

    /// What becomes of a task's sums: moments, activation, margins.
    pub(crate) fn finish_task(
        &self,
        isa: Isa,
        task: &Task<'_>,
        finish: &Finish<'_>,
        output: &Shared<'_>,
        moments: Option<&mut [f64]>,
    ) {
        let mut rows = self.output_rows(task, output);
        if let Some(moments) = moments {
            moments.fill(0.0);
            for (block, moments) in
                moments.chunks_exact_mut(2 * LANES).take(self.width(task.panel)).enumerate()
            {
                rows.iter().for_each(|row| add_moments(isa, moments, &row[block][self.to.inside()]));
            }
        }
        for row in rows.iter_mut().flatten().filter(|row| !row.is_empty()) {
            activate_row(isa, finish.activation, &mut row[self.to.inside()]);
            self.to.clear_margins(row);
        }
    }

    /// The rows that the task writes, with their margins: a slice for each block of the panel.
    pub(crate) fn output_rows<'a>(&self, task: &Task<'_>, output: &Shared<'a>) -> Vec<[&'a mut [f32]; 2]> {
        let step = self.axes[1].phases.len();
        let row = |index: usize, block: usize| {
            if block >= self.width(task.panel) {
                return Default::default();
            }
            let y = (task.first + index) * step + task.phase;
            let row = self.to.whole_row(2 * task.panel + block, task.slices.to[task.t], y);
            let clip = task.clip * self.to.len();
            // SAFETY: a row of a block belongs to one task, which asks for it once at a time.
            unsafe { output.part(clip + row.start..clip + row.end) }
        };
        (0..task.rows).map(|index| [row(index, 0), row(index, 1)]).collect()
    }

    /// One phase in width of the task's rows.
    fn run_phase(
        &self,
        isa: Isa,
        task: &Task<'_>,
        px: usize,
        [input, packed]: [&[f32]; 2],
        start: Option<&[f32; PANEL]>,
        output: &Shared<'_>,
    ) {
        let count = self.axes[2].count(px);
        if count == 0 {
            return;
        }
        let width = self.width(task.panel);
        let skip = self.to.inside().start + px * LANES;
        let mut rows = self.output_rows(task, output);
        let mut started = vec![false; task.rows];
        let mut runs = Vec::new();
        let entries = self.entries(task, px);
        let chunk = (CHUNK / self.entry_len(px)).max(1);
        for chunk in entries.chunks(chunk).chain(std::iter::once(&[][..]).filter(|_| entries.is_empty())) {
            for (index, (row, started)) in rows.iter_mut().zip(&mut started).enumerate() {
                runs.clear();
                runs.extend(chunk.iter().filter_map(|entry| self.run_of(entry, task.first + index, width)));
                if *started && runs.is_empty() {
                    continue;
                }
                let start = start.filter(|_| !*started);
                let [first, second] = row;
                let mut blocks = [&mut first[skip..], second.get_mut(skip..).unwrap_or_default()];
                let (a_step, len) = (self.axes[2].advance * self.from.lanes, self.entry_len(px));
                let out_step = self.axes[2].phases.len() * LANES;
                let row = Row { a: input, a_step, b: packed, runs: &runs, len, start, count, out_step };
                row.run(isa, &mut blocks[..width]);
                *started = true;
            }
        }
    }

    pub(crate) fn entry_len(&self, px: usize) -> usize {
        if self.from.is_blocked() { LANES } else { (self.axes[2].phases[px].len() * self.from.lanes).max(1) }
    }

    /// Entries one after another that lie side by side: in sixteen lanes those of all taps in width.
    pub(crate) fn joined(&self, px: usize) -> usize {
        if self.from.is_blocked() { self.axes[2].phases[px].len().max(1) } else { 1 }
    }

    /// The stretches of the sums in a phase, in the order of the packed weight; taps in time that
    /// leave the volume are left out.
    pub(crate) fn entries(&self, task: &Task<'_>, px: usize) -> Vec<Entry> {
        let steps = self.axes[0].phases.len();
        let (pt, index) = (task.t % steps, task.t / steps);
        let phase = [pt, task.phase, px];
        let [ts, ys, xs] = [0, 1, 2].map(|axis| &self.axes[axis].phases[phase[axis]]);
        let (blocks, lanes) = (self.from.blocks(), self.from.lanes);
        let start = self.phase_start(phase);
        let mut entries = Vec::new();
        if xs.is_empty() {
            return entries;
        }
        for (i, &tap) in ts.iter().enumerate() {
            let Some(t) = self.axes[0].reads(index, tap) else { continue };
            let t = task.slices.from[t];
            for (j, &y) in ys.iter().enumerate() {
                let term = start + (i * ys.len() + j) * blocks * xs.len() * lanes;
                let xs = if self.from.is_blocked() { &xs[..] } else { &xs[..1] };
                for block in 0..blocks {
                    for (k, x) in xs.iter().enumerate() {
                        let term = term + (block * xs.len() + k) * lanes;
                        entries.push(Entry { a: self.from.at(block, t, 0, x.d), y, term });
                    }
                }
            }
        }
        entries
    }

    /// An entry for the `index`-th row of its phase, unless the row that it reads is none.
    pub(crate) fn run_of(&self, entry: &Entry, index: usize, width: usize) -> Option<Run> {
        let y = self.axes[1].reads(index, entry.y)?;
        Some(Run { a: entry.a + y * self.from.row_pitch(), b: entry.term * width * LANES })
    }

    /// For each output channel its sum and its sum of squares, from the tasks' moments.
    pub(crate) fn reduce(&self, moments: &[f64]) -> Vec<[f64; 2]> {
        let mut totals = vec![[0.0; 2]; self.to.channels];
        for (index, moments) in moments.chunks_exact(MOMENTS).enumerate() {
            let first = index % self.panels() * PANEL;
            for (lane, total) in totals[first..].iter_mut().take(PANEL).enumerate() {
                let at = lane / LANES * 2 * LANES + lane % LANES;
                total[0] += moments[at];
                total[1] += moments[at + LANES];
            }
        }
        totals
    }
}

/// A stretch of a sum: where it reads in row 0, its tap in height, and its first term.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    a: usize,
    y: Tap,
    term: usize,
}

/// As many rows as share the weights well, and whose inputs fit the cache.
fn rows_of_task(axes: &[Axis; 3], from: &Layout, most_inputs: usize) -> usize {
    let most = (POSITIONS / axes[2].count(0).max(1)).clamp(1, 8);
    let taps = |axis: usize| axes[axis].phases.iter().map(Vec::len).max().unwrap_or(0);
    let inputs = |rows: usize| {
        let read = (rows - 1) * axes[1].advance + taps(1);
        read * taps(0) * from.blocks() * from.row_pitch()
    };
    (2..=most).rev().find(|&rows| inputs(rows) <= most_inputs).unwrap_or(most.min(2))
}

fn axes(window: &Window, phased: bool, from: &Layout, to: &Layout) -> [Axis; 3] {
    std::array::from_fn(|axis| Axis::new(window, axis, phased, from.shape[axis], to.shape[axis]))
}
