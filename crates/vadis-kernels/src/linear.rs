//! Fully connected layers over a batch: matrix products on the same tile as the convolutions.

use std::cell::RefCell;
use std::mem::MaybeUninit;
use std::ops::Range;

use rayon::prelude::*;

use crate::Activation;
#[cfg(target_arch = "x86_64")]
use crate::aligned::Aligned;
#[cfg(target_arch = "x86_64")]
use crate::halves::{self, End, Rows, Terms};
use crate::memory::as_places;
use crate::shared::Shared;
use crate::tile::{Isa, LANES, ROWS, Run, Start, Steps, Sums, WIDTH, even_tiles};
use crate::transpose::{Pitch, transpose};

/// Most rows that one task computes, and fewest if there are threads without a task.
const TASK_ROWS: [usize; 2] = [20 * ROWS, 5 * ROWS];
/// Terms summed in one go: a tile's scalars of them stay in the first-level cache.
const TERMS: usize = 512;
/// Elements of a task's panels, which stay in the second-level cache.
const TASK_PANELS: usize = 4 * TERMS * WIDTH;
/// Elements from one row to the next of a tile's scalars: no power of two, whose rows would share a set
/// of the cache.
pub(crate) const PITCH: usize = TERMS + LANES;
/// Most panels of a task.
const MOST_PANELS: usize = 16;

/// The vector side of a product, packed: `[slices of 512 terms][panels of 32 columns][terms][32]`, the
/// last panel filled with zeros.
#[derive(Clone, Debug)]
pub(crate) struct Panels {
    values: Vec<f32>,
    terms: usize,
    columns: usize,
}

impl Panels {
    pub(crate) fn new(isa: Isa, matrix: Matrix<'_>, terms: usize, columns: usize) -> Self {
        let panels = columns.div_ceil(WIDTH);
        let mut values = vec![0.0; panels * terms * WIDTH];
        let slices = values.par_chunks_mut(panels * TERMS * WIDTH).enumerate();
        slices.for_each(|(slice, values)| {
            let first = slice * TERMS;
            let terms = first..terms.min(first + TERMS);
            values.par_chunks_mut(terms.len() * WIDTH).enumerate().for_each(|(panel, values)| {
                matrix.pack(isa, terms.clone(), panel_columns(panel, columns), values);
            });
        });
        Self { values, terms, columns }
    }

    pub(crate) fn terms(&self) -> usize {
        self.terms
    }

    fn slice(&self, terms: Range<usize>, panel: usize) -> &[f32] {
        let panels = self.columns.div_ceil(WIDTH);
        &self.values[(terms.start * panels + terms.len() * panel) * WIDTH..][..terms.len() * WIDTH]
    }
}

fn panel_columns(panel: usize, columns: usize) -> Range<usize> {
    panel * WIDTH..columns.min((panel + 1) * WIDTH)
}

/// A matrix of terms and columns as it lies in memory.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Matrix<'a> {
    /// `[terms][columns]`.
    Terms { values: &'a [f32], columns: usize },
    /// `[columns][terms]`.
    Columns { values: &'a [f32], terms: usize },
}

impl Matrix<'_> {
    /// Writes some terms of up to 32 columns as `[terms][32]`; lanes without a column stay as they are.
    fn pack(&self, isa: Isa, terms: Range<usize>, columns: Range<usize>, panel: &mut [f32]) {
        match *self {
            Self::Terms { values, columns: pitch } => {
                let rows = values[terms.start * pitch..terms.end * pitch].chunks_exact(pitch);
                for (panel, row) in panel.as_chunks_mut::<WIDTH>().0.iter_mut().zip(rows) {
                    let row = &row[columns.clone()];
                    match row.first_chunk::<WIDTH>() {
                        Some(row) => *panel = *row,
                        None => panel[..row.len()].copy_from_slice(row),
                    }
                }
            }
            Self::Columns { values, terms: pitch } => {
                let from = &values[columns.start * pitch + terms.start..];
                transpose(isa, from, panel, Pitch { from: pitch, to: WIDTH }, [columns.len(), terms.len()]);
            }
        }
    }
}

