//! Writing files so that nobody sees half of one.

use std::io::Write as _;
use std::path::Path;

use crate::ReportError;

/// Writes to a temporary name beside the file, then renames: a reader sees the old file or the new one.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), ReportError> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let write = || -> std::io::Result<()> {
        let mut builder = tempfile::Builder::new();
        builder.prefix(".vadis-").suffix(".tmp");
        // Temporary files are for their owner only; a report is a file like any other.
        #[cfg(unix)]
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o666);
        #[cfg(unix)]
        builder.permissions(mode);
        let mut file = builder.tempfile_in(folder)?;
        file.write_all(bytes)?;
        file.persist(path)?;
        Ok(())
    };
    write().map_err(ReportError::write(path))
}

/// Removes a file that may be there.
pub(crate) fn remove(path: &Path) -> Result<(), ReportError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(ReportError::write(path)(error)),
        _ => Ok(()),
    }
}
