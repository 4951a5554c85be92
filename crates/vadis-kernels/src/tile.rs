//! The inner kernel: rows of sums by 16 or 32 lanes, kept in registers a tile at a time.
//!
//! out[m][l] = start[l] + Σ over runs, Σ_k a[run.a + m·a_row + k·a_term] · b[run.b + k·b_term + l]
//!
//! Every element is one chain of fused multiply-adds in the order of the runs, whatever the
//! instruction set and the tile's size: the bits do not depend on how work is cut into tiles.
#![allow(unsafe_code)]

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::__m512;

use crate::Activation;
use crate::elementwise::activate;
#[cfg(target_arch = "x86_64")]
use crate::linear::PITCH;
#[cfg(target_arch = "x86_64")]
use crate::vector::x86::Pair;
use crate::vector::{Scalars, Vector};

/// Lanes of one block of the vector side.
pub(crate) const LANES: usize = 16;
/// Most rows of a tile of two blocks.
pub(crate) const ROWS: usize = 14;
/// Lanes of a full tile.
pub(crate) const WIDTH: usize = 2 * LANES;

/// An instruction set that the kernels are built for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Isa {
    /// 512-bit vectors, and tiles (AMX) that multiply floats as the sums of two halves of sixteen bits: products of
    /// [`crate::Network`] that suit them have errors of some 2⁻¹⁷ of a sum's terms.
    #[cfg(target_arch = "x86_64")]
    Amx,
    /// 512-bit vectors.
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// 256-bit vectors with fused multiply-add.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// What every machine of the target has.
    Portable,
}

impl Isa {
    /// The sets that this machine has, best first.
    pub fn available() -> Vec<Self> {
        let mut sets = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            if Self::Amx.is_available() {
                sets.push(Self::Amx);
            }
            if Self::Avx512.is_available() {
                sets.push(Self::Avx512);
            }
            if Self::Avx2.is_available() {
                sets.push(Self::Avx2);
            }
        }
        sets.push(Self::Portable);
        sets
    }

    /// The best set of this machine.
    pub fn detect() -> Self {
        Self::available().first().copied().unwrap_or(Self::Portable)
    }

    /// Whether this machine has the set.
    pub(crate) fn is_available(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Amx => crate::halves::are_there(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("fma"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            Self::Portable => true,
        }
    }

    /// The set of vectors alone: as exact as floats are.
    pub fn vectors(self) -> Self {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Amx => Self::Avx512,
            other => other,
        }
    }
}

/// A stretch of the sum: `len` terms that start at `a` in the scalars and `b` in the vectors.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    pub(crate) a: usize,
    pub(crate) b: usize,
    pub(crate) len: usize,
}

/// Distances in elements: between the rows' scalars, and from one term to the next.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Steps {
    pub(crate) a_row: usize,
    pub(crate) a_term: usize,
    pub(crate) b_term: usize,
}

/// What a sum starts from.
#[derive(Clone, Copy)]
pub(crate) enum Start<'a> {
    /// These lanes in every row.
    Lanes(&'a [f32; WIDTH]),
    /// What the output holds.
    Output,
}

/// Rows of sums.
#[derive(Clone, Copy)]
pub(crate) struct Sums<'a> {
    /// The scalars.
    pub(crate) a: &'a [f32],
    /// The vectors, whole blocks of 16 lanes.
    pub(crate) b: &'a [f32],
    pub(crate) runs: &'a [Run],
    pub(crate) steps: Steps,
    pub(crate) start: Start<'a>,
    pub(crate) rows: usize,
    /// Lanes that are written, 1..=32.
    pub(crate) lanes: usize,
    pub(crate) activation: Activation,
}

