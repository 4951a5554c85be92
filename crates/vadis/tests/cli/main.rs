//! The real `vadis` binary, run as a user runs it.
//!
//! Every run is checked for panics by [`common::Ran`]. Snapshots are renewed with `INSTA_UPDATE=always`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod alarms;
mod bad_input;
mod bench;
mod common;
mod flow;
mod help;
mod interrupt;
mod odd_input;
mod output;
