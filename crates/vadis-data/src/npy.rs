//! NumPy `.npy` files (format 1 to 3), read as streams.
//!
//! Own code rather than a crate's, because pixel masks must be read plane by plane and because a
//! declared shape must never be allocated before the data is there. Source: NumPy, *NEP 1* and
//! `numpy.lib.format`. Read are C-ordered (or one-dimensional) arrays of booleans, integers and
//! floats of either byte order.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

const MAX_HEADER: usize = 1 << 16;
const MAX_DIMS: usize = 32;
/// Most values read into memory at once: 64 Mi, more than any plane or label vector has.
const MAX_VALUES: u64 = 1 << 26;
const CHUNK: usize = 1 << 16;

/// Why a `.npy` file could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NpyError {
    /// The magic string or the header is not NumPy's.
    #[error("not a .npy file: {0}")]
    NotNpy(&'static str),
    /// Elements of a type that is not read.
    #[error("elements of type `{0}` are not read (booleans, integers and floats are)")]
    Type(String),
    /// A multi-dimensional array in Fortran order.
    #[error("a Fortran-ordered array of shape {0:?} is not read")]
    Fortran(Vec<usize>),
    /// The shape is not one that is meant here.
    #[error("shape {got:?} where {expected} was expected")]
    Shape {
        /// The array's shape.
        got: Vec<usize>,
        /// What was expected.
        expected: &'static str,
    },
    /// The array, or one plane of it, is too large.
    #[error("{values} values at once exceed the limit of {limit}")]
    TooLarge {
        /// Values declared.
        values: u64,
        /// The limit.
        limit: u64,
    },
    /// The file ends before its array does.
    #[error("cut short at byte {at}: {needed} more bytes were expected")]
    Truncated {
        /// The file's end.
        at: u64,
        /// Bytes missing.
        needed: u64,
    },
    /// The system's reason.
    #[error("cannot be read at byte {at}: {source}")]
    Read {
        /// Where.
        at: u64,
        /// The reason.
        source: io::Error,
    },
}

/// An opened array: its shape is known, its values are read when asked for.
pub struct NpyFile<R> {
    reader: R,
    at: u64,
    shape: Vec<usize>,
    kind: ElementType,
}

#[derive(Debug, Clone, Copy)]
struct ElementType {
    width: usize,
    big: bool,
    /// Takes little-endian bytes.
    decode: fn(&[u8]) -> f64,
}

impl NpyFile<BufReader<File>> {
    /// Opens a file and reads its header.
    ///
    /// # Errors
    /// [`NpyError`] where it is no `.npy` file or of a kind not read.
    pub fn open(path: &Path) -> Result<Self, NpyError> {
        let file = File::open(path).map_err(|source| NpyError::Read { at: 0, source })?;
        Self::new(BufReader::new(file))
    }
}

impl<R: Read> NpyFile<R> {
    /// Reads the header from a stream.
    ///
    /// # Errors
    /// As [`open`](NpyFile::open).
    pub fn new(reader: R) -> Result<Self, NpyError> {
        let kind = ElementType { width: 1, big: false, decode: |b| f64::from(b[0]) };
        let mut file = Self { reader, at: 0, shape: Vec::new(), kind };
        let mut start = [0; 8];
        file.fill(&mut start)?;
        if &start[..6] != b"\x93NUMPY" {
            return Err(NpyError::NotNpy("the magic string is missing"));
        }
        let length = match start[6] {
            1 => {
                let mut two = [0; 2];
                file.fill(&mut two)?;
                usize::from(u16::from_le_bytes(two))
            }
            2 | 3 => {
                let mut four = [0; 4];
                file.fill(&mut four)?;
                u32::from_le_bytes(four) as usize
            }
            _ => return Err(NpyError::NotNpy("unknown format version")),
        };
        if length > MAX_HEADER {
            return Err(NpyError::NotNpy("the header is too long"));
        }
        let mut header = vec![0; length];
        file.fill(&mut header)?;
        let header = String::from_utf8_lossy(&header).into_owned();
        file.kind =
            element_type(text_field(&header, "descr").ok_or(NpyError::NotNpy("the header has no descr"))?)?;
        file.shape = shape(&header).ok_or(NpyError::NotNpy("the header has no shape"))?;
        let fortran = header
            .split_once("'fortran_order'")
            .is_some_and(|(_, r)| r.trim_start_matches([':', ' ']).starts_with("True"));
        if fortran && file.shape.iter().filter(|&&d| d > 1).count() > 1 {
            return Err(NpyError::Fortran(file.shape));
        }
        Ok(file)
    }

    /// The array's dimensions, last fastest.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Reads an array of one dimension; dimensions of 1 around it are ignored.
    ///
    /// # Errors
    /// [`NpyError`] where it has more dimensions, is too large or cut short.
    pub fn vector(mut self) -> Result<Vec<f64>, NpyError> {
        if self.shape.iter().filter(|&&d| d != 1).count() > 1 {
            return Err(NpyError::Shape { got: self.shape, expected: "one dimension" });
        }
        let count = self.shape.iter().map(|&d| d as u64).product();
        self.values(count)
    }

