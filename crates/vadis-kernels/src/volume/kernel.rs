//! The two inner kernels: a row of positions by 16 or 32 channels (forward and input gradient), and a
//! few channels by 16 to 48 summed over positions (weight gradient).
//!
//! Each element is one chain of fused multiply-adds in the order of the runs, whatever the
//! instruction set and the tile's size: the bits do not depend on how work is cut into tiles.
#![allow(unsafe_code)]

use crate::Isa;
use crate::tile::LANES;
#[cfg(target_arch = "x86_64")]
use crate::vector::x86::Pair;
use crate::vector::{Scalars, Vector};
#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::__m512;

/// Channels of a panel of weights.
pub(crate) const PANEL: usize = 2 * LANES;
/// Most blocks of channels on the vector side of a weight gradient's tile.
pub(crate) const WIDE: usize = 3;

/// A stretch of a sum: where its scalars and its vectors start.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    pub(crate) a: usize,
    pub(crate) b: usize,
}

/// out[x][l] = start + Σ over runs, Σ_k a[run.a + x·a_step + k] · b[run.b + k·16N + l]
///
/// for `count` positions x and the 16·N lanes l of N output blocks.
#[derive(Clone, Copy)]
pub(crate) struct Row<'a> {
    pub(crate) a: &'a [f32],
    pub(crate) a_step: usize,
    pub(crate) b: &'a [f32],
    pub(crate) runs: &'a [Run],
    /// Terms of each run.
    pub(crate) len: usize,
    /// What sums start from; without it, from what the output holds.
    pub(crate) start: Option<&'a [f32; PANEL]>,
    pub(crate) count: usize,
    /// Elements of the output from one position to the next.
    pub(crate) out_step: usize,
}

impl Row<'_> {
    /// # Panics
    /// If the row leaves a slice: the safety of the kernel rests on this check.
    fn check(&self, blocks: usize, outs: impl Iterator<Item = usize>) {
        assert!((1..=2).contains(&blocks) && self.count > 0, "one or two blocks");
        let last = (self.count - 1).saturating_mul(self.a_step);
        for run in self.runs.iter().filter(|_| self.len > 0) {
            let end_a = run.a.saturating_add(last).saturating_add(self.len);
            let end_b = run.b.saturating_add(self.len.saturating_mul(blocks * LANES));
            assert!(end_a <= self.a.len() && end_b <= self.b.len(), "run out of bounds");
        }
        let end = (self.count - 1).saturating_mul(self.out_step).saturating_add(LANES);
        assert!({ outs }.all(|len| end <= len), "row out of bounds");
    }

    /// Computes the row into its output blocks, one or two.
    ///
    /// # Panics
    /// If it leaves a slice, or the machine lacks the instruction set.
    pub(crate) fn run(&self, isa: Isa, out: &mut [&mut [f32]]) {
        self.check(out.len(), out.iter().map(|out| out.len()));
        let mut pointers = [std::ptr::null_mut(); 2];
        pointers.iter_mut().zip(out.iter_mut()).for_each(|(p, out)| *p = out.as_mut_ptr());
        // SAFETY: the row was checked against these outputs.
        unsafe { self.dispatch(isa, pointers, out.len()) }
    }

    /// Computes the row into blocks that alternate, `[position][blocks][16]` if the step is that of
    /// all blocks.
    ///
    /// # Panics
    /// As [`Row::run`].
    pub(crate) fn run_interleaved(&self, isa: Isa, out: &mut [f32], blocks: usize) {
        self.check(blocks, (0..blocks).map(|block| out.len().saturating_sub(block * LANES)));
        let start = out.as_mut_ptr();
        let pointers = std::array::from_fn(|block| start.wrapping_add(block * LANES));
        // SAFETY: the row was checked against what lies from each block's start on.
        unsafe { self.dispatch(isa, pointers, blocks) }
    }

    /// # Safety
    /// The row was checked against what the first `blocks` pointers may write.
    unsafe fn dispatch(&self, isa: Isa, pointers: [*mut f32; 2], blocks: usize) {
        assert!(isa.is_available());
        // SAFETY: the caller's, and the machine has the set.
        unsafe {
            match isa {
                #[cfg(target_arch = "x86_64")]
                Isa::Amx | Isa::Avx512 => row_avx512(self, pointers, blocks),
                #[cfg(target_arch = "x86_64")]
                Isa::Avx2 => row_avx2(self, pointers, blocks),
                Isa::Portable => row_narrow::<Scalars, 4>(self, pointers, blocks),
            }
        }
    }
}

