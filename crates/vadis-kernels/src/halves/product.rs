//! The inner kernel: 16 or 32 rows by 16 or 32 lanes of sums, in tiles.
#![allow(unsafe_code)]

use std::arch::asm;
use std::arch::x86_64::*;
use std::marker::PhantomData;

use super::{LINE, PAIR, TERMS, TILE, are_there};
use crate::amx::{self, BYTES, ROWS, Shapes};
use crate::tile::{LANES, WIDTH};

/// Sums of a tile.
const SUMS: usize = ROWS * LANES;

/// This thread's tiles, in the shapes that products need.
pub(crate) struct Tiles {
    /// Sums before they are written.
    sums: Sums,
    /// They are the thread's.
    here: PhantomData<*const ()>,
}

/// Four tiles.
#[repr(C, align(64))]
struct Sums([f32; 4 * SUMS]);

impl Tiles {
    /// Runs `work` with the tiles.
    ///
    /// # Panics
    /// If the machine has none.
    pub(crate) fn with<R>(work: impl FnOnce(&mut Self) -> R) -> R {
        assert!(are_there(), "tiles are not on this machine");
        let shapes = Shapes::new([[ROWS, BYTES]; 8]);
        // SAFETY: there are tiles. Products alone use them within, as `work` gets none of another kind.
        unsafe {
            amx::with_shapes(&shapes, || work(&mut Self { sums: Sums([0.0; 4 * SUMS]), here: PhantomData }))
        }
    }
}

impl Tiles {
    /// Writes some rows of the sums of the last product, of a tile of rows and a block of lanes, into `out`, each `out_row` elements
    /// after the one before.
    ///
    /// # Panics
    /// If they leave it.
    #[inline]
    pub(crate) fn write(
        &self,
        [tile, block]: [usize; 2],
        rows: usize,
        end: End<'_>,
        out: &mut [f32],
        out_row: usize,
    ) {
        assert!(rows > 0 && rows <= ROWS && 2 * tile + block < 4, "rows of a tile");
        assert!(
            (rows - 1).saturating_mul(out_row).saturating_add(LANES) <= out.len(),
            "output out of bounds"
        );
        let sums = &self.sums.0[(2 * tile + block) * SUMS..][..SUMS];
        // SAFETY: just checked, and who has tiles has AVX-512.
        unsafe { finish(sums.as_ptr(), rows, block, end, out.as_mut_ptr(), out_row) }
    }
}

/// Up to 32 terms that lie side by side: where they start in the rows' halves and in the lanes'.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct Chunk {
    pub(crate) a: usize,
    pub(crate) b: usize,
}

/// What becomes of the sums.
#[derive(Clone, Copy)]
pub(crate) enum End<'a> {
    /// These lanes are added to every row, and perhaps what is negative set to zero.
    Bias { lanes: &'a [f32; WIDTH], relu: bool },
    /// They are added to what the output holds.
    Add,
}

/// sum[m][l] = Σ over chunks, Σ_k a[first + chunk.a + m·a_row + k] · b[chunk.b, term k, lane l]
///
/// All distances in `a` are in halves. Chunks that start at a cache line in both are the fastest.
#[derive(Clone, Copy)]
pub(crate) struct Product<'a> {
    /// Upper halves, and the lower ones `lower` further on. Where there are fewer rows than tiles have, and fewer terms, what
    /// lies there is read nevertheless: rows are left out later, terms are to meet lanes of zeros and to be finite.
    pub(crate) a: &'a [u16],
    /// Where the first row starts.
    pub(crate) first: usize,
    pub(crate) lower: usize,
    pub(crate) a_row: usize,
    /// From the first sixteen rows to the others; may be negative, modulo 2⁶⁴.
    pub(crate) a_next: usize,
    /// Pairs of terms, one after another, as [`super::pairs`] writes them: sixteen of them a chunk.
    pub(crate) b: &'a [u16],
    /// From one block of lanes to the next, and from that to a third; may be negative, modulo 2⁶⁴.
    pub(crate) b_next: [usize; 2],
    pub(crate) chunks: &'a [Chunk],
    /// Rows: up to sixteen, and up to sixteen others.
    pub(crate) rows: [usize; 2],
    /// Blocks of sixteen lanes: one or two, or three for no more than sixteen rows.
    pub(crate) blocks: usize,
}

