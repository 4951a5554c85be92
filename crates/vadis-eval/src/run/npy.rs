//! Scores of one video from a NumPy file.

use std::path::Path;

use ndarray_npy::npy::header::Header;

use super::file::read_bytes;
use super::{RunError, ScoreRow, ScoreTable, VideoScores};

/// The most bytes that are read: 64 million frames of `float64`.
const MAX_BYTES: u64 = 512 << 20;
/// NumPy writes 128 bytes of header for such an array; the parser below recurses over brackets.
const MAX_HEADER: usize = 1024;
const MAX_BRACKETS: usize = 16;

impl ScoreTable {
    /// Reads the scores of one video, a frame each, from a `.npy` file: `float32` or `float64`, of either byte
    /// order, shape `[n]` or `[n, 1]`. The video has the file's name without its ending; times are frame numbers, and
    /// `causal` repeats `score`.
    ///
    /// # Errors
    /// Another shape or type, a file that was cut off, or a score that is not finite.
    pub fn read_npy(path: &Path) -> Result<Self, RunError> {
        let bytes = read_bytes(path, MAX_BYTES)?;
        Self::parse_npy(&bytes, path)
    }

    /// As [`ScoreTable::read_npy`], from memory; `name` is what errors call it and the video is named after.
    ///
    /// # Errors
    /// As [`ScoreTable::read_npy`].
    pub fn parse_npy(bytes: &[u8], name: &Path) -> Result<Self, RunError> {
        let scores = decode(bytes).map_err(|why| RunError::Npy { path: name.to_owned(), why })?;
        let rows = scores.into_iter().enumerate().map(|(i, score)| ScoreRow {
            frame: i as u64,
            time_s: i as f64,
            score,
            causal: score,
            edge: false,
            indicators: Vec::new(),
        });
        let video = name.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
        Ok(Self { indicators: Vec::new(), videos: vec![VideoScores { video, rows: rows.collect() }] })
    }
}

/// One element from its bytes.
type Decode = fn(&[u8]) -> Option<f64>;

fn decode(bytes: &[u8]) -> Result<Vec<f64>, String> {
    check_header_size(bytes)?;
    let mut rest = bytes;
    let header = Header::from_reader(&mut rest).map_err(|error| format!("not a .npy file: {error}"))?;
    let length = match header.shape[..] {
        [n] | [n, 1] => n,
        _ => return Err(format!("expected the shape [n] or [n, 1], found {:?}", header.shape)),
    };
    let kind = header.type_descriptor.as_string().map_or("", String::as_str);
    let (size, read): (usize, Decode) = match kind {
        "<f8" => (8, |b| Some(f64::from_le_bytes(b.try_into().ok()?))),
        ">f8" => (8, |b| Some(f64::from_be_bytes(b.try_into().ok()?))),
        "<f4" => (4, |b| Some(f32::from_le_bytes(b.try_into().ok()?).into())),
        ">f4" => (4, |b| Some(f32::from_be_bytes(b.try_into().ok()?).into())),
        _ => return Err(format!("expected float32 or float64, found {}", header.type_descriptor)),
    };
    if length.checked_mul(size) != Some(rest.len()) {
        return Err(format!(
            "its header promises {length} scores of {size} bytes, {} bytes follow",
            rest.len()
        ));
    }
    let scores = rest.chunks_exact(size).enumerate().map(|(frame, chunk)| {
        let score = read(chunk).filter(|score| score.is_finite());
        score.ok_or_else(|| format!("the score of frame {frame} is not a finite number"))
    });
    scores.collect()
}

/// Refuses a header that would make the parser allocate or recurse without measure.
fn check_header_size(bytes: &[u8]) -> Result<(), String> {
    let (from, length) = match *bytes {
        [0x93, b'N', b'U', b'M', b'P', b'Y', 1, _, a, b, ..] => (10, usize::from(u16::from_le_bytes([a, b]))),
        [0x93, b'N', b'U', b'M', b'P', b'Y', _, _, a, b, c, d, ..] => {
            (12, u32::from_le_bytes([a, b, c, d]) as usize)
        }
        _ => return Err("not a .npy file".to_owned()),
    };
    let Some(header) = bytes.get(from..).and_then(|rest| rest.get(..length)) else {
        return Err("its header is cut off".to_owned());
    };
    let brackets = header.iter().filter(|byte| b"([{".contains(byte)).count();
    if length > MAX_HEADER || brackets > MAX_BRACKETS {
        return Err("its header is not that of a plain array".to_owned());
    }
    Ok(())
}
