//! Single pictures: a frame of a source as JPEG, heat in its colours as PNG.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder as _, ImageError};
use vadis_video::{
    Colour, Frame, FrameFormat, FrameReader, ReadOptions, Source, SourceKind, VideoError, shrink,
};

use crate::ReportError;
use crate::colour::Palette;
use crate::files::write_whole;

/// Quality of the pictures, of 100.
const JPEG_QUALITY: u8 = 85;
/// How far around a time its frame is looked for, in seconds: farther than a slow camera's frames are apart.
const WINDOW_S: f64 = 1.5;

/// The frame nearest to a time, colour, native size.
pub(crate) fn frame_at(source: &Source, at_s: f64, read: &ReadOptions) -> Result<Frame, VideoError> {
    if matches!(source.kind, SourceKind::Stream(_)) {
        return Err(VideoError::NotSeekable { name: source.location() });
    }
    let start_s = (at_s - WINDOW_S).max(0.0);
    let duration_s = Some(at_s - start_s + WINDOW_S);
    let options = ReadOptions { start_s, duration_s, max_frames: None, ..read.clone() };
    let format = FrameFormat { size: None, colour: Colour::Rgb };
    let mut best: Option<Frame> = None;
    for frame in FrameReader::open(source, &format, &options)? {
        let frame = match frame {
            Ok(frame) => frame,
            Err(error) if best.is_none() => return Err(error),
            Err(_) => break,
        };
        let distance = |f: &Frame| (f.time_s - at_s).abs();
        if best.as_ref().is_some_and(|b| distance(b) <= distance(&frame)) {
            break;
        }
        best = Some(frame);
    }
    best.ok_or(VideoError::BadOption { option: "time of the frame", value: at_s })
}

/// At most so wide.
pub(crate) fn fitted(frame: &Frame, max_width: usize) -> Result<Frame, ReportError> {
    if frame.width <= max_width.max(1) {
        return Ok(frame.clone());
    }
    let height = (frame.height as f64 * max_width as f64 / frame.width as f64).round().max(1.0);
    Ok(shrink(frame, max_width, height as usize)?)
}

/// A frame as a JPEG file.
pub(crate) fn write_jpeg(path: &Path, frame: &Frame) -> Result<(), ReportError> {
    write_whole(path, &jpeg(frame).map_err(|source| ReportError::Picture { path: path.to_owned(), source })?)
}

/// A frame as JPEG.
pub(crate) fn jpeg(frame: &Frame) -> Result<Vec<u8>, ImageError> {
    let mut bytes = Vec::new();
    let colour = match frame.colour {
        Colour::Grey => ExtendedColorType::L8,
        Colour::Rgb => ExtendedColorType::Rgb8,
    };
    let encoder = JpegEncoder::new_with_quality(&mut bytes, JPEG_QUALITY);
    encoder.write_image(&frame.data, frame.width as u32, frame.height as u32, colour)?;
    Ok(bytes)
}

/// Shows those frames of `heat.mkv` that are `wanted` to `take`, in one pass up to the last of them. What cannot be read
/// is a problem, not an error.
pub(crate) fn each_heat(
    run_dir: &Path,
    wanted: &BTreeSet<u64>,
    read: &ReadOptions,
    problems: &mut Vec<String>,
    mut take: impl FnMut(&Frame) -> Result<(), ReportError>,
) -> Result<(), ReportError> {
    let path = run_dir.join("heat.mkv");
    let Some(last) = wanted.last().filter(|_| path.exists()) else { return Ok(()) };
    let read = ReadOptions { max_frames: Some(last + 1), ..read.clone() };
    let format = FrameFormat { size: None, colour: Colour::Grey };
    let reader = match FrameReader::open(&Source::file(&path), &format, &read) {
        Ok(reader) => reader,
        Err(error) => {
            problems.push(format!("no heat maps: {error}"));
            return Ok(());
        }
    };
    for frame in reader {
        match frame {
            Ok(frame) if wanted.contains(&frame.index) => take(&frame)?,
            Ok(_) => {}
            Err(error) => problems.push(format!("heat maps end early: {error}")),
        }
    }
    Ok(())
}

/// Writes the pictures that are wanted of each frame of `heat.mkv`, and returns how many.
pub(crate) fn write_heats(
    run_dir: &Path,
    wanted: &BTreeMap<u64, Vec<PathBuf>>,
    palette: &Palette,
    read: &ReadOptions,
    problems: &mut Vec<String>,
) -> Result<usize, ReportError> {
    let mut written = 0;
    each_heat(run_dir, &wanted.keys().copied().collect(), read, problems, |frame| {
        for path in wanted.get(&frame.index).into_iter().flatten() {
            write_png(path, frame, palette)?;
            written += 1;
        }
        Ok(())
    })?;
    Ok(written)
}

/// Heat as a PNG file.
pub(crate) fn write_png(path: &Path, heat: &Frame, palette: &Palette) -> Result<(), ReportError> {
    write_whole(
        path,
        &png(heat, palette).map_err(|source| ReportError::Picture { path: path.to_owned(), source })?,
    )
}

/// Heat in its colours, to be laid over the frame.
pub(crate) fn png(heat: &Frame, palette: &Palette) -> Result<Vec<u8>, ImageError> {
    let pixels: Vec<u8> = heat.data.iter().flat_map(|&value| palette.rgba(value)).collect();
    let mut bytes = Vec::new();
    let (width, height) = (heat.width as u32, heat.height as u32);
    PngEncoder::new(&mut bytes).write_image(&pixels, width, height, ExtendedColorType::Rgba8)?;
    Ok(bytes)
}