/// Computes `M` positions from `first` on, and `N` blocks from `block` on, of `B` in the panel. `A` is
/// the row's step if known beforehand, or 0.
///
/// # Safety
/// The row was checked, those positions and blocks are within it, and `V`'s set is enabled.
#[inline(always)]
unsafe fn row_tile<V: Vector, const M: usize, const N: usize, const A: usize>(
    row: &Row<'_>,
    out: [*mut f32; 2],
    [block, blocks]: [usize; 2],
    first: usize,
) {
    let a_step = if A > 0 { A } else { row.a_step };
    // SAFETY: all offsets are those that `Row::check` vouches for.
    unsafe {
        let place = |m: usize, n: usize| out[block + n].add((first + m) * row.out_step);
        let mut acc: [[V; N]; M] = match row.start {
            Some(start) => {
                let start: [V; N] = std::array::from_fn(|n| V::load(start.as_ptr().add((block + n) * LANES)));
                [start; M]
            }
            None => std::array::from_fn(|m| std::array::from_fn(|n| V::load(place(m, n)))),
        };
        let b_step = blocks * LANES;
        for run in row.runs {
            let mut a = row.a.as_ptr().wrapping_add(run.a + first * a_step);
            let mut b = row.b.as_ptr().wrapping_add(run.b + block * LANES);
            for _ in 0..row.len / 4 {
                for k in 0..4 {
                    add_term(&mut acc, [a.wrapping_add(k), b.wrapping_add(k * b_step)], [a_step, LANES]);
                }
                a = a.wrapping_add(4);
                b = b.wrapping_add(4 * b_step);
            }
            for _ in 0..row.len % 4 {
                add_term(&mut acc, [a, b], [a_step, LANES]);
                a = a.wrapping_add(1);
                b = b.wrapping_add(b_step);
            }
        }
        for (m, acc) in acc.iter().enumerate() {
            for (n, sum) in acc.iter().enumerate() {
                sum.store(place(m, n));
            }
        }
    }
}

/// One term of a tile: M scalars, the first step apart, by N blocks, the second step apart.
///
/// A function and no closure in the tiles: closures are not always inlined, and then each instruction is
/// a call.
///
/// # Safety
/// Those scalars and blocks can be read, and `V`'s set is enabled.
#[inline(always)]
unsafe fn add_term<V: Vector, const M: usize, const N: usize>(
    acc: &mut [[V; N]; M],
    [a, b]: [*const f32; 2],
    [a_step, b_step]: [usize; 2],
) {
    // SAFETY: the caller's.
    unsafe {
        let lanes: [V; N] = std::array::from_fn(|n| V::load(b.add(n * b_step)));
        for (m, acc) in acc.iter_mut().enumerate() {
            let scalar = V::splat(*a.add(m * a_step));
            for (sum, &lane) in acc.iter_mut().zip(&lanes) {
                *sum = sum.fma(scalar, lane);
            }
        }
    }
}

/// Cuts `count` into the fewest pieces of at most `most`, as even as can be: yields (first, size).
pub(crate) fn even_pieces(count: usize, most: usize) -> impl Iterator<Item = (usize, usize)> {
    let pieces = count.div_ceil(most);
    (0..pieces).map(move |i| {
        let start = i * count / pieces;
        (start, (i + 1) * count / pieces - start)
    })
}

/// Calls a macro with a number as a constant.
macro_rules! constant {
    ($value:expr, $call:ident, [$($m:literal)*]) => {
        match $value { $($m => $call!($m),)* _ => unreachable!("pieces are no larger") }
    };
}
#[cfg(target_arch = "x86_64")]
pub(crate) use constant;

