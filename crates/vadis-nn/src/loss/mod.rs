//! Losses that burn does not have.

mod entropy;

pub use entropy::{Bandwidth, EntropyTerms, RenyiEntropy};