/// The vector side of a product.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Vectors<'a> {
    /// Packed beforehand: for weights that stay.
    Packed(&'a Panels),
    /// Packed by each task as it goes.
    Plain { matrix: Matrix<'a>, terms: usize, columns: usize },
}

impl<'a> Vectors<'a> {
    /// `[terms][columns]`.
    pub(crate) fn terms(values: &'a [f32], terms: usize, columns: usize) -> Self {
        Self::Plain { matrix: Matrix::Terms { values, columns }, terms, columns }
    }

    /// `[columns][terms]`.
    pub(crate) fn columns(values: &'a [f32], terms: usize, columns: usize) -> Self {
        Self::Plain { matrix: Matrix::Columns { values, terms }, terms, columns }
    }

    fn shape(&self) -> [usize; 2] {
        match *self {
            Self::Packed(panels) => [panels.terms, panels.columns],
            Self::Plain { terms, columns, .. } => [terms, columns],
        }
    }
}

#[cfg(target_arch = "x86_64")]
impl Vectors<'_> {
    /// The halves of some terms of a panel's blocks of 16 columns, in whole tiles.
    fn pack_halves(
        &self,
        isa: Isa,
        terms: Range<usize>,
        panel: usize,
        blocks: usize,
        to: &mut [u16],
        buffer: &mut Vec<f32>,
    ) {
        let count = terms.len();
        let (matrix, columns) = match *self {
            Self::Packed(panels) => {
                let values = panels.slice(terms, panel);
                return halves::pairs(Terms { values, step: WIDTH, count }, blocks, to);
            }
            Self::Plain { matrix, columns, .. } => (matrix, panel_columns(panel, columns)),
        };
        let whole = columns.len() == blocks * LANES;
        match matrix {
            Matrix::Terms { values, columns: step } if whole => {
                let values = &values[terms.start * step + columns.start..];
                halves::pairs(Terms { values, step, count }, blocks, to);
            }
            Matrix::Columns { values, terms: step } if whole && count.is_multiple_of(halves::TERMS) => {
                halves::pairs_of_columns(
                    &values[columns.start * step + terms.start..],
                    step,
                    count,
                    blocks,
                    to,
                );
            }
            _ => {
                buffer.clear();
                buffer.resize(count * WIDTH, 0.0);
                matrix.pack(isa, terms, columns, buffer);
                halves::pairs(Terms { values: buffer, step: WIDTH, count }, blocks, to);
            }
        }
    }
}