impl Sums<'_> {
    /// # Panics
    /// If a run leaves `a` or `b`, or a row `out`: the safety of the kernels rests on this check.
    fn check(&self, out: &[f32], out_row: usize) {
        let Self { a, b, runs, steps, rows, lanes, .. } = *self;
        assert!(rows > 0 && (1..=WIDTH).contains(&lanes), "at least one row, and one or two blocks");
        for run in runs.iter().filter(|run| run.len > 0) {
            let terms = run.len - 1;
            let last_a = run.a.saturating_add((rows - 1).saturating_mul(steps.a_row));
            let last_a = last_a.saturating_add(terms.saturating_mul(steps.a_term));
            let end_b = run.b.saturating_add(terms.saturating_mul(steps.b_term));
            let end_b = end_b.saturating_add(self.blocks() * LANES);
            assert!(last_a < a.len() && end_b <= b.len(), "run out of bounds");
        }
        let end = (rows - 1).saturating_mul(out_row).saturating_add(lanes);
        assert!(end <= out.len(), "row out of bounds");
    }

    fn blocks(&self) -> usize {
        self.lanes.div_ceil(LANES)
    }

    /// Writes the rows into `out`, each `out_row` elements after the one before.
    ///
    /// # Panics
    /// If a run or a row leaves its slice, or there are no rows or not 1..=32 lanes.
    #[inline]
    pub(crate) fn run(&self, isa: Isa, out: &mut [f32], out_row: usize) {
        assert!(isa.is_available(), "{isa:?} is not on this machine");
        self.check(out, out_row);
        let to = To { first: out.as_mut_ptr(), row: out_row, relu: self.activation == Activation::Relu };
        // SAFETY: every address that a run reaches, and every row of the output, was just checked to lie
        // in its slice, and the machine has the set.
        unsafe {
            match isa {
                #[cfg(target_arch = "x86_64")]
                Isa::Amx | Isa::Avx512 => avx512(self, to),
                #[cfg(target_arch = "x86_64")]
                Isa::Avx2 => avx2(self, to),
                Isa::Portable => narrow::<Scalars, 4>(self, to),
            }
        }
        if self.activation != Activation::Relu {
            finish(isa, self.activation, out, out_row, [self.rows, self.lanes]);
        }
    }
}

/// The activation of rows, each `out_row` elements after the one before, of some lanes.
pub(crate) fn finish(
    isa: Isa,
    activation: Activation,
    out: &mut [f32],
    out_row: usize,
    [rows, lanes]: [usize; 2],
) {
    if activation == Activation::None {
        return;
    }
    if out_row == lanes {
        activate(isa, activation, &mut out[..rows * out_row]);
    } else {
        let rows = out.chunks_mut(out_row.max(1)).take(rows);
        rows.for_each(|row| activate(isa, activation, &mut row[..lanes]));
    }
}

/// Where rows are written.
#[derive(Clone, Copy)]
struct To {
    first: *mut f32,
    row: usize,
    relu: bool,
}

/// Rows `first..first + M` and blocks `block..block + N`. `A` is the rows' distance in the scalars, as a
/// constant that goes into the instructions' addresses; 0 where it is none of those built for.
///
/// # Safety
/// The sums were checked, those rows and blocks are among them, and `V`'s set is enabled.
#[inline(always)]
unsafe fn tile<V: Vector, const M: usize, const N: usize, const A: usize>(
    sums: &Sums<'_>,
    to: To,
    first: usize,
    block: usize,
) {
    let Sums { a, b, runs, steps, .. } = *sums;
    let a_row = if A == 0 { steps.a_row } else { A };
    let lanes: [usize; N] = std::array::from_fn(|n| (sums.lanes - (block + n) * LANES).min(LANES));
    let place = |m: usize, n: usize| to.first.wrapping_add((first + m) * to.row + (block + n) * LANES);
    // SAFETY: all offsets are those that `Sums::check` vouches for.
    unsafe {
        let mut acc: [[V; N]; M] = match sums.start {
            Start::Lanes(start) => {
                [std::array::from_fn(|n| V::load(start.as_ptr().add((block + n) * LANES))); M]
            }
            Start::Output => {
                std::array::from_fn(|m| std::array::from_fn(|n| V::load_first(place(m, n), lanes[n])))
            }
        };
        for run in runs {
            // Wrapping: only the terms' own addresses are vouched for.
            let mut a = a.as_ptr().wrapping_add(run.a + first * a_row);
            let mut b = b.as_ptr().wrapping_add(run.b + block * LANES);
            for _ in 0..run.len {
                let lanes: [V; N] = std::array::from_fn(|n| V::load(b.add(n * LANES)));
                for (m, row) in acc.iter_mut().enumerate() {
                    let scalar = V::splat(*a.add(m * a_row));
                    for (sum, &lane) in row.iter_mut().zip(&lanes) {
                        *sum = sum.fma(scalar, lane);
                    }
                }
                a = a.wrapping_add(steps.a_term);
                b = b.wrapping_add(steps.b_term);
            }
        }
        for (m, row) in acc.iter().enumerate() {
            for (n, &sum) in row.iter().enumerate() {
                let sum = if to.relu { sum.relu() } else { sum };
                sum.store_first(place(m, n), lanes[n]);
            }
        }
    }
}

