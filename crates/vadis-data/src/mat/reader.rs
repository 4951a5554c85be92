//! Bytes, tags and places.

use std::fmt;
use std::io::{self, Read};

use flate2::read::ZlibDecoder;

use super::MatError;

pub(super) const INT8: u32 = 1;
pub(super) const UINT8: u32 = 2;
pub(super) const INT16: u32 = 3;
pub(super) const UINT16: u32 = 4;
pub(super) const INT32: u32 = 5;
pub(super) const UINT32: u32 = 6;
pub(super) const SINGLE: u32 = 7;
pub(super) const DOUBLE: u32 = 9;
pub(super) const INT64: u32 = 12;
pub(super) const UINT64: u32 = 13;
const MATRIX: u32 = 14;
const COMPRESSED: u32 = 15;
pub(super) const UTF8: u32 = 16;
pub(super) const UTF16: u32 = 17;
pub(super) const UTF32: u32 = 18;

/// How much is taken from the stream at once; memory never runs further ahead of real data than this.
const CHUNK: usize = 1 << 16;

/// A place in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Byte of the file; of a compressed variable, the byte where its data begins.
    pub file: u64,
    /// Bytes into the decompressed data, in a compressed variable.
    pub inflated: Option<u64>,
}

impl Place {
    pub(super) fn file(file: u64) -> Self {
        Self { file, inflated: None }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.inflated {
            None => write!(f, "byte {}", self.file),
            Some(inside) => write!(f, "byte {inside} of the data compressed at byte {}", self.file),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Little,
    Big,
}

/// A top-level element: where its data is in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Element {
    pub start: u64,
    pub bytes: u64,
    pub compressed: bool,
    pub matrix: bool,
    pub next: u64,
}

/// A tag inside a matrix; its data follows in the stream.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tag {
    pub kind: u32,
    pub bytes: u64,
    /// Padding after the data.
    padding: u64,
    /// Position just behind data and padding.
    pub end: u64,
}

/// A forward-only stream that knows where it is.
pub(super) struct Cursor {
    inner: Box<dyn Read + Send>,
    at: u64,
    /// Set for decompressed data: where in the file the compressed bytes begin, and how far to inflate.
    compressed_at: Option<u64>,
    limit: u64,
    order: Order,
}

impl Cursor {
    pub(super) fn plain(inner: Box<dyn Read + Send>, at: u64, order: Order) -> Self {
        Self { inner, at, compressed_at: None, limit: u64::MAX, order }
    }

    pub(super) fn inflating(file: Box<dyn Read + Send>, element: &Element, order: Order, limit: u64) -> Self {
        let inner = Box::new(ZlibDecoder::new(file.take(element.bytes)));
        Self { inner, at: 0, compressed_at: Some(element.start), limit, order }
    }

    pub(super) fn place(&self) -> Place {
        match self.compressed_at {
            None => Place::file(self.at),
            Some(file) => Place { file, inflated: Some(self.at) },
        }
    }

    pub(super) fn malformed(&self, what: impl Into<String>) -> MatError {
        MatError::Malformed { at: self.place(), what: what.into() }
    }

