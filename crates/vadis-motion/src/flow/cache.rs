//! Flows kept on disk, so that each pair of pictures is computed once.
//!
//! A file is named by what it was computed from (SHA-256 of both pictures and the settings), so that it can never be
//! taken for another pair's. Little-endian: `VDSFLOW1`, width and height (u32), the quantum q in pixels (f32), u
//! and v as multiples of q (i16), and the first 8 bytes of the SHA-256 of all that.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};
use thiserror::Error;
use vadis_video::Frame;

use super::{FlowField, TvL1, TvL1Config};
use crate::MotionError;

const MAGIC: &[u8; 8] = b"VDSFLOW1";
const HEADER: usize = MAGIC.len() + 3 * 4;
const CHECKSUM: usize = 8;
const EXTENSION: &str = "flow";
const PART: &str = "part";
/// Age at which a temporary file belongs to a process that has been killed.
const ABANDONED: Duration = Duration::from_secs(3600);
/// Part of the limit that is kept when it is exceeded, so that the folder is not read at each new flow.
const KEPT: f64 = 0.9;

/// Why a flow could not be had from a cache.
#[derive(Debug, Error)]
pub enum FlowCacheError {
    /// The flow could not be computed.
    #[error(transparent)]
    Motion(#[from] MotionError),
    /// The folder or a file in it could not be read, written or removed.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

impl FlowCacheError {
    fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        |source| Self::Io { path: path.to_owned(), source }
    }
}

/// A folder of flows, bounded in size: the oldest are removed first.
///
/// Components are held as 16-bit multiples of 1/32767 of the largest, and are returned so rounded when they are
/// first computed too: a flow has the same bits whether it comes from the folder or not. Threads and processes may
/// share a folder, as files appear whole or not at all; a file that is cut short or damaged is computed anew.
#[derive(Debug)]
pub struct FlowCache {
    folder: PathBuf,
    limit: u64,
    /// Bytes in the folder, as far as this process knows.
    held: Mutex<u64>,
}

impl FlowCache {
    /// Opens or makes the folder; `limit` is the most bytes that its flows may take. Flows beyond it are removed.
    ///
    /// # Errors
    /// [`FlowCacheError::Io`] if the folder cannot be made, read or cleared.
    pub fn open(folder: impl Into<PathBuf>, limit: u64) -> Result<Self, FlowCacheError> {
        let folder = folder.into();
        fs::create_dir_all(&folder).map_err(FlowCacheError::io(&folder))?;
        let cache = Self { folder, limit, held: Mutex::new(0) };
        *cache.held.lock().unwrap_or_else(PoisonError::into_inner) = cache.clear(limit)?;
        Ok(cache)
    }

    /// The flow from `before` to `after`, from the folder or else by `flows`, and then kept.
    ///
    /// # Errors
    /// [`FlowCacheError::Motion`] as [`TvL1::flow`]; [`FlowCacheError::Io`] if a new flow cannot be kept.
    pub fn flow(&self, flows: &mut TvL1, before: &Frame, after: &Frame) -> Result<FlowField, FlowCacheError> {
        let path = self.folder.join(key(flows.config(), before, after)).with_extension(EXTENSION);
        if let Some(flow) = read(&path, before.width, before.height) {
            return Ok(flow);
        }
        let mut flow = flows.flow(before, after)?;
        let quantum = quantise(&mut flow);
        self.keep(&path, &encode(&flow, quantum))?;
        Ok(flow)
    }

    /// Writes a file at once, and removes the oldest if there are too many.
    fn keep(&self, path: &Path, bytes: &[u8]) -> Result<(), FlowCacheError> {
        let size = bytes.len() as u64;
        if size > self.limit {
            return Ok(());
        }
        let temporary = tempfile::Builder::new().suffix(&format!(".{PART}")).tempfile_in(&self.folder);
        let mut temporary = temporary.map_err(FlowCacheError::io(&self.folder))?;
        temporary.write_all(bytes).map_err(FlowCacheError::io(path))?;
        temporary.persist(path).map_err(|error| FlowCacheError::io(path)(error.error))?;
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        *held += size;
        if *held > self.limit {
            *held = self.clear((self.limit as f64 * KEPT) as u64)?;
        }
        Ok(())
    }

    /// Removes the oldest flows, until those left take at most `limit` bytes; what they take.
    fn clear(&self, limit: u64) -> Result<u64, FlowCacheError> {
        let mut files = self.files()?;
        files.sort();
        let mut held = files.iter().map(|(_, _, size)| size).sum();
        for (_, path, size) in files {
            if held <= limit {
                break;
            }
            remove(&path)?;
            held -= size;
        }
        Ok(held)
    }

    /// Time, path and size of each flow; temporary files of processes that were killed are removed on the way.
    fn files(&self) -> Result<Vec<(SystemTime, PathBuf, u64)>, FlowCacheError> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(FlowCacheError::io(&self.folder))? {
            let path = entry.map_err(FlowCacheError::io(&self.folder))?.path();
            // Another process may have removed it since.
            let Ok(about) = path.symlink_metadata() else { continue };
            let time = about.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            match path.extension().and_then(|extension| extension.to_str()) {
                Some(EXTENSION) if about.is_file() => files.push((time, path, about.len())),
                Some(PART) if time.elapsed().is_ok_and(|age| age > ABANDONED) => remove(&path)?,
                _ => {}
            }
        }
        Ok(files)
    }
}