/// The scalar side of a product as it lies in memory.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Scalars<'a> {
    /// `[rows][terms]`.
    Rows(&'a [f32]),
    /// `[terms][rows]`.
    Terms(&'a [f32]),
}

/// output[row][column] = Σ_term scalars[row][term] · vectors[term][column], then `epilogue` on each
/// row's stretch of the columns that it is told. The output is `[rows][columns]`.
pub(crate) fn product(
    isa: Isa,
    scalars: Scalars<'_>,
    vectors: Vectors<'_>,
    output: &mut [f32],
    epilogue: impl Fn(&mut [f32], Range<usize>) + Sync,
) {
    #[allow(unsafe_code)]
    // SAFETY: sums are written there.
    let places = unsafe { as_places(output) };
    write_product(isa, scalars, vectors, places, epilogue);
}

/// As [`product`], where there was nothing: all of the output is written.
pub(crate) fn write_product(
    isa: Isa,
    scalars: Scalars<'_>,
    vectors: Vectors<'_>,
    output: &mut [MaybeUninit<f32>],
    epilogue: impl Fn(&mut [f32], Range<usize>) + Sync,
) {
    let [terms, columns] = vectors.shape();
    let rows = output.len() / columns;
    let output = Shared::new(output);
    let width = (TASK_PANELS / (terms.clamp(1, TERMS) * WIDTH)).min(MOST_PANELS) * WIDTH;
    let across = columns.div_ceil(width);
    let mut most = TASK_ROWS[0];
    while most > TASK_ROWS[1] && rows.div_ceil(most) * across < rayon::current_num_threads() {
        most /= 2;
    }
    let down: Vec<_> = even_tiles(rows, most).collect();
    (0..down.len() * across).into_par_iter().for_each(|index| {
        let (first, count) = down[index / across];
        let start = index % across * width;
        let range = start..columns.min(start + width);
        let task = Task { isa, scalars, vectors, terms, rows, first, count, columns: range.clone() };
        BUFFERS.with_borrow_mut(|buffers| {
            task.sum(buffers);
            for (row, sums) in buffers.sums.chunks_exact(task.width()).take(count).enumerate() {
                let place = (first + row) * columns;
                // SAFETY: tasks differ in their rows or in their columns.
                #[allow(unsafe_code)]
                let part = unsafe { output.part(place + range.start..place + range.end) };
                epilogue(part.write_copy_of_slice(&sums[..range.len()]), range.clone());
            }
        });
    });
}

thread_local! {
    /// Kept: a product of a small network takes no longer than the system takes to clear them.
    static BUFFERS: RefCell<Buffers> = RefCell::default();
}

/// A task's memory.
#[derive(Default)]
struct Buffers {
    /// `[rows][width]`.
    sums: Vec<f32>,
    panels: Vec<f32>,
    /// A tile's.
    scalars: Vec<f32>,
    /// Panels and rows of sums by halves.
    #[cfg(target_arch = "x86_64")]
    halves: (Aligned<u16>, Rows),
}

/// Some rows and columns of a product.
struct Task<'a> {
    isa: Isa,
    scalars: Scalars<'a>,
    vectors: Vectors<'a>,
    terms: usize,
    /// Rows of the whole product, and the task's.
    rows: usize,
    first: usize,
    count: usize,
    columns: Range<usize>,
}