/// # Safety
/// The row was checked, and the machine has AVX-512F.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,fma")]
unsafe fn row_avx512(row: &Row<'_>, out: [*mut f32; 2], blocks: usize) {
    /// # Safety
    /// As the function around it.
    #[target_feature(enable = "avx512f,fma")]
    unsafe fn with_step<const A: usize>(row: &Row<'_>, out: [*mut f32; 2], blocks: usize) {
        let one = blocks == 1;
        for (first, rows) in even_pieces(row.count, 14) {
            macro_rules! single {
                ($m:literal) => {
                    // SAFETY: the caller's; the piece is within the row.
                    unsafe { row_tile::<__m512, $m, 1, A>(row, out, [0, 1], first) }
                };
            }
            macro_rules! double {
                ($m:literal) => {
                    // SAFETY: the caller's; the piece is within the row.
                    unsafe { row_tile::<__m512, $m, 2, A>(row, out, [0, 2], first) }
                };
            }
            if one {
                constant!(rows, single, [1 2 3 4 5 6 7 8 9 10 11 12 13 14]);
            } else {
                constant!(rows, double, [1 2 3 4 5 6 7 8 9 10 11 12 13 14]);
            }
        }
    }
    // SAFETY: the caller's.
    unsafe {
        match row.a_step {
            16 => with_step::<16>(row, out, blocks),
            32 => with_step::<32>(row, out, blocks),
            6 => with_step::<6>(row, out, blocks),
            _ => with_step::<0>(row, out, blocks),
        }
    }
}

/// # Safety
/// The row was checked, and the machine has AVX2 and FMA.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn row_avx2(row: &Row<'_>, out: [*mut f32; 2], blocks: usize) {
    // SAFETY: the caller's.
    unsafe { row_narrow::<Pair, 6>(row, out, blocks) }
}

/// One block at a time and at most `ROWS` ≤ 6 positions: for sets of 16 registers.
///
/// # Safety
/// The row was checked, and `V`'s set is enabled.
#[inline(always)]
unsafe fn row_narrow<V: Vector, const ROWS: usize>(row: &Row<'_>, out: [*mut f32; 2], blocks: usize) {
    for block in 0..blocks {
        for (first, rows) in even_pieces(row.count, ROWS) {
            macro_rules! call {
                ($m:literal) => {
                    // SAFETY: the caller's; the piece is within the row.
                    unsafe { row_tile::<V, $m, 1, 0>(row, out, [block, blocks], first) }
                };
            }
            constant!(rows, call, [1 2 3 4 5 6]);
        }
    }
}

/// sums[m][n·16 + l] += Σ over runs, Σ_k a[run.a + m + k·a_term] · b[run.b + n·b_block + k·16 + l]
///
/// for `rows` scalars m, `blocks` blocks n of 16 lanes l, and `len` terms k in each run.
#[derive(Clone, Copy)]
pub(crate) struct Correlation<'a> {
    pub(crate) a: &'a [f32],
    pub(crate) a_term: usize,
    pub(crate) b: &'a [f32],
    pub(crate) b_block: usize,
    pub(crate) runs: &'a [Run],
    pub(crate) len: usize,
    pub(crate) rows: usize,
    pub(crate) blocks: usize,
}

impl Correlation<'_> {
    /// # Panics
    /// If it leaves a slice: the safety of the kernel rests on this check.
    fn check(&self, sums: &[f32]) {
        assert!((1..=WIDE).contains(&self.blocks), "blocks of a tile");
        let terms = self.len.saturating_sub(1);
        for run in self.runs.iter().filter(|_| self.len > 0) {
            let end_a = run.a.saturating_add(terms.saturating_mul(self.a_term)).saturating_add(self.rows);
            let end_b = run.b.saturating_add((self.blocks - 1).saturating_mul(self.b_block));
            let end_b = end_b.saturating_add(self.len.saturating_mul(LANES));
            assert!(end_a <= self.a.len() && end_b <= self.b.len(), "run out of bounds");
        }
        assert!(sums.len() >= self.rows.saturating_mul(self.blocks * LANES), "sums out of bounds");
    }

    /// Adds to `sums` = `[rows][blocks][16]`.
    ///
    /// # Panics
    /// If it leaves a slice, or the machine lacks the instruction set.
    pub(crate) fn run(&self, isa: Isa, sums: &mut [f32]) {
        self.check(sums);
        assert!(isa.is_available());
        let sums = sums.as_mut_ptr();
        // SAFETY: all that it reads and writes was just checked to lie in the slices, and the machine
        // has the set.
        unsafe {
            match isa {
                #[cfg(target_arch = "x86_64")]
                Isa::Amx | Isa::Avx512 => correlate_avx512(self, sums),
                #[cfg(target_arch = "x86_64")]
                Isa::Avx2 => correlate_avx2(self, sums),
                Isa::Portable => correlate_narrow::<Scalars, 4>(self, sums),
            }
        }
    }
}

