//! The one inner kernel: a tile of up to 14 rows by 16 or 32 lanes, kept in registers.
//!
//! tile[m][l] = init[l] + Σ over runs, Σ_k a[run.a + m·a_row + k·a_term] · b[run.b + k·b_term + l]
//!
//! Every element is one chain of fused multiply-adds in the order of the runs, whatever the
//! instruction set and the tile's size: the bits do not depend on how work is cut into tiles.
#![allow(unsafe_code)]

/// Lanes of one block of the vector side.
pub(crate) const LANES: usize = 16;
/// Most rows of a tile.
pub(crate) const ROWS: usize = 14;
/// Lanes of a full tile.
pub(crate) const WIDTH: usize = 2 * LANES;

/// An instruction set that the kernels are built for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Isa {
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
            if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("fma") {
                sets.push(Self::Avx512);
            }
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
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
            Self::Avx512 => is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("fma"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            Self::Portable => true,
        }
    }
}

/// The sums: `[row][lane]`.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(crate) struct Tile(pub(crate) [[f32; WIDTH]; ROWS]);

impl Tile {
    pub(crate) const ZERO: Self = Self([[0.0; WIDTH]; ROWS]);
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

/// The sum that a tile holds, without its initial value.
#[derive(Clone, Copy)]
pub(crate) struct Sum<'a> {
    /// The scalars.
    pub(crate) a: &'a [f32],
    /// The vectors.
    pub(crate) b: &'a [f32],
    pub(crate) runs: &'a [Run],
    pub(crate) steps: Steps,
}

impl Sum<'_> {
    /// # Panics
    /// If a run leaves `a` or `b`: the safety of the kernels rests on this check.
    fn check(&self, [rows, blocks]: [usize; 2]) {
        let Self { a, b, runs, steps } = self;
        for run in runs.iter().filter(|run| run.len > 0) {
            let terms = run.len - 1;
            let last_a = run.a.saturating_add((rows - 1).saturating_mul(steps.a_row));
            let last_a = last_a.saturating_add(terms.saturating_mul(steps.a_term));
            let end_b = run.b.saturating_add(terms.saturating_mul(steps.b_term));
            let end_b = end_b.saturating_add(blocks * LANES);
            assert!(last_a < a.len() && end_b <= b.len(), "run out of bounds");
        }
    }
}

/// Sets the first rows × (blocks · 16) elements of the tile to `init` and the sum.
///
/// # Panics
/// If a run leaves its slice, or the tile is not within 1..=14 rows and 1..=2 blocks.
#[inline]
pub(crate) fn accumulate(
    isa: Isa,
    init: &[f32; WIDTH],
    sum: Sum<'_>,
    tile: &mut Tile,
    [rows, blocks]: [usize; 2],
) {
    assert!((1..=ROWS).contains(&rows) && (1..=2).contains(&blocks) && isa.is_available());
    sum.check([rows, blocks]);
    // SAFETY: every address that a run reaches with `rows` rows and `blocks` blocks was just checked
    // to lie in `a` or `b`, the tile has ROWS rows of WIDTH lanes, and the machine has the set.
    unsafe {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => x86::avx512(init, sum, tile, rows, blocks),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => x86::avx2(init, sum, tile, rows, blocks),
            Isa::Portable => portable(init, sum, tile, rows, blocks),
        }
    }
}

/// Sixteen lanes of an instruction set.
///
/// # Safety
/// The methods may be called only where the instruction set is enabled; `load` reads and `store`
/// writes 16 floats.
pub(crate) trait Vector: Copy {
    unsafe fn load(from: *const f32) -> Self;
    unsafe fn store(self, to: *mut f32);
    /// self + a · b, rounded once where the target has that instruction.
    unsafe fn fma(self, a: f32, b: Self) -> Self;
}

/// # Safety
/// Rows `first..first + M` and blocks `block..block + N` are within the tile, and all that the runs
/// reach with them is within `a` and `b`.
#[inline(always)]
unsafe fn body<V: Vector, const M: usize, const N: usize>(
    init: &[f32; WIDTH],
    sum: Sum<'_>,
    tile: &mut Tile,
    first: usize,
    block: usize,
) {
    let Sum { a, b, runs, steps } = sum;
    let sums = tile.0.as_mut_ptr().cast::<f32>();
    // SAFETY: all offsets are within the tile or were checked by `accumulate`.
    unsafe {
        let start: [V; N] = std::array::from_fn(|n| V::load(init.as_ptr().add((block + n) * LANES)));
        let mut acc = [start; M];
        for run in runs {
            // Wrapping: only the terms' own addresses are vouched for.
            let mut a = a.as_ptr().wrapping_add(run.a + first * steps.a_row);
            let mut b = b.as_ptr().wrapping_add(run.b + block * LANES);
            for _ in 0..run.len {
                let lanes: [V; N] = std::array::from_fn(|n| V::load(b.add(n * LANES)));
                for (m, row) in acc.iter_mut().enumerate() {
                    let scalar = *a.add(m * steps.a_row);
                    for (sum, &lane) in row.iter_mut().zip(&lanes) {
                        *sum = sum.fma(scalar, lane);
                    }
                }
                a = a.wrapping_add(steps.a_term);
                b = b.wrapping_add(steps.b_term);
            }
        }
        for (m, row) in acc.iter().enumerate() {
            for (n, sum) in row.iter().enumerate() {
                sum.store(sums.add((first + m) * WIDTH + (block + n) * LANES));
            }
        }
    }
}

