//! The weight gradient of a convolution, transposed or not.
#![allow(unsafe_code)]

use std::ops::Range;

use rayon::prelude::*;

use super::kernel::{Correlation, Run, WIDE, even_pieces};
use super::layout::Layout;
use super::taps::Window;
use crate::Isa;
use crate::shared::Shared;
use crate::tile::LANES;

/// Tasks that a gradient should be cut into.
const TASKS: usize = 24;
/// Positions that a tile should sum over at a time.
const POSITIONS: usize = 128;
/// Most blocks of scalars and of vectors of a task: the more, the fewer read the same of the other side.
const BLOCKS: usize = 8;
/// Most values that a task should sum: they stay in the second-level cache, beside what they are summed from.
const SUMS: usize = 64 << 10;

/// dW[v][s][k] = Σ over clips and places, vector[place][v] · scalar[place · stride + k − padding][s]
///
/// Of a convolution, the scalars are its input and the vectors its output's gradient; of a transposed
/// one the other way round. At stride 1 the sides may be swapped, with the kernel turned round: dW is
/// `[s][v][k]` then.
#[derive(Clone, Debug)]
pub(crate) struct WeightGradient {
    pub(super) window: Window,
    turned: bool,
    pub(super) scalar: Layout,
    pub(super) vector: Layout,
}

/// What a task sums: some blocks of scalars, some of vectors, and a share of the rows of all clips, or of bands of them.
#[derive(Clone, Debug)]
pub(super) struct Task {
    pub(super) scalars: Range<usize>,
    pub(super) vectors: Range<usize>,
    pub(super) share: Range<usize>,
}

/// The tasks of a gradient, those of one part of it together, and how many these are.
pub(super) struct Tasks {
    tasks: Vec<Task>,
    shares: usize,
}

impl Tasks {
    /// For all blocks of scalars and vectors, and so many rows or bands, in at most so many shares.
    pub(super) fn new(scalars: &[Range<usize>], vectors: &[Range<usize>], rows: usize, most: usize) -> Self {
        let shares = TASKS.div_ceil(scalars.len() * vectors.len()).min(most).max(1);
        let mut tasks = Vec::new();
        for scalars in scalars {
            for vectors in vectors {
                let share = |i: usize| i * rows / shares..(i + 1) * rows / shares;
                let task = |i| Task { scalars: scalars.clone(), vectors: vectors.clone(), share: share(i) };
                tasks.extend((0..shares).map(task));
            }
        }
        Self { tasks, shares }
    }

    /// Sums them, and hands each part of the gradient its sums.
    fn run(self, sum: impl Fn(&Task) -> Vec<f32> + Sync, scatter: impl Fn(&Task, &[f32]) + Sync) {
        let tasks = self.tasks.into_par_iter().with_max_len(1);
        if self.shares == 1 {
            return tasks.for_each(|task| scatter(&task, &sum(&task)));
        }
        let mut sums: Vec<(Task, Vec<f32>)> = tasks
            .map(|task| {
                let sums = sum(&task);
                (task, sums)
            })
            .collect();
        sums.par_chunks_mut(self.shares).for_each(|shares| {
            let Some(((task, first), rest)) = shares.split_first_mut() else { return };
            for (_, share) in rest {
                first.iter_mut().zip(share).for_each(|(sum, value)| *sum += *value);
            }
            scatter(task, first);
        });
    }
}

impl Task {
    /// Its blocks of scalars, each with a tile's vectors after another, as its sums lie.
    fn parts(&self) -> impl Iterator<Item = (usize, Range<usize>)> {
        let vectors = self.vectors.clone();
        self.scalars
            .clone()
            .flat_map(move |block| ranges(vectors.clone(), WIDE).map(move |group| (block, group)))
    }
}

impl WeightGradient {
    /// # Panics
    /// If the vectors have not sixteen lanes, or the sides are swapped with a stride.
    pub(crate) fn new(window: &Window, turned: bool, scalar: Layout, vector: Layout) -> Self {
        assert!(vector.is_blocked(), "vectors have sixteen lanes");
        assert!(!turned || window.stride == [1; 3], "swapped at stride 1 only");
        let window = if turned { window.turned() } else { *window };
        Self { window, turned, scalar, vector }
    }

