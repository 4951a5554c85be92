//! What the comparisons with PyTorch share (`make bench-peers`, `make bench-scoring`). Nothing else depends on it.
//!
//! Both sides of a comparison are processes of their own: a [`Side`] asks line by line and is answered in lines of JSON.
//! Ours answers by [`answer`], PyTorch by `python/side.py`. [`measure`] lets them run in turns.

mod options;
pub mod report;
mod side;
mod timing;
mod work;

use std::error::Error;

pub use options::Common;
pub use side::{Side, own_task};
pub use timing::{Measured, measure};
pub use work::answer;

/// The result of what these programs do.
pub type Outcome<T> = Result<T, Box<dyn Error>>;