fn remove(path: &Path) -> Result<(), FlowCacheError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(FlowCacheError::io(path)(error)),
        _ => Ok(()),
    }
}

/// The name of a pair's flow.
fn key(config: &TvL1Config, before: &Frame, after: &Frame) -> String {
    let mut hash = Sha256::new_with_prefix(format!("{config:?}"));
    for frame in [before, after] {
        hash.update(format!("{}×{} {:?}", frame.width, frame.height, frame.colour));
        hash.update(&frame.data);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM] {
    std::array::from_fn(|i| Sha256::digest(bytes)[i])
}

fn file_size(width: usize, height: usize) -> Option<usize> {
    width.checked_mul(height)?.checked_mul(4)?.checked_add(HEADER + CHECKSUM)
}

/// Rounds a flow to multiples of 1/32767 of its largest component, which is returned.
fn quantise(flow: &mut FlowField) -> f32 {
    let largest = flow.u.iter().chain(&flow.v).fold(0.0_f32, |largest, value| largest.max(value.abs()));
    let quantum = largest / f32::from(i16::MAX);
    flow.u
        .iter_mut()
        .chain(&mut flow.v)
        .for_each(|value| *value = f32::from(multiple(*value, quantum)) * quantum);
    quantum
}

/// How many quanta a value is; 0 / 0, where nothing moves, is cast to 0.
fn multiple(value: f32, quantum: f32) -> i16 {
    (value / quantum).round() as i16
}

fn encode(flow: &FlowField, quantum: f32) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(file_size(flow.width, flow.height).unwrap_or(0));
    bytes.extend_from_slice(MAGIC);
    for side in [flow.width, flow.height] {
        bytes.extend_from_slice(&(side as u32).to_le_bytes());
    }
    bytes.extend_from_slice(&quantum.to_le_bytes());
    for &value in flow.u.iter().chain(&flow.v) {
        bytes.extend_from_slice(&multiple(value, quantum).to_le_bytes());
    }
    bytes.extend_from_slice(&checksum(&bytes));
    bytes
}

/// The flow in a file of exactly this size; `None` if it is not one.
fn decode(bytes: &[u8], width: usize, height: usize) -> Option<FlowField> {
    let (body, sum) = bytes.split_last_chunk::<CHECKSUM>()?;
    let (header, values) = body.split_first_chunk::<HEADER>()?;
    let expected = [&MAGIC[..], &(width as u32).to_le_bytes(), &(height as u32).to_le_bytes()].concat();
    if bytes.len() != file_size(width, height)? || !header.starts_with(&expected) || checksum(body) != *sum {
        return None;
    }
    let quantum = f32::from_le_bytes(*header.last_chunk()?);
    let mut values = values.as_chunks().0.iter().map(|&v| f32::from(i16::from_le_bytes(v)) * quantum);
    let u = values.by_ref().take(width * height).collect();
    Some(FlowField { width, height, u, v: values.collect() })
}

/// The flow in a file, whose size is looked at before anything is read.
fn read(path: &Path, width: usize, height: usize) -> Option<FlowField> {
    let size = fs::metadata(path).ok()?.len();
    if size != file_size(width, height)? as u64 {
        return None;
    }
    decode(&fs::read(path).ok()?, width, height)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn field(values: &[(f32, f32)], width: usize) -> FlowField {
        let (u, v) = values.iter().copied().unzip();
        FlowField { width, height: values.len() / width, u, v }
    }

    fn encoded(flow: &FlowField) -> (FlowField, Vec<u8>) {
        let mut rounded = flow.clone();
        let quantum = quantise(&mut rounded);
        let bytes = encode(&rounded, quantum);
        (rounded, bytes)
    }

    proptest! {
        #[test]
        fn what_was_rounded_and_written_is_read(
            values in prop::collection::vec((-40.0..40.0_f32, -40.0..40.0_f32), 12),
        ) {
            let flow = field(&values, 4);
            let (rounded, bytes) = encoded(&flow);
            for (a, b) in flow.u.iter().chain(&flow.v).zip(rounded.u.iter().chain(&rounded.v)) {
                prop_assert!((a - b).abs() <= 40.0 / 32767.0 * 0.51);
            }
            prop_assert_eq!(decode(&bytes, 4, 3), Some(rounded));
        }

        #[test]
        fn a_changed_or_shortened_file_is_refused(at in 0_usize..76, change in 1_u8..=255, len in 0_usize..76) {
            let mut bytes = encoded(&field(&[(1.0, 2.0); 12], 4)).1;
            prop_assert_eq!(bytes.len(), 76);
            prop_assert!(decode(&bytes[..len], 4, 3).is_none());
            bytes[at] ^= change;
            prop_assert!(decode(&bytes, 4, 3).is_none());
        }
    }

    #[test]
    fn no_motion_stays_none() {
        let still = field(&[(0.0, 0.0); 6], 3);
        assert_eq!(decode(&encoded(&still).1, 3, 2), Some(still));
    }

    #[test]
    fn a_flow_of_another_size_is_refused() {
        assert_eq!(decode(&encoded(&field(&[(1.0, 0.0); 6], 3)).1, 2, 3), None);
    }
}
