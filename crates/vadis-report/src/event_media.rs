//! Pictures and clips of the events: `events/001/frame.jpg`, `reconstruction.jpg`, `likelihood.png`, `heat.png`,
//! `clip.mp4`, and `grad-cam-1-encoder.conv1.png` and on for each layer.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use vadis_eval::run::{Event, HeatColours, ScoreTable};
use vadis_video::{Frame, ReadOptions, Source, extract_clip};

use crate::ReportError;
use crate::colour::Palette;
use crate::files::remove;
use crate::media::{
    CLIP, FRAME, HEAT as HEAT_FILE, LIKELIHOOD, RECONSTRUCTION, folder, layer_file, layer_files,
};
use crate::pictures::{fitted, frame_at, write_heats, write_jpeg, write_png};

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
    /// What heat is drawn in.
    pub colours: HeatColours,
    /// How sources are read.
    pub read: ReadOptions,
}

impl Default for MediaOptions {
    /// 30 events, 480 pixels, 1.5 s around the event, clips of 12 s at most.
    fn default() -> Self {
        let (colours, read) = (HeatColours::default(), ReadOptions::default());
        Self { limit: 30, max_width: 480, padding_s: 1.5, longest_clip_s: 12.0, colours, read }
    }
}

/// What the system makes of an event's peak frame, pictures of any size.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Seen {
    /// The frame as normal.
    pub reconstruction: Option<Frame>,
    /// Grey: how unlikely each place is, 0 to 255.
    pub likelihood: Option<Frame>,
    /// Grey, by the name of a layer of the network, in its order: where the layer raises the score, 0 to 255.
    pub layers: Vec<(String, Frame)>,
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
/// `see` is given an event and its peak frame at native size, RGB. Sources are sought, not read through; memory is a few frames.
///
/// What fails for one event is a [`MediaSummary::problems`] entry, not an error.
///
/// # Errors
/// `scores.csv` cannot be read, or a file not be written.
pub fn make_event_media(
    run_dir: &Path,
    events: &[Event],
    sources: &[Source],
    mut see: impl FnMut(&Event, &Frame) -> Seen,
    options: &MediaOptions,
) -> Result<MediaSummary, ReportError> {
    remove_stale(run_dir)?;
    let events = &events[..events.len().min(options.limit)];
    let scores = ScoreTable::read(&run_dir.join("scores.csv"))?;
    let palette = Palette::of(options.colours);
    let mut summary = MediaSummary::default();
    for (i, event) in events.iter().enumerate() {
        let folder = folder(run_dir, i + 1);
        std::fs::create_dir_all(&folder).map_err(ReportError::write(&folder))?;
        let Some(source) = sources.iter().find(|s| s.name == event.video) else {
            summary.problems.push(format!("event {}: there is no source named {}", i + 1, event.video));
            continue;
        };
        let peak_s = peak_time(&scores, event);
        match frame_at(source, peak_s, &options.read) {
            Ok(frame) => {
                write_jpeg(&folder.join(FRAME), &fitted(&frame, options.max_width)?)?;
                summary.frames += 1;
                let seen = see(event, &frame);
                if let Some(map) = seen.likelihood {
                    write_png(&folder.join(LIKELIHOOD), &map, palette)?;
                }
                for (index, (name, map)) in seen.layers.iter().enumerate() {
                    write_png(&layer_file(&folder, index, name), map, palette)?;
                }
                if let Some(picture) = seen.reconstruction {
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
    let wanted = heat_rows(run_dir, events, &scores);
    summary.heats = write_heats(run_dir, &wanted, palette, &options.read, &mut summary.problems)?;
    Ok(summary)
}

/// Media of an earlier run would else be shown with the wrong events. Only files of our names go.
fn remove_stale(run_dir: &Path) -> Result<(), ReportError> {
    for rank in 1.. {
        let folder = folder(run_dir, rank);
        if !folder.is_dir() {
            return Ok(());
        }
        for name in [FRAME, RECONSTRUCTION, LIKELIHOOD, HEAT_FILE, CLIP] {
            remove(&folder.join(name))?;
        }
        layer_files(&folder).iter().try_for_each(|(_, file)| remove(file))?;
    }
    Ok(())
}

/// Seconds of the peak: from the scores, else the event's middle.
fn peak_time(scores: &ScoreTable, event: &Event) -> f64 {
    let rows = scores.video(&event.video).map(|v| v.rows.as_slice()).unwrap_or_default();
    let row = rows.binary_search_by_key(&event.peak_frame, |r| r.frame).ok();
    row.map_or((event.start_s + event.end_s) / 2.0, |i| rows[i].time_s)
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

/// The heat maps to be written of each row of the scores: where the events have their peaks.
fn heat_rows(run_dir: &Path, events: &[Event], scores: &ScoreTable) -> BTreeMap<u64, Vec<PathBuf>> {
    let mut rows: BTreeMap<u64, Vec<PathBuf>> = BTreeMap::new();
    for (i, event) in events.iter().enumerate() {
        if let Some(row) = scores.row_of(&event.video, event.peak_frame) {
            rows.entry(row).or_default().push(folder(run_dir, i + 1).join(HEAT_FILE));
        }
    }
    rows
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