    /// Streams a `[planes, height, width]` array, one plane in memory at a time.
    ///
    /// # Errors
    /// [`NpyError::Shape`] where it has not three dimensions.
    pub fn planes(self) -> Result<NpyPlanes<R>, NpyError> {
        match self.shape[..] {
            [planes, height, width] => {
                // Empty planes hold nothing to visit, however many are declared.
                let left = if height == 0 || width == 0 { 0 } else { planes };
                Ok(NpyPlanes { file: self, height, width, left })
            }
            _ => Err(NpyError::Shape { got: self.shape, expected: "[frames, height, width]" }),
        }
    }

    fn values(&mut self, count: u64) -> Result<Vec<f64>, NpyError> {
        if count > MAX_VALUES {
            return Err(NpyError::TooLarge { values: count, limit: MAX_VALUES });
        }
        let width = self.kind.width;
        let mut left = count as usize * width;
        let mut buffer = vec![0; CHUNK.min(left)];
        let mut values = Vec::new();
        while left > 0 {
            // Chunks are a multiple of every width, so no value is split.
            let now = CHUNK.min(left);
            self.fill(&mut buffer[..now])?;
            if self.kind.big {
                buffer[..now].chunks_exact_mut(width).for_each(<[u8]>::reverse);
            }
            values.extend(buffer[..now].chunks_exact(width).map(self.kind.decode));
            left -= now;
        }
        Ok(values)
    }

    fn fill(&mut self, buffer: &mut [u8]) -> Result<(), NpyError> {
        let mut done = 0;
        while done < buffer.len() {
            match self.reader.read(&mut buffer[done..]) {
                Ok(0) => {
                    return Err(NpyError::Truncated { at: self.at, needed: (buffer.len() - done) as u64 });
                }
                Ok(n) => {
                    done += n;
                    self.at += n as u64;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(NpyError::Read { at: self.at, source }),
            }
        }
        Ok(())
    }
}

/// The planes of an array, from [`NpyFile::planes`]; each has `height * width` values, rows top to bottom.
pub struct NpyPlanes<R> {
    file: NpyFile<R>,
    height: usize,
    width: usize,
    left: usize,
}

impl<R> NpyPlanes<R> {
    /// Height and width of a plane.
    pub fn size(&self) -> (usize, usize) {
        (self.height, self.width)
    }

    /// Planes not yet read.
    pub fn left(&self) -> usize {
        self.left
    }
}

impl<R: Read> Iterator for NpyPlanes<R> {
    type Item = Result<Vec<f64>, NpyError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let plane = self.file.values((self.height as u64).saturating_mul(self.width as u64));
        if plane.is_err() {
            self.left = 0;
        }
        Some(plane)
    }
}

/// The quoted value of a key in the header's dictionary.
fn text_field<'a>(header: &'a str, key: &str) -> Option<&'a str> {
    let (_, rest) = header.split_once(&format!("'{key}'"))?;
    let (_, rest) = rest.split_once(':')?;
    rest.trim_start().strip_prefix('\'')?.split('\'').next()
}

fn shape(header: &str) -> Option<Vec<usize>> {
    let (_, rest) = header.split_once("'shape'")?;
    let (_, rest) = rest.split_once('(')?;
    let (inside, _) = rest.split_once(')')?;
    let parts = inside.split(',').map(str::trim).filter(|p| !p.is_empty());
    let dims: Vec<usize> = parts.map(|p| p.trim_end_matches('L').parse().ok()).collect::<Option<_>>()?;
    let product = dims.iter().try_fold(1_usize, |product, &dim| product.checked_mul(dim))?;
    (dims.len() <= MAX_DIMS && product <= 1 << 48).then_some(dims)
}

fn element_type(descr: &str) -> Result<ElementType, NpyError> {
    let unknown = || NpyError::Type(descr.chars().take(40).collect());
    let mut chars = descr.chars();
    let big = match chars.next() {
        Some('<' | '|' | '=') => false,
        Some('>') => true,
        _ => return Err(unknown()),
    };
    let (width, decode): (usize, fn(&[u8]) -> f64) = match chars.as_str() {
        "b1" | "u1" => (1, |b| f64::from(b[0])),
        "i1" => (1, |b| f64::from(b[0] as i8)),
        "u2" => (2, |b| f64::from(u16::from_le_bytes([b[0], b[1]]))),
        "i2" => (2, |b| f64::from(i16::from_le_bytes([b[0], b[1]]))),
        "u4" => (4, |b| f64::from(u32::from_le_bytes([b[0], b[1], b[2], b[3]]))),
        "i4" => (4, |b| f64::from(i32::from_le_bytes([b[0], b[1], b[2], b[3]]))),
        "f4" => (4, |b| f64::from(f32::from_le_bytes([b[0], b[1], b[2], b[3]]))),
        "u8" => (8, |b| eight(b) as f64),
        "i8" => (8, |b| eight(b) as i64 as f64),
        "f8" => (8, |b| f64::from_bits(eight(b))),
        _ => return Err(unknown()),
    };
    Ok(ElementType { width, big, decode })
}

fn eight(b: &[u8]) -> u64 {
    u64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]])
}
