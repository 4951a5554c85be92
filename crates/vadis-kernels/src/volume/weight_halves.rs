//! The weight gradient of a convolution of volumes by tiles of floats' halves (`crate::halves`): rows of sums are the vectors'
//! channels, lanes the scalars' as each tap in width meets them, terms the positions of some rows of a slice.
//!
//! The rows are worked on for one slice after another: slices of the scalars are brought to halves once for all taps in time.

use std::ops::Range;

use super::kernel::even_pieces;
use super::weights::{Task, Tasks, WeightGradient, ranges};
use crate::amx::ROWS;
use crate::halves::{self, Block, Flipped, Phases, TILE, Terms, Tiles};
use crate::shared::Shared;
use crate::tile::LANES;

/// Positions of a row below which tiles take longer than vectors.
const LEAST: usize = 8;
/// Terms that are summed at a time: two tiles' rows of them stay in the first-level cache.
const AT_A_TIME: usize = 256;
/// Most blocks of vectors of a task.
const VECTORS: usize = 8;
/// Most halves of a task's scalars, and most of its sums: all of them stay in the second-level cache.
const SCALARS: usize = 320 << 10;
const SUMS: usize = 160 << 10;
/// Sums of sixteen channels by sixteen lanes.
const SUM: usize = ROWS * LANES;

/// A weight gradient by halves.
#[derive(Clone, Debug)]
pub(crate) struct WeightsByHalves {
    plain: WeightGradient,
    /// Rows at a time.
    band: usize,
    /// Of one slice of a block of lanes.
    phases: Phases,
}

/// A task's memory in halves: what is flipped, the lanes, and a tile.
struct Memory<'a> {
    flipped: Flipped,
    rows: &'a mut [u16],
    lanes: &'a mut [u16],
    buffer: &'a mut [u16],
}

impl WeightsByHalves {
    /// If the rows have some length.
    pub(crate) fn new(plain: &WeightGradient) -> Option<Self> {
        let ([_, height, width], window) = (plain.vector.shape, &plain.window);
        let row = width.next_multiple_of(2);
        let band = even_pieces(height, (AT_A_TIME / row).max(1)).map(|(_, rows)| rows).max()?;
        let phases = Phases::new(band, row, window.kernel[1], window.stride[1]);
        (width >= LEAST).then(|| Self { plain: plain.clone(), band, phases })
    }

    /// Blocks of lanes of a block of scalars: one for each tap in width or, of packed scalars, for sixteen of a row of taps.
    fn blocks(&self) -> usize {
        match self.plain.scalar.is_blocked() {
            true => self.plain.window.kernel[2],
            false => (self.plain.window.kernel[2] * self.plain.scalar.lanes).div_ceil(LANES),
        }
    }

    /// Halves of a block of lanes: of as many slices as there are taps in time.
    fn block_len(&self) -> usize {
        self.plain.window.kernel[0] * self.phases.len()
    }

    /// Taps in time and height.
    fn taps(&self) -> usize {
        self.plain.window.kernel[0] * self.plain.window.kernel[1]
    }

    /// Sums of a block of vectors.
    fn sums_len(&self, scalars: usize) -> usize {
        scalars * self.blocks() * self.taps() * SUM
    }

    fn bands(&self) -> usize {
        self.plain.vector.shape[1].div_ceil(self.band)
    }

    fn tasks(&self, batch: usize) -> Tasks {
        let vectors: Vec<Range<usize>> = ranges(0..self.plain.vector.blocks(), VECTORS).collect();
        let of_sums = vectors[0].len() * self.sums_len(1);
        let most = (SCALARS / (self.blocks() * self.block_len())).min(SUMS / of_sums).max(1);
        let scalars: Vec<Range<usize>> = ranges(0..self.plain.scalar.blocks(), most).collect();
        let bands = batch * self.bands();
        Tasks::new(&scalars, &vectors, bands, bands)
    }

    /// Writes the gradient of a batch, in PyTorch's layout.
    pub(crate) fn run(&self, scalar: &[f32], vector: &[f32], gradient: &mut [f32]) {
        self.plain.run_tasks(
            [scalar, vector],
            gradient,
            |batch| self.tasks(batch),
            |task| self.sums(task, scalar, vector),
            |task, sums, gradient| self.scatter(task, sums, gradient),
        );
    }

    /// The sums of a task: `[block of vectors][block of lanes][t][y][vector][lane]`.
    fn sums(&self, task: &Task, scalar: &[f32], vector: &[f32]) -> Vec<f32> {
        let mut values = vec![0.0; task.vectors.len() * self.sums_len(task.scalars.len())];
        let flipped = Flipped::new([self.band, self.plain.vector.shape[2]], task.vectors.len() * LANES);
        let lanes = task.scalars.len() * self.blocks() * self.block_len();
        halves::with_buffer(flipped.len() + lanes + TILE, |buffer| {
            let (rows, buffer) = buffer.split_at_mut(flipped.len());
            let (lanes, buffer) = buffer.split_at_mut(lanes);
            // What tiles read beyond the last row is to be finite.
            lanes.fill(0);
            let mut memory = Memory { flipped, rows, lanes, buffer };
            let places = self.places(task.scalars.len());
            Tiles::with(|tiles| {
                for band in task.share.clone() {
                    let (clip, first) = (band / self.bands(), band % self.bands() * self.band);
                    let ys = first..self.plain.vector.shape[1].min(first + self.band);
                    let scalar = &scalar[clip * self.plain.scalar.len()..][..self.plain.scalar.len()];
                    let vector = &vector[clip * self.plain.vector.len()..][..self.plain.vector.len()];
                    self.add_band(tiles, (task, &places), [scalar, vector], &ys, &mut memory, &mut values);
                }
            });
        });
        values
    }

