//! Arrays, cells and structures.

use super::reader::{self, Cursor, Order, Tag};
use super::{Limits, MatError};

const MAX_DIMS: u64 = 32;
const MAX_NAME: u64 = 4096;
const MAX_FIELDS: u64 = 4096;

/// What an array holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are MATLAB's own")]
pub enum Class {
    Cell,
    Struct,
    Object,
    Char,
    Sparse,
    Double,
    Single,
    Int8,
    UInt8,
    Int16,
    UInt16,
    Int32,
    UInt32,
    Int64,
    UInt64,
    /// A function handle, an opaque object or a class unknown to the format's description.
    Other,
}

impl Class {
    fn from_code(code: u32) -> Self {
        use Class::*;
        const CLASSES: [Class; 15] = [
            Cell, Struct, Object, Char, Sparse, Double, Single, Int8, UInt8, Int16, UInt16, Int32, UInt32,
            Int64, UInt64,
        ];
        (code as usize).checked_sub(1).and_then(|i| CLASSES.get(i)).copied().unwrap_or(Other)
    }

    /// Whether it is a dense numeric class.
    pub fn is_numeric(self) -> bool {
        !matches!(self, Self::Cell | Self::Struct | Self::Object | Self::Char | Self::Sparse | Self::Other)
    }
}

/// A real numeric or logical array.
#[derive(Debug, Clone, PartialEq)]
pub struct Numeric {
    /// Its class.
    pub class: Class,
    /// Whether MATLAB calls it logical.
    pub logical: bool,
    /// Dimensions, first fastest (column-major).
    pub dims: Vec<usize>,
    /// As many values as the dimensions' product. 64-bit integers beyond 2⁵³ are rounded.
    pub data: Vec<f64>,
}

/// The content of a variable or a cell.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Numbers or logicals.
    Numeric(Numeric),
    /// Characters, read in storage order (for the usual row vector, the text).
    Char(String),
    /// Cells in storage order (first dimension fastest).
    Cell {
        /// Dimensions.
        dims: Vec<usize>,
        /// As many as the dimensions' product.
        cells: Vec<Value>,
    },
    /// A structure array.
    Struct {
        /// Dimensions.
        dims: Vec<usize>,
        /// Field names in order.
        fields: Vec<String>,
        /// For each element in storage order, a value for each field.
        values: Vec<Value>,
    },
    /// Something valid that is not read: sparse, complex, an object, a function handle.
    Unsupported(Class),
}

impl Value {
    /// The numbers, if it is numeric.
    pub fn as_numeric(&self) -> Option<&Numeric> {
        match self {
            Self::Numeric(numeric) => Some(numeric),
            _ => None,
        }
    }

    /// The cells, if it is a cell array.
    pub fn as_cells(&self) -> Option<&[Value]> {
        match self {
            Self::Cell { cells, .. } => Some(cells),
            _ => None,
        }
    }

    /// A field of a 1×1 structure.
    pub fn field(&self, name: &str) -> Option<&Value> {
        match self {
            Self::Struct { fields, values, .. } => values.get(fields.iter().position(|f| f == name)?),
            _ => None,
        }
    }
}

/// A matrix's header; the stream stands at its content.
pub(super) struct Header {
    pub name: String,
    pub class: Class,
    pub complex: bool,
    pub dims: Vec<usize>,
    pub end: u64,
    logical: bool,
    empty: bool,
}

impl Header {
    /// Product of the dimensions (checked when the header was read).
    pub(super) fn count(&self) -> u64 {
        self.dims.iter().map(|&d| d as u64).product()
    }
}

pub(super) fn read_header(cursor: &mut Cursor, matrix: &Tag) -> Result<Header, MatError> {
    if matrix.bytes == 0 {
        // MATLAB writes an empty array in a cell as a bare tag.
        let (name, class, dims) = (String::new(), Class::Double, vec![0, 0]);
        return Ok(Header {
            name,
            class,
            complex: false,
            dims,
            end: matrix.end,
            logical: false,
            empty: true,
        });
    }
    let flags = cursor.tag(matrix.end)?;
    if flags.kind != reader::UINT32 || flags.bytes != 8 {
        return Err(cursor.malformed("array flags were expected"));
    }
    let word = cursor.u32()?;
    cursor.u32()?;
    let class = Class::from_code(word & 0xff);
    let (logical, complex) = (word & 0x200 != 0, word & 0x800 != 0);
    if class == Class::Other {
        return Ok(Header {
            name: String::new(),
            class,
            complex,
            dims: Vec::new(),
            end: matrix.end,
            logical,
            empty: false,
        });
    }
    let dims = read_dims(cursor, matrix.end)?;
    let name = read_name(cursor, matrix.end)?;
    Ok(Header { name, class, complex, dims, end: matrix.end, logical, empty: false })
}

