//! The inner kernel: a row of positions by 16 or 32 channels, four products of bytes at a time.
//!
//! Sums of integers are exact: the result does not depend on their order, nor on the instructions.
#![allow(unsafe_code)]

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{
    __m512i, _mm512_dpbusd_epi32, _mm512_loadu_si512, _mm512_set1_epi32, _mm512_storeu_si512,
};

use super::super::kernel::{PANEL, Run};
#[cfg(target_arch = "x86_64")]
use super::super::kernel::{constant, even_pieces};
#[cfg(target_arch = "x86_64")]
use super::tiles;
use crate::Isa;
#[cfg(target_arch = "x86_64")]
use crate::amx;
use crate::elementwise::for_each_isa;
use crate::tile::LANES;

/// Channels whose products are summed at a time.
pub(super) const GROUP: usize = 4;

/// What bytes are multiplied with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unit {
    pub(super) isa: Isa,
    /// Whether there is one instruction for a group (AVX-512 VNNI).
    #[cfg(target_arch = "x86_64")]
    vnni: bool,
    /// Whether there is one for tiles (AMX).
    #[cfg(target_arch = "x86_64")]
    tiles: bool,
}

impl Unit {
    /// The fastest for an instruction set that the machine has.
    pub(super) fn new(isa: Isa) -> Self {
        #[cfg(target_arch = "x86_64")]
        let vnni =
            isa.vectors() == Isa::Avx512 && isa.is_available() && is_x86_feature_detected!("avx512vnni");
        Self {
            isa,
            #[cfg(target_arch = "x86_64")]
            vnni,
            #[cfg(target_arch = "x86_64")]
            tiles: vnni && amx::are_there(amx::Of::Bytes),
        }
    }
}

/// Adds the first of `values` to what a panel's sums start from, modulo 2³² as they are summed.
pub(super) fn add(start: &mut [i32; PANEL], values: &[i32]) {
    start.iter_mut().zip(&values[..PANEL]).for_each(|(start, &value)| *start = start.wrapping_add(value));
}

/// out[n][x][l] = start[n][l] + Σ over runs, Σ_g, Σ_j a[run.a + x·a_step + 4g + j] · b[run.b + (16·(N·g + n) + l)·4 + j]
///
/// for `count` positions x, N output blocks n of 16 lanes l, `groups` groups g and their four channels
/// j; modulo 2³².
#[derive(Clone, Copy)]
pub(super) struct Dots<'a> {
    pub(super) a: &'a [u8],
    pub(super) a_step: usize,
    pub(super) b: &'a [i8],
    pub(super) runs: &'a [Run],
    /// Groups of each run.
    pub(super) groups: usize,
    /// So many runs one after another lie side by side, in the scalars and in the vectors.
    pub(super) joined: usize,
    pub(super) start: &'a [i32; PANEL],
    pub(super) count: usize,
    /// Elements of the output from one position to the next.
    pub(super) out_step: usize,
    /// Output blocks, one or two.
    pub(super) blocks: usize,
    /// Elements of the output from one block to the next.
    pub(super) out_block: usize,
}

