//! The footage with its heat map laid over it and its score running below.

use std::path::{Path, PathBuf};

use vadis_eval::run::Event;
use vadis_video::{
    Codec, Colour, Frame, FrameFormat, FrameReader, ReadOptions, Source, VideoWriter, discover_path, shrink,
};

use crate::ReportError;
use crate::canvas::{Canvas, Rectangle};
use crate::colour::Palette;
use crate::page::shared_range;
use crate::plot::Range;
use crate::run::{Run, Signal, is_trouble};
use crate::words::{clock, number};

/// Quality of the overlay.
const CRF: u8 = 23;
/// Rows of the panel below the picture.
const PANEL: usize = 72;
/// Rows of text above the panel's curve.
const TEXT: usize = 24;

const BACK: [u8; 3] = [18, 20, 23];
const INK: [u8; 3] = [233, 231, 227];
const MUTED: [u8; 3] = [130, 136, 146];
const EVENT: [u8; 3] = [255, 138, 61];
const EVENT_DARK: [u8; 3] = [74, 44, 24];

/// How an overlay is made.
#[derive(Debug, Clone)]
pub struct OverlayOptions {
    /// Which video of the run, by name; the only one where there is one.
    pub video: Option<String>,
    /// Where it is read from; where `run.json` says if `None`.
    pub source: Option<Source>,
    /// Pictures narrower than this are enlarged, by a whole factor.
    pub min_width: usize,
    /// Wider ones are shrunk.
    pub max_width: usize,
    /// Seconds of score before and after the moment shown.
    pub window_s: f64,
    /// How the source is read.
    pub read: ReadOptions,
}

impl Default for OverlayOptions {
    /// The only video, 480 to 1280 pixels wide, half a minute of score either way.
    fn default() -> Self {
        let read = ReadOptions::default();
        Self { video: None, source: None, min_width: 480, max_width: 1280, window_s: 30.0, read }
    }
}

/// Writes `out` (`.mp4` or `.mkv`): each frame with its heat map (of `heat.mkv`, where there is one), below it the
/// smoothed score with its threshold and events around that moment. Returns how many frames it has. The source is
/// read as a stream; memory is a few frames and the scores.
///
/// # Errors
/// The run cannot be read, the video is not part of it, its source cannot be read or the overlay not be written.
/// Damage in the source ends the overlay there.
pub fn overlay(run_dir: &Path, out: &Path, options: &OverlayOptions) -> Result<u64, ReportError> {
    let run = Run::load(run_dir)?;
    let signals = run.signals();
    let signal = chosen(&signals, options)?;
    let source = match &options.source {
        Some(source) => source.clone(),
        None => source_of(&run, &signal.video)?,
    };
    let reader = FrameReader::open(&source, &FrameFormat { size: None, colour: Colour::Rgb }, &options.read)?;
    let (width, height) = picture_size(reader.size(), options);
    let mut heat = HeatReader::open(run_dir, &run, &signal.video, &options.read)?;
    let palette = run.palette();
    let panel = Panel::new(&run, signal, options.window_s);
    let mut writer = VideoWriter::create_timed(out, width, height + PANEL, Codec::H264 { crf: CRF })?;
    let mut frames = 0;
    for frame in reader {
        let frame = match frame {
            Ok(frame) => frame,
            Err(error) if frames == 0 => return Err(error.into()),
            Err(error) => {
                tracing::warn!("the overlay ends early: {error}");
                break;
            }
        };
        let mut canvas = Canvas::new(width, height + PANEL, BACK);
        canvas.draw(&shrink(&frame, width, height)?);
        if let Some(map) = heat.next() {
            blend(&mut canvas, &shrink(&map, width, height)?, palette);
        }
        panel.draw(&mut canvas, &frame, height);
        writer.write(&canvas.into_frame(frame.index, frame.time_s))?;
        frames += 1;
    }
    writer.finish()?;
    Ok(frames)
}

fn chosen<'a>(signals: &'a [Signal], options: &OverlayOptions) -> Result<&'a Signal, ReportError> {
    let found = match (&options.video, signals) {
        (Some(name), _) => signals.iter().find(|s| s.video == *name),
        (None, [only]) => Some(only),
        (None, _) => None,
    };
    found.ok_or_else(|| ReportError::WhichVideo {
        wanted: options.video.clone(),
        known: signals.iter().take(8).map(|s| s.video.clone()).collect(),
    })
}

/// The source of a video of the run.
pub(crate) fn source_of(run: &Run, video: &str) -> Result<Source, ReportError> {
    let path = run.source(video).map_or_else(|| PathBuf::from(video), |s| run.info.locate(&s.path));
    let found = discover_path(&path)?;
    let named = found.iter().find(|s| s.name == video).or(found.first()).cloned();
    named.ok_or_else(|| ReportError::WhichVideo { wanted: Some(video.to_owned()), known: Vec::new() })
}

/// Even sizes, as H.264 wants them.
fn picture_size((width, height): (usize, usize), options: &OverlayOptions) -> (usize, usize) {
    let factor = if width < options.min_width {
        options.min_width.div_ceil(width.max(1)) as f64
    } else {
        (options.max_width as f64 / width as f64).min(1.0)
    };
    let even = |length: usize| ((length as f64 * factor / 2.0).round() as usize * 2).max(2);
    (even(width), even(height))
}

/// The heat maps of one video; none where the run has no heat, or none any more.
struct HeatReader(Option<FrameReader>);

