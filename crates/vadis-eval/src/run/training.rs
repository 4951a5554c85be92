//! `training.csv`.

use std::io::Read;
use std::path::Path;

use super::file::{PartFile, drop_cut_line, open, part_path};
use super::table::{Table, number};
use super::{RunError, TrainingLog, TrainingRow};

const COLUMNS: [&str; 3] = ["step", "epoch", "seconds"];

impl TrainingLog {
    /// Reads `training.csv`.
    ///
    /// # Errors
    /// Anything that is not a whole, clean table.
    pub fn read(path: &Path) -> Result<Self, RunError> {
        Self::parse(open(path)?, path)
    }

    /// As [`TrainingLog::read`], from anything that can be read; `name` is what errors call it.
    ///
    /// # Errors
    /// As [`TrainingLog::read`].
    pub fn parse(input: impl Read, name: &Path) -> Result<Self, RunError> {
        let mut table = Table::open(input, name, &COLUMNS)?;
        let at = COLUMNS.map(|column| table.column(column).unwrap_or_default());
        let values: Vec<usize> = (0..table.names.len()).filter(|i| !at.contains(i)).collect();
        let terms = values.iter().map(|&i| table.names[i].clone()).collect();
        let mut log = Self { terms, rows: Vec::new() };
        while let Some(row) = table.next_row()? {
            log.rows.push(TrainingRow {
                step: row.whole(at[0])?,
                epoch: row.finite(at[1])?,
                seconds: row.finite(at[2])?,
                values: values.iter().map(|&i| row.finite(i)).collect::<Result<_, _>>()?,
            });
        }
        Ok(log)
    }
}

/// Appends to `training.csv` while training: to `training.csv.part`, each row at once, renamed by
/// [`TrainingWriter::finish`].
#[derive(Debug)]
pub struct TrainingWriter {
    file: PartFile,
    terms: usize,
}

impl TrainingWriter {
    /// Begins a log with a column for each loss term.
    ///
    /// # Errors
    /// A term named like another column, or the system's refusal.
    pub fn create(path: &Path, terms: &[String]) -> Result<Self, RunError> {
        let mut header: Vec<String> = COLUMNS.iter().map(ToString::to_string).collect();
        for term in terms {
            if header.contains(term) || term.trim() != term || term.is_empty() {
                let why = "has no name, one with spaces around it, or would stand twice";
                return Err(RunError::Column { path: path.to_owned(), column: term.clone(), why });
            }
            header.push(term.clone());
        }
        Ok(Self { file: PartFile::create(path, &header)?, terms: terms.len() })
    }

    /// Continues the log of an interrupted training, finished or not, from the checkpoint of `step`: rows after it
    /// are dropped, for they will be trained again. Begins where there is no log.
    ///
    /// # Errors
    /// As [`TrainingLog::read`]; [`RunError::OtherColumns`] if it has other terms.
    pub fn resume(path: &Path, terms: &[String], step: u64) -> Result<Self, RunError> {
        let part = part_path(path);
        let old = if drop_cut_line(&part)? {
            TrainingLog::read(&part)?
        } else if path.exists() {
            TrainingLog::read(path)?
        } else {
            return Self::create(path, terms);
        };
        if old.terms != terms {
            let (expected, found) = (terms.to_vec(), old.terms);
            return Err(RunError::OtherColumns { path: path.to_owned(), expected, found });
        }
        let mut writer = Self::create(path, terms)?;
        for row in old.rows.iter().filter(|row| row.step <= step) {
            writer.push(row)?;
        }
        Ok(writer)
    }

    /// Appends one row.
    ///
    /// # Errors
    /// A value that is not finite, or too many or few of them, or the system's refusal.
    pub fn push(&mut self, row: &TrainingRow) -> Result<(), RunError> {
        let path = &self.file.path;
        if row.values.len() != self.terms {
            let (expected, found) = (self.terms, row.values.len());
            return Err(RunError::RowWidth { path: path.clone(), expected, found });
        }
        let numbers = [row.epoch, row.seconds].into_iter().chain(row.values.iter().copied());
        if let Some(value) = numbers.clone().find(|value| !value.is_finite()) {
            let (video, column) = (String::new(), "a loss term".to_owned());
            return Err(RunError::NotFinite { path: path.clone(), video, frame: row.step, column, value });
        }
        let fields: Vec<String> = std::iter::once(row.step.to_string()).chain(numbers.map(number)).collect();
        self.file.push(&fields)
    }

    /// Gives the log its name.
    ///
    /// # Errors
    /// The system's refusal.
    pub fn finish(self) -> Result<(), RunError> {
        self.file.finish()
    }
}