    /// Adds the share of some rows of all slices of a clip.
    fn add_band(
        &self,
        tiles: &mut Tiles,
        (task, places): (&Task, &[Block]),
        [scalar, vector]: [&[f32]; 2],
        ys: &Range<usize>,
        memory: &mut Memory<'_>,
        values: &mut [f32],
    ) {
        // The first slice of the scalars that was not read yet.
        let mut next = 0;
        for t in 0..self.plain.vector.shape[0] {
            let first = t * self.plain.window.stride[0];
            let slice = |tap: usize| (first + tap).checked_sub(self.plain.window.padding[0]);
            let slices: Vec<_> = (0..self.plain.window.kernel[0])
                .filter_map(|tap| Some((tap, slice(tap).filter(|&from| from < self.plain.scalar.shape[0])?)))
                .collect();
            for &(_, from) in slices.iter().filter(|(_, from)| *from >= next) {
                self.read_scalar(task, scalar, from, ys.start, memory.lanes);
            }
            next = slices.last().map_or(next, |(_, from)| from + 1);
            self.read_vector(task, vector, t, ys, memory);
            for (tap, from) in slices {
                let lanes = &memory.lanes[self.slot(from)..];
                let sums = &mut values[tap * self.plain.window.kernel[1] * SUM..];
                let pitch = [self.sums_len(task.scalars.len()), LANES];
                memory.flipped.multiply(tiles, [memory.rows, lanes], ys.len(), places, sums, pitch);
            }
        }
    }

    /// The rows of a slice that a band from row `first` on meets, zeros for those that there are not.
    fn read_scalar(&self, task: &Task, values: &[f32], slice: usize, first: usize, lanes: &mut [u16]) {
        let ([_, sy, _], [_, py, _]) = (self.plain.window.stride, self.plain.window.padding);
        let place = self.slot(slice);
        let of_block = lanes.chunks_exact_mut(self.blocks() * self.block_len());
        for (block, lanes) in task.scalars.clone().zip(of_block) {
            // As they lie in memory, and each at once as all taps in width meet it.
            for [phase, index] in self.phases.rows(self.band) {
                let y = ((first + index) * sy + phase).checked_sub(py);
                let y = y.filter(|&y| y < self.plain.scalar.shape[1]);
                let place = place + self.phases.row(phase, index);
                for (part, lanes) in lanes.chunks_exact_mut(self.block_len()).enumerate() {
                    let to = &mut lanes[place..][..self.phases.row_len()];
                    match y {
                        Some(y) => self.read_row(values, (block, part), [slice, y], to),
                        None => to.fill(0),
                    }
                }
            }
        }
    }

    /// A row of the scalars as sixteen lanes of the window meet it.
    fn read_row(&self, values: &[f32], (block, part): (usize, usize), [t, y]: [usize; 2], to: &mut [u16]) {
        let (lanes, count) = (self.plain.scalar.lanes, self.plain.vector.shape[2]);
        let step = self.plain.window.stride[2] * lanes;
        // Of packed scalars the sixteen lanes of a row of taps lie side by side.
        let skip = part * if self.plain.scalar.is_blocked() { lanes } else { LANES };
        let start = self.plain.scalar.at(block, t, y, -(self.plain.window.padding[2] as isize)) + skip;
        let len = (count - 1) * step + LANES;
        match values.get(start..start + len) {
            Some(values) => halves::pairs(Terms { values, step, count }, 1, to),
            None => {
                // The last lanes have no weights, and the last row none after it.
                let mut row = values[start..].to_vec();
                row.resize(len, 0.0);
                halves::pairs(Terms { values: &row, step, count }, 1, to);
            }
        }
    }

    fn read_vector(&self, task: &Task, values: &[f32], t: usize, ys: &Range<usize>, memory: &mut Memory<'_>) {
        let Memory { flipped, rows, buffer, .. } = memory;
        for (index, block) in task.vectors.clone().enumerate() {
            for (row, y) in ys.clone().enumerate() {
                let values = &values[self.plain.vector.row(block, t, y)];
                let columns = Terms { values, step: LANES, count: self.plain.vector.shape[2] };
                let place = index * LANES * flipped.channel + row * flipped.row;
                flipped.read(columns, rows, place, buffer);
            }
        }
        flipped.end(ys.len(), rows);
    }

    /// Where a slice of the scalars lies in a block of lanes.
    fn slot(&self, slice: usize) -> usize {
        slice % self.plain.window.kernel[0] * self.phases.len()
    }

