//! Frames in and frames out: video files and streams through the `ffmpeg` command, image folders,
//! writers, zones, camera health, and the synthetic scene.
//!
//! Everything here works on plain bytes; no tensor type appears.

mod error;
mod ffmpeg;
mod frame;
mod images;
mod reader;
mod resize;
mod source;

pub use error::VideoError;
pub use ffmpeg::{Tools, ffmpeg_version, version_of};
pub use frame::{Colour, Frame, Mask};
pub use reader::{FrameFormat, FrameReader, ReadOptions, VideoInfo, probe};
pub use resize::resize;
pub use source::{Source, SourceKind, discover, discover_path, natural_cmp, sort_naturally};
