//! Buffers that are lent to tasks and kept for the next call.

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};

use crate::tile::LANES;

/// Floats that start at a cache line, where vectors are read fastest.
#[derive(Debug, Default)]
pub(crate) struct Aligned {
    floats: Vec<f32>,
    start: usize,
    len: usize,
}

impl Aligned {
    /// `len` zeros.
    pub(crate) fn new(len: usize) -> Self {
        let floats = vec![0.0; len + LANES];
        let start = floats.as_ptr().align_offset(size_of::<[f32; LANES]>()).min(LANES);
        Self { floats, start, len }
    }

    /// Elements that fit without new memory.
    pub(crate) fn capacity(&self) -> usize {
        self.floats.len().saturating_sub(LANES)
    }

    /// Sets the length; what the elements hold is not specified.
    pub(crate) fn resize(&mut self, len: usize) {
        if self.start + len > self.floats.len() {
            *self = Self::new(len);
        }
        self.len = len;
    }
}

impl Clone for Aligned {
    fn clone(&self) -> Self {
        let mut copy = Self::new(self.len);
        copy.copy_from_slice(self);
        copy
    }
}

impl Deref for Aligned {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.floats[self.start..self.start + self.len]
    }
}

impl DerefMut for Aligned {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.floats[self.start..self.start + self.len]
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
        let fits = |buffer: &Aligned| buffer.floats.len() >= len + LANES;
        let rank = |buffer: &Aligned| {
            let size = buffer.floats.len();
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
