//! Frames from still images.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use image::metadata::Orientation;
use image::{ColorType, DynamicImage, ImageDecoder, ImageReader, Limits};

use crate::ffmpeg::{MAX_BYTES, MAX_SIDE, check_size};
use crate::{Colour, Frame, ReadOptions, VideoError, VideoInfo};

/// A sequence of images, at `ReadOptions::image_fps`.
pub(crate) struct ImageSequence {
    paths: Vec<PathBuf>,
    next: usize,
    end: usize,
    start: usize,
    fps: f64,
    from_start: bool,
    colour: Colour,
    done: bool,
}

impl ImageSequence {
    pub(crate) fn new(paths: &[PathBuf], colour: Colour, options: &ReadOptions) -> Self {
        let fps = options.image_fps;
        let start = ((options.start_s * fps - 1e-6).ceil().max(0.0) as usize).min(paths.len());
        let mut end = paths.len();
        if let Some(duration_s) = options.duration_s {
            end = end.min(start.saturating_add((duration_s * fps - 1e-6).ceil().max(0.0) as usize));
        }
        if let Some(max) = options.max_frames {
            end = end.min(start.saturating_add(usize::try_from(max).unwrap_or(usize::MAX)));
        }
        let from_start = options.start_s <= 0.0;
        Self { paths: paths.to_vec(), next: start, end, start, fps, from_start, colour, done: false }
    }
}

impl Iterator for ImageSequence {
    type Item = Result<Frame, VideoError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done || self.next >= self.end {
            return None;
        }
        let frame = read_image(&self.paths[self.next], self.next as u64, self.colour);
        self.done = frame.is_err();
        let index = (self.next - self.start) as u64;
        let position = if self.from_start { index } else { self.next as u64 };
        self.next += 1;
        Some(frame.map(|f| Frame { index, time_s: position as f64 / self.fps, ..f }))
    }
}

/// What a folder of images is as a video; the first one tells the size.
pub(crate) fn probe(name: &str, paths: &[PathBuf], options: &ReadOptions) -> Result<VideoInfo, VideoError> {
    let Some(first) = paths.first() else {
        return Err(VideoError::NoVideoStream { name: name.to_owned() });
    };
    let (decoder, orientation) = open(first, 0)?;
    let (mut width, mut height) = decoder.dimensions();
    if is_quarter_turn(orientation) {
        std::mem::swap(&mut width, &mut height);
    }
    let extension = first.extension().map(|e| e.to_string_lossy().to_ascii_lowercase());
    Ok(VideoInfo {
        width: width as usize,
        height: height as usize,
        fps: options.image_fps,
        duration_s: Some(paths.len() as f64 / options.image_fps),
        frames: Some(paths.len() as u64),
        codec: extension.unwrap_or_default(),
        container: "images".to_owned(),
    })
}

/// Writes a frame as a PNG file, under a temporary name first.
///
/// # Errors
/// [`VideoError::Io`] if it cannot be written; [`VideoError::BadSize`] for a frame that contradicts itself.
pub fn write_png(frame: &Frame, path: &Path) -> Result<(), VideoError> {
    let colour = match frame.colour {
        Colour::Grey => image::ExtendedColorType::L8,
        Colour::Rgb => image::ExtendedColorType::Rgb8,
    };
    let (width, height) = (frame.width, frame.height);
    if width == 0 || height == 0 || frame.data.len() != width * height * frame.colour.channels() {
        return Err(VideoError::BadSize { width, height });
    }
    let part = path.with_extension("png.part");
    let written = image::save_buffer_with_format(
        &part,
        &frame.data,
        width as u32,
        height as u32,
        colour,
        image::ImageFormat::Png,
    );
    let error = |source| VideoError::io(format!("write {}", path.display()), source);
    written.map_err(|e| error(std::io::Error::other(e)))?;
    std::fs::rename(&part, path).map_err(error)
}

/// Decodes an image to 8 bits; 16-bit samples are scaled by 255/65535 and rounded, alpha is dropped, EXIF orientation
/// applied.
fn read_image(path: &Path, frame: u64, colour: Colour) -> Result<Frame, VideoError> {
    let (decoder, orientation) = open(path, frame)?;
    let mut image = DynamicImage::from_decoder(decoder).map_err(|e| bad(path, frame, &e))?;
    image.apply_orientation(orientation);
    Ok(to_frame(image, colour))
}

fn open(path: &Path, frame: u64) -> Result<(impl ImageDecoder + use<>, Orientation), VideoError> {
    let name = || path.display().to_string();
    let file = File::open(path).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => VideoError::NotFound { path: path.to_path_buf() },
        _ => VideoError::io(format!("open {}", name()), e),
    })?;
    if file.metadata().is_ok_and(|m| m.is_file() && m.len() == 0) {
        return Err(VideoError::EmptyFile { path: path.to_path_buf() });
    }
    let mut reader = ImageReader::new(BufReader::new(file));
    reader.limits(limits());
    let reader = reader.with_guessed_format().map_err(|e| bad(path, frame, &e))?;
    let mut decoder = reader.into_decoder().map_err(|e| bad(path, frame, &e))?;
    let (width, height) = decoder.dimensions();
    check_size(&name(), u64::from(width), u64::from(height))?;
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    Ok((decoder, orientation))
}

fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE as u32);
    limits.max_image_height = Some(MAX_SIDE as u32);
    // Four channels of 16 bits while decoding.
    limits.max_alloc = Some(4 * MAX_BYTES as u64);
    limits
}

fn to_frame(image: DynamicImage, colour: Colour) -> Frame {
    let (width, height) = (image.width() as usize, image.height() as usize);
    let is_grey = matches!(image.color(), ColorType::L8 | ColorType::La8 | ColorType::L16 | ColorType::La16);
    let (stored, data) = match is_grey {
        true => (Colour::Grey, image.into_luma8().into_raw()),
        false => (Colour::Rgb, image.into_rgb8().into_raw()),
    };
    let frame = Frame { index: 0, time_s: 0.0, width, height, colour: stored, data };
    match (stored, colour) {
        (Colour::Grey, Colour::Rgb) => frame.to_rgb(),
        (Colour::Rgb, Colour::Grey) => frame.to_grey(),
        _ => frame,
    }
}

fn is_quarter_turn(orientation: Orientation) -> bool {
    use Orientation::{Rotate90, Rotate90FlipH, Rotate270, Rotate270FlipH};
    matches!(orientation, Rotate90 | Rotate270 | Rotate90FlipH | Rotate270FlipH)
}

fn bad(path: &Path, frame: u64, error: &dyn std::error::Error) -> VideoError {
    VideoError::BadImage { path: path.to_path_buf(), frame, detail: error.to_string() }
}
