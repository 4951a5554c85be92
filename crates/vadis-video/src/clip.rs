//! Short clips and single frames of a source, for a page that shows what was found.

use std::path::Path;

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};

use crate::ffmpeg::is_valid_size;
use crate::writer::WriterSpec;
use crate::{
    Codec, Colour, Frame, FrameFormat, FrameReader, ReadOptions, Source, SourceKind, Timing, VideoError,
    VideoWriter,
};

/// Quality of clips: small, and good enough to see what happens.
const CLIP_CRF: u8 = 27;

/// Writes the part of a source from `start_s` to `end_s` (seconds from its first frame) as a small H.264 MP4 that any
/// browser loops: at most `max_width` pixels wide, at the source's own pace. Returns how many frames it has.
///
/// # Errors
/// [`VideoError::BadOption`] if the part is empty or `max_width` is zero, [`VideoError::NotSeekable`] for a stream,
/// and whatever keeps the source from being read or the clip from being written. Damage in the source ends the clip
/// there, unless nothing could be read.
pub fn extract_clip(
    source: &Source,
    options: &ReadOptions,
    (start_s, end_s): (f64, f64),
    max_width: usize,
    out: &Path,
) -> Result<u64, VideoError> {
    if matches!(source.kind, SourceKind::Stream(_)) {
        return Err(VideoError::NotSeekable { name: source.location() });
    }
    let duration_s = end_s - start_s.max(0.0);
    if !duration_s.is_finite() || duration_s <= 0.0 {
        return Err(VideoError::BadOption { option: "end of the clip", value: end_s });
    }
    let options = ReadOptions { start_s: start_s.max(0.0), duration_s: Some(duration_s), ..options.clone() };
    let reader = FrameReader::open(source, &FrameFormat { size: None, colour: Colour::Rgb }, &options)?;
    let (width, height) = fit_width(reader.size(), max_width)?;
    let codec = Codec::H264Baseline { crf: CLIP_CRF };
    let spec = WriterSpec { width, height, timing: Timing::OfFrames, codec, tools: options.tools.clone() };
    let mut writer = VideoWriter::with_spec(out, spec)?;
    let (mut frames, mut first_s) = (0, 0.0);
    for frame in reader {
        let mut frame = match frame {
            Ok(frame) => frame,
            Err(VideoError::Damaged { .. }) if frames > 0 => break,
            Err(e) => return Err(e),
        };
        if frames == 0 {
            first_s = frame.time_s;
        }
        frame.time_s -= first_s;
        writer.write(&shrink(&frame, width, height)?)?;
        frames += 1;
    }
    writer.finish()?;
    Ok(frames)
}

/// The frames of these indices, in ascending order, each once, decoded in one pass that ends with the last of them.
///
/// Memory is that of the frames asked for. Indices beyond the end, or beyond a broken place, have no frame in the
/// result.
///
/// # Errors
/// Whatever keeps the source from being opened.
pub fn grab_frames(
    source: &Source,
    format: &FrameFormat,
    options: &ReadOptions,
    indices: &[u64],
) -> Result<Vec<Frame>, VideoError> {
    let mut wanted = indices.to_vec();
    wanted.sort_unstable();
    wanted.dedup();
    let Some(&last) = wanted.last() else { return Ok(Vec::new()) };
    let options = ReadOptions { max_frames: Some(last.saturating_add(1)), ..options.clone() };
    let readable = FrameReader::open(source, format, &options)?.map_while(Result::ok);
    Ok(readable.filter(|f| wanted.binary_search(&f.index).is_ok()).collect())
}

/// Scales a frame for people to look at: bilinear, averaging on the way down, so that nothing aliases.
///
/// What a system sees is made by [`crate::resize`] instead.
///
/// # Errors
/// [`VideoError::BadSize`] if either size is zero, or the target larger than a frame may be.
pub fn shrink(frame: &Frame, width: usize, height: usize) -> Result<Frame, VideoError> {
    let bad = || VideoError::BadSize { width, height };
    if !is_valid_size(width, height) || !is_valid_size(frame.width, frame.height) {
        return Err(bad());
    }
    if (width, height) == (frame.width, frame.height) {
        return Ok(frame.clone());
    }
    let pixel = match frame.colour {
        Colour::Grey => PixelType::U8,
        Colour::Rgb => PixelType::U8x3,
    };
    let (w, h) = (frame.width as u32, frame.height as u32);
    let from = ImageRef::new(w, h, &frame.data, pixel).map_err(|_| bad())?;
    let mut to = Image::new(width as u32, height as u32, pixel);
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
    Resizer::new().resize(&from, &mut to, &options).map_err(|_| bad())?;
    Ok(Frame { width, height, data: to.into_vec(), ..*frame })
}

/// A size of at most `max_width` columns in the proportions given, even both ways where there is room.
fn fit_width((width, height): (usize, usize), max_width: usize) -> Result<(usize, usize), VideoError> {
    if max_width == 0 {
        return Err(VideoError::BadSize { width: max_width, height });
    }
    if width <= max_width {
        return Ok((width, height));
    }
    let to_width = (max_width & !1).max(1);
    let to_height = (height as f64 * to_width as f64 / width as f64 / 2.0).round() as usize * 2;
    Ok((to_width, to_height.max(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn width_is_met_in_proportion() {
        assert_eq!(fit_width((1920, 1080), 480).unwrap(), (480, 270));
        assert_eq!(fit_width((360, 240), 480).unwrap(), (360, 240));
        assert_eq!(fit_width((16_000, 2), 101).unwrap(), (100, 1));
        assert!(fit_width((16, 16), 0).is_err());
    }

    #[test]
    fn shrinking_averages() {
        let mut frame = Frame::filled(64, 64, Colour::Grey, 0);
        frame.data.iter_mut().step_by(2).for_each(|v| *v = 255);
        let small = shrink(&frame, 8, 8).unwrap();
        assert!(small.data.iter().all(|&v| (120..=136).contains(&v)), "{:?}", small.data);
    }
}
