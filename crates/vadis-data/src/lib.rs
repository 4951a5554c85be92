//! The benchmarks' official layouts, their labels and masks, and label files.
//!
//! ```no_run
//! use vadis_data::{CheckOptions, Dataset, OpenOptions, Split};
//!
//! # fn main() -> Result<(), vadis_data::DataError> {
//! let ped2 = Dataset::open("ped2", "data/UCSDped2".as_ref(), &OpenOptions::default())?;
//! for problem in ped2.check(CheckOptions::default()).problems {
//!     eprintln!("{problem}");
//! }
//! for clip in ped2.split(Split::Test) {
//!     let frames = clip.frames()?.unwrap_or(0);
//!     let labels = ped2.labels(clip, frames as usize)?;
//! }
//! # Ok(())
//! # }
//! ```
//!
//! A new benchmark is one file in `adapters`: a [`Layout`] and a function that lists clips.

mod adapters;
mod check;
mod dataset;
mod error;
mod layout;
mod masks;
mod volume;

pub mod labels;
pub mod mat;
pub mod npy;

pub use check::{CheckOptions, CheckReport, Probe, Problem, Severity, SplitCounts};
pub use dataset::{Clip, ClipSource, Dataset, LabelSource, OpenOptions, Split};
pub use error::DataError;
pub use labels::{Labels, read_labels, write_labels};
pub use layout::{Expected, LabelSet, Layout, Subset, SubsetRule, layouts};
pub use masks::{MaskSource, Masks, Track};
pub use volume::Volume;
