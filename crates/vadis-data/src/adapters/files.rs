//! Listing folders and reading small lists.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use vadis_video::{Source, SourceKind, sort_naturally};

use crate::dataset::{Clip, ClipSource, Split};
use crate::error::DataError;

/// Largest list or annotation text read.
const MAX_TEXT: u64 = 64 << 20;
/// Entries listed in one tree at most.
const MAX_ENTRIES: usize = 5_000_000;
const MAX_DEPTH: usize = 8;
const VIDEOS: &[&str] =
    &["avi", "mp4", "mkv", "mov", "mpg", "mpeg", "wmv", "m4v", "webm", "flv", "ts", "3gp"];
const PICTURES: &[&str] = &["tif", "tiff", "png", "jpg", "jpeg", "bmp"];

/// The entries of a folder in natural order, hidden ones left out: the archives carry macOS' `._` files.
/// Empty if there is no such folder.
pub(crate) fn entries(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(DataError::io(folder))? {
        let entry = entry.map_err(DataError::io(folder))?;
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        if paths.len() == MAX_ENTRIES {
            return Err(DataError::TooManyFiles { path: folder.to_owned(), limit: MAX_ENTRIES });
        }
        paths.push(entry.path());
    }
    sort_naturally(&mut paths);
    Ok(paths)
}

/// The folders in a folder.
pub(crate) fn folders(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    Ok(entries(folder)?.into_iter().filter(|path| path.is_dir()).collect())
}

/// The pictures in a folder.
pub(crate) fn pictures(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    Ok(entries(folder)?.into_iter().filter(|path| has_ending(path, PICTURES)).collect())
}

/// The files in a folder with a given ending.
pub(crate) fn with_ending(folder: &Path, ending: &str) -> Result<Vec<PathBuf>, DataError> {
    Ok(entries(folder)?.into_iter().filter(|path| has_ending(path, &[ending])).collect())
}

/// The videos in a folder.
pub(crate) fn videos(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    Ok(entries(folder)?.into_iter().filter(|path| has_ending(path, VIDEOS)).collect())
}

/// A clip for each video and each folder of pictures in a folder, named by file or folder name.
pub(crate) fn clips(folder: &Path, split: Split) -> Result<Vec<Clip>, DataError> {
    let mut clips = Vec::new();
    for path in entries(folder)? {
        if path.is_dir() {
            let images = pictures(&path)?;
            if !images.is_empty() {
                clips.push(Clip::new(name(&path), split, ClipSource::Images(images)));
            }
        } else if has_ending(&path, VIDEOS) {
            clips.push(Clip::new(stem(&path), split, ClipSource::Video(path)));
        }
    }
    Ok(clips)
}

/// Every video below a folder (eight levels deep at most), by file name without ending.
pub(crate) fn videos_below(root: &Path) -> Result<HashMap<String, PathBuf>, DataError> {
    let mut found = HashMap::new();
    let mut left = vec![(root.to_owned(), 0)];
    while let Some((folder, depth)) = left.pop() {
        for path in entries(&folder)? {
            if path.is_dir() {
                if depth < MAX_DEPTH {
                    left.push((path, depth + 1));
                }
            } else if has_ending(&path, VIDEOS) {
                if found.len() == MAX_ENTRIES {
                    return Err(DataError::TooManyFiles { path: root.to_owned(), limit: MAX_ENTRIES });
                }
                found.insert(stem(&path), path);
            }
        }
    }
    Ok(found)
}

/// What [`vadis_video::discover_path`] finds, as clip sources with their names.
pub(crate) fn discovered(root: &Path) -> Result<Vec<(String, ClipSource)>, DataError> {
    let sources = vadis_video::discover_path(root).map_err(|e| DataError::unexpected(root, e.to_string()))?;
    let clip = |Source { name, kind }| match kind {
        SourceKind::File(path) => Some((name, ClipSource::Video(path))),
        SourceKind::Images(images) => Some((name, ClipSource::Images(images))),
        SourceKind::Stream(_) => None,
    };
    Ok(sources.into_iter().filter_map(clip).collect())
}

/// The first of `candidates` below `root` that `fits`; the empty path is `root` itself.
pub(crate) fn first(root: &Path, candidates: &[&str], fits: impl Fn(&Path) -> bool) -> Option<PathBuf> {
    candidates
        .iter()
        .map(|c| if c.is_empty() { root.to_owned() } else { root.join(c) })
        .find(|path| fits(path))
}

/// A text file whole.
pub(crate) fn text(path: &Path) -> Result<String, DataError> {
    let bytes = fs::metadata(path).map_err(DataError::io(path))?.len();
    if bytes > MAX_TEXT {
        return Err(DataError::TooLarge { path: path.to_owned(), bytes, limit: MAX_TEXT });
    }
    Ok(String::from_utf8_lossy(&fs::read(path).map_err(DataError::io(path))?).into_owned())
}

/// The lines of a text file that are not empty, trimmed, with their numbers from 1.
pub(crate) fn lines(path: &Path) -> Result<Vec<(u64, String)>, DataError> {
    let text = text(path)?;
    let numbered = text.trim_start_matches('\u{feff}').lines().zip(1..);
    Ok(numbered.map(|(line, n)| (n, line.trim().to_owned())).filter(|(_, line)| !line.is_empty()).collect())
}

/// File name with its ending.
pub(crate) fn name(path: &Path) -> String {
    path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default()
}

/// File name without its ending.
pub(crate) fn stem(path: &Path) -> String {
    path.file_stem().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default()
}

fn has_ending(path: &Path, endings: &[&str]) -> bool {
    path.extension().is_some_and(|e| endings.iter().any(|ending| e.eq_ignore_ascii_case(ending)))
}
