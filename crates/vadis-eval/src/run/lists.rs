//! `events.csv`, `regions.csv`, `latents.csv` and `labels.csv`.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use super::file::{PartFile, csv_writer, open, write_whole};
use super::table::{FrameStep, Row, Table, VideoOrder, number};
use super::{Event, KindSpan, LatentPoint, Region, RunError};

const EVENT: [&str; 8] =
    ["video", "start_frame", "end_frame", "start_s", "end_s", "peak_frame", "peak_score", "reason"];
const REGION: [&str; 7] = ["video", "frame", "x", "y", "width", "height", "score"];
const LATENT: [&str; 5] = ["video", "frame", "x", "y", "group"];
const KIND: [&str; 4] = ["video", "start_frame", "end_frame", "kind"];
const LABEL: [&str; 3] = ["video", "frame", "label"];

/// The labels of each video by name: 0 or 1 for each frame, from frame 0.
pub type Labels = BTreeMap<String, Vec<u8>>;

/// Reads `events.csv`, in its order.
///
/// # Errors
/// Anything that is not a whole, clean table; an event whose peak lies outside it.
pub fn read_events(path: &Path) -> Result<Vec<Event>, RunError> {
    parse_events(open(path)?, path)
}

/// As [`read_events`], from anything that can be read; `name` is what errors call it.
///
/// # Errors
/// As [`read_events`].
pub fn parse_events(input: impl Read, name: &Path) -> Result<Vec<Event>, RunError> {
    let mut events = Vec::new();
    each_row(input, name, &EVENT, |row, [video, start, end, start_s, end_s, peak, score, reason]| {
        let event = Event {
            video: row.text(video).to_owned(),
            start_frame: row.whole(start)?,
            end_frame: row.whole(end)?,
            start_s: row.finite(start_s)?,
            end_s: row.finite(end_s)?,
            peak_frame: row.whole(peak)?,
            peak_score: row.finite(score)?,
            reason: row.text(reason).to_owned(),
        };
        if !(event.start_frame..=event.end_frame).contains(&event.peak_frame) {
            return Err(RunError::Value {
                path: name.to_owned(),
                line: row.line,
                column: "peak_frame".to_owned(),
                value: event.peak_frame.to_string(),
                expected: "a frame from start_frame to end_frame",
            });
        }
        events.push(event);
        Ok(())
    })?;
    Ok(events)
}

/// Writes `events.csv`, in the order given: most unusual first.
///
/// # Errors
/// A value that is not finite, or the system's refusal.
pub fn write_events(path: &Path, events: &[Event]) -> Result<(), RunError> {
    let rows = events.iter().map(|event| {
        let check = |column, value| finite(path, &event.video, event.peak_frame, column, value);
        Ok([
            event.video.clone(),
            event.start_frame.to_string(),
            event.end_frame.to_string(),
            check("start_s", event.start_s)?,
            check("end_s", event.end_s)?,
            event.peak_frame.to_string(),
            check("peak_score", event.peak_score)?,
            event.reason.clone(),
        ])
    });
    write_rows(path, EVENT, rows)
}

/// Reads `regions.csv`: the regions of a video stand together, in the order of its frames.
///
/// # Errors
/// Anything that is not a whole, clean table.
pub fn read_regions(path: &Path) -> Result<Vec<Region>, RunError> {
    parse_regions(open(path)?, path)
}

/// As [`read_regions`], from anything that can be read; `name` is what errors call it.
///
/// # Errors
/// As [`read_regions`].
pub fn parse_regions(input: impl Read, name: &Path) -> Result<Vec<Region>, RunError> {
    let mut regions = Vec::new();
    let mut order = VideoOrder::default();
    each_row(input, name, &REGION, |row, [video, frame, x, y, width, height, score]| {
        let region = Region {
            video: row.text(video).to_owned(),
            frame: row.whole(frame)?,
            x: row.small(x)?,
            y: row.small(y)?,
            width: row.small(width)?,
            height: row.small(height)?,
            score: row.finite(score)?,
        };
        order.push(name, row.line, &region.video, region.frame, FrameStep::SameOrLater)?;
        regions.push(region);
        Ok(())
    })?;
    Ok(regions)
}

