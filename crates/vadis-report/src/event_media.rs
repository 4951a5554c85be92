//! Pictures and clips of the events: `events/001/frame.jpg`, `reconstruction.jpg`, `heat.png`, `clip.mp4`.

use std::collections::BTreeMap;
use std::path::Path;

use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder as _};
use vadis_eval::run::{Event, ScoreTable};
use vadis_video::{
    Colour, Frame, FrameFormat, FrameReader, ReadOptions, Source, SourceKind, VideoError, extract_clip,
    shrink,
};

use crate::ReportError;
use crate::colour::{HEAT, heat_opacity};
use crate::files::{remove, write_whole};
use crate::media::{CLIP, FRAME, HEAT as HEAT_FILE, RECONSTRUCTION, folder};

/// Quality of the pictures, of 100.
const JPEG_QUALITY: u8 = 85;
/// How far around an event's peak its frame is looked for, in seconds: farther than a slow camera's frames are apart.
const PEAK_WINDOW_S: f64 = 1.5;

/// What is made for each event.
#[derive(Debug, Clone)]
pub struct MediaOptions {
    /// Events that get media, from the first ranked on.
    pub limit: usize,
    /// Width of frames and clips in pixels, at most.
    pub max_width: usize,
    /// Seconds of clip before and after the event.
    pub padding_s: f64,
    /// Longest clip in seconds; of a longer event the part around its peak is shown.
    pub longest_clip_s: f64,
    /// How sources are read.
    pub read: ReadOptions,
}

impl Default for MediaOptions {
    /// 30 events, 480 pixels, 1.5 s around the event, clips of 12 s at most.
    fn default() -> Self {
        let read = ReadOptions::default();
        Self { limit: 30, max_width: 480, padding_s: 1.5, longest_clip_s: 12.0, read }
    }
}

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MediaSummary {
    /// Peak frames written.
    pub frames: usize,
    /// Reconstructions written.
    pub reconstructions: usize,
    /// Heat maps written.
    pub heats: usize,
    /// Clips written.
    pub clips: usize,
    /// What could not be made, and why; the report shows the event without it.
    pub problems: Vec<String>,
}

/// Writes pictures and a clip of the first [`MediaOptions::limit`] events, and removes those of an earlier run.
///
/// `events` are those of `events.csv`, in its order; `scores.csv` tells the time of each peak, and which frame of
/// `heat.mkv` (row *i* of the scores is frame *i*) is the peak's; without `heat.mkv` there is no heat map.
/// `reconstruct` is given an event and its peak frame at native size, RGB, and returns what the system makes of it, of
/// any size, or nothing. Sources are sought, not read through; memory is a few frames.
///
/// What fails for one event is a [`MediaSummary::problems`] entry, not an error.
///
/// # Errors
/// `scores.csv` cannot be read, or a file not be written.
pub fn make_event_media(
    run_dir: &Path,
    events: &[Event],
    sources: &[Source],
    mut reconstruct: impl FnMut(&Event, &Frame) -> Option<Frame>,
    options: &MediaOptions,
) -> Result<MediaSummary, ReportError> {
    remove_stale(run_dir)?;
    let events = &events[..events.len().min(options.limit)];
    let scores = ScoreTable::read(&run_dir.join("scores.csv"))?;
    let mut summary = MediaSummary::default();
    for (i, event) in events.iter().enumerate() {
        let folder = folder(run_dir, i + 1);
        std::fs::create_dir_all(&folder).map_err(ReportError::write(&folder))?;
        let Some(source) = sources.iter().find(|s| s.name == event.video) else {
            summary.problems.push(format!("event {}: there is no source named {}", i + 1, event.video));
            continue;
        };
        let peak_s = peak_time(&scores, event);
        match peak_frame(source, peak_s, &options.read) {
            Ok(frame) => {
                write_jpeg(&folder.join(FRAME), &fitted(&frame, options.max_width)?)?;
                summary.frames += 1;
                if let Some(picture) = reconstruct(event, &frame) {
                    write_jpeg(&folder.join(RECONSTRUCTION), &fitted(&picture, options.max_width)?)?;
                    summary.reconstructions += 1;
                }
            }
            Err(error) => summary.problems.push(format!("event {}: no frame: {error}", i + 1)),
        }
        let span = clip_span(event, peak_s, options);
        match extract_clip(source, &options.read, span, options.max_width, &folder.join(CLIP)) {
            Ok(_) => summary.clips += 1,
            Err(error) => summary.problems.push(format!("event {}: no clip: {error}", i + 1)),
        }
    }
    write_heat(run_dir, events, &scores, options, &mut summary)?;
    Ok(summary)
}