    /// The blocks of lanes of so many blocks of scalars, of the first tap in time.
    fn places(&self, scalars: usize) -> Vec<Block> {
        let sums = |block: usize, ky: usize| (block * self.taps() + ky) * SUM;
        self.phases.blocks(scalars * self.blocks(), self.block_len(), sums)
    }

    /// Writes finished sums to their places in the gradient.
    fn scatter(&self, task: &Task, values: &[f32], gradient: &Shared<'_>) {
        let of_vectors = self.sums_len(task.scalars.len());
        self.plain.write(gradient, [&task.vectors, &task.scalars], |v, s, k| {
            values[v / LANES * of_vectors + v % LANES * LANES + self.place(s, k)]
        });
    }

    /// Where the sums of a task's scalar and of a tap lie in those of a block of vectors.
    fn place(&self, s: usize, k: usize) -> usize {
        let kw = self.plain.window.kernel[2];
        let lane = match self.plain.scalar.is_blocked() {
            true => (s / LANES * kw + k % kw) * LANES + s % LANES,
            false => k % kw * self.plain.scalar.lanes + s,
        };
        (lane / LANES * self.taps() + k / kw) * SUM + lane % LANES
    }
}

#[cfg(test)]
mod tests {
    use super::super::layout::Layout;
    use super::super::noise;
    use super::super::taps::Window;
    use super::*;
    use crate::Isa;

    /// Two clips of random values on both sides, and the gradient both ways.
    struct Case {
        plain: WeightGradient,
        halves: WeightsByHalves,
        sides: [Vec<f32>; 2],
    }

    impl Case {
        fn new(window: Window, turned: bool, scalar: [usize; 4], vector: [usize; 4]) -> Self {
            // Few channels are kept without padding.
            let (mut scalar, vector) = (Layout::new(scalar, scalar[0] < 8), Layout::new(vector, false));
            scalar.widen(WeightGradient::margin(&window, turned, &scalar, &vector));
            let plain = WeightGradient::new(&window, turned, scalar, vector);
            let halves = WeightsByHalves::new(&plain).expect("rows of some length");
            let sides = [(scalar, 1), (vector, 2)].map(|(layout, seed)| {
                let len = layout.channels * layout.shape.iter().product::<usize>();
                let mut side = vec![0.0; 2 * layout.len()];
                layout.read_planes(&noise(2 * len, seed), &mut side);
                side
            });
            Self { plain, halves, sides }
        }

        fn gradient_len(&self) -> usize {
            self.plain.window.taps() * self.plain.scalar.channels * self.plain.vector.channels
        }

        fn by_halves(&self) -> Vec<f32> {
            let mut gradient = vec![f32::NAN; self.gradient_len()];
            self.halves.run(&self.sides[0], &self.sides[1], &mut gradient);
            gradient
        }

        fn by_floats(&self) -> Vec<f32> {
            let mut gradient = vec![f32::NAN; self.gradient_len()];
            self.plain.run(Isa::detect().vectors(), &self.sides[0], &self.sides[1], &mut gradient);
            gradient
        }
    }

    /// Sizes that leave tiles, bands and blocks full, half full and nearly empty.
    fn cases() -> Vec<Case> {
        let window = |kernel, stride, padding| Window { kernel, stride, padding };
        vec![
            Case::new(window([3; 3], [1; 3], [1; 3]), false, [32, 3, 9, 40], [32, 3, 9, 40]),
            Case::new(window([3; 3], [1; 3], [1; 3]), true, [20, 3, 5, 9], [33, 3, 5, 9]),
            Case::new(window([3; 3], [1, 2, 2], [1; 3]), false, [3, 3, 12, 140], [40, 3, 6, 70]),
            Case::new(window([3; 3], [2; 3], [1; 3]), false, [40, 5, 31, 33], [150, 3, 16, 17]),
            Case::new(window([3, 5, 5], [1; 3], [1, 2, 2]), false, [7, 2, 6, 8], [16, 2, 6, 8]),
            Case::new(window([1; 3], [1, 2, 2], [0; 3]), false, [16, 2, 12, 32], [17, 2, 6, 16]),
            Case::new(window([1, 2, 2], [1; 3], [0; 3]), false, [64, 1, 8, 301], [16, 1, 7, 300]),
        ]
    }

    #[test]
    fn sums_are_those_of_floats() {
        if !halves::are_there() {
            return;
        }
        for (index, case) in cases().iter().enumerate() {
            let (plain, halves) = (case.by_floats(), case.by_halves());
            // Sums of so many terms of order 1.
            let terms = 2 * case.plain.vector.shape.iter().product::<usize>();
            for (i, (plain, halves)) in plain.iter().zip(&halves).enumerate() {
                let error = (plain - halves).abs();
                assert!(error <= 4e-5 * (terms as f32).sqrt(), "case {index} at {i}: {plain} {halves}");
            }
        }
    }

    #[test]
    fn sums_have_the_same_bits_whatever_the_threads() {
        if !halves::are_there() {
            return;
        }
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().expect("threads");
        for case in cases() {
            assert!(pool.install(|| case.by_halves()) == case.by_halves());
        }
    }
}
