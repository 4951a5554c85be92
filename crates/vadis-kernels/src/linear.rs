//! Fully connected layers over a batch: matrix products on the same tile as the convolutions.

use rayon::prelude::*;

use crate::tile::{Isa, LANES, ROWS, Run, Steps, Sum, Tile, WIDTH, accumulate, even_tiles};

/// Rows that one task computes.
const TASK_ROWS: usize = 4 * ROWS;
/// Terms summed in one go: a panel's slice of them stays in the second-level cache.
const TERMS: usize = 512;

/// The vector side of a product, `[columns / 32][terms][32]`, the last panel filled with zeros.
#[derive(Clone, Debug)]
pub(crate) struct Panels {
    values: Vec<f32>,
    terms: usize,
    columns: usize,
}

impl Panels {
    /// From `[terms][columns]`.
    pub(crate) fn from_rows(matrix: &[f32], terms: usize, columns: usize) -> Self {
        Self::pack(terms, columns, |panel, first, width| {
            for (row, source) in panel.chunks_exact_mut(WIDTH).zip(matrix.chunks_exact(columns)) {
                row[..width].copy_from_slice(&source[first..][..width]);
            }
        })
    }

    /// From `[columns][terms]`.
    pub(crate) fn from_columns(matrix: &[f32], terms: usize, columns: usize) -> Self {
        Self::pack(terms, columns, |panel, first, width| {
            let columns = &matrix[first * terms..][..width * terms];
            // In squares, so that neither side strides through memory.
            for (block, rows) in panel.chunks_mut(LANES * WIDTH).enumerate() {
                for (lane, column) in columns.chunks_exact(terms).enumerate() {
                    let column = &column[block * LANES..];
                    for (row, &value) in rows.chunks_exact_mut(WIDTH).zip(column) {
                        row[lane] = value;
                    }
                }
            }
        })
    }

    fn pack(terms: usize, columns: usize, fill: impl Fn(&mut [f32], usize, usize) + Sync) -> Self {
        let mut values = vec![0.0; columns.div_ceil(WIDTH) * terms * WIDTH];
        values.par_chunks_mut(terms * WIDTH).enumerate().for_each(|(index, panel)| {
            let first = index * WIDTH;
            fill(panel, first, (columns - first).min(WIDTH));
        });
        Self { values, terms, columns }
    }
}

/// The scalar side of a product: element (row, term) is `values[row · row_step + term · term_step]`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scalars<'a> {
    pub(crate) values: &'a [f32],
    pub(crate) row_step: usize,
    pub(crate) term_step: usize,
}

/// output[row][column] = Σ_term scalars[row][term] · panels[term][column], then `epilogue` on each
/// row. The output has `panels.columns` columns and any number of rows.
pub(crate) fn product(
    isa: Isa,
    scalars: Scalars<'_>,
    panels: &Panels,
    output: &mut [f32],
    epilogue: impl Fn(&mut [f32]) + Sync,
) {
    let columns = panels.columns;
    output.par_chunks_mut(TASK_ROWS * columns).enumerate().for_each(|(task, output)| {
        let values = &scalars.values[task * TASK_ROWS * scalars.row_step..];
        rows_product(isa, Scalars { values, ..scalars }, panels, output);
        output.chunks_exact_mut(columns).for_each(&epilogue);
    });
}

fn rows_product(isa: Isa, scalars: Scalars<'_>, panels: &Panels, output: &mut [f32]) {
    let Panels { values, terms, columns } = panels;
    let (terms, columns) = (*terms, *columns);
    let steps = Steps { a_row: scalars.row_step, a_term: scalars.term_step, b_term: WIDTH };
    output.fill(0.0);
    let mut tile = Tile::ZERO;
    for start in (0..terms).step_by(TERMS) {
        let len = (terms - start).min(TERMS);
        let runs = [Run { a: start * scalars.term_step, b: start * WIDTH, len }];
        for (index, panel) in values.chunks_exact(terms * WIDTH).enumerate() {
            let lanes = (columns - index * WIDTH).min(WIDTH);
            let blocks = lanes.div_ceil(LANES);
            for (first, rows) in even_tiles(output.len() / columns) {
                let a = &scalars.values[first * scalars.row_step..];
                let sum = Sum { a, b: panel, runs: &runs, steps };
                accumulate(isa, &[0.0; WIDTH], sum, &mut tile, [rows, blocks]);
                for (row, sums) in tile.0[..rows].iter().enumerate() {
                    let place = (first + row) * columns + index * WIDTH;
                    let output = &mut output[place..][..lanes];
                    output.iter_mut().zip(sums).for_each(|(out, sum)| *out += sum);
                }
            }
        }
    }
}
