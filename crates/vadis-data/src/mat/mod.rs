//! MATLAB level-5 `.mat` files (versions 5 to 7), read as streams.
//!
//! Source: MathWorks, *MAT-File Format*, chapter 1 (level 5). Read are numeric, logical and character
//! arrays, cell arrays and structures, plain or zlib-compressed, in either byte order. Sparse arrays,
//! objects, function handles and complex values are recognised and reported as [`Value::Unsupported`].
//! Level 4 and level 7.3 (HDF5) files are recognised and refused.
//!
//! The files are untrusted. A declared size is checked against its parent's before it is believed,
//! memory grows with what was really read and at most to [`Limits::bytes`], decompression stops at
//! [`Limits::inflated`], and nesting at [`Limits::depth`]. Every error names the byte where it happened.

mod reader;
mod value;

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use reader::{Cursor, Element, Order};
use value::{Budget, Header};

pub use reader::Place;
pub use value::{Class, Numeric, Value};

/// Most variables a file may have.
const MAX_VARIABLES: usize = 65_536;
const HEADER_BYTES: usize = 128;

/// What a hostile file may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Deepest nesting of cells and structures.
    pub depth: usize,
    /// Bytes of memory that one call's result may take.
    pub bytes: u64,
    /// Bytes one compressed variable may inflate to.
    pub inflated: u64,
}

impl Default for Limits {
    /// 16 levels, 512 MiB in memory, 4 GiB inflated (streamed): several times the largest official file.
    fn default() -> Self {
        Self { depth: 16, bytes: 512 << 20, inflated: 4 << 30 }
    }
}

/// Why a `.mat` file could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MatError {
    /// Neither a level-5 header nor anything else known.
    #[error("not a MATLAB level-5 file")]
    NotMat,
    /// Level 7.3: HDF5 inside.
    #[error("a MATLAB 7.3 file (HDF5), which is not read")]
    Hdf5,
    /// Level 4.
    #[error("a MATLAB level-4 file, which is not read")]
    Level4,
    /// The file ends inside an element.
    #[error("cut short at {at}: {needed} more bytes were expected")]
    Truncated {
        /// Where.
        at: Place,
        /// Bytes missing.
        needed: u64,
    },
    /// A declared size or a field contradicts the format.
    #[error("malformed at {at}: {what}")]
    Malformed {
        /// Where.
        at: Place,
        /// What is wrong.
        what: String,
    },
    /// A [`Limits`] was reached.
    #[error("stopped at {at}: {what} exceeds the limit of {limit}")]
    Limit {
        /// Where.
        at: Place,
        /// Which limit.
        what: &'static str,
        /// Its value.
        limit: u64,
    },
    /// The compressed data is corrupt, or the disk failed.
    #[error("cannot be read at {at}: {source}")]
    Read {
        /// Where.
        at: Place,
        /// The reason.
        source: io::Error,
    },
    /// No variable has this name.
    #[error("has no variable `{name}` (it has: {known})")]
    NoVariable {
        /// The name asked for.
        name: String,
        /// The names there are.
        known: String,
    },
    /// The variable is of another kind than needed.
    #[error("variable `{name}` is not {expected}")]
    Kind {
        /// The variable.
        name: String,
        /// What was needed.
        expected: &'static str,
    },
}

impl MatError {
    /// Advice for the `hint:` line, where there is any.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Hdf5 => Some(
                "in MATLAB, `save(file, '-v7')`; in Python, load it with h5py and save it with scipy.io.savemat",
            ),
            Self::Level4 => Some("in MATLAB, load it and `save(file, '-v7')`"),
            Self::Truncated { .. } => Some("the download may be incomplete"),
            _ => None,
        }
    }
}

#[derive(Clone)]
enum Bytes {
    File(PathBuf),
    Memory(Arc<[u8]>),
}

impl Bytes {
    fn reader_at(&self, offset: u64) -> io::Result<Box<dyn Read + Send>> {
        match self {
            Self::File(path) => {
                let mut file = File::open(path)?;
                file.seek(SeekFrom::Start(offset))?;
                Ok(Box::new(BufReader::new(file)))
            }
            Self::Memory(bytes) => {
                let mut cursor = io::Cursor::new(Arc::clone(bytes));
                cursor.set_position(offset);
                Ok(Box::new(cursor))
            }
        }
    }

    fn len(&self) -> io::Result<u64> {
        match self {
            Self::File(path) => Ok(std::fs::metadata(path)?.len()),
            Self::Memory(bytes) => Ok(bytes.len() as u64),
        }
    }
}

