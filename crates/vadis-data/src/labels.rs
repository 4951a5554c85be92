//! Frame labels as files: 0 is normal, 1 abnormal; frames count from 0.
//!
//! Read are
//! * a table with the columns `video,frame,label` (in any order, further columns ignored), with a header
//!   or, if it has exactly these three, without;
//! * a table `frame,label` of one video;
//! * one label a line, with or without a header, for one video (also as `numpy.savetxt` writes it);
//! * a `.npy` vector, for one video.
//!
//! A file for one video is named after it: `eval.labels.csv` and `eval.csv` are the labels of `eval`.
//! Everything inconsistent is an error that names the line: a label other than 0 or 1, a frame labelled
//! twice or not at all, a video that the labels do not know, labels and frames that differ in number.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use crate::error::DataError;
use crate::npy::NpyFile;

/// Largest label file read: 512 MiB, some fifty million frames.
const MAX_BYTES: u64 = 512 << 20;

/// Frame labels of one or several videos.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Labels {
    /// Labels by the video's name, one a frame.
    pub videos: BTreeMap<String, Vec<u8>>,
    /// Whether the file itself named the videos; if not, there is one, named after the file.
    pub named: bool,
}

impl Labels {
    /// The labels of a video of `frames` frames.
    ///
    /// The name is looked up as it is, then without its ending, then by file name alone. Labels of a
    /// file that names no video are anyone's.
    ///
    /// # Errors
    /// [`DataError::UnknownVideo`] where there are none, [`DataError::LengthMismatch`] where they are
    /// not as many as the frames.
    pub fn of(&self, video: &str, frames: usize) -> Result<&[u8], DataError> {
        let labels = self.find(video).ok_or_else(|| {
            let known: Vec<&str> = self.videos.keys().map(String::as_str).take(5).collect();
            DataError::UnknownVideo { video: video.to_owned(), known: known.join(", ") }
        })?;
        if labels.len() == frames {
            return Ok(labels);
        }
        let (frames, labels) = (frames as u64, labels.len() as u64);
        Err(DataError::LengthMismatch { video: video.to_owned(), frames, labels })
    }

    /// The labels of a video, however many; see [`of`](Self::of) for how the name is looked up.
    pub fn find(&self, video: &str) -> Option<&[u8]> {
        if !self.named {
            return self.videos.values().next().map(Vec::as_slice);
        }
        let exact = self.videos.get(video);
        let by_stem = || {
            let stem = stem(video);
            let mut same = self.videos.iter().filter(|(name, _)| self::stem(name) == stem);
            // Two videos of one stem (in two folders, say) are told apart only by their full names.
            same.next().filter(|_| same.next().is_none()).map(|(_, labels)| labels)
        };
        exact.or_else(by_stem).map(Vec::as_slice)
    }

    /// Checks that every labelled video is among `videos`.
    ///
    /// # Errors
    /// [`DataError::UnknownVideo`] for the first that is not.
    pub fn check_videos<'a>(&self, videos: impl IntoIterator<Item = &'a str>) -> Result<(), DataError> {
        let names: Vec<&str> = videos.into_iter().collect();
        let known = |name: &str| names.iter().any(|n| *n == name || stem(n) == stem(name));
        match self.videos.keys().find(|name| self.named && !known(name)) {
            None => Ok(()),
            Some(name) => {
                let known = names.iter().take(5).copied().collect::<Vec<_>>().join(", ");
                Err(DataError::UnknownVideo { video: name.clone(), known })
            }
        }
    }
}

/// Whether two names mean the same video: equal, or equal without folders and endings.
pub fn same_video(one: &str, other: &str) -> bool {
    one == other || stem(one) == stem(other)
}

/// File name without folders and ending.
fn stem(name: &str) -> &str {
    let file = name.rsplit(['/', '\\']).next().unwrap_or(name);
    match file.rsplit_once('.') {
        // A short ending is a file's ending; `scene.left-side` is a name.
        Some((stem, ending)) if !stem.is_empty() && ending.len() <= 4 => stem,
        _ => file,
    }
}

/// The video a file for one video is named after.
fn video_of(path: &Path) -> String {
    let name = path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
    match name.strip_suffix(".labels").or_else(|| name.strip_suffix("_labels")) {
        Some(video) if !video.is_empty() => video.to_owned(),
        _ => name,
    }
}