fn read_dims(cursor: &mut Cursor, end: u64) -> Result<Vec<usize>, MatError> {
    let tag = cursor.tag(end)?;
    if !matches!(tag.kind, reader::INT32 | reader::UINT32) || tag.bytes % 4 != 0 {
        return Err(cursor.malformed("array dimensions were expected"));
    }
    if !(1..=MAX_DIMS).contains(&(tag.bytes / 4)) {
        return Err(cursor.malformed(format!("{} dimensions", tag.bytes / 4)));
    }
    let mut dims = Vec::new();
    let mut product = 1_u64;
    for _ in 0..tag.bytes / 4 {
        let dim = cursor.u32()?;
        let grown = product.checked_mul(u64::from(dim)).filter(|&p| p <= 1 << 48 && dim <= i32::MAX as u32);
        product = grown.ok_or_else(|| cursor.malformed("dimensions are negative or too large"))?;
        dims.push(dim as usize);
    }
    cursor.skip_padding(&tag)?;
    Ok(dims)
}

fn read_name(cursor: &mut Cursor, end: u64) -> Result<String, MatError> {
    let tag = cursor.tag(end)?;
    if !matches!(tag.kind, reader::INT8 | reader::UINT8 | reader::UTF8) || tag.bytes > MAX_NAME {
        return Err(cursor.malformed("an array name was expected"));
    }
    let name = cursor.bytes(tag.bytes)?;
    cursor.skip_padding(&tag)?;
    Ok(String::from_utf8_lossy(&name).into_owned())
}

/// Reads a nested matrix whole, leaving the stream behind it.
pub(super) fn read_matrix(
    cursor: &mut Cursor,
    end: u64,
    limits: Limits,
    budget: &mut Budget,
    depth: usize,
) -> Result<Value, MatError> {
    let matrix = cursor.nested_matrix(end)?;
    let header = read_header(cursor, &matrix)?;
    let value = read_content(cursor, &header, limits, budget, depth)?;
    cursor.skip_to(matrix.end)?;
    Ok(value)
}

pub(super) fn read_content(
    cursor: &mut Cursor,
    header: &Header,
    limits: Limits,
    budget: &mut Budget,
    depth: usize,
) -> Result<Value, MatError> {
    if depth > limits.depth {
        return Err(MatError::Limit { at: cursor.place(), what: "the nesting", limit: limits.depth as u64 });
    }
    let dims = header.dims.clone();
    match header.class {
        _ if header.empty => {
            Ok(Value::Numeric(Numeric { class: header.class, logical: false, dims, data: Vec::new() }))
        }
        Class::Cell => {
            let cells = read_values(cursor, header.count(), header.end, limits, budget, depth)?;
            Ok(Value::Cell { dims, cells })
        }
        Class::Struct => read_struct(cursor, header, limits, budget, depth),
        Class::Char => read_char(cursor, header, budget),
        class if class.is_numeric() && !header.complex => {
            let data = cursor.tag(header.end)?;
            let kind = number_type(cursor, &data)?;
            check_data_size(cursor, &data, kind, header.count())?;
            let numbers = read_numbers(cursor, kind, header.count(), budget)?;
            Ok(Value::Numeric(Numeric { class, logical: header.logical, dims, data: numbers }))
        }
        class => {
            cursor.skip_to(header.end)?;
            Ok(Value::Unsupported(class))
        }
    }
}

fn read_values(
    cursor: &mut Cursor,
    count: u64,
    end: u64,
    limits: Limits,
    budget: &mut Budget,
    depth: usize,
) -> Result<Vec<Value>, MatError> {
    let mut values = Vec::new();
    for _ in 0..count {
        // Each costs at least its own size; a vector may hold twice what it needs.
        budget.spend(cursor, 2 * size_of::<Value>() as u64)?;
        values.push(read_matrix(cursor, end, limits, budget, depth + 1)?);
    }
    Ok(values)
}

fn read_struct(
    cursor: &mut Cursor,
    header: &Header,
    limits: Limits,
    budget: &mut Budget,
    depth: usize,
) -> Result<Value, MatError> {
    let tag = cursor.tag(header.end)?;
    if tag.kind != reader::INT32 || tag.bytes != 4 {
        return Err(cursor.malformed("the length of field names was expected"));
    }
    let width = u64::from(cursor.u32()?);
    cursor.skip_padding(&tag)?;
    let names = cursor.tag(header.end)?;
    if width == 0 || width > MAX_NAME || names.bytes % width != 0 || names.bytes / width > MAX_FIELDS {
        return Err(cursor.malformed("field names were expected"));
    }
    budget.spend(cursor, 4 * names.bytes)?;
    let text = cursor.bytes(names.bytes)?;
    cursor.skip_padding(&names)?;
    let fields: Vec<String> = text.chunks_exact(width as usize).map(field_name).collect();
    let count = header.count().saturating_mul(fields.len() as u64);
    let values = read_values(cursor, count, header.end, limits, budget, depth)?;
    Ok(Value::Struct { dims: header.dims.clone(), fields, values })
}