impl Dots<'_> {
    /// # Panics
    /// If it leaves a slice: the safety of the kernel rests on this check.
    fn check(&self, out: &[i32]) {
        assert!((1..=2).contains(&self.blocks) && self.count > 0, "one or two blocks");
        let last = (self.count - 1).saturating_mul(self.a_step);
        let (len_a, len_b) = (self.groups * GROUP, self.groups * GROUP * self.blocks * LANES);
        for run in self.runs {
            let end_a = run.a.saturating_add(last).saturating_add(len_a);
            assert!(end_a <= self.a.len(), "run out of bounds");
            assert!(run.b.saturating_add(len_b) <= self.b.len(), "run out of bounds");
        }
        let aside = |pair: &[Run]| pair[1].a == pair[0].a + len_a && pair[1].b == pair[0].b + len_b;
        let mut joined = self.runs.chunks(self.joined);
        assert!(joined.all(|runs| runs.windows(2).all(aside)), "joined runs lie side by side");
        assert!(self.runs.len().is_multiple_of(self.joined), "all runs are joined alike");
        let end = (self.count - 1).saturating_mul(self.out_step).saturating_add(LANES);
        let end = end.saturating_add((self.blocks - 1).saturating_mul(self.out_block));
        assert!(end <= out.len(), "row out of bounds");
    }

    /// Computes the row.
    ///
    /// # Panics
    /// If it leaves a slice, or the machine lacks the instruction set.
    pub(super) fn run(&self, unit: Unit, out: &mut [i32]) {
        self.check(out);
        // SAFETY: the row was checked against the output, and `Unit::new` found the tiles.
        #[cfg(target_arch = "x86_64")]
        if unit.tiles && unsafe { tiles::row(self, out.as_mut_ptr()) } {
            return;
        }
        #[cfg(target_arch = "x86_64")]
        if unit.vnni {
            // SAFETY: the row was checked against the output, and `Unit::new` found the instructions.
            return unsafe { row_vnni(self, out.as_mut_ptr()) };
        }
        plain(unit.isa, self, out);
    }
}

for_each_isa! {
    /// The same by plain loops.
    fn plain(dots: &Dots<'_>, out: &mut [i32]) {
        for x in 0..dots.count {
            for block in 0..dots.blocks {
                let mut sums = [0; LANES];
                sums.copy_from_slice(&dots.start[block * LANES..][..LANES]);
                for run in dots.runs {
                    let a = &dots.a[run.a + x * dots.a_step..][..dots.groups * GROUP];
                    let b = &dots.b[run.b + block * LANES * GROUP..];
                    for (a, b) in a.chunks_exact(GROUP).zip(b.chunks(dots.blocks * LANES * GROUP)) {
                        for lane in 0..LANES {
                            for j in 0..GROUP {
                                let product = i32::from(a[j]) * i32::from(b[lane * GROUP + j]);
                                sums[lane] = i32::wrapping_add(sums[lane], product);
                            }
                        }
                    }
                }
                out[block * dots.out_block + x * dots.out_step..][..LANES].copy_from_slice(&sums);
            }
        }
    }
}

/// Computes `M` positions from `first` on, in `N` blocks. `A` is the step and `G` the groups if known
/// beforehand, or 0.
///
/// # Safety
/// The row was checked, those positions are within it, it has `N` blocks, and the machine has AVX-512
/// VNNI.
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx512f,avx512vnni")]
unsafe fn tile<const M: usize, const N: usize, const A: usize, const G: usize>(
    dots: &Dots<'_>,
    out: *mut i32,
    first: usize,
) {
    let a_step = if A > 0 { A } else { dots.a_step };
    let groups = if G > 0 { G } else { dots.groups };
    // SAFETY: all offsets are those that `Dots::check` vouches for; loads and stores need no alignment.
    unsafe {
        let mut acc: [[__m512i; N]; M] =
            [std::array::from_fn(|n| _mm512_loadu_si512(dots.start.as_ptr().add(n * LANES).cast())); M];
        for run in dots.runs {
            let mut a = dots.a.as_ptr().wrapping_add(run.a + first * a_step);
            let mut b = dots.b.as_ptr().wrapping_add(run.b);
            for _ in 0..groups {
                let lanes: [__m512i; N] =
                    std::array::from_fn(|n| _mm512_loadu_si512(b.add(n * LANES * GROUP).cast()));
                for (m, acc) in acc.iter_mut().enumerate() {
                    let scalar = _mm512_set1_epi32(a.add(m * a_step).cast::<i32>().read_unaligned());
                    for (sum, &lane) in acc.iter_mut().zip(&lanes) {
                        *sum = _mm512_dpbusd_epi32(*sum, scalar, lane);
                    }
                }
                a = a.wrapping_add(GROUP);
                b = b.wrapping_add(N * LANES * GROUP);
            }
        }
        for (m, acc) in acc.iter().enumerate() {
            for (n, &sum) in acc.iter().enumerate() {
                let place = n * dots.out_block + (first + m) * dots.out_step;
                _mm512_storeu_si512(out.add(place).cast(), sum);
            }
        }
    }
}