impl Task<'_> {
    /// Elements from one row of the task's sums to the next.
    fn width(&self) -> usize {
        self.columns.len().next_multiple_of(LANES)
    }

    /// Leaves the sums in the buffers.
    fn sum(&self, buffers: &mut Buffers) {
        #[cfg(target_arch = "x86_64")]
        if self.isa == Isa::Amx {
            return self.sum_halves(buffers);
        }
        let Buffers { sums, panels, scalars, .. } = buffers;
        let width = self.width();
        sums.resize(sums.len().max(self.count * width), 0.0);
        if self.terms == 0 {
            sums.fill(0.0);
        }
        for start in (0..self.terms).step_by(TERMS) {
            let terms = start..self.terms.min(start + TERMS);
            let panels = self.panels(terms.clone(), panels);
            let start = if start == 0 { Start::Lanes(&[0.0; WIDTH]) } else { Start::Output };
            for (first, rows) in even_tiles(self.count, ROWS) {
                let steps = self.pack_scalars(terms.clone(), self.first + first, rows, scalars);
                for (panel, place) in panels.iter().zip((first * width..).step_by(WIDTH)) {
                    let lanes = (first * width + width - place).min(WIDTH);
                    let runs = [Run { a: 0, b: 0, len: terms.len() }];
                    let activation = Activation::None;
                    let tile =
                        Sums { a: scalars, b: panel, runs: &runs, steps, start, rows, lanes, activation };
                    tile.run(self.isa, &mut sums[place..], width);
                }
            }
        }
    }

    /// As [`Self::sum`], by tiles of halves.
    #[cfg(target_arch = "x86_64")]
    fn sum_halves(&self, Buffers { sums, panels, halves: (packed, rows), .. }: &mut Buffers) {
        let width = self.width();
        sums.resize(sums.len().max(self.count * width), 0.0);
        if self.terms == 0 {
            sums.fill(0.0);
        }
        let blocks = |panel: usize| (width - panel * WIDTH).min(WIDTH) / LANES;
        for start in (0..self.terms).step_by(TERMS) {
            let terms = start..self.terms.min(start + TERMS);
            let nothing = End::Bias { lanes: &[0.0; WIDTH], relu: false };
            let end = if start == 0 { nothing } else { End::Add };
            let indices = self.columns.start / WIDTH..self.columns.end.div_ceil(WIDTH);
            let len = terms.len().div_ceil(halves::TERMS) * halves::tile_len(2);
            packed.resize(indices.len() * len);
            for (index, to) in packed.chunks_exact_mut(len).enumerate() {
                let (panel, blocks) = (indices.start + index, blocks(index));
                self.vectors.pack_halves(
                    self.isa,
                    terms.clone(),
                    panel,
                    blocks,
                    &mut to[..len * blocks / 2],
                    panels,
                );
            }
            halves::Tiles::with(|tiles| {
                for (first, count) in even_tiles(self.count, halves::MOST) {
                    self.read_rows(first, count, terms.clone(), rows);
                    for (index, panel) in packed.chunks_exact(len).enumerate() {
                        let size = halves::Size { rows: count, terms: terms.len(), blocks: blocks(index) };
                        let sums = &mut sums[first * width + index * WIDTH..];
                        rows.times(tiles, &panel[..len * size.blocks / 2], size, end, sums, width);
                    }
                }
            });
        }
    }

    /// Some terms of some of the task's rows in halves.
    #[cfg(target_arch = "x86_64")]
    fn read_rows(&self, first: usize, count: usize, terms: Range<usize>, rows: &mut Rows) {
        let first = self.first + first;
        match self.scalars {
            Scalars::Rows(values) => {
                rows.read_rows(&values[first * self.terms + terms.start..], self.terms, count, terms.len());
            }
            Scalars::Terms(values) => {
                rows.read_terms(&values[terms.start * self.rows + first..], self.rows, count, terms.len());
            }
        }
    }

    /// Some terms of the task's columns, each panel `[terms][32]`.
    fn panels<'s>(&'s self, terms: Range<usize>, buffer: &'s mut Vec<f32>) -> Vec<&'s [f32]> {
        let indices = self.columns.start / WIDTH..self.columns.end.div_ceil(WIDTH);
        match self.vectors {
            Vectors::Packed(panels) => indices.map(|panel| panels.slice(terms.clone(), panel)).collect(),
            Vectors::Plain { matrix, columns, .. } => {
                let len = terms.len() * WIDTH;
                buffer.resize(indices.len() * len, 0.0);
                for (panel, values) in indices.zip(buffer.chunks_exact_mut(len)) {
                    matrix.pack(self.isa, terms.clone(), panel_columns(panel, columns), values);
                }
                buffer.chunks_exact(len).collect()
            }
        }
    }

    /// Some terms of a tile's rows.
    fn pack_scalars(&self, terms: Range<usize>, first: usize, rows: usize, to: &mut Vec<f32>) -> Steps {
        match self.scalars {
            Scalars::Rows(values) => {
                to.resize(ROWS * PITCH, 0.0);
                let values = values[first * self.terms..].chunks_exact(self.terms).take(rows);
                for (to, row) in to.chunks_exact_mut(PITCH).zip(values) {
                    to[..terms.len()].copy_from_slice(&row[terms.clone()]);
                }
                Steps { a_row: PITCH, a_term: 1, b_term: WIDTH }
            }
            Scalars::Terms(values) => {
                to.resize(TERMS * LANES, 0.0);
                let terms = values[terms.start * self.rows..terms.end * self.rows].chunks_exact(self.rows);
                for (to, row) in to.as_chunks_mut::<LANES>().0.iter_mut().zip(terms) {
                    let row = &row[first..];
                    // Whole vectors but at the end: copies of a known length are single instructions.
                    match row.first_chunk::<LANES>() {
                        Some(row) => *to = *row,
                        None => to[..rows].copy_from_slice(&row[..rows]),
                    }
                }
                Steps { a_row: 1, a_term: LANES, b_term: WIDTH }
            }
        }
    }
}