/// Writes `regions.csv` as frames are scored, in constant memory: to `regions.csv.part`, renamed by
/// [`RegionWriter::finish`].
#[derive(Debug)]
pub struct RegionWriter {
    file: PartFile,
    order: VideoOrder,
    rows: u64,
}

impl RegionWriter {
    /// Begins a table.
    ///
    /// # Errors
    /// The system's refusal.
    pub fn create(path: &Path) -> Result<Self, RunError> {
        let header = REGION.map(str::to_owned);
        Ok(Self { file: PartFile::create(path, &header)?, order: VideoOrder::default(), rows: 0 })
    }

    /// Appends a region; videos one after the other, frames in order.
    ///
    /// # Errors
    /// A score that is not finite, a region out of order, or the system's refusal.
    pub fn push(&mut self, region: &Region) -> Result<(), RunError> {
        let path = &self.file.path;
        let score = finite(path, &region.video, region.frame, "score", region.score)?;
        self.order.push(path, self.rows + 2, &region.video, region.frame, FrameStep::SameOrLater)?;
        let [frame, x, y, width, height] =
            [region.frame, region.x.into(), region.y.into(), region.width.into(), region.height.into()]
                .map(|value: u64| value.to_string());
        self.file.push(&[&region.video, &frame, &x, &y, &width, &height, &score])?;
        self.rows += 1;
        Ok(())
    }

    /// Gives the table its name.
    ///
    /// # Errors
    /// The system's refusal.
    pub fn finish(self) -> Result<(), RunError> {
        self.file.finish()
    }
}

/// Reads `latents.csv`.
///
/// # Errors
/// Anything that is not a whole, clean table.
pub fn read_latents(path: &Path) -> Result<Vec<LatentPoint>, RunError> {
    parse_latents(open(path)?, path)
}

/// As [`read_latents`], from anything that can be read; `name` is what errors call it.
///
/// # Errors
/// As [`read_latents`].
pub fn parse_latents(input: impl Read, name: &Path) -> Result<Vec<LatentPoint>, RunError> {
    let mut points = Vec::new();
    each_row(input, name, &LATENT, |row, [video, frame, x, y, group]| {
        points.push(LatentPoint {
            video: row.text(video).to_owned(),
            frame: row.whole(frame)?,
            x: row.finite(x)?,
            y: row.finite(y)?,
            group: row.small(group)?,
        });
        Ok(())
    })?;
    Ok(points)
}

/// Writes `latents.csv`.
///
/// # Errors
/// A coordinate that is not finite, or the system's refusal.
pub fn write_latents(path: &Path, points: &[LatentPoint]) -> Result<(), RunError> {
    let rows = points.iter().map(|point| {
        let check = |column, value| finite(path, &point.video, point.frame, column, value);
        let (x, y) = (check("x", point.x)?, check("y", point.y)?);
        Ok([point.video.clone(), point.frame.to_string(), x, y, point.group.to_string()])
    });
    write_rows(path, LATENT, rows)
}

/// Reads `kinds.csv`, as a synthetic scene and inserted anomalies have it; further columns are not looked at.
///
/// # Errors
/// Anything that is not a whole, clean table; a stretch that ends before it begins.
pub fn read_kinds(path: &Path) -> Result<Vec<KindSpan>, RunError> {
    parse_kinds(open(path)?, path)
}

