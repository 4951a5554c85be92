//! Segments packed for inference, in floats or in bytes.

use vadis_kernels::volume::{Frozen, FrozenInt8, Scales, Scratch};

use super::Sliding;
use crate::NnError;
use crate::segment::VolumeSegment;

/// A segment packed for inference of its output.
#[derive(Debug)]
pub(super) enum Packed {
    Floats(Frozen),
    Bytes(FrozenInt8),
}

impl Packed {
    pub(super) fn new(segment: &VolumeSegment) -> Result<Self, NnError> {
        Ok(Self::Floats(segment.frozen()?))
    }

    /// In bytes, with the ranges that values have over `clips`.
    pub(super) fn int8(segment: &VolumeSegment, clips: &[f32]) -> Result<Self, NnError> {
        Ok(Self::Bytes(segment.frozen_int8(clips)?))
    }

    /// For inference of `nodes`, in bytes where there are scales.
    pub(super) fn nodes(
        segment: &VolumeSegment,
        nodes: &[&str],
        scales: Option<&Scales>,
    ) -> Result<Self, NnError> {
        Ok(match scales {
            Some(scales) => Self::Bytes(segment.frozen_int8_nodes(nodes, scales)?),
            None => Self::Floats(segment.frozen_nodes(nodes)?),
        })
    }

    /// The output of `batch` clips.
    pub(super) fn run(&self, x: &[f32], batch: usize, scratch: &mut Scratch) -> Result<Vec<f32>, NnError> {
        Ok(self.run_nodes(x, batch, scratch)?.pop().unwrap_or_default())
    }

    /// The values of all nodes that it was packed for.
    pub(super) fn run_nodes(
        &self,
        x: &[f32],
        batch: usize,
        scratch: &mut Scratch,
    ) -> Result<Vec<Vec<f32>>, NnError> {
        Ok(match self {
            Self::Floats(frozen) => frozen.run(x, batch, scratch),
            Self::Bytes(frozen) => frozen.run(x, batch, scratch),
        }?)
    }

    /// The segment in floats, as a sliding window needs it.
    ///
    /// # Errors
    /// [`NnError::SlidingInBytes`] if it is in bytes.
    pub(super) fn floats(&self) -> Result<Frozen, NnError> {
        match self {
            Self::Floats(frozen) => Ok(frozen.clone()),
            Self::Bytes(_) => Err(NnError::SlidingInBytes),
        }
    }
}

/// An encoder and its decoder.
#[derive(Debug)]
pub(super) struct PackedPair([Packed; 2]);

impl PackedPair {
    pub(super) fn new(encoder: &VolumeSegment, decoder: &VolumeSegment) -> Result<Self, NnError> {
        Ok(Self([Packed::new(encoder)?, Packed::new(decoder)?]))
    }

    /// In bytes. The decoder's ranges are those over the latents of `clips`, which the encoder gives in
    /// floats.
    pub(super) fn int8(
        encoder: &VolumeSegment,
        decoder: &VolumeSegment,
        clips: &[f32],
    ) -> Result<Self, NnError> {
        let first = Packed::int8(encoder, clips)?;
        let count = clips.len() / encoder.plan().input().iter().product::<usize>();
        let latents = Packed::new(encoder)?.run(clips, count, &mut Scratch::new())?;
        Ok(Self([first, Packed::int8(decoder, &latents)?]))
    }

    pub(super) fn run(
        &self,
        x: &[f32],
        batch: usize,
        scratch: &mut [Scratch; 2],
    ) -> Result<Vec<f32>, NnError> {
        let [first, second] = scratch;
        self.decode(&self.encode(x, batch, first)?, batch, second)
    }

    pub(super) fn encode(&self, x: &[f32], batch: usize, scratch: &mut Scratch) -> Result<Vec<f32>, NnError> {
        self.0[0].run(x, batch, scratch)
    }

    pub(super) fn decode(&self, z: &[f32], batch: usize, scratch: &mut Scratch) -> Result<Vec<f32>, NnError> {
        self.0[1].run(z, batch, scratch)
    }

    pub(super) fn sliding(&self, wanted: usize) -> Result<Sliding, NnError> {
        let [encoder, decoder] = &self.0;
        Sliding::new(&[encoder.floats()?, decoder.floats()?], None, wanted)
    }
}