impl Product<'_> {
    /// # Panics
    /// If a chunk leaves `a` or `b`: the safety of the kernel rests on this check.
    fn check(&self) {
        let Self { a, b, lower, a_row, rows: [first, second], blocks, .. } = *self;
        assert!((1..=ROWS).contains(&first) && second <= ROWS, "one or two tiles of rows");
        assert!((1..=if second > 0 { 2 } else { 3 }).contains(&blocks), "one or two blocks, or three");
        let reach = (ROWS - 1).saturating_mul(a_row).saturating_add(TERMS).saturating_add(lower);
        for chunk in self.chunks {
            let start = self.first.saturating_add(chunk.a);
            let next = if second > 0 { start.wrapping_add(self.a_next) } else { start };
            assert!(start.max(next).saturating_add(reach) <= a.len(), "rows out of bounds");
            let mut lanes = chunk.b;
            for next in [0, self.b_next[0], self.b_next[1]].into_iter().take(blocks) {
                lanes = lanes.wrapping_add(next);
                assert!(lanes.saturating_add(TILE) <= b.len(), "lanes out of bounds");
            }
        }
    }

    /// Leaves the sums in the tiles' memory: see [`Tiles::write`].
    ///
    /// # Panics
    /// If anything leaves its slice.
    #[inline]
    pub(crate) fn sum(&self, tiles: &mut Tiles) {
        self.check();
        let sums = &mut tiles.sums.0;
        // SAFETY: just checked, and `Tiles` are this thread's in shapes of sixteen rows of a cache line.
        unsafe {
            match (self.rows[1] > 0, self.blocks) {
                (false, 1) => sum::<1, 1>(self, sums),
                (false, 2) => sum::<1, 2>(self, sums),
                (false, _) => sum::<1, 3>(self, sums),
                (true, 1) => sum::<2, 1>(self, sums),
                (true, _) => sum::<2, 2>(self, sums),
            }
        }
    }

    /// Writes the rows into `out`, each `out_row` elements after the one before, and the second sixteen from `out_next` on.
    ///
    /// # Panics
    /// If anything leaves its slice.
    #[inline]
    pub(crate) fn run(
        &self,
        tiles: &mut Tiles,
        end: End<'_>,
        out: &mut [f32],
        out_row: usize,
        out_next: usize,
    ) {
        self.sum(tiles);
        for (tile, (rows, next)) in self.rows.into_iter().zip([0, out_next]).enumerate() {
            for block in (0..self.blocks).filter(|_| rows > 0) {
                tiles.write([tile, block], rows, end, &mut out[next + block * LANES..], out_row);
            }
        }
    }
}

/// # Safety
/// So many rows of a tile's sums can be read, and written `out_row` apart; the machine has AVX-512F.
#[target_feature(enable = "avx512f")]
unsafe fn finish(sums: *const f32, rows: usize, block: usize, end: End<'_>, out: *mut f32, out_row: usize) {
    // SAFETY: the caller's; two blocks of lanes are added.
    unsafe {
        match end {
            End::Bias { lanes, relu } => {
                let bias = _mm512_loadu_ps(lanes[block * LANES..].as_ptr());
                for row in 0..rows {
                    let sum = _mm512_add_ps(_mm512_load_ps(sums.add(row * LANES)), bias);
                    // The second of two operands is given where one is NaN: the sum.
                    let sum = if relu { _mm512_max_ps(_mm512_setzero_ps(), sum) } else { sum };
                    _mm512_storeu_ps(out.add(row * out_row), sum);
                }
            }
            End::Add => {
                for row in 0..rows {
                    let out = out.add(row * out_row);
                    let sum = _mm512_add_ps(_mm512_loadu_ps(out), _mm512_load_ps(sums.add(row * LANES)));
                    _mm512_storeu_ps(out, sum);
                }
            }
        }
    }
}