/// As [`read_kinds`], from anything that can be read; `name` is what errors call it.
///
/// # Errors
/// As [`read_kinds`].
pub fn parse_kinds(input: impl Read, name: &Path) -> Result<Vec<KindSpan>, RunError> {
    let mut spans = Vec::new();
    each_row(input, name, &KIND, |row, [video, start, end, kind]| {
        let (video, kind) = (row.text(video).to_owned(), row.text(kind).trim().to_owned());
        let (start_frame, end_frame) = (row.whole(start)?, row.whole(end)?);
        let wrong = |column: &str, value: String, expected| RunError::Value {
            path: name.to_owned(),
            line: row.line,
            column: column.to_owned(),
            value,
            expected,
        };
        if end_frame < start_frame {
            return Err(wrong("end_frame", end_frame.to_string(), "a frame not before start_frame"));
        }
        if kind.is_empty() {
            return Err(wrong("kind", kind, "a name"));
        }
        spans.push(KindSpan { video, start_frame, end_frame, kind });
        Ok(())
    })?;
    Ok(spans)
}

/// Reads `labels.csv`: each video's frames from 0, none left out.
///
/// # Errors
/// Anything that is not a whole, clean table; a label that is not 0 or 1; a frame missing or twice.
pub fn read_labels(path: &Path) -> Result<Labels, RunError> {
    parse_labels(open(path)?, path)
}

/// As [`read_labels`], from anything that can be read; `name` is what errors call it.
///
/// # Errors
/// As [`read_labels`].
pub fn parse_labels(input: impl Read, name: &Path) -> Result<Labels, RunError> {
    let mut labels = Labels::new();
    let mut order = VideoOrder::default();
    each_row(input, name, &LABEL, |row, [video, frame, label]| {
        let (video, number) = (row.text(video), row.whole(frame)?);
        let label = u8::from(row.flag(label)?);
        if order.push(name, row.line, video, number, FrameStep::Next)? {
            if number != 0 {
                return Err(RunError::Value {
                    path: name.to_owned(),
                    line: row.line,
                    column: "frame".to_owned(),
                    value: number.to_string(),
                    expected: "0 where a video begins",
                });
            }
            labels.insert(video.to_owned(), vec![label]);
        } else if let Some(labels) = labels.get_mut(video) {
            labels.push(label);
        }
        Ok(())
    })?;
    Ok(labels)
}

/// Writes `labels.csv`, videos by name; any label but 0 is written as 1.
///
/// # Errors
/// The system's refusal.
pub fn write_labels(path: &Path, labels: &Labels) -> Result<(), RunError> {
    let rows = labels.iter().flat_map(|(video, labels)| {
        labels.iter().enumerate().map(move |(frame, &label)| {
            Ok([video.clone(), frame.to_string(), u8::from(label != 0).to_string()])
        })
    });
    write_rows(path, LABEL, rows)
}

fn each_row<const N: usize>(
    input: impl Read,
    name: &Path,
    columns: &[&str; N],
    mut take: impl FnMut(&Row<'_>, [usize; N]) -> Result<(), RunError>,
) -> Result<(), RunError> {
    let mut table = Table::open(input, name, columns)?;
    let at = columns.map(|column| table.column(column).unwrap_or_default());
    while let Some(row) = table.next_row()? {
        take(&row, at)?;
    }
    Ok(())
}

fn write_rows<const N: usize>(
    path: &Path,
    header: [&str; N],
    rows: impl Iterator<Item = Result<[String; N], RunError>>,
) -> Result<(), RunError> {
    write_whole(path, |out| {
        let mut out = csv_writer(out);
        let failed = |error: csv::Error| RunError::io("write", path)(error.into());
        out.write_record(header).map_err(failed)?;
        for row in rows {
            out.write_record(row?).map_err(failed)?;
        }
        out.flush().map_err(RunError::io("write", path))
    })
}

fn finite(path: &Path, video: &str, frame: u64, column: &str, value: f64) -> Result<String, RunError> {
    if value.is_finite() {
        return Ok(number(value));
    }
    let (path, video, column) = (path.to_owned(), video.to_owned(), column.to_owned());
    Err(RunError::NotFinite { path, video, frame, column, value })
}
