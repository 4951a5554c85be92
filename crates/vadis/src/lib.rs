//! vadis finds what does not belong in video.
//!
//! The facade over the workspace: the stages between a source and a report, as the command line runs them.
//!
//! ```text
//! sources ─gather─▶ frame store ─train─▶ model ─score─▶ scores, heat ─decide─▶ events ─illustrate─▶ pictures ─▶ report
//! ```

mod error;
pub mod machine;
pub mod progress;
pub mod stages;

pub use error::{Failure, Hint};
pub use vadis_data as data;
pub use vadis_eval as eval;
pub use vadis_kernels::keep_freed_memory;
pub use vadis_motion as motion;
pub use vadis_report as report;
pub use vadis_systems as systems;
pub use vadis_video as video;
