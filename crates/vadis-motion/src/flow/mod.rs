//! Optical flow.

mod bands;
mod cache;
mod magnitude;
mod median;
mod primal_dual;
mod resample;
mod rows;
mod tvl1;
mod warp;
mod wheel;

pub use cache::{FlowCache, FlowCacheError};
pub use magnitude::{FlowMotion, flow_patch};
pub use tvl1::{TvL1, TvL1Config};

/// Where each pixel of a picture has gone in the next one.
#[derive(Debug, Clone, PartialEq)]
pub struct FlowField {
    /// Pixels a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Motion to the right in pixels a frame, `[height, width]`.
    pub u: Vec<f32>,
    /// Motion downwards in pixels a frame, `[height, width]`.
    pub v: Vec<f32>,
}
