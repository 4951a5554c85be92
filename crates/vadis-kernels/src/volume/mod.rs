//! Convolutions of whole clips in the blocked layout.

pub(crate) mod blocked;
#[cfg_attr(not(test), expect(dead_code, reason = "the segments of this crate will call it"))]
pub(crate) mod winograd;
