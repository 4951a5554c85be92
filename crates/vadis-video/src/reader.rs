//! One way to read every kind of source.

use std::time::Duration;

use crate::ffmpeg::decode::Decoder;
use crate::ffmpeg::{self, Input, Tools};
use crate::images::{self, ImageSequence};
use crate::{Colour, Frame, Source, SourceKind, VideoError, resize};

/// How frames are to be delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameFormat {
    /// Width and height in pixels; the source's own where `None`.
    pub size: Option<(usize, usize)>,
    /// Grey or colour.
    pub colour: Colour,
}

/// How a source is read.
#[derive(Debug, Clone, PartialEq)]
pub struct ReadOptions {
    /// Without a byte for this long, reading fails. Default 30 s.
    pub timeout: Duration,
    /// Frames a second of image folders, which have no clock. Default 10, the rate of the UCSD sets.
    pub image_fps: f64,
    /// Stop after so many frames.
    pub max_frames: Option<u64>,
    /// Begin at this time, in seconds from the source's beginning; 0 for all of it. Frames are then numbered from the
    /// first one read, and their times count from the source's beginning.
    pub start_s: f64,
    /// Stop after this much of the source's time, in seconds.
    pub duration_s: Option<f64>,
    /// Threads that `ffmpeg` decodes with. Default 1, with which even broken files decode to the same bytes always;
    /// whole files do so with any number.
    pub threads: usize,
    /// Which `ffmpeg` and `ffprobe` to run.
    pub tools: Tools,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(30),
            image_fps: 10.0,
            max_frames: None,
            start_s: 0.0,
            duration_s: None,
            threads: 1,
            tools: Tools::default(),
        }
    }
}

/// What is known of a source before it is read.
#[derive(Debug, Clone, PartialEq)]
pub struct VideoInfo {
    /// Pixels a row as shown, that is after the rotation that a phone may have noted.
    pub width: usize,
    /// Rows as shown.
    pub height: usize,
    /// Mean frames a second; [`VideoInfo::UNKNOWN_FPS`] where the container does not say.
    pub fps: f64,
    /// Length in seconds as declared, where it is.
    pub duration_s: Option<f64>,
    /// Frames as declared, or estimated from length and rate.
    pub frames: Option<u64>,
    /// Codec by `ffmpeg`'s name (`h264`, `mjpeg` …); the extension for images.
    pub codec: String,
    /// Container by `ffmpeg`'s name (`avi`, `matroska,webm` …); `images` for images.
    pub container: String,
}

impl VideoInfo {
    /// Assumed where a container states no rate.
    pub const UNKNOWN_FPS: f64 = 25.0;
}

/// What a source holds, without decoding it.
///
/// # Errors
/// Whatever keeps it from being read; see [`VideoError`].
pub fn probe(source: &Source, options: &ReadOptions) -> Result<VideoInfo, VideoError> {
    check(options)?;
    match (&source.kind, Input::of(source)?) {
        (SourceKind::Images(paths), _) => images::probe(&source.name, paths, options),
        (_, Some(input)) => Ok(ffmpeg::probe::probe(&input, options)?.info),
        (_, None) => Err(VideoError::NoVideoStream { name: source.name.clone() }),
    }
}

/// The frames of a source, in order, each decoded frame once.
///
/// * **Time** is the container's own, variable frame rates included, from the first frame on; strictly increasing
///   (equal stamps are moved one tick apart).
/// * **Size**: decoded at the native size, then [`resize`]d here, so that no version of `ffmpeg`'s scaler changes a
///   pixel. Rotation noted in the file is applied, as players do; pixels that are not square stay as stored. A source
///   whose pictures change size is scaled to its first one (a video by `ffmpeg`, bicubic; images by [`resize`]).
/// * **Grey** is luma at full range (0 black, 255 white): what is stored at video range (16–235) is stretched, what is
///   stored as grey is passed through bit by bit, RGB is weighted by BT.601. Image files in colour likewise.
/// * **Broken files** yield every frame that can be decoded, then one [`VideoError::Damaged`]; concealed damage in the
///   middle too is reported there, after the last frame. Streams are expected to lose packets and end without one.
/// * **Memory** is a few frames, whatever the length. Dropping the reader ends the child process.
pub struct FrameReader {
    frames: Frames,
    size: (usize, usize),
    info: VideoInfo,
}

enum Frames {
    Decoded(Box<Decoder>),
    Images(ImageSequence),
}

impl FrameReader {
    /// Opens a source; returns once its first picture is being decoded.
    ///
    /// # Errors
    /// Whatever keeps it from being read; see [`VideoError`].
    pub fn open(source: &Source, format: &FrameFormat, options: &ReadOptions) -> Result<Self, VideoError> {
        if let Some((width, height)) = format.size
            && !ffmpeg::is_valid_size(width, height)
        {
            return Err(VideoError::BadSize { width, height });
        }
        check(options)?;
        let (frames, info) = match (&source.kind, Input::of(source)?) {
            (SourceKind::Images(paths), _) => {
                let info = images::probe(&source.name, paths, options)?;
                (Frames::Images(ImageSequence::new(paths, format.colour, options)), info)
            }
            (_, Some(input)) => {
                let probed = ffmpeg::probe::probe(&input, options)?;
                let decoder = Decoder::open(input, format.colour, &probed, options)?;
                let (width, height) = decoder.size();
                (Frames::Decoded(Box::new(decoder)), VideoInfo { width, height, ..probed.info })
            }
            (_, None) => return Err(VideoError::NoVideoStream { name: source.name.clone() }),
        };
        Ok(Self { frames, size: format.size.unwrap_or((info.width, info.height)), info })
    }

    /// What is known of the source; the size is its native one.
    pub fn info(&self) -> &VideoInfo {
        &self.info
    }

    /// Width and height of the frames delivered.
    pub fn size(&self) -> (usize, usize) {
        self.size
    }
}

impl Iterator for FrameReader {
    type Item = Result<Frame, VideoError>;

    fn next(&mut self) -> Option<Self::Item> {
        let frame = match &mut self.frames {
            Frames::Decoded(decoder) => decoder.next(),
            Frames::Images(images) => images.next(),
        }?;
        let (width, height) = self.size;
        Some(frame.and_then(|f| match (f.width, f.height) == self.size {
            true => Ok(f),
            false => resize(&f, width, height),
        }))
    }
}

fn check(options: &ReadOptions) -> Result<(), VideoError> {
    let sane = |v: f64| v.is_finite() && v >= 0.0;
    let bad = |option: &'static str, value: f64| VideoError::BadOption { option, value };
    if !sane(options.image_fps) || options.image_fps == 0.0 {
        return Err(bad("image_fps", options.image_fps));
    }
    if !sane(options.start_s) {
        return Err(bad("start_s", options.start_s));
    }
    match options.duration_s.filter(|&d| !sane(d)) {
        Some(duration_s) => Err(bad("duration_s", duration_s)),
        None => Ok(()),
    }
}
