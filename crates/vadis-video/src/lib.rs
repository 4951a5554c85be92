//! Frames in and frames out: video files and streams through the `ffmpeg` command, image folders,
//! writers, zones, camera health, and the synthetic scene.
//!
//! Everything here works on plain bytes; no tensor type appears.

mod frame;

pub use frame::{Colour, Frame, Mask};
