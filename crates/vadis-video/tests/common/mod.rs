//! What the integration tests share.
#![allow(dead_code)]

use std::path::{Path, PathBuf};
use std::process::Command;

use vadis_video::{Colour, Frame, FrameFormat, FrameReader, ReadOptions, Source, VideoError};

pub(crate) const GREY: FrameFormat = FrameFormat { size: None, colour: Colour::Grey };
pub(crate) const RGB: FrameFormat = FrameFormat { size: None, colour: Colour::Rgb };

/// The real data's folder, where there is one.
pub(crate) fn real_data() -> Option<PathBuf> {
    std::env::var_os("VADIS_DATA").map(PathBuf::from).filter(|p| p.is_dir())
}

/// Runs `ffmpeg` with these arguments, output path last.
pub(crate) fn ffmpeg(arguments: &[&str], out: &Path) {
    let status = Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-y"])
        .args(arguments)
        .arg(out)
        .status()
        .expect("ffmpeg is installed");
    assert!(status.success(), "ffmpeg {arguments:?}");
}

/// A moving test picture of `frames` frames at 10 a second.
pub(crate) fn moving(size: &str, frames: u32, codec: &[&str], out: &Path) {
    let source = format!("testsrc2=size={size}:rate=10:duration={}", f64::from(frames) / 10.0);
    let mut arguments = vec!["-f", "lavfi", "-i", &source];
    arguments.extend(codec);
    ffmpeg(&arguments, out);
}

/// All frames up to the first error, and that error.
pub(crate) fn read(
    source: &Source,
    format: &FrameFormat,
    options: &ReadOptions,
) -> Result<(Vec<Frame>, Option<VideoError>), VideoError> {
    let mut frames = Vec::new();
    for frame in FrameReader::open(source, format, options)? {
        match frame {
            Ok(frame) => frames.push(frame),
            Err(e) => return Ok((frames, Some(e))),
        }
    }
    Ok((frames, None))
}

/// All frames of a file that must be whole.
pub(crate) fn read_file(path: &Path, format: &FrameFormat) -> Vec<Frame> {
    let (frames, error) = read(&Source::file(path), format, &ReadOptions::default()).expect("opens");
    assert!(error.is_none(), "{error:?}");
    frames
}
