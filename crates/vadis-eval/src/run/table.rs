//! A strict CSV reader: every fault is an error with its file and line.

use std::collections::HashSet;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::RunError;

/// The shortest decimal that reads back as the same number, without the `.0` of whole ones.
pub(super) fn number(value: f64) -> String {
    let mut text = format!("{value:?}");
    if text.ends_with(".0") {
        text.truncate(text.len() - 2);
    }
    text
}

/// Remembers the last byte, to tell a whole file from one that was cut off.
struct LastByte<R> {
    inner: R,
    last: Option<u8>,
}

impl<R: Read> Read for LastByte<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.last = buffer[..read].last().copied().or(self.last);
        Ok(read)
    }
}

/// The rows of a table with a header.
pub(super) struct Table<R> {
    path: PathBuf,
    pub(super) names: Vec<String>,
    reader: csv::Reader<LastByte<R>>,
    record: csv::StringRecord,
}

/// One row of it.
pub(super) struct Row<'a> {
    path: &'a Path,
    names: &'a [String],
    record: &'a csv::StringRecord,
    pub(super) line: u64,
}

impl<R: Read> Table<R> {
    /// Reads the header, which must have the columns `required`, in any order, and no name twice.
    pub(super) fn open(inner: R, path: &Path, required: &[&str]) -> Result<Self, RunError> {
        let mut reader = csv::ReaderBuilder::new().from_reader(LastByte { inner, last: None });
        let header = reader.headers().map_err(|error| csv_error(path, error))?;
        let names: Vec<String> = header.iter().map(|name| name.trim().to_owned()).collect();
        if names.is_empty() {
            let expected = required.iter().map(ToString::to_string).collect();
            return Err(RunError::Empty { path: path.to_owned(), expected });
        }
        let missing: Vec<String> = required
            .iter()
            .filter(|name| !names.iter().any(|found| found == *name))
            .map(ToString::to_string)
            .collect();
        if !missing.is_empty() {
            return Err(RunError::MissingColumns { path: path.to_owned(), missing, found: names });
        }
        let mut seen = HashSet::new();
        if let Some(column) = names.iter().find(|name| !seen.insert(name.as_str())) {
            let why = "stands twice in the header";
            return Err(RunError::Column { path: path.to_owned(), column: column.clone(), why });
        }
        Ok(Self { path: path.to_owned(), names, reader, record: csv::StringRecord::new() })
    }

    /// Position of a column that is in the header.
    pub(super) fn column(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|found| found == name)
    }

    /// The next row; `None` at the end of a file that is whole.
    pub(super) fn next_row(&mut self) -> Result<Option<Row<'_>>, RunError> {
        let found =
            self.reader.read_record(&mut self.record).map_err(|error| csv_error(&self.path, error))?;
        if !found {
            return if self.reader.get_ref().last == Some(b'\n') {
                Ok(None)
            } else {
                Err(RunError::Cut { path: self.path.clone() })
            };
        }
        let line = self.record.position().map_or(0, csv::Position::line);
        Ok(Some(Row { path: &self.path, names: &self.names, record: &self.record, line }))
    }
}

impl Row<'_> {
    pub(super) fn text(&self, column: usize) -> &str {
        self.record.get(column).unwrap_or_default()
    }

    pub(super) fn finite(&self, column: usize) -> Result<f64, RunError> {
        let value = self.text(column).trim().parse::<f64>().ok().filter(|value| value.is_finite());
        value.ok_or_else(|| self.wrong(column, "a finite number"))
    }

    pub(super) fn whole(&self, column: usize) -> Result<u64, RunError> {
        let expected = "a whole number from 0";
        self.text(column).trim().parse().map_err(|_| self.wrong(column, expected))
    }

    pub(super) fn small(&self, column: usize) -> Result<u32, RunError> {
        let expected = "a whole number from 0 to 4294967295";
        self.text(column).trim().parse().map_err(|_| self.wrong(column, expected))
    }

    pub(super) fn flag(&self, column: usize) -> Result<bool, RunError> {
        match self.text(column).trim() {
            "0" => Ok(false),
            "1" => Ok(true),
            _ => Err(self.wrong(column, "0 or 1")),
        }
    }

    fn wrong(&self, column: usize, expected: &'static str) -> RunError {
        RunError::Value {
            path: self.path.to_owned(),
            line: self.line,
            column: self.names.get(column).cloned().unwrap_or_default(),
            value: self.text(column).to_owned(),
            expected,
        }
    }
}

/// Checks that the rows of a video stand together and its frames go up.
#[derive(Debug, Default)]
pub(super) struct VideoOrder {
    done: HashSet<String>,
    current: Option<(String, u64)>,
}

/// What may follow frame *n* of a video.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FrameStep {
    /// Any later frame.
    Later,
    /// Frame *n* again, or any later one.
    SameOrLater,
    /// Frame *n* + 1; the first is 0.
    Next,
}

impl FrameStep {
    fn allows(self, previous: u64, frame: u64) -> bool {
        match self {
            Self::Later => frame > previous,
            Self::SameOrLater => frame >= previous,
            Self::Next => previous.checked_add(1) == Some(frame),
        }
    }

    fn expected(self) -> &'static str {
        match self {
            Self::Later => "a later one",
            Self::SameOrLater => "the same or a later one",
            Self::Next => "the next one",
        }
    }
}

impl VideoOrder {
    /// Takes the next row; true if it begins a video.
    pub(super) fn push(
        &mut self,
        path: &Path,
        line: u64,
        video: &str,
        frame: u64,
        step: FrameStep,
    ) -> Result<bool, RunError> {
        match &mut self.current {
            Some((name, previous)) if name == video => {
                if !step.allows(*previous, frame) {
                    return Err(RunError::Order {
                        path: path.to_owned(),
                        line,
                        video: video.to_owned(),
                        frame,
                        previous: *previous,
                        expected: step.expected(),
                    });
                }
                *previous = frame;
                Ok(false)
            }
            current => {
                if self.done.contains(video) {
                    return Err(RunError::SplitVideo {
                        path: path.to_owned(),
                        line,
                        video: video.to_owned(),
                    });
                }
                if let Some((before, _)) = current.replace((video.to_owned(), frame)) {
                    self.done.insert(before);
                }
                Ok(true)
            }
        }
    }
}

fn csv_error(path: &Path, error: csv::Error) -> RunError {
    let line = error.position().map_or(0, csv::Position::line);
    match error.into_kind() {
        csv::ErrorKind::Io(source) => RunError::io("read", path)(source),
        csv::ErrorKind::Utf8 { .. } => RunError::Encoding { path: path.to_owned(), line },
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => RunError::Fields {
            path: path.to_owned(),
            line,
            expected: expected_len,
            found: len,
            cut: len < expected_len,
        },
        other => RunError::io("read", path)(io::Error::other(format!("{other:?}"))),
    }
}
