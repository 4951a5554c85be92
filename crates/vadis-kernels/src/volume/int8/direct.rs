//! Convolution of bytes by sums of products, in the geometry of [`Direct`]: strides, and phases of a
//! transposed one.
//!
//! A task's sums stay in registers over all terms; the weights stream from the second-level cache.
#![allow(unsafe_code)]

use rayon::prelude::*;

use super::super::direct::{Direct, Entry, Task};
use super::super::kernel::{PANEL, Run};
use super::super::layout::Layout;
use super::super::slices::InOrder;
use super::super::taps::Window;
use super::dot::{Dots, GROUP, Unit, add};
use super::pass::{finish_bytes, finish_values};
use super::scale::{ByteLanes, Lanes, Scale, Weight};
use crate::aligned::Aligned;
use crate::shared::Shared;
use crate::tile::LANES;
use crate::{Activation, Isa};

/// A convolution ready to run.
#[derive(Clone, Debug)]
pub(super) struct DirectInt8 {
    direct: Direct,
    /// `[panel][phase][t tap][y tap][block][x tap][group][output channel of the panel][4]`
    packed: Aligned<i8>,
    /// What the zero of the input adds to sums, to be taken away: `[panel][x phase][t tap][y tap][32]`
    zeros: Vec<i32>,
    /// For each output channel, in whole panels.
    scale: Vec<f32>,
    shift: Vec<f32>,
    activation: Activation,
}

/// What becomes of a row's sums.
pub(super) struct Sums<'a> {
    isa: Isa,
    lanes: Lanes,
    activation: Activation,
    values: &'a [i32],
}

/// Where values go: bytes for other convolutions, with their scale, or floats.
pub(super) trait Sink: Copy + Send + Sync {
    /// What they stand for.
    type Scale: Sync;

    /// Writes a row of a block with its margins.
    fn write(sums: &Sums<'_>, scale: &Self::Scale, to: &Layout, block: usize, row: &mut [Self]);
}

impl Sink for u8 {
    type Scale = Scale;

    fn write(sums: &Sums<'_>, scale: &Scale, to: &Layout, block: usize, row: &mut [u8]) {
        let bytes = ByteLanes::new(scale, block);
        let inside = &mut row[to.inside()];
        finish_bytes(sums.isa, &sums.lanes, sums.activation, &bytes, sums.values, inside);
        to.fill_margins(row, &scale.zeros_of::<LANES>(block));
    }
}

impl Sink for f32 {
    type Scale = ();

    fn write(sums: &Sums<'_>, (): &(), to: &Layout, _block: usize, row: &mut [f32]) {
        finish_values(sums.isa, &sums.lanes, sums.activation, sums.values, &mut row[to.inside()]);
        to.clear_margins(row);
    }
}

/// Memory of a task.
#[derive(Default)]
struct Memory {
    /// A row's sums, `[block of the panel][x][16]`.
    sums: Vec<i32>,
    runs: Vec<Run>,
}

impl DirectInt8 {
    /// `weight` in PyTorch's order with the steps of `input`, and the bias.
    ///
    /// # Panics
    /// If the input's lanes are not whole groups, or the output's are not sixteen.
    pub(super) fn new(
        (window, phased): (&Window, bool),
        [from, to]: [Layout; 2],
        input: &Scale,
        (weight, bias): (&Weight, &[f32]),
        activation: Activation,
    ) -> Self {
        assert!(from.lanes.is_multiple_of(GROUP), "lanes are groups of four");
        let direct = Direct::new(window, phased, from, to);
        let mut packed = Aligned::new(direct.packed_len());
        pack(&direct, &weight.bytes, &mut packed);
        let zeros = zeros(&direct, &weight.bytes, input);
        let mut scale = weight.steps.clone();
        let mut shift = bias.to_vec();
        scale.resize(direct.panels() * PANEL, 0.0);
        shift.resize(direct.panels() * PANEL, 0.0);
        Self { direct, packed, zeros, scale, shift, activation }
    }

    /// Convolves one clip.
    pub(super) fn run<T: Sink>(&self, unit: Unit, input: &[u8], scale: &T::Scale, output: &mut [T]) {
        assert_eq!(input.len(), self.direct.from.len(), "input of a convolution");
        assert_eq!(output.len(), self.direct.to.len(), "output of a convolution");
        let output = Shared::new(output);
        let all = InOrder::new(self.direct.from.shape[0], self.direct.to.shape[0]);
        let slices = all.slices();
        (0..self.direct.task_count(1)).into_par_iter().with_max_len(1).for_each_init(
            Memory::default,
            |memory, index| {
                let task = self.direct.task(index, &slices);
                self.run_task(unit, &task, input, memory, scale, &output);
            },
        );
    }