/// Reads a label file of any of the module's forms.
///
/// # Errors
/// [`DataError`], with the line where there is one.
pub fn read_labels(path: &Path) -> Result<Labels, DataError> {
    if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("npy")) {
        return Ok(one_video(path, read_npy(path)?));
    }
    let file = File::open(path).map_err(DataError::io(path))?;
    let bytes = file.metadata().map_err(DataError::io(path))?.len();
    if bytes > MAX_BYTES {
        return Err(DataError::TooLarge { path: path.to_owned(), bytes, limit: MAX_BYTES });
    }
    parse_labels(path, BufReader::new(file).take(MAX_BYTES))
}

/// Parses the text forms; `path` names the video where the text does not, and stands in the errors.
///
/// # Errors
/// As [`read_labels`].
pub fn parse_labels(path: &Path, text: impl Read) -> Result<Labels, DataError> {
    let mut reader =
        csv::ReaderBuilder::new().has_headers(false).flexible(true).trim(csv::Trim::All).from_reader(text);
    let mut record = csv::StringRecord::new();
    if !next(path, &mut reader, &mut record)? {
        return Err(DataError::line(path, 1, "the file has no labels"));
    }
    // A byte-order mark would hide the first column's name.
    let first: Vec<String> = record.iter().map(|f| f.trim_start_matches('\u{feff}').to_owned()).collect();
    let (form, header) = form(path, &first)?;
    let mut table = Table::new(path, form);
    if !header {
        table.row(line(&record), &first.iter().map(String::as_str).collect::<Vec<_>>())?;
    }
    let mut fields = Vec::new();
    while next(path, &mut reader, &mut record)? {
        fields.clear();
        fields.extend(record.iter().map(str::to_owned));
        table.row(line(&record), &fields.iter().map(String::as_str).collect::<Vec<_>>())?;
    }
    table.finish()
}

/// Reads a `.npy` vector of 0 and 1 (any numeric type).
///
/// # Errors
/// [`DataError::Npy`], or [`DataError::NotBinary`] with the frame.
pub(crate) fn read_npy(path: &Path) -> Result<Vec<u8>, DataError> {
    let npy = |source| DataError::Npy { path: path.to_owned(), source };
    let values = NpyFile::open(path).map_err(npy)?.vector().map_err(npy)?;
    let binary = |(i, v): (usize, f64)| {
        as_label(v).ok_or_else(|| DataError::NotBinary {
            path: path.to_owned(),
            line: i as u64 + 1,
            value: v.to_string(),
        })
    };
    values.into_iter().enumerate().map(binary).collect()
}

fn one_video(path: &Path, labels: Vec<u8>) -> Labels {
    Labels { videos: BTreeMap::from([(video_of(path), labels)]), named: false }
}

fn as_label(value: f64) -> Option<u8> {
    if value == 0.0 {
        Some(0)
    } else if value == 1.0 {
        Some(1)
    } else {
        None
    }
}

fn line(record: &csv::StringRecord) -> u64 {
    record.position().map_or(0, csv::Position::line)
}

fn next(
    path: &Path,
    reader: &mut csv::Reader<impl Read>,
    record: &mut csv::StringRecord,
) -> Result<bool, DataError> {
    let at = reader.position().line();
    reader.read_record(record).map_err(|e| DataError::line(path, at, e.to_string()))
}

/// Which columns hold what.
#[derive(Debug, Clone, Copy)]
struct Form {
    video: Option<usize>,
    frame: Option<usize>,
    label: usize,
    columns: usize,
}

/// Tells a file's form from its first row, and whether that row is a header.
fn form(path: &Path, first: &[String]) -> Result<(Form, bool), DataError> {
    let columns = first.len();
    let find = |name: &str| first.iter().position(|f| f.eq_ignore_ascii_case(name));
    if let Some(label) = find("label").filter(|_| columns > 1) {
        let (video, frame) = (find("video"), find("frame"));
        if frame.is_none() {
            return Err(DataError::line(path, 1, "the header has no column `frame`"));
        }
        return Ok((Form { video, frame, label, columns }, true));
    }
    let numeric = |i: usize| first.get(i).is_some_and(|f| f.parse::<f64>().is_ok());
    match columns {
        1 => Ok((Form { video: None, frame: None, label: 0, columns }, !numeric(0))),
        2 if numeric(0) && numeric(1) => Ok((Form { video: None, frame: Some(0), label: 1, columns }, false)),
        3 if numeric(1) && numeric(2) => {
            Ok((Form { video: Some(0), frame: Some(1), label: 2, columns }, false))
        }
        _ => Err(DataError::line(path, 1, "the columns are not `video,frame,label` nor one label a line")),
    }
}

/// One labelled frame, with the line it stands on.
struct Labelled {
    frame: u64,
    line: u64,
    label: u8,
}

struct Table<'a> {
    path: &'a Path,
    form: Form,
    names: HashMap<String, usize>,
    rows: Vec<Vec<Labelled>>,
}

