//! Asks `ffprobe` what a file or stream holds.

use serde::Deserialize;

use super::{Input, check_size, ffprobe, run};
use crate::{ReadOptions, VideoError, VideoInfo};

/// Bytes of an answer at most; real ones are a few hundred.
const MAX_ANSWER: u64 = 1 << 20;
const ENTRIES: &str = "stream=codec_name,width,height,avg_frame_rate,r_frame_rate,nb_frames,duration,start_time\
:stream_side_data=rotation:stream_tags=rotate:format=format_name,duration,start_time";

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    streams: Vec<Stream>,
    #[serde(default)]
    format: Format,
}

#[derive(Deserialize)]
struct Stream {
    codec_name: Option<String>,
    #[serde(default)]
    width: u64,
    #[serde(default)]
    height: u64,
    avg_frame_rate: Option<String>,
    r_frame_rate: Option<String>,
    nb_frames: Option<String>,
    duration: Option<String>,
    start_time: Option<String>,
    #[serde(default)]
    side_data_list: Vec<SideData>,
    #[serde(default)]
    tags: Tags,
}

#[derive(Deserialize)]
struct SideData {
    rotation: Option<f64>,
}

#[derive(Deserialize, Default)]
struct Tags {
    rotate: Option<String>,
}

#[derive(Deserialize, Default)]
struct Format {
    #[serde(default)]
    format_name: String,
    duration: Option<String>,
    start_time: Option<String>,
}

/// What `ffprobe` tells of an input.
pub(crate) struct Probed {
    /// Size as shown, rate, length and kinds of the first video stream that is not a cover picture.
    pub(crate) info: VideoInfo,
    /// Seconds from the container's beginning to the first picture, where sound begins earlier.
    pub(crate) lead_s: f64,
}

/// Asks for the first video stream that is not a cover picture.
pub(crate) fn probe(input: &Input, options: &ReadOptions) -> Result<Probed, VideoError> {
    let mut command = ffprobe(&options.tools);
    input.give_to(&mut command);
    command.args(["-select_streams", "V:0", "-show_entries", ENTRIES, "-of", "json=compact=1"]);
    let output = run(command, &input.name, options.timeout, MAX_ANSWER)?;
    let unreadable = |detail: Option<String>| VideoError::Unreadable {
        name: input.name.clone(),
        detail: detail.map_or_else(|| "it is not of a known kind".to_owned(), |d| input.without_address(&d)),
    };
    if !output.status.success() {
        return Err(unreadable(output.complaints.first()));
    }
    let answer: Answer = serde_json::from_slice(&output.stdout)
        .map_err(|e| VideoError::Protocol { command: "ffprobe".to_owned(), detail: e.to_string() })?;
    let Answer { streams, format } = answer;
    let Some(stream) = streams.into_iter().next() else {
        return Err(VideoError::NoVideoStream { name: input.name.clone() });
    };
    if stream.width == 0 || stream.height == 0 {
        return Err(unreadable(output.complaints.first()));
    }
    Ok(Probed { info: info(input, &stream, &format)?, lead_s: lead(&stream, &format) })
}

fn info(input: &Input, stream: &Stream, format: &Format) -> Result<VideoInfo, VideoError> {
    let (mut width, mut height) = check_size(&input.name, stream.width, stream.height)?;
    if lies_on_its_side(stream) {
        std::mem::swap(&mut width, &mut height);
    }
    let number = |text: &Option<String>| {
        text.as_deref().and_then(|t| t.parse::<f64>().ok()).filter(|v| v.is_finite() && *v > 0.0)
    };
    let duration_s = number(&stream.duration).or_else(|| number(&format.duration));
    let declared_frames = stream.nb_frames.as_deref().and_then(|n| n.parse().ok()).filter(|&n| n > 0);
    let rate = ratio(stream.avg_frame_rate.as_deref()).or_else(|| ratio(stream.r_frame_rate.as_deref()));
    let counted = duration_s.zip(declared_frames).map(|(d, n): (f64, u64)| n as f64 / d);
    let fps = rate.or(counted).unwrap_or(VideoInfo::UNKNOWN_FPS);
    let estimate = duration_s.map(|d| (d * fps).round() as u64);
    Ok(VideoInfo {
        width,
        height,
        fps,
        duration_s,
        frames: declared_frames.or(estimate),
        codec: stream.codec_name.clone().unwrap_or_else(|| "unknown".to_owned()),
        container: format.format_name.clone(),
    })
}

fn lead(stream: &Stream, format: &Format) -> f64 {
    let seconds = |text: &Option<String>| text.as_deref().and_then(|t| t.parse::<f64>().ok());
    let begun = seconds(&stream.start_time).zip(seconds(&format.start_time));
    begun.map_or(0.0, |(picture, container)| picture - container).clamp(0.0, 3600.0)
}

/// True if `ffmpeg` will turn the picture by a quarter, as players do.
fn lies_on_its_side(stream: &Stream) -> bool {
    let of_matrix = stream.side_data_list.iter().find_map(|s| s.rotation);
    let of_tag = || stream.tags.rotate.as_deref().and_then(|r| r.parse().ok());
    let degrees: f64 = of_matrix.or_else(of_tag).unwrap_or(0.0);
    ((degrees.abs() % 180.0) - 90.0).abs() < 1.0
}

/// `30000/1001` as a number; `None` for `0/0` and the like.
fn ratio(text: Option<&str>) -> Option<f64> {
    let (num, den) = text?.split_once('/')?;
    let value = num.parse::<f64>().ok()? / den.parse::<f64>().ok()?;
    (value.is_finite() && value > 0.0).then_some(value)
}
