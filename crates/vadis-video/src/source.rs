//! What can be read: files, folders, streams, and how an argument becomes a list of them.

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::VideoError;

/// Entries walked below one folder at most.
const MAX_ENTRIES: usize = 5_000_000;
/// Folders inside folders at most.
const MAX_DEPTH: usize = 32;

const VIDEO_EXTENSIONS: &[&str] = &[
    "3g2", "3gp", "asf", "avi", "dav", "divx", "dv", "f4v", "flv", "gif", "h264", "264", "h265", "265",
    "hevc", "ivf", "m2ts", "m2v", "m4v", "mjpeg", "mjpg", "mkv", "mov", "mp4", "mpe", "mpeg", "mpg", "mts",
    "mxf", "nut", "obu", "ogm", "ogv", "qt", "rm", "rmvb", "ts", "vob", "webm", "wmv", "y4m",
];
const IMAGE_EXTENSIONS: &[&str] = &["bmp", "jpeg", "jpg", "png", "tif", "tiff"];
const STREAM_SCHEMES: &[&str] =
    &["http", "https", "rtmp", "rtmps", "rtp", "rtsp", "rtsps", "srt", "tcp", "udp"];

/// One video: a sequence of frames from one camera.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// What it is called in every table; unique within one [`discover`], without control characters.
    pub name: String,
    /// Where its frames come from.
    pub kind: SourceKind,
}

/// Where frames come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceKind {
    /// A video file.
    File(PathBuf),
    /// Still images in the order they are shown.
    Images(Vec<PathBuf>),
    /// The address of a live stream.
    Stream(String),
}

impl Source {
    /// The file at `path`, named by its stem.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        Self { name: stem(&path), kind: SourceKind::File(path) }
    }

    /// Images in the order given.
    pub fn images(name: impl Into<String>, paths: Vec<PathBuf>) -> Self {
        Self { name: name.into(), kind: SourceKind::Images(paths) }
    }

    /// Where it lies, for people: a path, the images' folder, or the address without user and password.
    pub fn location(&self) -> String {
        match &self.kind {
            SourceKind::File(path) => path.display().to_string(),
            SourceKind::Images(paths) => {
                let folder = paths.first().and_then(|p| p.parent());
                folder.map_or_else(|| self.name.clone(), |p| p.display().to_string())
            }
            SourceKind::Stream(address) => without_credentials(address),
        }
    }
}

/// The sources that a command-line argument stands for.
///
/// A stream address is one source; so is a file. A folder is searched recursively, hidden entries left out: each video
/// in it is a source, and each folder of images in which no video lies is one, its images in natural order
/// (`2.png` before `10.png`). Sources come in natural order of their paths.
///
/// # Errors
/// [`VideoError::NotFound`], [`VideoError::NothingInFolder`], [`VideoError::UnknownScheme`],
/// [`VideoError::FolderTooLarge`], or [`VideoError::Io`] where a folder cannot be listed.
pub fn discover(arg: &str) -> Result<Vec<Source>, VideoError> {
    match scheme(arg) {
        Some(_) => stream(arg).map(|s| vec![s]),
        None => discover_path(Path::new(arg)),
    }
}

/// [`discover`] for a path, which need not be UTF-8 and is never taken for an address.
///
/// # Errors
/// As [`discover`].
pub fn discover_path(path: &Path) -> Result<Vec<Source>, VideoError> {
    let meta = fs::metadata(path).map_err(|e| not_found_or(path, e))?;
    if !meta.is_dir() {
        let kind = match has_extension(path, IMAGE_EXTENSIONS) {
            true => SourceKind::Images(vec![path.to_path_buf()]),
            false => SourceKind::File(path.to_path_buf()),
        };
        return Ok(vec![Source { name: stem(path), kind }]);
    }
    let mut walk = Walk { root: path, entries: 0, seen: HashSet::new(), found: Vec::new() };
    walk.folder(path, 0)?;
    if walk.found.is_empty() {
        return Err(VideoError::NothingInFolder { path: path.to_path_buf() });
    }
    Ok(named(path, walk.found))
}

