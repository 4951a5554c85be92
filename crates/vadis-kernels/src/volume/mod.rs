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

/// Values without a pattern, in [−1, 1).
#[cfg(all(test, target_arch = "x86_64"))]
fn noise(len: usize, seed: u32) -> Vec<f32> {
    let mix = |i: u32| (i ^ seed).wrapping_mul(2_654_435_761) ^ i.wrapping_mul(40_503).rotate_left(13);
    (0..len as u32).map(|i| (mix(i) >> 8) as f32 / (1 << 23) as f32 - 1.0).collect()
}