    fn run_task<T: Sink>(
        &self,
        unit: Unit,
        task: &Task<'_>,
        input: &[u8],
        memory: &mut Memory,
        scale: &T::Scale,
        output: &Shared<'_, T>,
    ) {
        let direct = &self.direct;
        let blocks = direct.width(task.panel);
        let pitch = direct.to.shape[2] * LANES;
        memory.sums.resize(2 * pitch, 0);
        let phases = direct.axes[2].phases.len();
        let entries: Vec<Vec<Entry>> = (0..phases).map(|px| direct.entries(task, px)).collect();
        for row in 0..task.rows {
            for (px, entries) in entries.iter().enumerate() {
                self.sum_phase(unit, task, (row, px, entries), input, memory);
            }
            let y = (task.first + row) * direct.axes[1].phases.len() + task.phase;
            for block in 0..blocks {
                let row = direct.to.whole_row(2 * task.panel + block, task.t, y);
                // SAFETY: a row of a block belongs to one task.
                let row = unsafe { output.part(row) };
                let place = 2 * task.panel + block;
                let values = &memory.sums[block * pitch..][..pitch];
                let (isa, lanes, activation) = (unit.isa, self.lanes(place), self.activation);
                T::write(&Sums { isa, lanes, activation, values }, scale, &direct.to, place, row);
            }
        }
    }

    fn lanes(&self, block: usize) -> Lanes {
        let of = |values: &[f32]| std::array::from_fn(|lane| values[block * LANES + lane]);
        Lanes { scale: of(&self.scale), shift: of(&self.shift) }
    }

    /// The sums of one phase in width of a row.
    fn sum_phase(
        &self,
        unit: Unit,
        task: &Task<'_>,
        (row, px, entries): (usize, usize, &[Entry]),
        input: &[u8],
        memory: &mut Memory,
    ) {
        let direct = &self.direct;
        let (count, blocks) = (direct.axes[2].count(px), direct.width(task.panel));
        if count == 0 {
            return;
        }
        memory.runs.clear();
        let index = task.first + row;
        memory.runs.extend(entries.iter().filter_map(|entry| direct.run_of(entry, index, blocks)));
        let phases = direct.axes[2].phases.len();
        let pitch = direct.to.shape[2] * LANES;
        let dots = Dots {
            a: input,
            a_step: direct.axes[2].advance * direct.from.lanes,
            b: &self.packed[direct.panel_start(task.panel)..][..direct.terms() * blocks * LANES],
            runs: &memory.runs,
            groups: direct.entry_len(px) / GROUP,
            joined: direct.joined(px),
            start: &self.start(task, index, px),
            count,
            out_step: phases * LANES,
            blocks,
            out_block: pitch,
        };
        dots.run(unit, &mut memory.sums[px * LANES..]);
    }

    /// What a row's sums start from: what the input's zero takes away, over the taps in time and height
    /// that lie in the volume.
    fn start(&self, task: &Task<'_>, index: usize, px: usize) -> [i32; PANEL] {
        let [time, height, width] = &self.direct.axes;
        let [kt, kh, _] = self.direct.kernel;
        let steps = time.phases.len();
        let mut start = [0; PANEL];
        for t in time.phases[task.t % steps].iter().filter(|&&tap| time.reads(task.t / steps, tap).is_some())
        {
            for y in height.phases[task.phase].iter().filter(|&&tap| height.reads(index, tap).is_some()) {
                let place = ((task.panel * width.phases.len() + px) * kt + t.k) * kh + y.k;
                add(&mut start, &self.zeros[place * PANEL..]);
            }
        }
        start
    }
}

/// Brings a weight into the kernel's order.
fn pack(direct: &Direct, weight: &[i8], packed: &mut [i8]) {
    let places = direct.places();
    let lanes = direct.from.lanes;
    packed.par_chunks_mut(direct.terms() * PANEL).enumerate().for_each(|(panel, packed)| {
        let width = direct.width(panel) * LANES;
        for output in 0..width.min(direct.to.channels - panel * PANEL) {
            for from in 0..direct.from.channels {
                for (k, [place, block_pitch]) in places.iter().enumerate() {
                    let term = place + from / lanes * block_pitch + from % lanes;
                    packed[(term / GROUP * width + output) * GROUP + term % GROUP] =
                        weight[direct.weight_index(panel * PANEL + output, from) + k];
                }
            }
        }
    });
}

/// −Σ over input channels and taps in width of zero · weight.
fn zeros(direct: &Direct, weight: &[i8], input: &Scale) -> Vec<i32> {
    let [kt, kh, kw] = direct.kernel;
    let phases = &direct.axes[2].phases;
    let mut zeros = vec![0; direct.panels() * phases.len() * kt * kh * PANEL];
    for output in 0..direct.to.channels {
        for (px, taps) in phases.iter().enumerate() {
            for (k, tap) in (0..kt * kh).flat_map(|k| taps.iter().map(move |tap| (k, tap))) {
                let sum: i32 = (0..direct.from.channels)
                    .map(|from| {
                        let byte = weight[direct.weight_index(output, from) + k * kw + tap.k];
                        i32::from(input.zeros[from]) * i32::from(byte)
                    })
                    .sum();
                let place = (output / PANEL * phases.len() + px) * kt * kh + k;
                zeros[place * PANEL + output % PANEL] -= sum;
            }
        }
    }
    zeros
}