/// # Safety
/// The product was checked, and has so many tiles of rows and blocks of lanes; the tiles have their shapes.
unsafe fn sum<const M: usize, const N: usize>(product: &Product<'_>, sums: &mut [f32; 4 * SUMS]) {
    // To other rows, or to a third block of lanes.
    let next = if M == 1 { product.b_next[1] } else { product.a_next };
    /// `$sums`: (tile, its rows' tile, its lanes' tile, bytes into the sums). Each chunk's products with the lanes' lower
    /// halves, then with their upper ones, then those of the rows' lower halves with the lanes' upper ones. `$low` ends at the
    /// last block of lanes, `$up` starts there.
    macro_rules! sum {
        (
            [$(($tile:literal, $a:literal, $b:literal, $place:literal))*],
            [$($other:literal)*], [$($back:literal)*], [$($low:literal)*], [$($up:literal)*]
        ) => {
            asm!(
                $(concat!("tilezero tmm", $tile),)*
                "test {left}, {left}",
                "jz 3f",
                "2:",
                "mov {a}, [{chunk}]",
                "mov {b}, [{chunk} + 8]",
                "lea {a}, [{rows} + {a}*2]",
                "lea {b}, [{lanes} + {b}*2]",
                $($low,)*
                "tileloadd tmm4, [{a} + {a_row}*1]",
                $($other,)*
                $(concat!("tdpbf16ps tmm", $tile, ", tmm", $a, ", tmm", $b),)*
                $($up,)*
                $(concat!("tdpbf16ps tmm", $tile, ", tmm", $a, ", tmm", $b),)*
                "add {a}, {lower}",
                $($back,)*
                "tileloadd tmm4, [{a} + {a_row}*1]",
                $(concat!("tdpbf16ps tmm", $tile, ", tmm", $a, ", tmm", $b),)*
                "add {chunk}, 16",
                "dec {left}",
                "jnz 2b",
                "3:",
                "mov {b:e}, 64",
                $(concat!("tilestored [{sums} + {b}*1 + ", $place, "], tmm", $tile),)*
                "/* {next} {b_next} */",
                chunk = inout(reg) product.chunks.as_ptr() => _,
                left = inout(reg) product.chunks.len() => _,
                rows = in(reg) product.a.as_ptr().wrapping_add(product.first),
                lanes = in(reg) product.b.as_ptr(),
                a = out(reg) _,
                b = out(reg) _,
                a_row = in(reg) 2 * product.a_row,
                next = in(reg) next.wrapping_mul(2),
                lower = in(reg) 2 * product.lower,
                b_row = in(reg) 2 * PAIR,
                b_next = in(reg) product.b_next[0].wrapping_mul(2),
                sums = in(reg) sums.as_mut_ptr(),
                options(nostack),
            )
        };
    }
    const { assert!(size_of::<Chunk>() == 16 && LINE * size_of::<u16>() == BYTES, "as the assembly has them") };
    // SAFETY: all addresses are those that `Product::check` vouches for, and four tiles of sums.
    unsafe {
        match (M, N) {
            (1, 1) => sum!(
                [(0, 4, 6, 0)],
                [],
                [],
                ["tileloadd tmm6, [{b} + {b_row}*1 + 64]"],
                ["tileloadd tmm6, [{b} + {b_row}*1]"]
            ),
            (1, 2) => sum!(
                [(0, 4, 6, 0) (1, 4, 7, 1024)],
                [],
                [],
                [
                    "tileloadd tmm6, [{b} + {b_row}*1 + 64]" "add {b}, {b_next}"
                    "tileloadd tmm7, [{b} + {b_row}*1 + 64]"
                ],
                [
                    "tileloadd tmm7, [{b} + {b_row}*1]" "sub {b}, {b_next}"
                    "tileloadd tmm6, [{b} + {b_row}*1]"
                ]
            ),
            (1, _) => sum!(
                [(0, 4, 6, 0) (1, 4, 7, 1024) (2, 4, 5, 2048)],
                [],
                [],
                [
                    "tileloadd tmm6, [{b} + {b_row}*1 + 64]" "add {b}, {b_next}"
                    "tileloadd tmm7, [{b} + {b_row}*1 + 64]" "add {b}, {next}"
                    "tileloadd tmm5, [{b} + {b_row}*1 + 64]"
                ],
                [
                    "tileloadd tmm5, [{b} + {b_row}*1]" "sub {b}, {next}"
                    "tileloadd tmm7, [{b} + {b_row}*1]" "sub {b}, {b_next}"
                    "tileloadd tmm6, [{b} + {b_row}*1]"
                ]
            ),
            (_, 1) => sum!(
                [(0, 4, 6, 0) (2, 5, 6, 2048)],
                ["add {a}, {next}" "tileloadd tmm5, [{a} + {a_row}*1]"],
                ["tileloadd tmm5, [{a} + {a_row}*1]" "sub {a}, {next}"],
                ["tileloadd tmm6, [{b} + {b_row}*1 + 64]"],
                ["tileloadd tmm6, [{b} + {b_row}*1]"]
            ),
            _ => sum!(
                [(0, 4, 6, 0) (1, 4, 7, 1024) (2, 5, 6, 2048) (3, 5, 7, 3072)],
                ["add {a}, {next}" "tileloadd tmm5, [{a} + {a_row}*1]"],
                ["tileloadd tmm5, [{a} + {a_row}*1]" "sub {a}, {next}"],
                [
                    "tileloadd tmm6, [{b} + {b_row}*1 + 64]" "add {b}, {b_next}"
                    "tileloadd tmm7, [{b} + {b_row}*1 + 64]"
                ],
                [
                    "tileloadd tmm7, [{b} + {b_row}*1]" "sub {b}, {b_next}"
                    "tileloadd tmm6, [{b} + {b_row}*1]"
                ]
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Terms, pairs, split, tile_len};
    use super::*;

    fn values(len: usize, seed: usize) -> Vec<f32> {
        (0..len).map(|i| ((i * 7919 + seed) % 1009) as f32 / 504.0 - 1.0).collect()
    }

    /// A product of `rows` by 16·`blocks` lanes and some chunks of terms, against sums of doubles.
    fn check(rows: [usize; 2], blocks: usize, chunks: usize, add: bool) {
        let (terms, lanes) = (chunks * TERMS, blocks * LANES);
        let a_row = terms + 6;
        let a = values(32 * a_row, 3);
        let b = values(terms * lanes, 5);
        let mut halves = vec![0; 2 * a.len() + TERMS];
        let (upper, lower) = halves.split_at_mut(a.len());
        split(&a, upper, &mut lower[..a.len()]);
        let mut packed = vec![0; chunks * tile_len(blocks)];
        pairs(Terms { values: &b, step: lanes, count: terms }, blocks, &mut packed);
        let places: Vec<_> = (0..chunks).map(|i| Chunk { a: i * TERMS, b: i * tile_len(blocks) }).collect();
        let mut bias = [0.0; WIDTH];
        bias.copy_from_slice(&values(WIDTH, 9));
        let out_row = lanes + 5;
        let before = values(rows.iter().sum::<usize>() * out_row, 11);
        let mut out = before.clone();
        let product = Product {
            a: &halves,
            first: 0,
            lower: a.len(),
            a_row,
            a_next: 16 * a_row,
            b: &packed,
            b_next: [TILE; 2],
            chunks: &places,
            rows,
            blocks,
        };
        let end = if add { End::Add } else { End::Bias { lanes: &bias, relu: true } };
        Tiles::with(|tiles| product.run(tiles, end, &mut out, out_row, 16 * out_row));
        for (i, &got) in out.iter().enumerate() {
            let (row, lane) = (i / out_row, i % out_row);
            if lane >= lanes {
                assert_eq!(got, before[i]);
                continue;
            }
            let first = f64::from(if add { before[i] } else { bias[lane] });
            let terms = (0..terms).map(|k| f64::from(a[row * a_row + k]) * f64::from(b[k * lanes + lane]));
            let (sum, size) = terms.fold((first, first.abs()), |(sum, size), x| (sum + x, size + x.abs()));
            let sum = if add { sum } else { sum.max(0.0) };
            assert!((f64::from(got) - sum).abs() <= size / 65_536.0, "{got} against {sum}, {row} {lane}");
        }
    }

    #[test]
    fn products_are_sums_of_products() {
        if !are_there() {
            return;
        }
        for rows in [[16, 16], [16, 0], [5, 0], [16, 3]] {
            for blocks in [1, 2] {
                for chunks in [0, 1, 3] {
                    check(rows, blocks, chunks, false);
                    check(rows, blocks, chunks, true);
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "rows out of bounds")]
    fn a_chunk_beyond_the_rows_is_a_bug() {
        let chunks = [Chunk { a: 1, b: 0 }];
        let product = Product {
            a: &[0; 94],
            first: 0,
            lower: 32,
            a_row: 2,
            a_next: 0,
            b: &[0; 1024],
            b_next: [0; 2],
            chunks: &chunks,
            rows: [16, 0],
            blocks: 1,
        };
        product.check();
    }
}
