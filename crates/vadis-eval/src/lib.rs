//! Everything from scores on: normalisation, smoothing, thresholds, events, metrics, protocols.
//!
//! Knows no tensor and no video: scores come in as numbers, with the name of their video.

pub mod events;
pub mod exchangeable;
pub mod group;
pub mod localisation;
pub mod metrics;
pub mod normalise;
pub mod operations;
pub mod poisson;
pub mod protocol;
pub mod run;
pub mod smooth;
pub mod threshold;
