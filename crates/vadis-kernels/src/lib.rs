//! CPU kernels of vadis: convolution, transposed convolution and fully connected layers, forward
//! and backward, on plain slices.
//!
//! Everything is one register tile (`tile`): a few rows of broadcast scalars against 16 or 32 lanes
//! of streamed vectors. `conv` turns a convolution in either direction into lists of contiguous
//! runs for it, `linear` a matrix product, and [`Network`] runs a [`Plan`] with them. Images are
//! kept channels-last with a border of zeros, so that no kernel tests for an edge; a last layer of few
//! channels has a kernel of its own, whose lanes are pixels (`planar`).
//!
//! On processors with tiles (AMX) products that suit them are those of floats' halves (`halves`): [`Isa::Amx`] is
//! such a machine's best set, and [`Isa::vectors`] the one that keeps to floats.
//!
//! [`volume`] has the networks over clips, with kernels and a layout of their own.
//!
//! [`Pointwise`] and [`Depthwise`] are the layers of mobile networks, for inference.
//!
//! [`simd`] compiles plain loops for the machine's instruction set.
//!
//! Each output element is summed in an order that depends on the plan alone: results have the same
//! bits for any batch size and any number of threads.

mod activation;
mod aligned;
#[cfg(target_arch = "x86_64")]
mod amx;
mod conv;
mod elementwise;
#[cfg(target_arch = "x86_64")]
mod halves;
mod images;
mod linear;
mod linear_stage;
mod matrix;
mod memory;
mod network;
mod plan;
mod planar;
mod pool;
mod separable;
mod shared;
pub mod simd;
mod tile;
mod transpose;
mod vector;
pub mod volume;
mod weight_gradient;

pub use activation::{Activation, exp, ln};
pub use matrix::{multiply, multiply_transposed};
pub use memory::{by_parts, keep_freed_memory};
pub use network::{Frozen, Gradients, Network, Scratch, SizeError, Workspace};
pub use plan::{Layer, Plan, PlanError, Reason, Step};
pub use separable::{Depthwise, Pointwise, padding_before};
pub use tile::Isa;
