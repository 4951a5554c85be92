//! The inner kernel: 16 or 32 rows by 16 or 32 lanes of sums, in tiles.
#![allow(unsafe_code)]

use std::arch::asm;
use std::mem::offset_of;

use super::{LINE, are_there, pair_len};
use crate::amx::{BYTES, ROWS, Shapes};
use crate::tile::{LANES, WIDTH};

/// Terms that lie side by side: where they start in the rows' halves and in the lanes'.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct Chunk {
    pub(crate) a: usize,
    pub(crate) b: usize,
}

/// What a sum starts from.
#[derive(Clone, Copy)]
pub(crate) enum Start<'a> {
    /// These lanes in every row.
    Lanes(&'a [f32; WIDTH]),
    /// What the output holds.
    Output,
}

/// out[m][l] = start[l] + Σ over chunks, Σ_k a[first + chunk.a + m·a_row + k] · b[chunk.b, term k, lane l]
///
/// All distances in `a` are in halves.
#[derive(Clone, Copy)]
pub(crate) struct Product<'a> {
    /// Upper halves, and the lower ones `lower` further on.
    pub(crate) a: &'a [u16],
    /// Where the first row starts.
    pub(crate) first: usize,
    pub(crate) lower: usize,
    pub(crate) a_row: usize,
    /// From the first sixteen rows to the others; may be negative, modulo 2⁶⁴.
    pub(crate) a_next: usize,
    /// Pairs of terms, one after another, as [`super::pair`] writes them.
    pub(crate) b: &'a [u16],
    pub(crate) chunks: &'a [Chunk],
    /// Terms of each chunk, an even number up to 32.
    pub(crate) terms: usize,
    /// Rows: up to sixteen, and up to sixteen others if there are sixteen.
    pub(crate) rows: [usize; 2],
    /// Blocks of sixteen lanes, one or two.
    pub(crate) blocks: usize,
    pub(crate) start: Start<'a>,
}

impl Product<'_> {
    /// # Panics
    /// If a chunk leaves `a` or `b`, or a row `out`: the safety of the kernel rests on this check.
    fn check(&self, out: &[f32], out_row: usize, out_next: usize) {
        let Self { a, b, lower, a_row, a_next, terms, rows: [first, second], blocks, .. } = *self;
        assert!(
            (1..=2).contains(&blocks) && (1..=ROWS).contains(&first) && second <= ROWS,
            "one or two tiles"
        );
        assert!((2..=LINE).contains(&terms) && terms.is_multiple_of(2), "pairs of terms");
        let tiles = [(first, 0, 0), (second, a_next, out_next)];
        for (rows, next, out_next) in tiles.into_iter().filter(|&(rows, ..)| rows > 0) {
            let reach = ((rows - 1).saturating_mul(a_row)).saturating_add(terms).saturating_add(lower);
            for chunk in self.chunks {
                let end = self.first.saturating_add(chunk.a).wrapping_add(next).saturating_add(reach);
                assert!(end <= a.len(), "rows out of bounds");
            }
            let end = (rows - 1).saturating_mul(out_row).saturating_add(out_next);
            assert!(end.saturating_add(blocks * LANES) <= out.len(), "output out of bounds");
        }
        let len = terms / 2 * pair_len(blocks);
        assert!(
            self.chunks.iter().all(|chunk| chunk.b.saturating_add(len) <= b.len()),
            "lanes out of bounds"
        );
    }

    /// Writes the rows into `out`, each `out_row` elements after the one before, and the second sixteen from `out_next` on.
    ///
    /// # Panics
    /// If anything leaves its slice, or the machine has no such tiles.
    pub(crate) fn run(&self, out: &mut [f32], out_row: usize, out_next: usize) {
        assert!(are_there(), "tiles are not on this machine");
        self.check(out, out_row, out_next);
        let second = self.rows[1] > 0;
        let first = out.as_mut_ptr();
        let place = |next: usize, block: usize| first.wrapping_add(next + block * LANES);
        let out = [place(0, 0), place(0, 1), place(out_next, 0), place(out_next, 1)];
        let out_row = out_row * size_of::<f32>();
        let (start, start_row) = match self.start {
            Start::Output => (out.map(<*mut f32>::cast_const), out_row),
            Start::Lanes(lanes) => {
                let [first, other] = [0, LANES].map(|lane| lanes[lane..].as_ptr());
                ([first, other, first, other], 0)
            }
        };
        let call = Call { start, start_row, out, out_row };
        // SAFETY: just checked.
        unsafe {
            match (second, self.blocks) {
                (false, 1) => tiles::<1, 1>(self, &call),
                (false, _) => tiles::<1, 2>(self, &call),
                (true, 1) => tiles::<2, 1>(self, &call),
                (true, _) => tiles::<2, 2>(self, &call),
            }
        }
    }

    /// Four tiles of sums, two of rows by terms, two of pairs of terms by lanes.
    fn shapes(&self) -> Shapes {
        let ([first, second], bytes) = (self.rows, 2 * self.terms);
        let lanes = [self.terms / 2, BYTES];
        let sums = [[first, BYTES], [first, BYTES], [second, BYTES], [second, BYTES]].map(nothing);
        Shapes::new([
            sums[0],
            sums[1],
            sums[2],
            sums[3],
            nothing([first, bytes]),
            nothing([second, bytes]),
            lanes,
            lanes,
        ])
    }
}

