//! Plots as inline SVG that follow the page's colours.
//!
//! Handwritten because the page's own style sheet draws them: one SVG serves the light and the dark scheme, print
//! and every width, which a plotting library's fixed colours and sizes cannot.

mod axis;
mod chart;
mod confusion;
mod means;
mod path;
mod timeline;

pub(crate) use axis::{Range, time_ticks};
pub(crate) use chart::{Chart, Layer, legend};
pub(crate) use confusion::confusion;
pub(crate) use means::{Mean, means};
pub(crate) use path::tenth;
pub(crate) use timeline::{Lane, Marker, Timeline};
