//! Products of floats by tiles (AMX): each float as the sum of two halves of sixteen bits, which tiles multiply sixteen
//! times as fast as vectors do floats.
//!
//! x = u + l + ε with u = bf16(x), l = bf16(x − u), rounded to the nearest, and |ε| ≤ 2⁻¹⁷ |x|; a·b is summed as
//! a_u·b_l + a_u·b_u + a_l·b_u, in 32-bit floats (Henry, Tang and Heinecke, "Leveraging the bfloat16 Artificial Intelligence Datatype For Higher-Precision
//! Computations", ARITH 2019). Three products of sixteen times the speed are five times the speed. An error is some 2⁻¹⁷ of
//! the terms of a sum, where that of plain floats is 2⁻²⁴ for each of them.
//!
//! Halves of less than 2⁻¹²⁶ count as zeros. A term that is infinite makes a sum NaN, and so does a NaN as arithmetic gives it; one
//! whose upper bits are all ones counts as zero.

mod convert;
mod correlate;
mod gather;
mod phases;
mod product;
mod rows;

use std::cell::RefCell;
use std::sync::OnceLock;

use crate::aligned::Aligned;
use crate::amx::{self, ROWS};

pub(crate) use self::convert::{Terms, flip, join, pairs, pairs_of_columns, split};
pub(crate) use self::correlate::Correlation;
pub(crate) use self::gather::{Image, Rect, Tiled};
pub(crate) use self::phases::{Block, Flipped, Phases};
pub(crate) use self::product::{Chunk, End, Product, Tiles};
pub(crate) use self::rows::{MOST, Rows, Size};

/// Halves in a row of a tile: terms of one product, or pairs of terms of sixteen lanes.
pub(crate) const LINE: usize = 32;

/// Terms that are multiplied at a time.
pub(crate) const TERMS: usize = LINE;

/// Halves of one pair of terms of sixteen lanes: upper ones, then lower ones.
pub(crate) const PAIR: usize = 2 * LINE;

/// Halves of a tile's terms of sixteen lanes.
pub(crate) const TILE: usize = TERMS / 2 * PAIR;

/// Halves of a tile's terms in so many blocks of lanes, one block after another.
pub(crate) fn tile_len(blocks: usize) -> usize {
    blocks * TILE
}

/// Rows of the next product's two tiles, where so many are left.
pub(crate) fn next_rows(left: usize) -> [usize; 2] {
    [left.min(ROWS), left.saturating_sub(ROWS).min(ROWS)]
}

/// Whether this machine has what this takes.
pub(crate) fn are_there() -> bool {
    static THERE: OnceLock<bool> = OnceLock::new();
    *THERE.get_or_init(|| {
        is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("avx512bw")
            && amx::are_there(amx::Of::Halves)
    })
}

/// Runs `work` with a buffer of `len` halves of this thread that starts at a cache line, as tiles are slow to read across
/// two; its values are those that the last work left.
///
/// # Panics
/// If `work` asks for another one.
pub(crate) fn with_buffer<R>(len: usize, work: impl FnOnce(&mut [u16]) -> R) -> R {
    thread_local! {
        static BUFFER: RefCell<Aligned<u16>> = RefCell::new(Aligned::default());
    }
    BUFFER.with_borrow_mut(|buffer| {
        if buffer.len() < len {
            buffer.resize(len);
        }
        work(&mut buffer[..len])
    })
}
