//! `scores.csv`.

use std::io::Read;
use std::path::Path;

use super::file::{PartFile, csv_writer, drop_cut_line, open, part_path, write_whole};
use super::table::{FrameStep, Row, Table, VideoOrder, number};
use super::{RunError, ScoreRow, ScoreTable, VideoScores};

/// Columns of every `scores.csv`, before the indicators.
const COLUMNS: [&str; 6] = ["video", "frame", "time_s", "score", "causal", "edge"];

impl ScoreTable {
    /// Reads a `scores.csv`, or any table with at least the columns `video`, `frame` and `score`.
    ///
    /// Columns go by name. Where `time_s` is missing, it is the frame's number; `causal` repeats
    /// `score`; `edge` is 0. Every further column is an indicator.
    ///
    /// # Errors
    /// Anything that is not a whole, clean table, with its line: a missing or repeated column, a field that
    /// is not a finite number, a row or file that was cut off, frames that do not go up, rows of a
    /// video in two places.
    pub fn read(path: &Path) -> Result<Self, RunError> {
        Self::parse(open(path)?, path)
    }

    /// As [`ScoreTable::read`], from anything that can be read; `name` is what errors call it.
    ///
    /// # Errors
    /// As [`ScoreTable::read`].
    pub fn parse(input: impl Read, name: &Path) -> Result<Self, RunError> {
        let mut reader = ScoreReader::new(input, name)?;
        let mut table = Self { indicators: reader.indicators.clone(), videos: Vec::new() };
        while let Some(begins) = reader.step()? {
            if let Some(video) = begins {
                table.videos.push(VideoScores { video, rows: Vec::new() });
            }
            if let Some(current) = table.videos.last_mut() {
                current.rows.push(reader.row.clone());
            }
        }
        Ok(table)
    }

    /// Writes it; equal tables give equal bytes. A video without rows leaves no trace.
    ///
    /// # Errors
    /// A value that is not finite, a row without a value for each indicator, an indicator named like
    /// another column, or the system's refusal; then nothing is written.
    pub fn write(&self, path: &Path) -> Result<(), RunError> {
        let header = header(path, &self.indicators)?;
        write_whole(path, |out| {
            let mut out = csv_writer(out);
            let failed = |error: csv::Error| RunError::io("write", path)(error.into());
            out.write_record(&header).map_err(failed)?;
            for video in &self.videos {
                for row in &video.rows {
                    out.write_record(fields(path, &header, &video.video, row)?).map_err(failed)?;
                }
            }
            out.flush().map_err(RunError::io("write", path))
        })
    }

    /// The scores of one video, if it is in the table.
    pub fn video(&self, name: &str) -> Option<&VideoScores> {
        self.videos.iter().find(|video| video.video == name)
    }

    /// Row of a frame in the whole table, which is its frame in `heat.mkv`; none if it has no score.
    pub fn row_of(&self, video: &str, frame: u64) -> Option<u64> {
        let place = self.videos.iter().position(|v| v.video == video)?;
        let before: usize = self.videos[..place].iter().map(|v| v.rows.len()).sum();
        let row = self.videos[place].rows.binary_search_by_key(&frame, |row| row.frame).ok()?;
        Some((before + row) as u64)
    }
}

/// Writes a `scores.csv` as frames are scored, in constant memory.
///
/// Rows go to `scores.csv.part`, each at once, so that an interruption loses none;
/// [`ScoreWriter::finish`] gives the file its name, [`ScoreWriter::resume`] continues one.
#[derive(Debug)]
pub struct ScoreWriter {
    file: PartFile,
    header: Vec<String>,
    rows: u64,
    order: VideoOrder,
}

/// What an interrupted [`ScoreWriter`] had already written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Rows.
    pub rows: u64,
    /// Video and frame of the last one.
    pub last: Option<(String, u64)>,
}

impl ScoreWriter {
    /// Begins a table; a `.part` left by another run is overwritten.
    ///
    /// # Errors
    /// An indicator named like another column, or the system's refusal.
    pub fn create(path: &Path, indicators: &[String]) -> Result<Self, RunError> {
        let header = header(path, indicators)?;
        let file = PartFile::create(path, &header)?;
        Ok(Self { file, header, rows: 0, order: VideoOrder::default() })
    }

    /// Continues what an interrupted run left in the `.part` file, or begins where there is none. A last line that was
    /// cut off is dropped.
    ///
    /// # Errors
    /// As [`ScoreTable::read`]; [`RunError::OtherColumns`] if the rows are those of another system.
    pub fn resume(path: &Path, indicators: &[String]) -> Result<(Self, Written), RunError> {
        let part = part_path(path);
        if !drop_cut_line(&part)? {
            return Ok((Self::create(path, indicators)?, Written { rows: 0, last: None }));
        }
        let expected = header(path, indicators)?;
        let mut reader = ScoreReader::new(open(&part)?, &part)?;
        if reader.table.names != expected {
            let found = reader.table.names;
            return Err(RunError::OtherColumns { path: part, expected, found });
        }
        let mut written = Written { rows: 0, last: None };
        while let Some(begins) = reader.step()? {
            written.rows += 1;
            match (&mut written.last, begins) {
                (Some((_, frame)), None) => *frame = reader.row.frame,
                (last, begins) => *last = begins.map(|video| (video, reader.row.frame)),
            }
        }
        let file = PartFile::append(path)?;
        Ok((Self { file, header: expected, rows: written.rows, order: reader.order }, written))
    }

