//! Benchmark layouts, labels and masks of vadis.
