//! Frame differencing, background subtraction and optical flow of vadis.
//!
//! What moves between pictures, on plain bytes: the motion-only rows that every learned system must beat,
//! and the motion gradients that some of them weigh their errors by. Nothing here is learnt.
//!
//! ```
//! use vadis_motion::{FrameDiff, FrameDiffConfig};
//! use vadis_video::{Colour, Frame};
//!
//! let mut scorer = FrameDiff::new(FrameDiffConfig::default())?;
//! let dark = Frame::filled(64, 48, Colour::Grey, 0);
//! let bright = Frame::filled(64, 48, Colour::Grey, 51);
//! assert!(scorer.push(&dark)?.is_none(), "the first frame has nothing before it");
//! assert!(scorer.push(&dark)?.is_some_and(|motion| motion.mean == 0.0));
//! assert!(scorer.push(&bright)?.is_some_and(|motion| motion.mean == 0.2));
//! # Ok::<(), vadis_motion::MotionError>(())
//! ```

mod difference;
mod error;
mod flow;
mod integral;
mod mog2;
mod objects;
mod simd;

pub use difference::{FrameDiff, FrameDiffConfig, FrameMotion, Span, frame_difference, mean_level};
pub use error::MotionError;
pub use flow::{FlowCache, FlowCacheError, FlowField, FlowMotion, TvL1, TvL1Config, flow_patch};
pub use integral::{IntegralImage, Patch};
pub use mog2::{Mog2, Mog2Config};
pub use objects::objects_against;

/// Most pixels of a picture that memory is kept for: up to 200 bytes for each.
const MAX_PIXELS: usize = 1 << 24;