/// Calls `body` with the row count as a constant.
macro_rules! by_rows {
    ($rows:expr, $call:ident, [$($m:literal)*]) => {
        match $rows { $($m => $call!($m),)* _ => unreachable!("rows were checked") }
    };
}

#[derive(Clone, Copy)]
pub(crate) struct Scalars([f32; LANES]);

impl Vector for Scalars {
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller vouches for 16 readable floats; an array of floats has their alignment.
        Self(unsafe { from.cast::<[f32; LANES]>().read() })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller vouches for 16 writable floats.
        unsafe { to.cast::<[f32; LANES]>().write(self.0) }
    }

    #[inline(always)]
    unsafe fn fma(mut self, a: f32, b: Self) -> Self {
        for (sum, b) in self.0.iter_mut().zip(b.0) {
            // Without the instruction a fused multiply-add is a slow library call.
            *sum = if cfg!(any(target_arch = "aarch64", target_feature = "fma")) {
                a.mul_add(b, *sum)
            } else {
                a * b + *sum
            };
        }
        self
    }
}

/// # Safety
/// As [`body`] for the whole tile.
unsafe fn portable(init: &[f32; WIDTH], sum: Sum<'_>, tile: &mut Tile, rows: usize, blocks: usize) {
    for block in 0..blocks {
        for first in (0..rows).step_by(4) {
            macro_rules! call {
                ($m:literal) => {
                    // SAFETY: the caller's.
                    unsafe { body::<Scalars, $m, 1>(init, sum, tile, first, block) }
                };
            }
            by_rows!((rows - first).min(4), call, [1 2 3 4]);
        }
    }
}

#[cfg(target_arch = "x86_64")]
pub(crate) mod x86 {
    use std::arch::x86_64::{
        __m256, __m512, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_set1_ps, _mm256_storeu_ps, _mm512_fmadd_ps,
        _mm512_loadu_ps, _mm512_set1_ps, _mm512_storeu_ps,
    };

    use super::{Sum, Tile, Vector, WIDTH, body};

    impl Vector for __m512 {
        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self {
            // SAFETY: the caller's.
            unsafe { _mm512_loadu_ps(from) }
        }

        #[inline(always)]
        unsafe fn store(self, to: *mut f32) {
            // SAFETY: the caller's.
            unsafe { _mm512_storeu_ps(to, self) }
        }

        #[inline(always)]
        unsafe fn fma(self, a: f32, b: Self) -> Self {
            // SAFETY: the caller's.
            unsafe { _mm512_fmadd_ps(_mm512_set1_ps(a), b, self) }
        }
    }

    #[derive(Clone, Copy)]
    pub(crate) struct Pair(__m256, __m256);

    impl Vector for Pair {
        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self {
            // SAFETY: the caller's.
            unsafe { Self(_mm256_loadu_ps(from), _mm256_loadu_ps(from.add(8))) }
        }

        #[inline(always)]
        unsafe fn store(self, to: *mut f32) {
            // SAFETY: the caller's.
            unsafe {
                _mm256_storeu_ps(to, self.0);
                _mm256_storeu_ps(to.add(8), self.1);
            }
        }

        #[inline(always)]
        unsafe fn fma(self, a: f32, b: Self) -> Self {
            // SAFETY: the caller's.
            unsafe {
                let a = _mm256_set1_ps(a);
                Self(_mm256_fmadd_ps(a, b.0, self.0), _mm256_fmadd_ps(a, b.1, self.1))
            }
        }
    }

    /// # Safety
    /// As [`body`] for the whole tile, on a machine with AVX-512F.
    #[target_feature(enable = "avx512f,fma")]
    pub(super) unsafe fn avx512(
        init: &[f32; WIDTH],
        sum: Sum<'_>,
        tile: &mut Tile,
        rows: usize,
        blocks: usize,
    ) {
        macro_rules! one {
            ($m:literal) => {
                // SAFETY: the caller's.
                unsafe { body::<__m512, $m, 1>(init, sum, tile, 0, 0) }
            };
        }
        macro_rules! two {
            ($m:literal) => {
                // SAFETY: the caller's.
                unsafe { body::<__m512, $m, 2>(init, sum, tile, 0, 0) }
            };
        }
        if blocks == 1 {
            by_rows!(rows, one, [1 2 3 4 5 6 7 8 9 10 11 12 13 14]);
        } else {
            by_rows!(rows, two, [1 2 3 4 5 6 7 8 9 10 11 12 13 14]);
        }
    }

    /// # Safety
    /// As [`body`] for the whole tile, on a machine with AVX2 and FMA.
    #[target_feature(enable = "avx2,fma")]
    pub(super) unsafe fn avx2(
        init: &[f32; WIDTH],
        sum: Sum<'_>,
        tile: &mut Tile,
        rows: usize,
        blocks: usize,
    ) {
        for block in 0..blocks {
            for first in (0..rows).step_by(6) {
                macro_rules! call {
                    ($m:literal) => {
                        // SAFETY: the caller's.
                        unsafe { body::<Pair, $m, 1>(init, sum, tile, first, block) }
                    };
                }
                by_rows!((rows - first).min(6), call, [1 2 3 4 5 6]);
            }
        }
    }
}

/// Cuts `n` rows into the fewest tiles, as even as can be: yields (first row, rows).
pub(crate) fn even_tiles(n: usize) -> impl Iterator<Item = (usize, usize)> {
    let tiles = n.div_ceil(ROWS);
    (0..tiles).map(move |t| {
        let start = t * n / tiles;
        (start, (t + 1) * n / tiles - start)
    })
}