    /// Margins that it needs around the scalars.
    pub(crate) fn margin(window: &Window, turned: bool, scalar: &Layout, vector: &Layout) -> [usize; 2] {
        let window = if turned { window.turned() } else { *window };
        let [k, s, p] = [window.kernel[2], window.stride[2], window.padding[2]];
        [p, ((vector.shape[2] - 1) * s + k).saturating_sub(p + scalar.shape[2])]
    }

    fn tasks(&self, batch: usize) -> Tasks {
        let groups: Vec<Range<usize>> = ranges(0..self.vector.blocks(), BLOCKS).collect();
        let [tile, width] = self.tile();
        let of_scalar = self.window.kernel[0] * self.window.kernel[1] * width * tile * LANES;
        let of_group = of_scalar * groups.first().map_or(1, Range::len);
        let most = (SUMS / of_group).clamp(1, BLOCKS);
        let scalars: Vec<Range<usize>> = ranges(0..self.scalar.blocks(), most).collect();
        let rows = batch * self.vector.shape[0] * self.vector.shape[1];
        Tasks::new(&scalars, &groups, rows, rows.div_ceil(4))
    }

    /// Writes the gradient of a batch, in PyTorch's layout.
    pub(crate) fn run(&self, isa: Isa, scalar: &[f32], vector: &[f32], gradient: &mut [f32]) {
        self.run_tasks(
            [scalar, vector],
            gradient,
            |batch| self.tasks(batch),
            |task| self.sums(isa, task, scalar, vector),
            |task, sums, gradient| self.scatter(task, sums, gradient),
        );
    }

