//! The iterations of TV-L1 between two medians, in parallel over bands of rows.
//!
//! A band holds its rows and a halo of [`REACH`] rows of each neighbour. An iteration needs one row more on either
//! side, so that a band can do that many by itself: valid rows shrink by one a time, and the halo is then copied
//! anew. What a pixel becomes does not depend on where bands begin, and squared changes are summed row by row in
//! order: any number of bands, and so of threads, gives the same bits.

use rayon::prelude::*;

use super::median::{self, median_row};
use super::primal_dual::{Constants, FLOW, STATE, repeat_last_column, update_last_row, update_row};
use super::rows::Rows;
use crate::simd::{Vectorised, vectorised};

/// Most iterations between two exchanges of halos.
const REACH: usize = 8;
/// Fewest rows of a band: halos are computed twice.
const MIN_ROWS: usize = 2 * REACH;
/// Fewest pixels of a band: with fewer a thread waits for the other longer than it works.
const MIN_PIXELS: usize = 1 << 14;

/// When the iterations stop.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Iterations between two medians.
    pub(super) inner: usize,
    /// Medians at most.
    pub(super) outer: usize,
    /// Whether there are medians.
    pub(super) median: bool,
    /// The sum of squared changes at which the flow has converged.
    pub(super) error: f64,
}

/// The flow and dual variables of one picture, in bands.
#[derive(Debug, Default)]
pub(super) struct Bands {
    bands: Vec<Band>,
    width: usize,
    height: usize,
}

/// Some rows of the picture.
#[derive(Debug, Default)]
struct Band {
    /// First and last-but-one own row.
    first: usize,
    end: usize,
    /// Rows of the halo above and below: 0 at the picture's edge.
    above: usize,
    below: usize,
    /// A row of zeros, the halo, the own rows, the halo.
    state: Rows,
    /// `state` after the last median.
    saved: Rows,
    /// Memory of the median.
    columns: Rows,
    /// Squared change of each own row, iteration after iteration.
    changes: Vec<f64>,
}

impl Bands {
    /// Takes a picture's size, with dual variables 0.
    pub(super) fn reshape(&mut self, width: usize, height: usize) {
        (self.width, self.height) = (width, height);
        let most = (height / MIN_ROWS).min(width * height / MIN_PIXELS);
        let count = rayon::current_num_threads().min(most).max(1);
        self.bands.resize_with(count, Band::default);
        for (i, band) in self.bands.iter_mut().enumerate() {
            (band.first, band.end) = (height * i / count, height * (i + 1) / count);
            band.above = if i == 0 { 0 } else { REACH };
            band.below = if i + 1 == count { 0 } else { REACH };
            band.state.reshape(width, band.rows(), STATE);
            band.columns.reshape(width, 1, 2 * median::REACH + 1);
        }
    }

    /// Iterates until the flow has converged or the limits are reached, from and to `flow`.
    pub(super) fn solve(&mut self, constants: Constants, limits: Limits, terms: &Rows, flow: &mut Rows) {
        for _ in 0..limits.outer {
            self.load(flow, limits.median);
            let converged = self.iterate(constants, limits, terms);
            self.store(flow);
            if converged {
                return;
            }
        }
    }

    /// Takes the flow, or its median.
    fn load(&mut self, flow: &Rows, median: bool) {
        let size = (self.width, self.height);
        self.bands.par_iter_mut().for_each(|band| vectorised(Load { band, flow, size, median }));
    }

    /// Gives the flow.
    fn store(&self, flow: &mut Rows) {
        let mut rows: Vec<_> = flow.iter_mut().take(self.height).collect();
        let width = self.width;
        for band in &self.bands {
            for (y, row) in (band.first..band.end).zip(&mut rows[band.first..band.end]) {
                let from = band.state.row(band.local(y));
                for plane in 0..FLOW {
                    row.plane_mut(plane)[..width].copy_from_slice(&from.plane(plane)[..width]);
                }
            }
        }
    }

    /// Up to `limits.inner` iterations; whether the flow has converged.
    fn iterate(&mut self, constants: Constants, limits: Limits, terms: &Rows) -> bool {
        let mut changes: Vec<f64> = Vec::with_capacity(limits.inner);
        while changes.len() < limits.inner {
            let count = forecast(&changes, limits.error).min(limits.inner - changes.len());
            changes.extend(self.run(constants, terms, count));
            let Some(done) = changes.iter().position(|&change| change <= limits.error) else { continue };
            if done + 1 < changes.len() {
                self.restart(constants, terms, done + 1);
            }
            return true;
        }
        false
    }