fn field_name(padded: &[u8]) -> String {
    let end = padded.iter().position(|&b| b == 0).unwrap_or(padded.len());
    String::from_utf8_lossy(&padded[..end]).into_owned()
}

fn read_char(cursor: &mut Cursor, header: &Header, budget: &mut Budget) -> Result<Value, MatError> {
    let tag = cursor.tag(header.end)?;
    budget.spend(cursor, tag.bytes.saturating_mul(4))?;
    let bytes = cursor.bytes(tag.bytes)?;
    let text = match tag.kind {
        reader::UTF8 | reader::INT8 | reader::UINT8 => String::from_utf8_lossy(&bytes).into_owned(),
        reader::UINT16 | reader::UTF16 => {
            let units: Vec<u16> = bytes.chunks_exact(2).map(|b| two(cursor.order(), b) as u16).collect();
            String::from_utf16_lossy(&units)
        }
        reader::UTF32 | reader::UINT32 => {
            let scalar = |b: &[u8]| char::from_u32(cursor.number([b[0], b[1], b[2], b[3]]));
            bytes.chunks_exact(4).map(|b| scalar(b).unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
        }
        other => return Err(cursor.malformed(format!("characters of type {other}"))),
    };
    Ok(Value::Char(text))
}

type Decode = fn(Order, &[u8]) -> f64;

/// How numbers are stored, which may be narrower than the array's class.
#[derive(Debug, Clone, Copy)]
pub(super) struct NumberType {
    width: usize,
    decode: Decode,
}

pub(super) fn number_type(cursor: &Cursor, tag: &Tag) -> Result<NumberType, MatError> {
    let (width, decode): (usize, Decode) = match tag.kind {
        reader::INT8 => (1, |_, b| f64::from(b[0] as i8)),
        reader::UINT8 => (1, |_, b| f64::from(b[0])),
        reader::INT16 => (2, |o, b| f64::from(two(o, b) as i16)),
        reader::UINT16 => (2, |o, b| f64::from(two(o, b) as u16)),
        reader::INT32 => (4, |o, b| f64::from(four(o, b) as i32)),
        reader::UINT32 => (4, |o, b| f64::from(four(o, b))),
        reader::SINGLE => (4, |o, b| f64::from(f32::from_bits(four(o, b)))),
        reader::DOUBLE => (8, |o, b| f64::from_bits(eight(o, b))),
        reader::INT64 => (8, |o, b| eight(o, b) as i64 as f64),
        reader::UINT64 => (8, |o, b| eight(o, b) as f64),
        other => return Err(cursor.malformed(format!("numbers of type {other}"))),
    };
    Ok(NumberType { width, decode })
}

pub(super) fn check_data_size(
    cursor: &Cursor,
    tag: &Tag,
    kind: NumberType,
    count: u64,
) -> Result<(), MatError> {
    let needed = count.saturating_mul(kind.width as u64);
    if tag.bytes == needed {
        return Ok(());
    }
    Err(cursor.malformed(format!("{count} numbers take {needed} bytes, {} are declared", tag.bytes)))
}

pub(super) fn read_numbers(
    cursor: &mut Cursor,
    kind: NumberType,
    count: u64,
    budget: &mut Budget,
) -> Result<Vec<f64>, MatError> {
    let order = cursor.order();
    budget.spend(cursor, count.saturating_mul(2 * size_of::<f64>() as u64))?;
    let mut numbers = Vec::new();
    // Pieces are 64 KiB, a multiple of every width, so no number is split.
    cursor.pieces(count.saturating_mul(kind.width as u64), |piece| {
        numbers.extend(piece.chunks_exact(kind.width).map(|bytes| (kind.decode)(order, bytes)));
    })?;
    Ok(numbers)
}

/// Memory that one call may still take.
pub(super) struct Budget {
    left: u64,
    total: u64,
}

impl Budget {
    pub(super) fn new(limits: Limits) -> Self {
        Self { left: limits.bytes, total: limits.bytes }
    }

    fn spend(&mut self, cursor: &Cursor, bytes: u64) -> Result<(), MatError> {
        let limit = || MatError::Limit { at: cursor.place(), what: "the memory needed", limit: self.total };
        self.left = self.left.checked_sub(bytes).ok_or_else(limit)?;
        Ok(())
    }
}

fn two(order: Order, b: &[u8]) -> u32 {
    match order {
        Order::Little => u32::from(u16::from_le_bytes([b[0], b[1]])),
        Order::Big => u32::from(u16::from_be_bytes([b[0], b[1]])),
    }
}

fn four(order: Order, b: &[u8]) -> u32 {
    match order {
        Order::Little => u32::from_le_bytes([b[0], b[1], b[2], b[3]]),
        Order::Big => u32::from_be_bytes([b[0], b[1], b[2], b[3]]),
    }
}

fn eight(order: Order, b: &[u8]) -> u64 {
    let bytes = [b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]];
    match order {
        Order::Little => u64::from_le_bytes(bytes),
        Order::Big => u64::from_be_bytes(bytes),
    }
}
