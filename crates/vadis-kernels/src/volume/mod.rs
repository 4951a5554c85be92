//! Networks over clips `[channels, time, height, width]`, forward, backward and frozen for inference;
//! images are clips of one frame.
//!
//! A [`Plan`] says what is computed, a [`Network`] computes it on plain `[batch][C][T][H][W]` slices, and
//! a [`SlidingWindow`] on each window of a stream. [`Frozen`] is one for inference, and [`FrozenInt8`] one
//! in bytes, to be asked for.

mod blocked;
mod compile;
mod direct;
mod few;
mod frozen;
#[cfg(target_arch = "x86_64")]
mod halves;
mod int8;
mod kernel;
mod layout;
mod network;
mod norm;
mod pass;
mod plan;
mod pool;
mod select;
mod slices;
mod sliding;
mod taps;
#[cfg(target_arch = "x86_64")]
mod weight_halves;
mod weights;
mod winograd;

pub use frozen::{Frozen, Scratch};
pub use int8::{FrozenInt8, Scales};
pub use network::{Forward, Gradients, Network, Options, RunError, Workspace};
pub use plan::{Conv, EPSILON, MOMENTUM, Node, Operation, Places, Plan, PlanError, Reason, View};
pub use sliding::{SlidingWindow, Work};