impl HeatReader {
    fn open(run_dir: &Path, run: &Run, video: &str, read: &ReadOptions) -> Result<Self, ReportError> {
        let path = run_dir.join("heat.mkv");
        if !path.exists() {
            return Ok(Self(None));
        }
        let before =
            run.scores.videos.iter().take_while(|v| v.video != video).map(|v| v.rows.len()).sum::<usize>();
        let format = FrameFormat { size: None, colour: Colour::Grey };
        let mut reader = FrameReader::open(&Source::file(&path), &format, read)?;
        for _ in 0..before {
            if !matches!(reader.next(), Some(Ok(_))) {
                return Ok(Self(None));
            }
        }
        Ok(Self(Some(reader)))
    }

    fn next(&mut self) -> Option<Frame> {
        let map = self.0.as_mut()?.next().and_then(Result::ok);
        if map.is_none() {
            self.0 = None;
        }
        map
    }
}

fn blend(canvas: &mut Canvas, heat: &Frame, palette: &Palette) {
    for (i, &value) in heat.data.iter().enumerate() {
        canvas.mix(i % heat.width, i / heat.width, palette.colour(value), palette.opacity(value));
    }
}

/// The strip below the picture.
struct Panel<'a> {
    signal: &'a Signal,
    range: Range,
    threshold: Option<f64>,
    /// Events with their ranks; camera trouble has rank 0.
    events: Vec<(usize, &'a Event)>,
    window_s: f64,
}

impl<'a> Panel<'a> {
    fn new(run: &'a Run, signal: &'a Signal, window_s: f64) -> Self {
        let threshold = run.threshold();
        let range = shared_range(&[signal], threshold);
        let here = run.events.iter().enumerate().filter(|(_, e)| e.video == signal.video);
        let events = here.map(|(i, e)| (if is_trouble(e) { 0 } else { run.rank(i) }, e)).collect();
        Self { signal, range, threshold, events, window_s: window_s.max(1.0) }
    }

    fn draw(&self, canvas: &mut Canvas, frame: &Frame, top: usize) {
        let now = frame.time_s;
        let plot = Rectangle { left: 0, top: top + TEXT, width: canvas.width(), height: PANEL - TEXT };
        for (_, event) in &self.events {
            let (left, right) =
                (self.column(event.start_s, now, &plot), self.column(event.end_s, now, &plot));
            canvas.fill(&Rectangle { left, width: (right - left).max(1), ..plot }, EVENT_DARK);
        }
        if let Some(threshold) = self.threshold {
            canvas.dashes(&plot, self.row(threshold, &plot), MUTED);
        }
        self.curve(canvas, now, &plot);
        canvas.fill(&Rectangle { left: plot.width / 2, width: 1, ..plot }, INK);
        self.words(canvas, frame, top);
    }

    fn words(&self, canvas: &mut Canvas, frame: &Frame, top: usize) {
        let score = self.at(frame.time_s).map(number).unwrap_or_default();
        canvas.text(8, top + 4, &format!("{}  score {score}", clock(frame.time_s)), INK);
        let inside = self.events.iter().find(|(_, e)| (e.start_frame..=e.end_frame).contains(&frame.index));
        if let Some((rank, _)) = inside {
            let label = if *rank == 0 { "camera".to_owned() } else { format!("event {rank}") };
            let left = canvas.width().saturating_sub(label.len() * Canvas::GLYPH + 8);
            canvas.text(left, top + 4, &label, EVENT);
            canvas.border(top, EVENT);
        }
    }

    /// The greatest smoothed score of the time each column stands for.
    fn curve(&self, canvas: &mut Canvas, now: f64, plot: &Rectangle) {
        let mut previous: Option<usize> = None;
        for column in 0..plot.width {
            let time = now + (column as f64 / plot.width as f64 * 2.0 - 1.0) * self.window_s;
            let Some(value) = self.at(time) else {
                previous = None;
                continue;
            };
            let row = self.row(value, plot);
            let (high, low) = (previous.unwrap_or(row).min(row), previous.unwrap_or(row).max(row));
            let above = self.threshold.is_some_and(|t| value >= t);
            let line =
                Rectangle { left: column, top: high.saturating_sub(1), width: 1, height: low - high + 2 };
            canvas.fill(&line, if above { EVENT } else { INK });
            previous = Some(row);
        }
    }

    /// The smoothed score at a time; none before the first and after the last frame.
    fn at(&self, time: f64) -> Option<f64> {
        let times = &self.signal.times;
        if time < *times.first()? || time > *times.last()? {
            return None;
        }
        let after = times.partition_point(|&t| t <= time);
        self.signal.smooth.get(after.saturating_sub(1)).copied()
    }

    fn column(&self, time: f64, now: f64, plot: &Rectangle) -> usize {
        (Range::new(now - self.window_s, now + self.window_s).unit(time) * plot.width as f64) as usize
    }

    fn row(&self, value: f64, plot: &Rectangle) -> usize {
        plot.top + 2 + ((1.0 - self.range.unit(value)) * plot.height.saturating_sub(5) as f64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_pictures_grow_by_a_whole_factor_and_sizes_are_even() {
        let options = OverlayOptions::default();
        assert_eq!(picture_size((128, 64), &options), (512, 256));
        assert_eq!(picture_size((1921, 1081), &options), (1280, 720));
        assert_eq!(picture_size((641, 3), &options), (642, 4));
    }
}
