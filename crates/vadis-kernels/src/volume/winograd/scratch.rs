//! Buffers that are lent to tasks and kept for the next call.

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};

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

/// Working memory of any number of operations, at the same time too. It grows to what they need.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    free: Mutex<Vec<Aligned>>,
}

impl Scratch {
    /// A buffer whose contents are not specified.
    pub(super) fn lend(&self, len: usize) -> Loan<'_> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        // The smallest that is large enough, else the largest, so that few ever grow.
        let fits = |buffer: &Aligned| buffer.capacity() >= len;
        let rank = |buffer: &Aligned| {
            let size = buffer.capacity();
            if fits(buffer) { (0, size) } else { (1, usize::MAX - size) }
        };
        let best = (0..free.len()).min_by_key(|&i| rank(&free[i]));
        let mut buffer = best.map(|i| free.swap_remove(i)).unwrap_or_default();
        drop(free);
        buffer.resize(len);
        Loan { scratch: self, buffer }
    }
}

/// A buffer on loan.
pub(super) struct Loan<'a> {
    scratch: &'a Scratch,
    buffer: Aligned,
}

impl Deref for Loan<'_> {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.buffer
    }
}

impl DerefMut for Loan<'_> {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.buffer
    }
}

impl Drop for Loan<'_> {
    fn drop(&mut self) {
        let buffer = std::mem::take(&mut self.buffer);
        self.scratch.free.lock().unwrap_or_else(PoisonError::into_inner).push(buffer);
    }
}
