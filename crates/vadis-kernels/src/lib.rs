//! CPU kernels of vadis: convolution, transposed convolution and fully connected layers, forward
//! and backward, on plain slices.
//!
//! Everything is one register tile (`tile`): a few rows of broadcast scalars against 16 or 32 lanes
//! of streamed vectors. `conv` turns a convolution in either direction into lists of contiguous
//! runs for it, `linear` a matrix product, and [`Network`] runs a [`Plan`] with them. Images are
//! kept channels-last with a border of zeros, so that no kernel tests for an edge.
//!
//! [`volume`] has the networks over clips, with kernels and a layout of their own.
//!
//! Each output element is summed in an order that depends on the plan alone: results have the same
//! bits for any batch size and any number of threads.

mod activation;
mod conv;
mod elementwise;
mod linear;
mod matrix;
mod memory;
mod network;
mod plan;
mod tile;
pub mod volume;

pub use activation::{Activation, exp, ln};
pub use matrix::{multiply, multiply_transposed};
pub use memory::keep_freed_memory;
pub use network::{Frozen, Gradients, Network, SizeError, Workspace};
pub use plan::{Layer, Plan, PlanError, Reason, Step};
pub use tile::Isa;
