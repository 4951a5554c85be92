//! Pixel masks, one frame in memory at a time.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use vadis_video::Mask;

use crate::error::DataError;
use crate::mat::{Cells, MatError, MatFile, Numeric, Value};
use crate::npy::{NpyFile, NpyPlanes};

/// Widest and highest mask decoded.
const MAX_SIDE: u32 = 16_384;
/// Memory one picture's decoding may take.
const MAX_ALLOC: u64 = 512 << 20;

/// Where a clip's pixel masks are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum MaskSource {
    /// There are none.
    #[default]
    None,
    /// A picture a frame, in order; set where not black.
    Images(Vec<PathBuf>),
    /// A `.mat` file with a cell a frame in `volLabel`; set where not 0.
    Cells(PathBuf),
    /// A `.npy` file of `[frames, height, width]`; set where not 0.
    Planes(PathBuf),
    /// A picture a frame whose values are object numbers; set where an object listed for the frame is.
    Objects {
        /// The pictures in order.
        images: Vec<PathBuf>,
        /// The abnormal objects.
        tracks: Vec<Track>,
    },
}

/// An object that is abnormal over a range of frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Track {
    /// Its value in the object maps, 1 to 255.
    pub object: u8,
    /// First frame, from 0.
    pub start: u64,
    /// Last frame, inclusive.
    pub end: u64,
}

/// A clip's masks in frame order; at most one is in memory. Ends after the first error.
pub struct Masks {
    stream: Stream,
    done: bool,
}

enum Stream {
    Images(std::vec::IntoIter<PathBuf>),
    Cells { path: PathBuf, cells: Cells },
    Planes { path: PathBuf, planes: NpyPlanes<BufReader<File>> },
    Objects { images: std::iter::Enumerate<std::vec::IntoIter<PathBuf>>, tracks: Vec<Track> },
}

impl Masks {
    /// `None` where the source has none.
    pub(crate) fn open(source: &MaskSource) -> Result<Option<Self>, DataError> {
        let stream = match source {
            MaskSource::None => return Ok(None),
            MaskSource::Images(images) => Stream::Images(images.clone().into_iter()),
            MaskSource::Cells(path) => {
                let cells = MatFile::open(path).and_then(|file| file.cells("volLabel")).map_err(mat(path))?;
                Stream::Cells { path: path.clone(), cells }
            }
            MaskSource::Planes(path) => {
                let npy = |source| DataError::Npy { path: path.clone(), source };
                let planes = NpyFile::open(path).map_err(npy)?.planes().map_err(npy)?;
                Stream::Planes { path: path.clone(), planes }
            }
            MaskSource::Objects { images, tracks } => {
                Stream::Objects { images: images.clone().into_iter().enumerate(), tracks: tracks.clone() }
            }
        };
        Ok(Some(Self { stream, done: false }))
    }

    /// Masks not yet read.
    pub fn left(&self) -> u64 {
        match &self.stream {
            Stream::Images(images) => images.len() as u64,
            Stream::Cells { cells, .. } => cells.left(),
            Stream::Planes { planes, .. } => planes.left() as u64,
            Stream::Objects { images, .. } => images.len() as u64,
        }
    }

    fn read(&mut self) -> Option<Result<Mask, DataError>> {
        match &mut self.stream {
            Stream::Images(images) => images.next().map(|path| picture(&path, |v| v != 0)),
            Stream::Cells { path, cells } => {
                let cell = cells.next()?;
                Some(cell.map_err(mat(path)).and_then(|value| from_cell(path, &value)))
            }
            Stream::Planes { path, planes } => {
                let (height, width) = planes.size();
                let plane = planes.next()?;
                let npy = |source| DataError::Npy { path: path.clone(), source };
                let set = |plane: Vec<f64>| plane.into_iter().map(|v| u8::from(v != 0.0)).collect();
                Some(plane.map_err(npy).map(|plane| Mask { width, height, data: set(plane) }))
            }
            Stream::Objects { images, tracks } => {
                let (frame, path) = images.next()?;
                let frame = frame as u64;
                let abnormal: Vec<u8> =
                    tracks.iter().filter(|t| (t.start..=t.end).contains(&frame)).map(|t| t.object).collect();
                Some(picture(&path, |v| abnormal.contains(&v)))
            }
        }
    }
}

impl Iterator for Masks {
    type Item = Result<Mask, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let mask = self.read();
        self.done = !matches!(mask, Some(Ok(_)));
        mask
    }
}

pub(crate) fn mat(path: &Path) -> impl FnOnce(MatError) -> DataError + '_ {
    move |source| DataError::Mat { path: path.to_owned(), source }
}

fn picture(path: &Path, set: impl Fn(u8) -> bool) -> Result<Mask, DataError> {
    let reader = image::ImageReader::open(path).and_then(image::ImageReader::with_guessed_format);
    let mut reader = reader.map_err(DataError::io(path))?;
    let mut limits = image::Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_ALLOC);
    reader.limits(limits);
    let picture = reader.decode().map_err(|source| DataError::Image { path: path.to_owned(), source })?;
    let grey = picture.into_luma8();
    let (width, height) = (grey.width() as usize, grey.height() as usize);
    Ok(Mask { width, height, data: grey.into_raw().into_iter().map(|v| u8::from(set(v))).collect() })
}

fn from_cell(path: &Path, value: &Value) -> Result<Mask, DataError> {
    let numeric = value.as_numeric().filter(|n| n.dims.len() == 2);
    numeric.map(mask_of).ok_or_else(|| DataError::unexpected(path, "a mask must be a real matrix"))
}

/// MATLAB stores columns, masks are rows.
fn mask_of(matrix: &Numeric) -> Mask {
    let (height, width) = (matrix.dims[0], matrix.dims[1]);
    let at = |row: usize, column: usize| u8::from(matrix.data[column * height + row] != 0.0);
    let data = (0..height).flat_map(|row| (0..width).map(move |column| at(row, column))).collect();
    Mask { width, height, data }
}
