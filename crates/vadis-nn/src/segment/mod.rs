//! Segments: networks of layers as one burn module with one flat parameter.
//!
//! A [`Segment`] is a chain of 2-D and linear layers over images, a [`VolumeSegment`] a graph of 3-D
//! layers over clips. One flat parameter keeps the number of parents of a segment's backward pass
//! constant and makes the optimiser one fused loop. Saved files have named views of it in PyTorch's
//! layouts.

mod fast;
mod grad_cam;
mod image;
mod named;
mod reference;
mod state;
mod volume;
mod volume_reference;

pub use grad_cam::Tapped;
pub use image::Segment;
pub use named::{LoadError, NamedTensor, with_values};
pub use state::{StateDict, by_part, under};
pub use vadis_kernels::{
    Activation, Frozen as FrozenSegment, Layer, Plan, PlanError, Reason, Scratch as SegmentScratch,
    SizeError, Step,
};
pub use volume::VolumeSegment;

pub(crate) use fast::{Engine, Kernels, Trained, evaluate, in_pool, train};
pub(crate) use named::{flat_parameter, flat_values, flatten, named};
pub(crate) use volume::initial_values;