/// Media of an earlier run would else be shown with the wrong events. Only files of our names go.
fn remove_stale(run_dir: &Path) -> Result<(), ReportError> {
    for rank in 1.. {
        let folder = folder(run_dir, rank);
        if !folder.is_dir() {
            return Ok(());
        }
        for name in [FRAME, RECONSTRUCTION, HEAT_FILE, CLIP] {
            remove(&folder.join(name))?;
        }
    }
    Ok(())
}

/// Seconds of the peak: from the scores, else the event's middle.
fn peak_time(scores: &ScoreTable, event: &Event) -> f64 {
    let rows = scores.video(&event.video).map(|v| v.rows.as_slice()).unwrap_or_default();
    let row = rows.binary_search_by_key(&event.peak_frame, |r| r.frame).ok();
    row.map_or((event.start_s + event.end_s) / 2.0, |i| rows[i].time_s)
}

/// The frame nearest to a time, colour, native size.
fn peak_frame(source: &Source, peak_s: f64, read: &ReadOptions) -> Result<Frame, VideoError> {
    if matches!(source.kind, SourceKind::Stream(_)) {
        return Err(VideoError::NotSeekable { name: source.location() });
    }
    let start_s = (peak_s - PEAK_WINDOW_S).max(0.0);
    let duration_s = Some(peak_s - start_s + PEAK_WINDOW_S);
    let options = ReadOptions { start_s, duration_s, max_frames: None, ..read.clone() };
    let format = FrameFormat { size: None, colour: Colour::Rgb };
    let mut best: Option<Frame> = None;
    for frame in FrameReader::open(source, &format, &options)? {
        let frame = match frame {
            Ok(frame) => frame,
            Err(error) if best.is_none() => return Err(error),
            Err(_) => break,
        };
        let distance = |f: &Frame| (f.time_s - peak_s).abs();
        if best.as_ref().is_some_and(|b| distance(b) <= distance(&frame)) {
            break;
        }
        best = Some(frame);
    }
    best.ok_or(VideoError::BadOption { option: "time of the peak", value: peak_s })
}

/// First and last second of an event's clip.
fn clip_span(event: &Event, peak_s: f64, options: &MediaOptions) -> (f64, f64) {
    let (start, end) = ((event.start_s - options.padding_s).max(0.0), event.end_s + options.padding_s);
    if end - start <= options.longest_clip_s {
        return (start, end);
    }
    let latest = end - options.longest_clip_s;
    let start = (peak_s - options.longest_clip_s / 2.0).clamp(start.min(latest), latest);
    (start, start + options.longest_clip_s)
}

fn fitted(frame: &Frame, max_width: usize) -> Result<Frame, ReportError> {
    if frame.width <= max_width.max(1) {
        return Ok(frame.clone());
    }
    let height = (frame.height as f64 * max_width as f64 / frame.width as f64).round().max(1.0);
    Ok(shrink(frame, max_width, height as usize)?)
}

