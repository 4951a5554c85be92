//! Buffers that are lent again and again.

use crate::aligned::Aligned;

/// Buffers that are free.
#[derive(Debug, Default)]
pub(crate) struct Buffers<T = f32> {
    free: Vec<Aligned<T>>,
}

impl<T: Copy + Default> Buffers<T> {
    /// A buffer of `len` values, of any content: the smallest that is large enough, or else the
    /// largest, made larger.
    pub(crate) fn take(&mut self, len: usize) -> Aligned<T> {
        let size = |index: &usize| self.free[*index].capacity();
        let fits = (0..self.free.len()).filter(|index| size(index) >= len).min_by_key(size);
        let best = fits.or_else(|| (0..self.free.len()).max_by_key(size));
        let mut buffer = best.map(|index| self.free.swap_remove(index)).unwrap_or_default();
        buffer.resize(len);
        buffer
    }

    /// Gives a buffer back.
    pub(crate) fn give(&mut self, buffer: Aligned<T>) {
        self.free.push(buffer);
    }
}
