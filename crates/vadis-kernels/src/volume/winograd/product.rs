//! The matrix product of one transform point: a small tile of sums in registers.
//!
//! `out[m][l] (+)= Σ over runs, Σ_k a[run.a + m·ROW + ⌊k / BLOCK⌋·block + (k mod BLOCK)·TERM] · b[run.b + k·width + l]`
//!
//! A run is one chain of fused multiply-adds from zero, and the runs are added in their order, however
//! the tile is cut into registers. Short runs are more exact: errors grow with a chain's partial sums.
#![allow(unsafe_code)]

use crate::tile::{LANES, Run};

use crate::vector::{Kernel, Vector};

/// Lines of what comes next that are asked for after each block of terms.
const NEXT_LINES: usize = 8;

/// `rows` sums of `width` lanes. `ROW` and `TERM` are the distances of the scalars.
pub(super) struct Product<'a, const ROW: usize, const TERM: usize, const BLOCK: usize> {
    pub(super) a: &'a [f32],
    pub(super) b: &'a [f32],
    pub(super) runs: &'a [Run],
    /// Elements from the scalars of `BLOCK` terms to those of the next.
    pub(super) block: usize,
    pub(super) rows: usize,
    /// Lanes of a row of sums and of a term of `b`: 16, 32 or 48.
    pub(super) width: usize,
    pub(super) out: &'a mut [f32],
    /// Elements from one row of sums to the next.
    pub(super) out_row: usize,
    /// Whether the runs are added to what `out` holds.
    pub(super) resume: bool,
    /// What the next products will read, to be fetched meanwhile.
    pub(super) next: &'a [f32],
}

impl<const ROW: usize, const TERM: usize, const BLOCK: usize> Product<'_, ROW, TERM, BLOCK> {
    /// # Panics
    /// If the sums or a run leave their slice: the safety of the kernel rests on this check.
    fn check(&self) {
        let Self { rows, width, .. } = *self;
        assert!(
            rows > 0 && width > 0 && width <= 3 * LANES && width.is_multiple_of(LANES),
            "{rows} × {width}"
        );
        let end = (rows - 1).saturating_mul(self.out_row).saturating_add(width);
        assert!(end <= self.out.len(), "sums out of bounds");
        assert!(self.block >= BLOCK.saturating_mul(TERM), "blocks of scalars overlap");
        for run in self.runs.iter().filter(|run| run.len > 0) {
            // The blocks do not overlap, so the last term is the one that reaches furthest.
            let terms = run.len - 1;
            let last = (terms / BLOCK).saturating_mul(self.block).saturating_add(terms % BLOCK * TERM);
            let last_a = run.a.saturating_add((rows - 1) * ROW).saturating_add(last);
            let end_b = run.b.saturating_add(run.len.saturating_mul(width));
            assert!(last_a < self.a.len() && end_b <= self.b.len(), "run out of bounds");
        }
    }

    /// # Safety
    /// [`Self::check`] has passed, rows `first..first + M` and lanes `lane..lane + 16 N` are within
    /// the sums, and the instruction set of `V` is enabled.
    #[inline(always)]
    unsafe fn tile<V: Vector, const M: usize, const N: usize>(&mut self, first: usize, lane: usize) {
        // SAFETY: `check` vouches for every address of a term and of the sums.
        unsafe {
            let out = self.out.as_mut_ptr().add(first * self.out_row + lane);
            let mut resume = self.resume;
            let mut next = self.next.as_ptr();
            let end = next.wrapping_add(self.next.len());
            for run in self.runs {
                let mut sums = [[V::splat(0.0); N]; M];
                // Wrapping: only the terms' own addresses are vouched for.
                let mut a = self.a.as_ptr().wrapping_add(run.a + first * ROW);
                let mut b = self.b.as_ptr().wrapping_add(run.b + lane);
                let mut terms = run.len;
                while terms > 0 {
                    let block = terms.min(BLOCK);
                    for k in 0..block {
                        let mut lanes = [V::splat(0.0); N];
                        for (n, lane) in lanes.iter_mut().enumerate() {
                            *lane = V::load(b.add(n * LANES));
                        }
                        for (m, row) in sums.iter_mut().enumerate() {
                            let scalar = V::splat(*a.add(m * ROW + k * TERM));
                            for (sum, &lane) in row.iter_mut().zip(&lanes) {
                                *sum = sum.fma(scalar, lane);
                            }
                        }
                        if TERM == 1 {
                            // A line of the next block's scalars.
                            V::prefetch_near(a.wrapping_add(self.block + k * ROW));
                        }
                        b = b.wrapping_add(self.width);
                    }
                    terms -= block;
                    a = a.wrapping_add(self.block);
                    for _ in 0..NEXT_LINES {
                        if next < end {
                            V::prefetch(next);
                            next = next.wrapping_add(LANES);
                        }
                    }
                }
                for (m, row) in sums.iter().enumerate() {
                    for (n, &sum) in row.iter().enumerate() {
                        let out = out.add(m * self.out_row + n * LANES);
                        if resume { V::load(out).add(sum) } else { sum }.store(out);
                    }
                }
                resume = true;
            }
        }
    }
}

/// Cuts `0..n` into the fewest pieces of at most `most`, as even as can be: (start, length).
pub(super) fn even_pieces(n: usize, most: usize) -> impl Iterator<Item = (usize, usize)> {
    let pieces = n.div_ceil(most);
    (0..pieces).map(move |piece| {
        let start = piece * n / pieces;
        (start, (piece + 1) * n / pieces - start)
    })
}

impl<const ROW: usize, const TERM: usize, const BLOCK: usize> Kernel for Product<'_, ROW, TERM, BLOCK> {
    #[inline(always)]
    unsafe fn run<V: Vector>(mut self) {
        self.check();
        if self.runs.is_empty() && !self.resume {
            for row in self.out.chunks_mut(self.out_row).take(self.rows) {
                row[..self.width].fill(0.0);
            }
        }
        let widest = V::ROWS.iter().take_while(|&&rows| rows > 0).count();
        let mut lane = 0;
        while lane < self.width {
            let vectors = ((self.width - lane) / LANES).min(widest);
            for (first, rows) in even_pieces(self.rows, V::ROWS[vectors - 1]) {
                macro_rules! tile {
                    ($($n:literal: $($m:literal)*;)*) => {
                        match (vectors, rows) {
                            // SAFETY: the sums were checked, and these rows and lanes are among them.
                            $($(($n, $m) if $m <= V::ROWS[$n - 1] => unsafe {
                                self.tile::<V, $m, $n>(first, lane)
                            },)*)*
                            _ => unreachable!("a tile has at most V::ROWS rows"),
                        }
                    };
                }
                tile! {
                    1: 1 2 3 4 5 6 7 8 9 10 11 12 13 14;
                    2: 1 2 3 4 5 6 7 8 9 10 11 12 13 14;
                    3: 1 2 3 4 5 6 7 8;
                }
            }
            lane += vectors * LANES;
        }
    }
}
