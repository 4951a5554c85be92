//! Which encoders the installed `ffmpeg` has.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::{Tools, ffmpeg, run};
use crate::VideoError;

/// H.264 encoders by preference, then what most players still show.
const PREFERRED: [&str; 4] = ["libx264", "libopenh264", "h264_videotoolbox", "mpeg4"];

/// The best encoder there is for a picture that a browser should show.
pub(crate) fn best_h264(tools: &Tools, path: &Path) -> Result<&'static str, VideoError> {
    let mut command: Command = ffmpeg(tools);
    command.arg("-encoders");
    let output = run(command, "ffmpeg -encoders", Duration::from_secs(10), 1 << 20)?;
    choose(&String::from_utf8_lossy(&output.stdout)).ok_or_else(|| VideoError::Encode {
        path: path.to_path_buf(),
        codec: "H.264".to_owned(),
        detail: "this ffmpeg has no encoder for it, nor one for MPEG-4".to_owned(),
    })
}

/// The first preferred name among the second words of `ffmpeg -encoders`' lines.
fn choose(listing: &str) -> Option<&'static str> {
    let has = |name: &&&str| listing.lines().any(|l| l.split_whitespace().nth(1) == Some(**name));
    PREFERRED.iter().find(has).copied()
}

/// Options of an H.264 encoder for a quality given as x264's constant rate factor.
pub(crate) fn h264_options(encoder: &str, crf: u8, baseline: bool) -> Vec<String> {
    let mut options: Vec<String> = vec!["-c:v".into(), encoder.into(), "-pix_fmt".into(), "yuv420p".into()];
    match encoder {
        "libx264" => options.extend(["-preset", "veryfast", "-crf", &crf.to_string()].map(String::from)),
        // MPEG-4's quantiser runs from 2 (best) to 31; the others are content with it too.
        _ => options.extend(["-q:v", &(crf / 4).clamp(2, 31).to_string()].map(String::from)),
    }
    if baseline && encoder == "libx264" {
        options.extend(["-profile:v", "baseline"].map(String::from));
    }
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefers_x264_then_what_there_is() {
        let listing = " Encoders:\n V..... = Video\n V.S... mpeg4  MPEG-4 part 2\n V..... libx264  H.264\n";
        assert_eq!(choose(listing), Some("libx264"));
        assert_eq!(choose(" V.S... mpeg4  MPEG-4 part 2"), Some("mpeg4"));
        assert_eq!(choose(" V..... libx264rgb  H.264\n"), None);
    }

    #[test]
    fn fallback_has_a_quality_of_its_own() {
        assert!(h264_options("mpeg4", 23, true).windows(2).any(|w| w == ["-q:v", "5"]));
    }
}