/// # Safety
/// The row was checked, and the machine has AVX-512 VNNI.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vnni")]
unsafe fn row_vnni(dots: &Dots<'_>, out: *mut i32) {
    /// # Safety
    /// As the function around it.
    #[target_feature(enable = "avx512f,avx512vnni")]
    unsafe fn with_step<const A: usize, const G: usize>(dots: &Dots<'_>, out: *mut i32) {
        for (first, rows) in even_pieces(dots.count, 14) {
            macro_rules! single {
                ($m:literal) => {
                    // SAFETY: the caller's; the piece is within the row.
                    unsafe { tile::<$m, 1, A, G>(dots, out, first) }
                };
            }
            macro_rules! double {
                ($m:literal) => {
                    // SAFETY: the caller's; the piece is within the row.
                    unsafe { tile::<$m, 2, A, G>(dots, out, first) }
                };
            }
            if dots.blocks == 1 {
                constant!(rows, single, [1 2 3 4 5 6 7 8 9 10 11 12 13 14]);
            } else {
                constant!(rows, double, [1 2 3 4 5 6 7 8 9 10 11 12 13 14]);
            }
        }
    }
    // SAFETY: the caller's.
    unsafe {
        match (dots.a_step, dots.groups) {
            (16, 4) => with_step::<16, 4>(dots, out),
            (32, 4) => with_step::<32, 4>(dots, out),
            (8, 3) => with_step::<8, 3>(dots, out),
            _ => with_step::<0, 0>(dots, out),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes(len: usize, seed: usize) -> Vec<u8> {
        (0..len).map(|i| ((i + seed).wrapping_mul(2_654_435_761) >> 7) as u8).collect()
    }

    /// Units of this machine, from the plainest on.
    fn units() -> Vec<Unit> {
        #[cfg(target_arch = "x86_64")]
        {
            let best = Unit::new(Isa::detect());
            let plain = Unit { vnni: false, tiles: false, ..best };
            vec![plain, Unit { tiles: false, ..best }, best]
        }
        #[cfg(not(target_arch = "x86_64"))]
        vec![Unit::new(Isa::detect())]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 2 } else { 64 }))]

        #[test]
        fn every_unit_sums_alike(
            count in 1usize..75, blocks in 1usize..3, joined in 1usize..6, groups in 1usize..6,
            advance in 1usize..3, phases in 1usize..3, stretches in 1usize..7, seed in 0usize..1000,
        ) {
            let (len, a_step) = (groups * GROUP, advance * 16);
            let pitch = joined * len + count * a_step;
            let run = |i: usize| {
                let (stretch, place) = (i / joined, i % joined * len);
                Run { a: stretch * pitch + place, b: (stretch * joined * len + place) * blocks * LANES }
            };
            let runs: Vec<Run> = (0..stretches * joined).map(run).collect();
            let a = bytes(stretches * pitch, seed);
            let b: Vec<i8> =
                bytes(stretches * joined * len * blocks * LANES, seed + 7).iter().map(|&b| b.cast_signed()).collect();
            let start = std::array::from_fn(|lane| lane as i32 * 1000 - 9999);
            let (out_step, out_block) = (phases * LANES, phases * LANES * count);
            let (a, b, runs, start) = (&a[..], &b[..], &runs[..], &start);
            let dots = Dots { a, a_step, b, runs, groups, joined, start, count, out_step, blocks, out_block };
            let results = units().into_iter().map(|unit| {
                let mut out = vec![-1; blocks * out_block];
                dots.run(unit, &mut out);
                out
            });
            let results: Vec<Vec<i32>> = results.collect();
            for result in &results[1..] {
                prop_assert_eq!(result, &results[0]);
            }
        }
    }
}