/// Calls a macro with the row count as a constant.
macro_rules! by_rows {
    ($rows:expr, $call:ident, [$($m:literal)*]) => {
        match $rows { $($m => $call!($m),)* _ => unreachable!("rows of a tile") }
    };
}

/// One block at a time and at most `ROWS` ≤ 6 rows: for sets of 16 registers.
///
/// # Safety
/// The sums were checked, and `V`'s set is enabled.
#[inline(always)]
unsafe fn narrow<V: Vector, const ROWS: usize>(sums: &Sums<'_>, to: To) {
    for block in 0..sums.blocks() {
        for (first, rows) in even_tiles(sums.rows, ROWS) {
            macro_rules! call {
                ($m:literal) => {
                    // SAFETY: the caller's; the tile is within the rows.
                    unsafe { tile::<V, $m, 1, 0>(sums, to, first, block) }
                };
            }
            by_rows!(rows, call, [1 2 3 4 5 6]);
        }
    }
}

/// # Safety
/// The sums were checked, and the machine has AVX2 and FMA.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2(sums: &Sums<'_>, to: To) {
    // SAFETY: the caller's.
    unsafe { narrow::<Pair, 6>(sums, to) }
}

/// # Safety
/// The sums were checked, and the machine has AVX-512F.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,fma")]
unsafe fn avx512(sums: &Sums<'_>, to: To) {
    // SAFETY: the caller's.
    unsafe {
        match (sums.blocks(), sums.steps.a_row) {
            (1, 1) => one_block::<1>(sums, to),
            (1, 6) => one_block::<6>(sums, to),
            (1, 32) => one_block::<32>(sums, to),
            (1, _) => one_block::<0>(sums, to),
            (_, 1) => two_blocks::<1>(sums, to),
            (_, 32) => two_blocks::<32>(sums, to),
            (_, 64) => two_blocks::<64>(sums, to),
            (_, PITCH) => two_blocks::<PITCH>(sums, to),
            _ => two_blocks::<0>(sums, to),
        }
    }
}

/// # Safety
/// As [`avx512`].
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,fma")]
unsafe fn one_block<const A: usize>(sums: &Sums<'_>, to: To) {
    for (first, rows) in even_tiles(sums.rows, 24) {
        macro_rules! call {
            ($m:literal) => {
                // SAFETY: the caller's; the tile is within the rows.
                unsafe { tile::<__m512, $m, 1, A>(sums, to, first, 0) }
            };
        }
        by_rows!(rows, call, [1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24]);
    }
}

/// # Safety
/// As [`avx512`].
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,fma")]
unsafe fn two_blocks<const A: usize>(sums: &Sums<'_>, to: To) {
    for (first, rows) in even_tiles(sums.rows, ROWS) {
        macro_rules! call {
            ($m:literal) => {
                // SAFETY: the caller's; the tile is within the rows.
                unsafe { tile::<__m512, $m, 2, A>(sums, to, first, 0) }
            };
        }
        by_rows!(rows, call, [1 2 3 4 5 6 7 8 9 10 11 12 13 14]);
    }
}

/// Cuts `n` rows into the fewest tiles of at most `most`, as even as can be: yields (first row, rows).
pub(crate) fn even_tiles(n: usize, most: usize) -> impl Iterator<Item = (usize, usize)> {
    let tiles = n.div_ceil(most);
    (0..tiles).map(move |t| {
        let start = t * n / tiles;
        (start, (t + 1) * n / tiles - start)
    })
}