    fn fill(&mut self, buffer: &mut [u8]) -> Result<(), MatError> {
        if self.at.saturating_add(buffer.len() as u64) > self.limit {
            let what = "the decompressed size";
            return Err(MatError::Limit { at: self.place(), what, limit: self.limit });
        }
        let mut done = 0;
        while done < buffer.len() {
            match self.inner.read(&mut buffer[done..]) {
                Ok(0) => {
                    let needed = (buffer.len() - done) as u64;
                    return Err(MatError::Truncated { at: self.place(), needed });
                }
                Ok(n) => {
                    done += n;
                    self.at += n as u64;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(MatError::Read { at: self.place(), source }),
            }
        }
        Ok(())
    }

    /// Hands `bytes` bytes to `take` in pieces of at most 64 KiB.
    pub(super) fn pieces(&mut self, bytes: u64, mut take: impl FnMut(&[u8])) -> Result<(), MatError> {
        let mut buffer = vec![0; CHUNK.min(usize::try_from(bytes).unwrap_or(CHUNK))];
        let mut left = bytes;
        while left > 0 {
            let now = buffer.len().min(usize::try_from(left).unwrap_or(CHUNK));
            self.fill(&mut buffer[..now])?;
            take(&buffer[..now]);
            left -= now as u64;
        }
        Ok(())
    }

    /// Reads `bytes` bytes after the caller has bounded them.
    pub(super) fn bytes(&mut self, bytes: u64) -> Result<Vec<u8>, MatError> {
        let mut out = Vec::new();
        self.pieces(bytes, |piece| out.extend_from_slice(piece))?;
        Ok(out)
    }

    pub(super) fn skip_to(&mut self, end: u64) -> Result<(), MatError> {
        match end.checked_sub(self.at) {
            Some(bytes) => self.pieces(bytes, |_| {}),
            None => Err(self.malformed("an element runs past its end")),
        }
    }

    pub(super) fn u32(&mut self) -> Result<u32, MatError> {
        let mut four = [0; 4];
        self.fill(&mut four)?;
        Ok(self.number(four))
    }

    pub(super) fn number(&self, four: [u8; 4]) -> u32 {
        match self.order {
            Order::Little => u32::from_le_bytes(four),
            Order::Big => u32::from_be_bytes(four),
        }
    }

    pub(super) fn order(&self) -> Order {
        self.order
    }

    /// Reads a tag whose element must end by `end`.
    pub(super) fn tag(&mut self, end: u64) -> Result<Tag, MatError> {
        let first = self.u32()?;
        let (kind, bytes, padding) = if first >> 16 != 0 {
            // Small data element: type and size share a word, four bytes of data follow.
            let bytes = u64::from(first >> 16);
            if bytes > 4 {
                return Err(self.malformed(format!("a small element declares {bytes} bytes")));
            }
            (first & 0xffff, bytes, 4 - bytes)
        } else {
            let bytes = u64::from(self.u32()?);
            (first, bytes, bytes.next_multiple_of(8) - bytes)
        };
        let data_end = self.at + bytes;
        if data_end > end {
            let room = end.saturating_sub(self.at);
            return Err(
                self.malformed(format!("an element declares {bytes} bytes where its parent leaves {room}"))
            );
        }
        // Some writers leave out the last element's padding.
        Ok(Tag { kind, bytes, padding, end: (data_end + padding).min(end.max(data_end)) })
    }

    pub(super) fn skip_padding(&mut self, tag: &Tag) -> Result<(), MatError> {
        if tag.padding == 0 { Ok(()) } else { self.skip_to(tag.end) }
    }

    /// Reads a matrix's tag.
    pub(super) fn nested_matrix(&mut self, end: u64) -> Result<Tag, MatError> {
        let tag = self.tag(end)?;
        if tag.kind == MATRIX {
            Ok(tag)
        } else {
            Err(self.malformed(format!("a matrix was expected, type {} found", tag.kind)))
        }
    }

    /// Reads the matrix tag of a top-level element of `bytes` bytes in the file.
    pub(super) fn matrix_tag(&mut self, bytes: u64) -> Result<Tag, MatError> {
        let end = if self.compressed_at.is_some() { u64::MAX >> 1 } else { self.at + 8 + bytes };
        self.nested_matrix(end)
    }

    /// Reads a top-level tag in a file of `length` bytes.
    pub(super) fn top_level(&mut self, length: u64) -> Result<Element, MatError> {
        let (kind, bytes) = (self.u32()?, u64::from(self.u32()?));
        let start = self.at;
        if kind == 0 || kind > UTF32 {
            return Err(self.malformed(format!("unknown element type {kind}")));
        }
        if bytes > length - start {
            return Err(MatError::Truncated { at: Place::file(length), needed: bytes - (length - start) });
        }
        let compressed = kind == COMPRESSED;
        // Compressed elements are not padded.
        let size = if compressed { bytes } else { bytes.next_multiple_of(8) };
        Ok(Element { start, bytes, compressed, matrix: compressed || kind == MATRIX, next: start + size })
    }
}