/// Orders names as people do: runs of digits by their number, the rest by character, so `a2` before `a10`.
///
/// Total and consistent: names whose numbers are equal (`a01`, `a1`) fall back to their plain order.
pub fn natural_cmp(a: &str, b: &str) -> Ordering {
    let (mut x, mut y) = (a, b);
    loop {
        let (Some(cx), Some(cy)) = (x.chars().next(), y.chars().next()) else {
            return x.len().cmp(&y.len()).then_with(|| a.cmp(b));
        };
        let order = if cx.is_ascii_digit() && cy.is_ascii_digit() {
            let (dx, rest_x) = split_digits(x);
            let (dy, rest_y) = split_digits(y);
            (x, y) = (rest_x, rest_y);
            dx.len().cmp(&dy.len()).then_with(|| dx.cmp(dy))
        } else {
            (x, y) = (&x[cx.len_utf8()..], &y[cy.len_utf8()..]);
            cx.cmp(&cy)
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

/// The leading digits without their leading zeros, and what follows.
fn split_digits(s: &str) -> (&str, &str) {
    let end = s.find(|c: char| !c.is_ascii_digit()).unwrap_or(s.len());
    (s[..end].trim_start_matches('0'), &s[end..])
}

/// The address with `user:password@` taken out; anything else as it is.
pub fn without_credentials(address: &str) -> String {
    let Some((scheme, rest)) = address.split_once("://") else { return address.to_owned() };
    let host_end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    match rest[..host_end].rfind('@') {
        Some(at) => format!("{scheme}://{}", &rest[at + 1..]),
        None => address.to_owned(),
    }
}

/// The scheme of an address, in lower case, if the argument is one.
pub(crate) fn scheme(arg: &str) -> Option<String> {
    let (scheme, _) = arg.split_once("://")?;
    let valid = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    valid.then(|| scheme.to_ascii_lowercase())
}

/// A source for a stream address, refused unless its scheme is a network protocol.
pub(crate) fn stream(address: &str) -> Result<Source, VideoError> {
    let scheme = scheme(address).unwrap_or_default();
    let shown = without_credentials(address);
    if !STREAM_SCHEMES.contains(&scheme.as_str()) || address.contains(char::is_control) {
        return Err(VideoError::UnknownScheme { address: clean(&shown), scheme });
    }
    let name = shown.split_once("://").map_or(shown.as_str(), |(_, rest)| rest);
    let name = name.split(['?', '#']).next().unwrap_or(name).trim_end_matches('/');
    Ok(Source { name: clean(name), kind: SourceKind::Stream(address.to_owned()) })
}

struct Walk<'a> {
    root: &'a Path,
    entries: usize,
    seen: HashSet<PathBuf>,
    found: Vec<SourceKind>,
}

impl Walk<'_> {
    fn folder(&mut self, folder: &Path, depth: usize) -> Result<(), VideoError> {
        let canonical = folder.canonicalize().map_err(|e| not_found_or(folder, e))?;
        // A link to a folder above would be walked for ever.
        if depth > MAX_DEPTH || !self.seen.insert(canonical) {
            return Ok(());
        }
        let (mut videos, mut images) = (Vec::new(), Vec::new());
        for path in self.list(folder)? {
            if path.is_dir() {
                self.folder(&path, depth + 1)?;
            } else if has_extension(&path, VIDEO_EXTENSIONS) {
                videos.push(path);
            } else if has_extension(&path, IMAGE_EXTENSIONS) {
                images.push(path);
            }
        }
        if videos.is_empty() && !images.is_empty() {
            self.found.push(SourceKind::Images(images));
        }
        self.found.extend(videos.into_iter().map(SourceKind::File));
        Ok(())
    }

    /// What lies in a folder, hidden entries (also macOS' `._` companions) left out, in natural order.
    fn list(&mut self, folder: &Path) -> Result<Vec<PathBuf>, VideoError> {
        let failed = |e| VideoError::io(format!("list {}", folder.display()), e);
        let mut paths = Vec::new();
        for entry in fs::read_dir(folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            self.entries += 1;
            if self.entries > MAX_ENTRIES {
                return Err(VideoError::FolderTooLarge { path: self.root.to_path_buf(), limit: MAX_ENTRIES });
            }
            if !entry.file_name().as_encoded_bytes().starts_with(b".") {
                paths.push(entry.path());
            }
        }
        sort_naturally(&mut paths);
        Ok(paths)
    }
}

/// Sorts paths by [`natural_cmp`] of what they display as, then by their bytes.
pub fn sort_naturally(paths: &mut [PathBuf]) {
    paths.sort_by_cached_key(|p| NaturalKey(p.to_string_lossy().into_owned(), p.clone()));
}

#[derive(PartialEq, Eq)]
struct NaturalKey(String, PathBuf);

impl Ord for NaturalKey {
    fn cmp(&self, other: &Self) -> Ordering {
        natural_cmp(&self.0, &other.0).then_with(|| self.1.cmp(&other.1))
    }
}

impl PartialOrd for NaturalKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Names by path below `root`: without extension where that is unique, else with it, else numbered.
fn named(root: &Path, mut kinds: Vec<SourceKind>) -> Vec<Source> {
    kinds.sort_by_cached_key(|k| {
        let path = place(k).to_path_buf();
        NaturalKey(path.to_string_lossy().into_owned(), path)
    });
    let short: Vec<String> = kinds.iter().map(|k| below(root, &short_path(k))).collect();
    let mut uses: HashMap<&str, usize> = HashMap::new();
    for name in &short {
        *uses.entry(name).or_default() += 1;
    }
    let wanted: Vec<String> = (kinds.iter().zip(&short))
        .map(|(kind, name)| if uses[name.as_str()] == 1 { name.clone() } else { below(root, place(kind)) })
        .collect();
    let mut taken = HashSet::new();
    let unique = wanted.into_iter().map(|name| {
        let mut tried = (1..).map(|n| if n == 1 { name.clone() } else { format!("{name} ({n})") });
        // The iterator is endless, so the fallback is never used.
        tried.find(|n| taken.insert(n.clone())).unwrap_or_default()
    });
    unique.zip(kinds).map(|(name, kind)| Source { name, kind }).collect()
}

/// The file, or the folder of the images.
fn place(kind: &SourceKind) -> &Path {
    match kind {
        SourceKind::File(path) => path,
        SourceKind::Images(paths) => paths.first().and_then(|p| p.parent()).unwrap_or(Path::new("")),
        SourceKind::Stream(address) => Path::new(address),
    }
}

fn short_path(kind: &SourceKind) -> PathBuf {
    match kind {
        SourceKind::File(path) => path.with_extension(""),
        other => place(other).to_path_buf(),
    }
}

/// `path` from `root` on, `/` between its parts; the root's own name for the root itself.
fn below(root: &Path, path: &Path) -> String {
    let inner = path.strip_prefix(root).unwrap_or(path);
    if inner.as_os_str().is_empty() {
        let root = root.canonicalize().unwrap_or_else(|_| root.to_path_buf());
        return clean(&root.file_name().unwrap_or(root.as_os_str()).to_string_lossy());
    }
    let parts: Vec<_> = inner.components().map(|c| c.as_os_str().to_string_lossy()).collect();
    clean(&parts.join("/"))
}

fn stem(path: &Path) -> String {
    let name = path.file_stem().or_else(|| path.file_name()).unwrap_or(path.as_os_str());
    clean(&name.to_string_lossy())
}

/// Control characters have no place in a table, a terminal or a page.
fn clean(name: &str) -> String {
    name.chars().map(|c| if c.is_control() { '_' } else { c }).collect()
}

fn has_extension(path: &Path, list: &[&str]) -> bool {
    let extension = path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase());
    extension.is_some_and(|e| list.contains(&e.as_str()))
}

fn not_found_or(path: &Path, error: std::io::Error) -> VideoError {
    match error.kind() {
        std::io::ErrorKind::NotFound => VideoError::NotFound { path: path.to_path_buf() },
        _ => VideoError::io(format!("open {}", path.display()), error),
    }
}
