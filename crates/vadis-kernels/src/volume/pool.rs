//! Buffers that are lent again and again.

/// Buffers that are free.
#[derive(Clone, Debug, Default)]
pub(crate) struct Buffers {
    free: Vec<Vec<f32>>,
}

impl Buffers {
    /// A buffer of `len` values, of any content: the smallest that is large enough, or else the
    /// largest, made larger.
    pub(crate) fn take(&mut self, len: usize) -> Vec<f32> {
        let size = |index: &usize| self.free[*index].capacity();
        let fits = (0..self.free.len()).filter(|index| size(index) >= len).min_by_key(size);
        let best = fits.or_else(|| (0..self.free.len()).max_by_key(size));
        let mut buffer = best.map(|index| self.free.swap_remove(index)).unwrap_or_default();
        if buffer.capacity() < len {
            // Not grown in place: what it holds need not be copied.
            buffer = Vec::new();
        }
        buffer.resize(len, 0.0);
        buffer
    }

    /// Gives a buffer back.
    pub(crate) fn give(&mut self, buffer: Vec<f32>) {
        self.free.push(buffer);
    }
}