fn write_jpeg(path: &Path, frame: &Frame) -> Result<(), ReportError> {
    let mut bytes = Vec::new();
    let colour = match frame.colour {
        Colour::Grey => ExtendedColorType::L8,
        Colour::Rgb => ExtendedColorType::Rgb8,
    };
    let encoder = JpegEncoder::new_with_quality(&mut bytes, JPEG_QUALITY);
    let encoded = encoder.write_image(&frame.data, frame.width as u32, frame.height as u32, colour);
    encoded.map_err(|source| ReportError::Picture { path: path.to_owned(), source })?;
    write_whole(path, &bytes)
}

/// One pass over `heat.mkv`, up to the last frame needed.
fn write_heat(
    run_dir: &Path,
    events: &[Event],
    scores: &ScoreTable,
    options: &MediaOptions,
    summary: &mut MediaSummary,
) -> Result<(), ReportError> {
    let path = run_dir.join("heat.mkv");
    let wanted = heat_rows(events, scores);
    let Some(last) = wanted.keys().next_back().filter(|_| path.exists()) else { return Ok(()) };
    let read = ReadOptions { max_frames: Some(last + 1), ..options.read.clone() };
    let format = FrameFormat { size: None, colour: Colour::Grey };
    let reader = match FrameReader::open(&Source::file(&path), &format, &read) {
        Ok(reader) => reader,
        Err(error) => {
            summary.problems.push(format!("no heat maps: {error}"));
            return Ok(());
        }
    };
    for frame in reader {
        match frame {
            Ok(frame) => {
                for rank in wanted.get(&frame.index).into_iter().flatten() {
                    write_png(&folder(run_dir, *rank).join(HEAT_FILE), &frame)?;
                    summary.heats += 1;
                }
            }
            Err(error) => summary.problems.push(format!("heat maps end early: {error}")),
        }
    }
    Ok(())
}

/// Ranks of the events whose peak is in each row of the scores.
fn heat_rows(events: &[Event], scores: &ScoreTable) -> BTreeMap<u64, Vec<usize>> {
    let mut offset = 0;
    let mut rows: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
    for video in &scores.videos {
        let here = events.iter().enumerate().filter(|(_, e)| e.video == video.video);
        for (i, event) in here {
            if let Ok(row) = video.rows.binary_search_by_key(&event.peak_frame, |r| r.frame) {
                rows.entry(offset + row as u64).or_default().push(i + 1);
            }
        }
        offset += video.rows.len() as u64;
    }
    rows
}

/// Heat in its colours, clear where there is none, to be laid over the frame.
fn write_png(path: &Path, heat: &Frame) -> Result<(), ReportError> {
    let pixels: Vec<u8> = heat.data.iter().flat_map(|&value| rgba(value)).collect();
    let mut bytes = Vec::new();
    let encoded = PngEncoder::new(&mut bytes).write_image(
        &pixels,
        heat.width as u32,
        heat.height as u32,
        ExtendedColorType::Rgba8,
    );
    encoded.map_err(|source| ReportError::Picture { path: path.to_owned(), source })?;
    write_whole(path, &bytes)
}

fn rgba(value: u8) -> [u8; 4] {
    let [r, g, b] = HEAT[usize::from(value)];
    [r, g, b, (heat_opacity(value) * 255.0).round() as u8]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(start_s: f64, end_s: f64) -> Event {
        Event {
            video: "a".to_owned(),
            start_frame: 0,
            end_frame: 9,
            start_s,
            end_s,
            peak_frame: 4,
            peak_score: 1.0,
            reason: String::new(),
        }
    }

    #[test]
    fn a_clip_holds_the_event_or_the_part_around_its_peak() {
        let options = MediaOptions::default();
        assert_eq!(clip_span(&event(1.0, 4.0), 2.0, &options), (0.0, 5.5));
        assert_eq!(clip_span(&event(100.0, 200.0), 150.0, &options), (144.0, 156.0));
        assert_eq!(clip_span(&event(100.0, 200.0), 199.0, &options), (189.5, 201.5));
        assert_eq!(clip_span(&event(0.0, 60.0), 0.0, &options), (0.0, 12.0));
    }
}