impl<'a> Table<'a> {
    fn new(path: &'a Path, form: Form) -> Self {
        Self { path, form, names: HashMap::new(), rows: Vec::new() }
    }

    fn row(&mut self, line: u64, fields: &[&str]) -> Result<(), DataError> {
        let Form { video, frame, label, columns } = self.form;
        if fields.len() != columns {
            let what = format!("{} columns where {columns} were expected", fields.len());
            return Err(DataError::line(self.path, line, what));
        }
        let value = fields[label];
        let label = value.parse().ok().and_then(as_label).ok_or_else(|| DataError::NotBinary {
            path: self.path.to_owned(),
            line,
            value: value.chars().take(40).collect(),
        })?;
        let video = self.video(line, video.map_or("", |i| fields[i]), video.is_some())?;
        let frame = match frame {
            None => self.rows[video].len() as u64,
            Some(i) => fields[i].parse().map_err(|_| {
                let shown: String = fields[i].chars().take(40).collect();
                DataError::line(self.path, line, format!("a frame is a whole number from 0, not `{shown}`"))
            })?,
        };
        self.rows[video].push(Labelled { frame, line, label });
        Ok(())
    }

    fn video(&mut self, line: u64, name: &str, named: bool) -> Result<usize, DataError> {
        if named && name.is_empty() {
            return Err(DataError::line(self.path, line, "the video has no name"));
        }
        if let Some(&index) = self.names.get(name) {
            return Ok(index);
        }
        self.names.insert(name.to_owned(), self.rows.len());
        self.rows.push(Vec::new());
        Ok(self.rows.len() - 1)
    }

    fn finish(self) -> Result<Labels, DataError> {
        let Self { path, form, names, mut rows } = self;
        if rows.is_empty() {
            return Err(DataError::line(path, 1, "the file has no labels"));
        }
        let mut videos = BTreeMap::new();
        for (name, index) in names {
            let name = if form.video.is_some() { name } else { video_of(path) };
            let labels = complete(path, &name, std::mem::take(&mut rows[index]))?;
            videos.insert(name, labels);
        }
        Ok(Labels { videos, named: form.video.is_some() })
    }
}

/// Puts a video's rows in order and makes sure that no frame is missing or named twice.
fn complete(path: &Path, video: &str, mut rows: Vec<Labelled>) -> Result<Vec<u8>, DataError> {
    rows.sort_by_key(|row| (row.frame, row.line));
    let (path, video) = (path.to_owned(), video.to_owned());
    for (expected, row) in rows.iter().enumerate() {
        let expected = expected as u64;
        if row.frame == expected {
            continue;
        }
        let (frame, line) = (row.frame, row.line);
        return Err(match rows.get((expected as usize).wrapping_sub(1)) {
            Some(before) if before.frame == frame => {
                DataError::DuplicateFrame { path, line, video, frame, first: before.line }
            }
            _ => DataError::MissingFrame { path, video, frame: expected, next: frame, line },
        });
    }
    Ok(rows.into_iter().map(|row| row.label).collect())
}

/// Writes labels as `video,frame,label`; the file appears whole or not at all.
///
/// # Errors
/// [`DataError::Io`].
pub fn write_labels(path: &Path, labels: &Labels) -> Result<(), DataError> {
    write_whole(path, |file| {
        let mut writer = csv::Writer::from_writer(file);
        writer.write_record(["video", "frame", "label"])?;
        for (video, labels) in &labels.videos {
            for (frame, label) in labels.iter().enumerate() {
                writer.write_record([video.as_str(), &frame.to_string(), &label.to_string()])?;
            }
        }
        writer.flush()
    })
}

/// Writes one video's labels, one a line; the file appears whole or not at all.
///
/// # Errors
/// [`DataError::Io`].
pub fn write_single(path: &Path, labels: &[u8]) -> Result<(), DataError> {
    write_whole(path, |file| labels.iter().try_for_each(|label| writeln!(file, "{label}")))
}

fn write_whole(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), DataError> {
    let temporary = temporary(path);
    let written = File::create(&temporary).and_then(|file| {
        let mut file = io::BufWriter::new(file);
        write(&mut file)?;
        file.flush()
    });
    written.and_then(|()| std::fs::rename(&temporary, path)).map_err(|source| {
        // What is left of a failed write is of no use; the first error is the one to tell.
        let _ = std::fs::remove_file(&temporary);
        DataError::Io { path: path.to_owned(), source }
    })
}

/// A name beside `path` that no other process uses.
pub(crate) fn temporary(path: &Path) -> PathBuf {
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    path.with_file_name(format!(".{name}.{}.tmp", std::process::id()))
}
