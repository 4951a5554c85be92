//! Convolutions of whole clips in the blocked layout.

#[cfg_attr(not(test), expect(dead_code, reason = "the segments of this crate will use it"))]
pub(crate) mod blocked;
#[cfg_attr(not(test), expect(dead_code, unused_imports, reason = "the segments of this crate will call it"))]
pub(crate) mod winograd;