/// Rows `first..first + M` and blocks `block..block + N`.
///
/// # Safety
/// The sums were checked, those rows and blocks are within them, and `V`'s set is enabled.
#[inline(always)]
unsafe fn correlate_tile<V: Vector, const M: usize, const N: usize>(
    it: &Correlation<'_>,
    sums: *mut f32,
    block: usize,
    first: usize,
) {
    // SAFETY: all offsets are those that `Correlation::check` vouches for.
    unsafe {
        let place = |m: usize, n: usize| sums.add(((first + m) * it.blocks + block + n) * LANES);
        let mut acc: [[V; N]; M] = std::array::from_fn(|m| std::array::from_fn(|n| V::load(place(m, n))));
        for run in it.runs {
            let mut a = it.a.as_ptr().wrapping_add(run.a + first);
            let mut b = it.b.as_ptr().wrapping_add(run.b + block * it.b_block);
            for _ in 0..it.len / 2 {
                for k in 0..2 {
                    let (a, b) = (a.wrapping_add(k * it.a_term), b.wrapping_add(k * LANES));
                    add_term(&mut acc, [a, b], [1, it.b_block]);
                }
                a = a.wrapping_add(2 * it.a_term);
                b = b.wrapping_add(2 * LANES);
            }
            if it.len % 2 == 1 {
                add_term(&mut acc, [a, b], [1, it.b_block]);
            }
        }
        for (m, acc) in acc.iter().enumerate() {
            for (n, sum) in acc.iter().enumerate() {
                sum.store(place(m, n));
            }
        }
    }
}

/// # Safety
/// The sums were checked, and the machine has AVX-512F.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,fma")]
unsafe fn correlate_avx512(it: &Correlation<'_>, sums: *mut f32) {
    let most = [16, 14, 9][it.blocks - 1];
    for (first, rows) in even_pieces(it.rows, most) {
        macro_rules! single {
            ($m:literal) => {
                // SAFETY: the caller's; the piece is within the rows.
                unsafe { correlate_tile::<__m512, $m, 1>(it, sums, 0, first) }
            };
        }
        macro_rules! double {
            ($m:literal) => {
                // SAFETY: the caller's; the piece is within the rows.
                unsafe { correlate_tile::<__m512, $m, 2>(it, sums, 0, first) }
            };
        }
        macro_rules! triple {
            ($m:literal) => {
                // SAFETY: the caller's; the piece is within the rows.
                unsafe { correlate_tile::<__m512, $m, 3>(it, sums, 0, first) }
            };
        }
        match it.blocks {
            1 => constant!(rows, single, [1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16]),
            2 => constant!(rows, double, [1 2 3 4 5 6 7 8 9 10 11 12 13 14]),
            _ => constant!(rows, triple, [1 2 3 4 5 6 7 8 9]),
        }
    }
}

/// # Safety
/// The sums were checked, and the machine has AVX2 and FMA.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn correlate_avx2(it: &Correlation<'_>, sums: *mut f32) {
    // SAFETY: the caller's.
    unsafe { correlate_narrow::<Pair, 6>(it, sums) }
}

/// One block at a time and at most `ROWS` ≤ 6 rows: for sets of 16 registers.
///
/// # Safety
/// The sums were checked, and `V`'s set is enabled.
#[inline(always)]
unsafe fn correlate_narrow<V: Vector, const ROWS: usize>(it: &Correlation<'_>, sums: *mut f32) {
    for block in 0..it.blocks {
        for (first, rows) in even_pieces(it.rows, ROWS) {
            macro_rules! call {
                ($m:literal) => {
                    // SAFETY: the caller's; the piece is within the rows.
                    unsafe { correlate_tile::<V, $m, 1>(it, sums, block, first) }
                };
            }
            constant!(rows, call, [1 2 3 4 5 6]);
        }
    }
}