/// A variable as the file declares it, its content unread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// Its name; empty for the internal ones that MATLAB appends.
    pub name: String,
    /// What it is.
    pub class: Class,
    /// Its dimensions, first fastest.
    pub dims: Vec<usize>,
    element: Element,
}

/// An opened `.mat` file: the list of its variables; contents are read when asked for.
pub struct MatFile {
    bytes: Bytes,
    order: Order,
    limits: Limits,
    variables: Vec<Variable>,
}

impl MatFile {
    /// Opens a file and lists its variables.
    ///
    /// # Errors
    /// [`MatError`] where the file is no level-5 file or a variable's header is malformed.
    pub fn open(path: &Path) -> Result<Self, MatError> {
        Self::list(Bytes::File(path.to_owned()), Limits::default())
    }

    /// The same for a file already in memory.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn from_bytes(bytes: &[u8], limits: Limits) -> Result<Self, MatError> {
        Self::list(Bytes::Memory(Arc::from(bytes)), limits)
    }

    /// The variables in file order.
    pub fn variables(&self) -> &[Variable] {
        &self.variables
    }

    /// Reads a variable whole, at most [`Limits::bytes`] of it.
    ///
    /// # Errors
    /// [`MatError`] where there is no such variable, it is malformed, or a limit is reached.
    pub fn read(&self, name: &str) -> Result<Value, MatError> {
        let (mut cursor, header) = self.enter(self.find(name)?)?;
        let mut budget = Budget::new(self.limits);
        value::read_content(&mut cursor, &header, self.limits, &mut budget, 0)
    }

    /// Streams the cells of a cell array in file order (first dimension fastest), one in memory at a time.
    ///
    /// # Errors
    /// As [`read`](Self::read), and [`MatError::Kind`] where the variable is no cell array.
    pub fn cells(&self, name: &str) -> Result<Cells, MatError> {
        let variable = self.find(name)?;
        if variable.class != Class::Cell {
            return Err(MatError::Kind { name: name.to_owned(), expected: "a cell array" });
        }
        let (cursor, header) = self.enter(variable)?;
        Ok(Cells { cursor, left: header.count(), end: header.end, limits: self.limits })
    }

    /// Streams the planes of a real numeric array of `[height, width, planes]`, one in memory at a time.
    ///
    /// # Errors
    /// As [`read`](Self::read), and [`MatError::Kind`] where the variable is no such array.
    pub fn planes(&self, name: &str) -> Result<Planes, MatError> {
        let variable = self.find(name)?;
        let kind = || MatError::Kind {
            name: name.to_owned(),
            expected: "a real numeric array of two or three dimensions",
        };
        let (height, width, left) = match variable.dims[..] {
            [height, width] => (height, width, 1),
            [height, width, planes] => (height, width, planes),
            _ => return Err(kind()),
        };
        let (mut cursor, header) = self.enter(variable)?;
        if !variable.class.is_numeric() || header.complex {
            return Err(kind());
        }
        let data = cursor.tag(header.end)?;
        let kind = value::number_type(&cursor, &data)?;
        value::check_data_size(&cursor, &data, kind, header.count())?;
        // Empty planes hold nothing to visit, however many are declared.
        let left = if height == 0 || width == 0 { 0 } else { left };
        Ok(Planes { cursor, kind, class: variable.class, height, width, left, limits: self.limits })
    }

    fn find(&self, name: &str) -> Result<&Variable, MatError> {
        self.variables.iter().find(|v| v.name == name).ok_or_else(|| {
            let known: Vec<&str> =
                self.variables.iter().map(|v| v.name.as_str()).filter(|n| !n.is_empty()).take(8).collect();
            MatError::NoVariable { name: name.to_owned(), known: known.join(", ") }
        })
    }

    fn enter(&self, variable: &Variable) -> Result<(Cursor, Header), MatError> {
        let mut cursor = self.cursor(&variable.element)?;
        let matrix = cursor.matrix_tag(variable.element.bytes)?;
        let header = value::read_header(&mut cursor, &matrix)?;
        Ok((cursor, header))
    }

    /// A cursor on a top-level element's matrix: inside its decompressed data, or at its tag.
    fn cursor(&self, element: &Element) -> Result<Cursor, MatError> {
        let start = if element.compressed { element.start } else { element.start - 8 };
        let file = self
            .bytes
            .reader_at(start)
            .map_err(|source| MatError::Read { at: Place::file(start), source })?;
        Ok(if element.compressed {
            Cursor::inflating(file, element, self.order, self.limits.inflated)
        } else {
            Cursor::plain(file, start, self.order)
        })
    }

    fn list(bytes: Bytes, limits: Limits) -> Result<Self, MatError> {
        let read_error = |source| MatError::Read { at: Place::file(0), source };
        let length = bytes.len().map_err(read_error)?;
        let mut head = Vec::with_capacity(HEADER_BYTES);
        bytes
            .reader_at(0)
            .map_err(read_error)?
            .take(HEADER_BYTES as u64)
            .read_to_end(&mut head)
            .map_err(read_error)?;
        let order = byte_order(&head)?;
        let mut file = Self { bytes, order, limits, variables: Vec::new() };
        let mut at = HEADER_BYTES as u64;
        while at < length {
            // Files end in up to seven bytes of padding at times.
            if length - at < 8 && file.rest_is_zero(at)? {
                break;
            }
            at = file.list_one(at, length)?;
        }
        Ok(file)
    }

    fn list_one(&mut self, at: u64, length: u64) -> Result<u64, MatError> {
        if self.variables.len() == MAX_VARIABLES {
            let at = Place::file(at);
            return Err(MatError::Limit { at, what: "the number of variables", limit: MAX_VARIABLES as u64 });
        }
        let file =
            self.bytes.reader_at(at).map_err(|source| MatError::Read { at: Place::file(at), source })?;
        let element = Cursor::plain(file, at, self.order).top_level(length)?;
        let next = element.next;
        if element.matrix {
            let mut cursor = self.cursor(&element)?;
            let matrix = cursor.matrix_tag(element.bytes)?;
            let header = value::read_header(&mut cursor, &matrix)?;
            self.variables.push(Variable {
                name: header.name,
                class: header.class,
                dims: header.dims,
                element,
            });
        }
        Ok(next)
    }

    fn rest_is_zero(&self, at: u64) -> Result<bool, MatError> {
        let mut rest = Vec::new();
        let error = |source| MatError::Read { at: Place::file(at), source };
        self.bytes.reader_at(at).map_err(error)?.take(8).read_to_end(&mut rest).map_err(error)?;
        Ok(rest.iter().all(|&b| b == 0))
    }
}

