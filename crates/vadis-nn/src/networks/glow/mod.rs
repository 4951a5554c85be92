//! Glow (Kingma & Dhariwal, 2018), the normalizing flow of paper 003: exact likelihoods of images and of
//! feature maps.
//!
//! ```text
//! x ─▶ squeeze ─▶ K × (ActNorm ─▶ invertible 1×1 ─▶ affine coupling) ─▶ split ─▶ … ─▶ latents, log |det ∂z/∂x|
//!      └────────────────────────── a level, L times ─────────────────────┘
//! ```
//!
//! ActNorm and the 1×1 convolution are one affine map of each position ([`mix`]). The coupling's network, which
//! has nearly all of the work, runs on the kernels for volumes. The whole flow is one operation to burn, with one
//! flat parameter.

mod actnorm;
mod config;
mod coupling;
mod frozen;
mod inverse;
mod levels;
mod likelihood;
mod mix;
mod network;
mod permutation;
mod reference;
mod step;

pub use config::GlowConfig;
pub use frozen::{FrozenGlow, Likelihoods};
pub use network::Glow;