/// A tile without rows has no bytes either.
fn nothing([rows, bytes]: [usize; 2]) -> [usize; 2] {
    [rows, if rows == 0 { 0 } else { bytes }]
}

/// What a call reads by its place in memory: it needs more numbers than there are registers.
#[repr(C)]
struct Call {
    /// Both blocks of the first rows, then of the others.
    start: [*const f32; 4],
    /// Bytes from one row to the next.
    start_row: usize,
    out: [*mut f32; 4],
    out_row: usize,
}

/// # Safety
/// The product was checked, and has so many tiles of rows and blocks of lanes.
unsafe fn tiles<const M: usize, const N: usize>(product: &Product<'_>, call: &Call) {
    let shapes = product.shapes();
    /// `$sums`: (tile, its rows' tile, its lanes' tile, bytes into the addresses). Each chunk's products with the lanes' lower
    /// halves, then with their upper ones, then those of the rows' lower halves with the lanes' upper ones.
    macro_rules! sum {
        ([$(($tile:literal, $a:literal, $b:literal, $place:literal))*], [$($other:literal)*], [$($back:literal)*], [$($low:literal)*], [$($up:literal)*]) => {
            asm!(
                "ldtilecfg [{a}]",
                "mov {b}, [{call} + {start_row}]",
                $(
                    concat!("mov {a}, [{call} + {start} + ", $place, "]"),
                    concat!("tileloadd tmm", $tile, ", [{a} + {b}*1]"),
                )*
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
                "mov {b}, [{call} + {out_row}]",
                $(
                    concat!("mov {a}, [{call} + {out} + ", $place, "]"),
                    concat!("tilestored [{a} + {b}*1], tmm", $tile),
                )*
                "tilerelease",
                call = in(reg) &raw const *call,
                chunk = inout(reg) product.chunks.as_ptr() => _,
                left = inout(reg) product.chunks.len() => _,
                rows = in(reg) product.a.as_ptr().wrapping_add(product.first),
                lanes = in(reg) product.b.as_ptr(),
                a = inout(reg) &raw const shapes => _,
                b = out(reg) _,
                a_row = in(reg) 2 * product.a_row,
                next = in(reg) product.a_next.wrapping_mul(2),
                lower = in(reg) 2 * product.lower,
                b_row = in(reg) 2 * N * BYTES,
                start = const offset_of!(Call, start),
                start_row = const offset_of!(Call, start_row),
                out = const offset_of!(Call, out),
                out_row = const offset_of!(Call, out_row),
                options(nostack),
            )
        };
    }
    const { assert!(size_of::<Chunk>() == 16 && M <= 2 && N <= 2, "as the assembly has them") };
    // SAFETY: all addresses are those that `Product::check` vouches for. Tiles are nobody else's: their shapes are set first
    // and released last.
    unsafe {
        match (M, N) {
            (1, 1) => sum!(
                [(0, 4, 6, 0)],
                ["/* {next} */"],
                [],
                ["tileloadd tmm6, [{b} + {b_row}*1 + 64]"],
                ["tileloadd tmm6, [{b} + {b_row}*1]"]
            ),
            (1, _) => sum!(
                [(0, 4, 6, 0)(1, 4, 7, 8)],
                ["/* {next} */"],
                [],
                ["tileloadd tmm6, [{b} + {b_row}*1 + 128]" "tileloadd tmm7, [{b} + {b_row}*1 + 192]"],
                ["tileloadd tmm6, [{b} + {b_row}*1]" "tileloadd tmm7, [{b} + {b_row}*1 + 64]"]
            ),
            (_, 1) => sum!(
                [(0, 4, 6, 0)(2, 5, 6, 16)],
                ["add {a}, {next}" "tileloadd tmm5, [{a} + {a_row}*1]"],
                ["tileloadd tmm5, [{a} + {a_row}*1]" "sub {a}, {next}"],
                ["tileloadd tmm6, [{b} + {b_row}*1 + 64]"],
                ["tileloadd tmm6, [{b} + {b_row}*1]"]
            ),
            _ => sum!(
                [(0, 4, 6, 0)(1, 4, 7, 8)(2, 5, 6, 16)(3, 5, 7, 24)],
                ["add {a}, {next}" "tileloadd tmm5, [{a} + {a_row}*1]"],
                ["tileloadd tmm5, [{a} + {a_row}*1]" "sub {a}, {next}"],
                ["tileloadd tmm6, [{b} + {b_row}*1 + 128]" "tileloadd tmm7, [{b} + {b_row}*1 + 192]"],
                ["tileloadd tmm6, [{b} + {b_row}*1]" "tileloadd tmm7, [{b} + {b_row}*1 + 64]"]
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Terms, pairs, split};
    use super::*;

    fn values(len: usize, seed: usize) -> Vec<f32> {
        (0..len).map(|i| ((i * 7919 + seed) % 1009) as f32 / 504.0 - 1.0).collect()
    }

    /// A product of `rows` by 16·`blocks` lanes and some chunks of terms, against sums of doubles.
    fn check(rows: [usize; 2], blocks: usize, chunks: usize, terms: usize, from_output: bool) {
        let a_row = chunks * terms + 6;
        let lanes = blocks * LANES;
        let a = values(32 * a_row, 3);
        let b = values(chunks * terms * lanes, 5);
        let mut halves = vec![0; 2 * a.len()];
        let (upper, lower) = halves.split_at_mut(a.len());
        split(&a, upper, lower);
        let mut packed = vec![0; chunks * terms / 2 * pair_len(blocks)];
        pairs(Terms { values: &b, step: lanes, count: chunks * terms }, blocks, &mut packed);
        let places: Vec<_> =
            (0..chunks).map(|i| Chunk { a: i * terms, b: i * terms / 2 * pair_len(blocks) }).collect();
        let mut start = [0.0; WIDTH];
        start.copy_from_slice(&values(WIDTH, 9));
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
            chunks: &places,
            terms,
            rows,
            blocks,
            start: if from_output { Start::Output } else { Start::Lanes(&start) },
        };
        product.run(&mut out, out_row, 16 * out_row);
        for (i, &got) in out.iter().enumerate() {
            let (row, lane) = (i / out_row, i % out_row);
            if lane >= lanes {
                assert_eq!(got, before[i]);
                continue;
            }
            let first = f64::from(if from_output { before[i] } else { start[lane] });
            let terms =
                (0..chunks * terms).map(|k| f64::from(a[row * a_row + k]) * f64::from(b[k * lanes + lane]));
            let (sum, size) = terms.fold((first, first.abs()), |(sum, size), x| (sum + x, size + x.abs()));
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
                for (chunks, terms) in [(1, 32), (3, 24), (2, 2), (0, 8)] {
                    check(rows, blocks, chunks, terms, false);
                    check(rows, blocks, chunks, terms, true);
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "rows out of bounds")]
    fn a_chunk_beyond_the_rows_is_a_bug() {
        let chunks = [Chunk { a: 1, b: 0 }];
        let product = Product {
            a: &[0; 64],
            first: 0,
            lower: 32,
            a_row: 2,
            a_next: 0,
            b: &[0; 64],
            chunks: &chunks,
            terms: 2,
            rows: [16, 0],
            blocks: 1,
            start: Start::Output,
        };
        product.check(&[0.0; 256], 16, 0);
    }
}