fn byte_order(head: &[u8]) -> Result<Order, MatError> {
    const HDF5: &[u8] = b"\x89HDF\r\n\x1a\n";
    if head.starts_with(HDF5) || head.starts_with(b"MATLAB 7.3") {
        return Err(MatError::Hdf5);
    }
    // Level 4 begins with a number below 5000, level 5 with text.
    if head.len() >= 20 && head[..4].contains(&0) && !head[..4].iter().all(|&b| b == 0) {
        return Err(MatError::Level4);
    }
    if head.len() < HEADER_BYTES {
        return Err(MatError::NotMat);
    }
    let (order, version) = match &head[124..128] {
        [a, b, b'I', b'M'] => (Order::Little, u16::from_le_bytes([*a, *b])),
        [a, b, b'M', b'I'] => (Order::Big, u16::from_be_bytes([*a, *b])),
        _ => return Err(MatError::NotMat),
    };
    match version {
        0x0100 => Ok(order),
        0x0200 => Err(MatError::Hdf5),
        _ => Err(MatError::NotMat),
    }
}

/// The cells of a cell array, from [`MatFile::cells`].
pub struct Cells {
    cursor: Cursor,
    left: u64,
    end: u64,
    limits: Limits,
}

impl Cells {
    /// Cells not yet read.
    pub fn left(&self) -> u64 {
        self.left
    }

    fn read(&mut self) -> Result<Value, MatError> {
        let mut budget = Budget::new(self.limits);
        value::read_matrix(&mut self.cursor, self.end, self.limits, &mut budget, 1)
    }
}

impl Iterator for Cells {
    type Item = Result<Value, MatError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let value = self.read();
        if value.is_err() {
            self.left = 0;
        }
        Some(value)
    }
}

/// The planes of a numeric array, from [`MatFile::planes`].
pub struct Planes {
    cursor: Cursor,
    kind: value::NumberType,
    class: Class,
    height: usize,
    width: usize,
    left: usize,
    limits: Limits,
}

impl Planes {
    /// Height and width of a plane.
    pub fn size(&self) -> (usize, usize) {
        (self.height, self.width)
    }

    /// Planes not yet read.
    pub fn left(&self) -> usize {
        self.left
    }
}

impl Iterator for Planes {
    type Item = Result<Numeric, MatError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let mut budget = Budget::new(self.limits);
        let count = self.height as u64 * self.width as u64;
        let data = value::read_numbers(&mut self.cursor, self.kind, count, &mut budget);
        if data.is_err() {
            self.left = 0;
        }
        let dims = vec![self.height, self.width];
        Some(data.map(|data| Numeric { class: self.class, logical: false, dims, data }))
    }
}
