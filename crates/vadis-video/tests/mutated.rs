//! A few of the mutated files that `examples/mutate.rs` reads by the thousand.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "common/mutate.rs"]
mod mutate;

use std::time::Duration;

#[test]
fn broken_files_end_in_frames_or_errors() {
    let outcomes = mutate::run(66, 7, Duration::from_secs(30), None);
    let read: usize = outcomes.values().map(|o| o.whole + o.damaged + o.refused + o.timed_out).sum();
    assert_eq!(read, 66);
    assert!(outcomes.values().all(|o| o.panicked == 0), "{outcomes:?}");
}