    /// Writes the gradient of a batch by tasks, of which `sum` gives the sums, and `scatter` brings those of a part to their
    /// places.
    pub(super) fn run_tasks(
        &self,
        [scalar, vector]: [&[f32]; 2],
        gradient: &mut [f32],
        tasks: impl Fn(usize) -> Tasks,
        sum: impl Fn(&Task) -> Vec<f32> + Sync,
        scatter: impl Fn(&Task, &[f32], &Shared<'_>) + Sync,
    ) {
        let batch = vector.len() / self.vector.len();
        assert_eq!(scalar.len(), batch * self.scalar.len(), "scalars of a weight gradient");
        assert_eq!(gradient.len(), self.window.taps() * self.scalar.channels * self.vector.channels);
        let gradient = Shared::new(gradient);
        tasks(batch).run(sum, |task, sums| scatter(task, sums, &gradient));
    }

    /// Scalars of a tile, and tiles in width: packed scalars take the kernel's width along.
    fn tile(&self) -> [usize; 2] {
        match self.scalar.is_blocked() {
            true => [LANES, self.window.kernel[2]],
            false => [self.window.kernel[2] * self.scalar.lanes, 1],
        }
    }

    /// The sums of a task: `[block of scalars][group of vectors][t][y][x][scalar][vector]`; with packed scalars
    /// `[group][t][y][(x, scalar)][vector]`.
    fn sums(&self, isa: Isa, task: &Task, scalar: &[f32], vector: &[f32]) -> Vec<f32> {
        let ([kt, kh, _], [tile, width]) = (self.window.kernel, self.tile());
        let of_block = kt * kh * width * tile * LANES;
        let mut values = vec![0.0; task.scalars.len() * task.vectors.len() * of_block];
        let [time, height, _] = self.vector.shape;
        let most = (POSITIONS / self.vector.shape[2]).clamp(1, 8);
        let mut row = task.share.start;
        while row < task.share.end {
            let (clip, t, y) = (row / (time * height), row / height % time, row % height);
            let count = most.min(height - y).min(task.share.end - row);
            let scalar = &scalar[clip * self.scalar.len()..][..self.scalar.len()];
            let vector = &vector[clip * self.vector.len()..][..self.vector.len()];
            let mut values = &mut values[..];
            for (block, group) in task.parts() {
                let (own, rest) = values.split_at_mut(group.len() * of_block);
                self.add_rows(isa, (block, &group), [scalar, vector], t, y..y + count, own);
                values = rest;
            }
            row += count;
        }
        values
    }

    /// Adds the share of a few rows of one slice, for one block of scalars and a tile's of vectors.
    fn add_rows(
        &self,
        isa: Isa,
        (block, vectors): (usize, &Range<usize>),
        [scalar, vector]: [&[f32]; 2],
        t: usize,
        ys: Range<usize>,
        values: &mut [f32],
    ) {
        let ([kt, kh, _], [tile, width]) = (self.window.kernel, self.tile());
        let [st, sy, sx] = self.window.stride;
        let [pt, py, px] = self.window.padding;
        let blocks = vectors.len();
        let mut runs = Vec::with_capacity(ys.len());
        for (index, values) in values.chunks_exact_mut(width * tile * blocks * LANES).enumerate() {
            let from_t = (t * st + index / kh).wrapping_sub(pt);
            if from_t >= self.scalar.shape[0] || index / kh >= kt {
                continue;
            }
            for (x, values) in values.chunks_exact_mut(tile * blocks * LANES).enumerate() {
                let run = |y: usize| {
                    let from_y = (y * sy + index % kh).wrapping_sub(py);
                    (from_y < self.scalar.shape[1]).then(|| Run {
                        a: self.scalar.at(block, from_t, from_y, x as isize - px as isize),
                        b: self.vector.at(vectors.start, t, y, 0),
                    })
                };
                runs.clear();
                runs.extend(ys.clone().filter_map(run));
                let correlation = Correlation {
                    a: scalar,
                    a_term: sx * self.scalar.lanes,
                    b: vector,
                    b_block: self.vector.block_pitch(),
                    runs: &runs,
                    len: self.vector.shape[2],
                    rows: tile,
                    blocks,
                };
                correlation.run(isa, values);
            }
        }
    }

    /// Writes finished sums to their places in the gradient.
    fn scatter(&self, task: &Task, mut values: &[f32], gradient: &Shared<'_>) {
        let [kt, kh, _] = self.window.kernel;
        let [tile, width] = self.tile();
        for (block, group) in task.parts() {
            let (own, rest) = values.split_at(kt * kh * width * tile * group.len() * LANES);
            self.scatter_group((block, &group), own, gradient);
            values = rest;
        }
    }

    fn scatter_group(&self, (block, vectors): (usize, &Range<usize>), values: &[f32], gradient: &Shared<'_>) {
        let (lanes, width) = (self.scalar.lanes, vectors.len() * LANES);
        let ([_, _, kw], [tile, _]) = (self.window.kernel, self.tile());
        self.write(gradient, [vectors, &(block..block + 1)], |v, s, k| {
            let row = match self.scalar.is_blocked() {
                true => k * tile + s,
                false => k / kw * tile + k % kw * lanes + s,
            };
            values[row * width + v]
        });
    }

    /// Writes the gradient of some blocks of vectors and of scalars, where `value` gives that of a vector, a scalar and a tap,
    /// counted from their first.
    pub(super) fn write(
        &self,
        gradient: &Shared<'_>,
        [vectors, scalars]: [&Range<usize>; 2],
        value: impl Fn(usize, usize, usize) -> f32,
    ) {
        let (taps, lanes) = (self.window.taps(), self.scalar.lanes);
        let (first_v, first_s) = (vectors.start * LANES, scalars.start * lanes);
        for v in 0..(vectors.len() * LANES).min(self.vector.channels - first_v) {
            for s in 0..(scalars.len() * lanes).min(self.scalar.channels - first_s) {
                let pair = match self.turned {
                    false => (first_v + v) * self.scalar.channels + first_s + s,
                    true => (first_s + s) * self.vector.channels + first_v + v,
                };
                // SAFETY: these scalars and vectors are one task's alone.
                let slot = unsafe { gradient.part(pair * taps..(pair + 1) * taps) };
                for (k, slot) in slot.iter_mut().enumerate() {
                    *slot = value(v, s, if self.turned { taps - 1 - k } else { k });
                }
            }
        }
    }
}

/// Cuts a range into the fewest pieces of at most `most`, as even as can be.
pub(super) fn ranges(range: Range<usize>, most: usize) -> impl Iterator<Item = Range<usize>> {
    let start = range.start;
    even_pieces(range.len(), most).map(move |(first, count)| start + first..start + first + count)
}
