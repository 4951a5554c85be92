//! Frames in and frames out: video files and streams through the `ffmpeg` command, image folders,
//! writers, zones, camera health, and the synthetic scene.
//!
//! Everything here works on plain bytes; no tensor type appears.

mod clip;
pub mod clock;
mod error;
mod ffmpeg;
mod frame;
pub mod health;
mod images;
pub mod inpaint;
mod reader;
mod resize;
mod source;
pub mod synth;
mod writer;
pub mod zone;

pub use clip::{extract_clip, grab_frames, shrink};
pub use clock::ClockDetector;
pub use error::VideoError;
#[doc(hidden)]
pub use ffmpeg::nut::fuzz_nut;
pub use ffmpeg::{Tools, ffmpeg_version, version_of};
pub use frame::{Colour, Frame, Mask};
pub use health::{HealthConfig, HealthMonitor, Trouble};
pub use images::write_png;
pub use reader::{FrameFormat, FrameReader, ReadOptions, VideoInfo, probe};
pub use resize::resize;
pub use source::{
    Source, SourceKind, discover, discover_path, natural_cmp, sort_naturally, without_credentials,
};
pub use writer::{Codec, Timing, VideoWriter, WriterSpec};
pub use zone::{Length, Zone, ZoneError};
