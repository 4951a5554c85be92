//! The inner kernel by tiles (AMX): sixteen positions by sixteen channels and up to 64 products each with one
//! instruction.
//!
//! A tile takes a row's stretch of bytes that lie side by side: in sixteen lanes those of all taps in width. Its sums are
//! those of the other kernels, as integers do not depend on their order.
#![allow(unsafe_code)]

use std::arch::asm;
use std::mem::offset_of;

use super::super::kernel::Run;
use super::dot::{Dots, GROUP};
use crate::amx::{self, BYTES, ROWS, Shapes};

/// Positions that are computed at a time.
const PAIR: usize = 2 * ROWS;
/// Stretches below which bringing the tiles into place takes longer than it spares.
const LEAST: usize = 4;
/// Bytes below which a tile is not worth it: a single tap's sixteen lanes fill a quarter.
const LEAST_BYTES: usize = 32;

/// Four tiles of sums, two of positions by `bytes`, two of `bytes / 4` groups by channels.
fn shapes(bytes: usize) -> Shapes {
    let sums = [ROWS, BYTES];
    let (positions, channels) = ([ROWS, bytes], [bytes / GROUP, BYTES]);
    Shapes::new([sums, sums, sums, sums, positions, positions, channels, channels])
}

/// Bytes of a stretch, if tiles suit the row.
fn stretch(dots: &Dots<'_>) -> Option<usize> {
    let bytes = dots.joined * dots.groups * GROUP;
    let stretches = dots.runs.len() / dots.joined;
    let suits = (LEAST_BYTES..=BYTES).contains(&bytes) && dots.count >= ROWS && stretches >= LEAST;
    suits.then_some(bytes)
}

/// Computes a row by tiles, if they suit it: whether they did.
///
/// # Safety
/// The row was checked against the output, and tiles are there.
pub(super) unsafe fn row(dots: &Dots<'_>, out: *mut i32) -> bool {
    let Some(bytes) = stretch(dots) else { return false };
    let rows = || {
        let mut first = 0;
        while first < dots.count {
            // The last tile ends with the row. It may hold positions that are done already: their sums are the same.
            let two = first + PAIR <= dots.count;
            let place = if two { first } else { first.min(dots.count - ROWS) };
            // SAFETY: the caller's; so many positions from there on are within the row.
            unsafe {
                match two {
                    true => block::<2>(dots, out, place),
                    false => block::<1>(dots, out, place),
                }
            }
            first = place + if two { PAIR } else { ROWS };
        }
    };
    // SAFETY: there are tiles, and blocks use them alone.
    unsafe { amx::with_shapes(&shapes(bytes), rows) }
    true
}

/// What a call reads by its place in memory: it needs more numbers than there are registers.
#[repr(C)]
struct Call {
    start: *const i32,
    /// Bytes from one position's sums to the next.
    out_row: usize,
    /// Where the tiles of sums go: both blocks of the first positions, then of the others.
    out: [*mut i32; 4],
}

/// `M` tiles of positions from `first` on, by all blocks.
///
/// # Safety
/// As [`row`]; the positions are within it, and the tiles have the shapes of its stretch.
unsafe fn block<const M: usize>(dots: &Dots<'_>, out: *mut i32, first: usize) {
    let place = |tile: usize, block: usize| {
        out.wrapping_add((first + tile * ROWS) * dots.out_step + block * dots.out_block)
    };
    let call = Call {
        start: dots.start.as_ptr(),
        out_row: dots.out_step * size_of::<i32>(),
        out: [place(0, 0), place(0, 1), place(1, 0), place(1, 1)],
    };
    /// Brings the tiles of sums to what they start from, adds the products of each stretch, and stores the sums. A sum
    /// is `($tile, bytes into the start, tile of positions, tile of channels, bytes into the call's addresses)`.
    macro_rules! sum {
        ([$(($tile:literal, $start:literal, $a:literal, $b:literal, $out:literal))*], [$($load:literal)*]) => {
            asm!(
                "mov {a}, [{call} + {start}]",
                "xor {b:e}, {b:e}",
                $(concat!("tileloadd tmm", $tile, ", [{a} + {b}*1 + ", $start, "]"),)*
                "2:",
                "mov {a}, [{run}]",
                "mov {b}, [{run} + 8]",
                "add {a}, {scalars}",
                "add {b}, {vectors}",
                "tileloadd tmm4, [{a} + {a_row}*1]",
                "tileloadd tmm6, [{b} + {b_row}*1]",
                "add {a}, {a_next}",
                $($load,)*
                $(concat!("tdpbusd tmm", $tile, ", tmm", $a, ", tmm", $b),)*
                "add {run}, {next}",
                "dec {left}",
                "jnz 2b",
                "mov {b}, [{call} + {out_row}]",
                $(
                    concat!("mov {a}, [{call} + {out} + ", $out, "]"),
                    concat!("tilestored [{a} + {b}*1], tmm", $tile),
                )*
                call = in(reg) &raw const call,
                run = inout(reg) dots.runs.as_ptr() => _,
                next = in(reg) dots.joined * size_of::<Run>(),
                left = inout(reg) dots.runs.len() / dots.joined => _,
                scalars = in(reg) dots.a.as_ptr().wrapping_add(first * dots.a_step),
                vectors = in(reg) dots.b.as_ptr(),
                a = out(reg) _,
                b = out(reg) _,
                a_row = in(reg) dots.a_step,
                a_next = in(reg) ROWS * dots.a_step,
                b_row = in(reg) dots.blocks * BYTES,
                start = const offset_of!(Call, start),
                out_row = const offset_of!(Call, out_row),
                out = const offset_of!(Call, out),
                options(nostack),
            )
        };
    }
    const { assert!(M == 1 || M == 2, "a tile of positions or two") };
    // SAFETY: all addresses are those that `Dots::check` vouches for, and there is a stretch.
    unsafe {
        match (M, dots.blocks) {
            (1, 1) => sum!([(0, 0, 4, 6, 0)], []),
            (1, _) => sum!([(0, 0, 4, 6, 0)(1, 64, 4, 7, 8)], ["tileloadd tmm7, [{b} + {b_row}*1 + 64]"]),
            (_, 1) => sum!([(0, 0, 4, 6, 0)(2, 0, 5, 6, 16)], ["tileloadd tmm5, [{a} + {a_row}*1]"]),
            _ => sum!(
                [(0, 0, 4, 6, 0) (1, 64, 4, 7, 8) (2, 0, 5, 6, 16) (3, 64, 5, 7, 24)],
                ["tileloadd tmm7, [{b} + {b_row}*1 + 64]" "tileloadd tmm5, [{a} + {a_row}*1]"]
            ),
        }
    }
}
