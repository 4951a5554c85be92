//! Networks that score a stream frame by frame, as windows that slide by one.

use std::sync::Arc;

use vadis_kernels::volume::{Frozen, SlidingWindow, Work};

use super::FrozenMemory;
use crate::NnError;

/// A network on each window of a stream: gives one frame of the window's reconstruction, bit for bit
/// that of the whole window's, and computes only what reaches it and is new in the window.
///
/// It shares the weights with the frozen network that it was made from.
#[derive(Debug)]
pub struct Sliding {
    window: SlidingWindow,
    memory: Option<Arc<FrozenMemory>>,
}

impl Sliding {
    /// A chain of networks, with a memory between them if there is one, for frame `wanted` of a window.
    pub(super) fn new(
        networks: &[Frozen],
        memory: Option<Arc<FrozenMemory>>,
        wanted: usize,
    ) -> Result<Self, NnError> {
        Ok(Self { window: SlidingWindow::new(networks, &[wanted])?, memory })
    }

    /// Takes the next frame, `[channels, height, width]`. Once there is a whole window, gives the wanted
    /// frame of the reconstruction of the window that ends with this one, of the same shape. A video
    /// that is shorter than a window has none.
    ///
    /// # Errors
    /// [`NnError::Tensor`] if the frame has another length; it is not taken then.
    pub fn push(&mut self, frame: &[f32]) -> Result<Option<Vec<f32>>, NnError> {
        let memory = self.memory.as_deref();
        // Each place of a latent is addressed by itself: slices can be, too.
        self.window.push_through(frame, |z| match memory {
            Some(memory) => memory.run(&z, 1),
            None => Ok(z),
        })
    }

    /// Begins anew, as at a cut or with another video: the next frame is the first one.
    pub fn reset(&mut self) {
        self.window.reset();
    }

    /// Frames of a window.
    pub fn length(&self) -> usize {
        self.window.length()
    }

    /// Floating-point operations of the convolutions for a frame; a memory's are not counted.
    pub fn work(&self) -> Work {
        self.window.work()
    }

    /// Bytes of what is kept and computed, beside the weights.
    pub fn bytes(&self) -> usize {
        self.window.bytes()
    }
}