    /// Appends one frame's row; videos one after the other, frames in order.
    ///
    /// # Errors
    /// As [`ScoreTable::write`], and rows out of order.
    pub fn push(&mut self, video: &str, row: &ScoreRow) -> Result<(), RunError> {
        let fields = fields(&self.file.path, &self.header, video, row)?;
        // the header is line 1
        self.order.push(&self.file.path, self.rows + 2, video, row.frame, FrameStep::Later)?;
        self.file.push(&fields)?;
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

/// Reads rows one by one.
struct ScoreReader<R> {
    table: Table<R>,
    path: std::path::PathBuf,
    columns: Columns,
    indicators: Vec<String>,
    order: VideoOrder,
    row: ScoreRow,
}

/// Where each value stands.
struct Columns {
    video: usize,
    frame: usize,
    score: usize,
    time_s: Option<usize>,
    causal: Option<usize>,
    edge: Option<usize>,
    indicators: Vec<usize>,
}

impl<R: Read> ScoreReader<R> {
    fn new(input: R, path: &Path) -> Result<Self, RunError> {
        let table = Table::open(input, path, &["video", "frame", "score"])?;
        let known = |name: &str| table.column(name).unwrap_or_default();
        let indicators: Vec<usize> =
            (0..table.names.len()).filter(|&i| !COLUMNS.contains(&table.names[i].as_str())).collect();
        let columns = Columns {
            video: known("video"),
            frame: known("frame"),
            score: known("score"),
            time_s: table.column("time_s"),
            causal: table.column("causal"),
            edge: table.column("edge"),
            indicators,
        };
        let indicators = columns.indicators.iter().map(|&i| table.names[i].clone()).collect();
        let (order, row) = (VideoOrder::default(), ScoreRow::default());
        Ok(Self { table, path: path.to_owned(), columns, indicators, order, row })
    }

    /// Reads the next row into `self.row`; the inner value names a video that begins with it.
    fn step(&mut self) -> Result<Option<Option<String>>, RunError> {
        let Some(row) = self.table.next_row()? else { return Ok(None) };
        self.row = self.columns.read(&row)?;
        let video = row.text(self.columns.video);
        let begins = self.order.push(&self.path, row.line, video, self.row.frame, FrameStep::Later)?;
        Ok(Some(begins.then(|| video.to_owned())))
    }
}

impl Columns {
    fn read(&self, row: &Row<'_>) -> Result<ScoreRow, RunError> {
        let frame = row.whole(self.frame)?;
        let score = row.finite(self.score)?;
        Ok(ScoreRow {
            frame,
            time_s: self.time_s.map_or(Ok(frame as f64), |i| row.finite(i))?,
            score,
            causal: self.causal.map_or(Ok(score), |i| row.finite(i))?,
            edge: self.edge.map_or(Ok(false), |i| row.flag(i))?,
            indicators: self.indicators.iter().map(|&i| row.finite(i)).collect::<Result<_, _>>()?,
        })
    }
}

fn header(path: &Path, indicators: &[String]) -> Result<Vec<String>, RunError> {
    let mut header: Vec<String> = COLUMNS.iter().map(ToString::to_string).collect();
    for name in indicators {
        let why = if name.trim() != name || name.is_empty() {
            "has no name, or one with spaces around it"
        } else if header.contains(name) {
            "would stand twice"
        } else {
            header.push(name.clone());
            continue;
        };
        return Err(RunError::Column { path: path.to_owned(), column: name.clone(), why });
    }
    Ok(header)
}

fn fields(path: &Path, header: &[String], video: &str, row: &ScoreRow) -> Result<Vec<String>, RunError> {
    let expected = header.len() - COLUMNS.len();
    if row.indicators.len() != expected {
        return Err(RunError::RowWidth { path: path.to_owned(), expected, found: row.indicators.len() });
    }
    let finite = |value: f64, column: &str| {
        if value.is_finite() {
            return Ok(number(value));
        }
        let column = column.to_owned();
        Err(RunError::NotFinite {
            path: path.to_owned(),
            video: video.to_owned(),
            frame: row.frame,
            column,
            value,
        })
    };
    let mut fields = vec![
        video.to_owned(),
        row.frame.to_string(),
        finite(row.time_s, "time_s")?,
        finite(row.score, "score")?,
        finite(row.causal, "causal")?,
        u8::from(row.edge).to_string(),
    ];
    for (&value, name) in row.indicators.iter().zip(&header[COLUMNS.len()..]) {
        fields.push(finite(value, name)?);
    }
    Ok(fields)
}
