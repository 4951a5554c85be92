//! Memory that starts at a cache line.

use std::ops::{Deref, DerefMut};

/// Bytes of a cache line.
const LINE: usize = 64;

/// Values, floats or bytes, that start at a cache line, where vectors are read fastest.
#[derive(Debug, Default)]
pub(crate) struct Aligned<T = f32> {
    values: Vec<T>,
    start: usize,
    len: usize,
}

impl<T: Copy + Default> Aligned<T> {
    /// Values of a cache line.
    const SPARE: usize = LINE / size_of::<T>();

    /// `len` zeros.
    pub(crate) fn new(len: usize) -> Self {
        let values = vec![T::default(); len + Self::SPARE];
        let start = values.as_ptr().align_offset(LINE).min(Self::SPARE);
        Self { values, start, len }
    }

    /// Elements that fit without new memory.
    pub(crate) fn capacity(&self) -> usize {
        self.values.len().saturating_sub(Self::SPARE)
    }

    /// Sets the length; what the elements hold is not specified.
    pub(crate) fn resize(&mut self, len: usize) {
        if self.start + len > self.values.len() {
            *self = Self::new(len);
        }
        self.len = len;
    }
}

impl<T: Copy + Default> Clone for Aligned<T> {
    fn clone(&self) -> Self {
        let mut copy = Self::new(self.len);
        copy.copy_from_slice(self);
        copy
    }
}

impl<T> Deref for Aligned<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.values[self.start..self.start + self.len]
    }
}

impl<T> DerefMut for Aligned<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.values[self.start..self.start + self.len]
    }
}