    /// Goes back to the last median and iterates `count` times.
    fn restart(&mut self, constants: Constants, terms: &Rows, mut count: usize) {
        self.bands.par_iter_mut().for_each(Band::restore);
        while count > 0 {
            let batch = count.min(REACH);
            self.run(constants, terms, batch);
            count -= batch;
        }
    }

    /// `count` iterations, at most [`REACH`]; the squared change of each.
    fn run(&mut self, constants: Constants, terms: &Rows, count: usize) -> Vec<f64> {
        for i in 1..self.bands.len() {
            let (left, right) = self.bands.split_at_mut(i);
            exchange(&mut left[i - 1], &mut right[0], count);
        }
        let size = (self.width, self.height);
        self.bands.par_iter_mut().for_each(|band| {
            vectorised(Iterations { band, constants, terms, size, count });
        });
        let change =
            |i| self.bands.iter().flat_map(|band| &band.changes[i * band.len()..][..band.len()]).sum();
        (0..count).map(change).collect()
    }
}

/// Iterations that can be done before convergence is looked at again: a third of those that the last two
/// changes make one expect. Too many cost a restart, too few an exchange of halos; the result is the same.
fn forecast(changes: &[f64], error: f64) -> usize {
    let &[.., before, last] = changes else { return 1 };
    if last >= before || error <= 0.0 {
        return REACH;
    }
    let expected = (error / last).ln() / (last / before).ln();
    ((expected / 3.0) as usize).clamp(1, REACH)
}

/// Copies the `count` rows on either side of the border between two bands into the other's halo.
fn exchange(upper: &mut Band, lower: &mut Band, count: usize) {
    let border = lower.first;
    let (target, source) = (lower.local(border - count), upper.local(border - count));
    lower.state.copy_rows(target, &upper.state, source, count);
    let (target, source) = (upper.local(border), lower.local(border));
    upper.state.copy_rows(target, &lower.state, source, count);
}

impl Band {
    /// Own rows.
    fn len(&self) -> usize {
        self.end - self.first
    }

    /// Rows of the state.
    fn rows(&self) -> usize {
        1 + self.above + self.len() + self.below
    }

    /// Where the picture's row `y` is in the state.
    fn local(&self, y: usize) -> usize {
        y + 1 + self.above - self.first
    }

    fn restore(&mut self) {
        let rows = self.rows();
        self.state.copy_rows(0, &self.saved, 0, rows);
    }
}

struct Load<'a> {
    band: &'a mut Band,
    flow: &'a Rows,
    size: (usize, usize),
    median: bool,
}

impl Vectorised for Load<'_> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let Self { band, flow, size, median } = self;
        for y in band.first..band.end {
            let local = band.local(y);
            let mut row = band.state.row_mut(local);
            if median {
                median_row(flow, size, y, FLOW, &mut band.columns, &mut row);
            } else {
                for plane in 0..FLOW {
                    row.plane_mut(plane)[..size.0].copy_from_slice(&flow.row(y).plane(plane)[..size.0]);
                }
            }
        }
        let rows = band.rows();
        band.saved.copy_all(&band.state, size.0, rows);
    }
}

struct Iterations<'a> {
    band: &'a mut Band,
    constants: Constants,
    terms: &'a Rows,
    size: (usize, usize),
    count: usize,
}

impl Vectorised for Iterations<'_> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let Self { band, constants, terms, size, count } = self;
        band.changes.clear();
        // Rows that were valid before the iteration: all that `exchange` has copied.
        let mut start = if band.above == 0 { 0 } else { band.first - count };
        let mut end = if band.below == 0 { size.1 } else { band.end + count };
        for _ in 0..count {
            start += usize::from(band.above > 0);
            iterate::<FMA>(band, constants, terms, size, start, end);
            end -= usize::from(band.below > 0);
        }
    }
}

/// One iteration over the picture's rows from `start` to `end`; of the last one only the flow, unless it is the
/// picture's last.
#[inline(always)]
fn iterate<const FMA: bool>(
    band: &mut Band,
    constants: Constants,
    terms: &Rows,
    (width, height): (usize, usize),
    start: usize,
    end: usize,
) {
    for y in start..end {
        let local = band.local(y);
        let (above, here) = band.state.pair_mut(local);
        let terms = terms.row(y);
        let change = if y == start {
            update_row::<FMA, false>(constants, width, terms, above, here)
        } else {
            update_row::<FMA, true>(constants, width, terms, above, here)
        };
        repeat_last_column(width, band.state.row_mut(local));
        if (band.first..band.end).contains(&y) {
            band.changes.push(change);
        }
    }
    if end == height {
        update_last_row::<FMA>(constants, width, band.state.row_mut(band.local(height - 1)));
    }
}
