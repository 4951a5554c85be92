//! Buffers that are lent to tasks and kept for the next call.

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};

use crate::aligned::Aligned;

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
