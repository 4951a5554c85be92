//! Files that are whole or absent: written under another name, then renamed.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use super::RunError;

/// The most bytes of one table that are read: two weeks of 25 frames a second, 100 bytes a frame.
const MAX_BYTES: u64 = 4 << 30;
/// The most bytes of a JSON file.
const MAX_JSON_BYTES: u64 = 64 << 20;

/// Writes a file at once.
pub(super) fn write_whole(
    path: &Path,
    fill: impl FnOnce(&mut BufWriter<&mut File>) -> Result<(), RunError>,
) -> Result<(), RunError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let write = |source| RunError::Io { action: "write", path: path.to_owned(), source };
    let mut temporary =
        tempfile::Builder::new().prefix(".vadis-").suffix(".tmp").tempfile_in(folder).map_err(write)?;
    let mut out = BufWriter::new(temporary.as_file_mut());
    fill(&mut out)?;
    out.flush().map_err(write)?;
    drop(out);
    open_to_others(temporary.as_file()).map_err(write)?;
    temporary.persist(path).map_err(|error| write(error.error))?;
    Ok(())
}

/// Temporary files are private; a result should be as readable as any file its owner makes.
#[cfg(unix)]
fn open_to_others(file: &File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn open_to_others(_: &File) -> io::Result<()> {
    Ok(())
}

/// A table being written row by row: `NAME.part`, each row flushed, until [`PartFile::finish`] renames it.
#[derive(Debug)]
pub(super) struct PartFile {
    pub(super) path: PathBuf,
    part: PathBuf,
    out: csv::Writer<File>,
}

impl PartFile {
    pub(super) fn create(path: &Path, header: &[String]) -> Result<Self, RunError> {
        let part = part_path(path);
        let file = File::create(&part).map_err(RunError::io("write", &part))?;
        let mut file = Self { path: path.to_owned(), part, out: csv_writer(file) };
        file.push(header)?;
        Ok(file)
    }

    /// Goes on behind the complete lines of what an interrupted run left.
    pub(super) fn append(path: &Path) -> Result<Self, RunError> {
        let part = part_path(path);
        let file = File::options().append(true).open(&part).map_err(RunError::io("write", &part))?;
        Ok(Self { path: path.to_owned(), part, out: csv_writer(file) })
    }

    pub(super) fn push<S: AsRef<[u8]>>(&mut self, fields: &[S]) -> Result<(), RunError> {
        let write = |error: csv::Error| RunError::io("write", &self.part)(error.into());
        self.out.write_record(fields).map_err(write)?;
        self.out.flush().map_err(RunError::io("write", &self.part))
    }

    pub(super) fn finish(mut self) -> Result<(), RunError> {
        self.out.flush().map_err(RunError::io("write", &self.part))?;
        fs::rename(&self.part, &self.path).map_err(RunError::io("write", &self.path))
    }
}

/// Where the rows of an unfinished table are.
pub(super) fn part_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".part");
    PathBuf::from(name)
}

/// Removes a last line that does not end, as an interruption may leave; false if there is no file, or no line.
pub(super) fn drop_cut_line(part: &Path) -> Result<bool, RunError> {
    let mut file = match File::options().read(true).write(true).open(part) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(RunError::io("read", part)(error)),
    };
    let end = last_line_end(&mut file).map_err(RunError::io("read", part))?;
    file.set_len(end).map_err(RunError::io("write", part))?;
    Ok(end > 0)
}

/// Bytes up to and including the last line end.
fn last_line_end(file: &mut File) -> io::Result<u64> {
    let (mut at, mut end) = (0u64, 0u64);
    let mut block = vec![0u8; 1 << 16];
    loop {
        let read = file.read(&mut block)?;
        if read == 0 {
            return Ok(end);
        }
        if let Some(last) = block[..read].iter().rposition(|&byte| byte == b'\n') {
            end = at + last as u64 + 1;
        }
        at += read as u64;
    }
}

pub(super) fn csv_writer<W: Write>(out: W) -> csv::Writer<W> {
    csv::WriterBuilder::new().terminator(csv::Terminator::Any(b'\n')).from_writer(out)
}

pub(super) fn open(path: &Path) -> Result<File, RunError> {
    let file = File::open(path).map_err(RunError::io("read", path))?;
    let bytes = file.metadata().map_err(RunError::io("read", path))?.len();
    if bytes > MAX_BYTES {
        return Err(RunError::TooLarge { path: path.to_owned(), bytes, limit: MAX_BYTES });
    }
    Ok(file)
}

/// The whole of a small file.
pub(super) fn read_bytes(path: &Path, limit: u64) -> Result<Vec<u8>, RunError> {
    let file = File::open(path).map_err(RunError::io("read", path))?;
    let mut bytes = Vec::new();
    // one more than the limit, so that a pipe or a growing file is noticed too
    file.take(limit + 1).read_to_end(&mut bytes).map_err(RunError::io("read", path))?;
    if bytes.len() as u64 > limit {
        return Err(RunError::TooLarge { path: path.to_owned(), bytes: bytes.len() as u64, limit });
    }
    Ok(bytes)
}

pub(super) fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, RunError> {
    let bytes = read_bytes(path, MAX_JSON_BYTES)?;
    serde_json::from_slice(&bytes).map_err(|source| RunError::Json { path: path.to_owned(), source })
}

pub(super) fn write_json<T: serde::Serialize>(path: &Path, value: &T) -> Result<(), RunError> {
    let json = |source| RunError::Json { path: path.to_owned(), source };
    // made first, so that a value that is no JSON leaves no file
    let mut text = serde_json::to_vec_pretty(value).map_err(json)?;
    text.push(b'\n');
    write_whole(path, |out| out.write_all(&text).map_err(RunError::io("write", path)))
}
