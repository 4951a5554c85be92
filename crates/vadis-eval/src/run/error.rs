use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Why a file of a run directory could not be read or written.
#[derive(Debug, Error)]
pub enum RunError {
    /// The system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// `read`, `write` …
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Larger than any file of its kind.
    #[error("{} has {bytes} bytes; no more than {limit} are read", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
        /// The most that is read.
        limit: u64,
    },
    /// Without even a header.
    #[error("{} is empty: expected a header line with {}", path.display(), expected.join(","))]
    Empty {
        /// The file.
        path: PathBuf,
        /// Columns it must have.
        expected: Vec<String>,
    },
    /// A column that is needed is not there.
    #[error("{} has no column {}: its header is {}", path.display(), missing.join(","), shorten(&found.join(",")))]
    MissingColumns {
        /// The file.
        path: PathBuf,
        /// Columns that are missing.
        missing: Vec<String>,
        /// Columns that are there.
        found: Vec<String>,
    },
    /// A column name that cannot be used.
    #[error("{}: column `{}` {why}", path.display(), shorten(column))]
    Column {
        /// The file.
        path: PathBuf,
        /// The name.
        column: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A row with more or fewer fields than the header.
    #[error("{}, line {line}: {found} fields instead of {expected}{}", path.display(), if *cut { " (the file was cut off?)" } else { "" })]
    Fields {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: u64,
        /// Fields of the header.
        expected: u64,
        /// Fields of this row.
        found: u64,
        /// Whether it has fewer.
        cut: bool,
    },
    /// The last line does not end, so its last number may be half of one.
    #[error("{}: the last line has no line end, the file was cut off (if it is whole, add one)", path.display())]
    Cut {
        /// The file.
        path: PathBuf,
    },
    /// Not UTF-8.
    #[error("{}, line {line}: not UTF-8 text", path.display())]
    Encoding {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: u64,
    },
    /// A field that is not what its column holds.
    #[error("{}, line {line}: {column} is `{}`, expected {expected}", path.display(), shorten(value))]
    Value {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: u64,
        /// The column's name.
        column: String,
        /// What stands there.
        value: String,
        /// What should.
        expected: &'static str,
    },
    /// Frames of a video out of order, missing or twice.
    #[error("{}, line {line}: frame {frame} of `{}` after frame {previous}, expected {expected}", path.display(), shorten(video))]
    Order {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: u64,
        /// The video.
        video: String,
        /// The frame of this row.
        frame: u64,
        /// The frame of the row before.
        previous: u64,
        /// What may follow.
        expected: &'static str,
    },
    /// Rows of a video in two places.
    #[error("{}, line {line}: `{}` again after another video; the rows of a video must stand together", path.display(), shorten(video))]
    SplitVideo {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: u64,
        /// The video.
        video: String,
    },
    /// A value that no file may hold.
    #[error("refusing to write {}: {column} of frame {frame} of `{}` is {value}", path.display(), shorten(video))]
    NotFinite {
        /// The file.
        path: PathBuf,
        /// The video.
        video: String,
        /// The frame.
        frame: u64,
        /// The column.
        column: String,
        /// NaN or an infinity.
        value: f64,
    },
    /// A figure that JSON cannot hold.
    #[error("refusing to write {}: {metric} is {value}", path.display())]
    Figure {
        /// The file.
        path: PathBuf,
        /// Its name.
        metric: String,
        /// NaN or an infinity.
        value: f64,
    },
    /// A row that does not have a value for each column.
    #[error("refusing to write {}: a row has {found} values for {expected} columns", path.display())]
    RowWidth {
        /// The file.
        path: PathBuf,
        /// Columns.
        expected: usize,
        /// Values.
        found: usize,
    },
    /// The file to be continued has other columns.
    #[error("cannot continue {}: its columns are {}, not {}", path.display(), shorten(&found.join(",")), shorten(&expected.join(",")))]
    OtherColumns {
        /// The file.
        path: PathBuf,
        /// Columns wanted.
        expected: Vec<String>,
        /// Columns found.
        found: Vec<String>,
    },
    /// Not the JSON expected.
    #[error("{}: {source}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Line, column and reason.
        source: serde_json::Error,
    },
    /// Not a `.npy` file of one video's scores.
    #[error("{}: {why}", path.display())]
    Npy {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
}

impl RunError {
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }
}

/// At most 60 characters, without control characters, so that a hostile file cannot fill the terminal.
fn shorten(text: &str) -> String {
    let mut short: String =
        text.chars().take(60).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if text.chars().nth(60).is_some() {
        short.push('…');
    }
    short
}
