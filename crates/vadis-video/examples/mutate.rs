//! Reads many mutated videos and images and counts what became of them.
//!
//! Usage: `cargo run --release -p vadis-video --example mutate -- [COUNT] [SEED] [EXTENSION]`

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../tests/common/mutate.rs"]
mod mutate;

use std::process::ExitCode;
use std::time::Duration;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1).map(|a| a.parse::<u64>());
    let (Ok(count), Ok(seed)) = (arguments.next().unwrap_or(Ok(2000)), arguments.next().unwrap_or(Ok(0)))
    else {
        eprintln!("usage: mutate [COUNT] [SEED] [EXTENSION]");
        return ExitCode::from(2);
    };
    let only = std::env::args().nth(3);
    let outcomes = mutate::run(count as usize, seed, Duration::from_secs(15), only.as_deref());
    eprintln!(
        "{:<6}{:>8}{:>9}{:>9}{:>11}{:>10}{:>10}",
        "kind", "whole", "damaged", "refused", "timed out", "panicked", "longest"
    );
    for (kind, o) in &outcomes {
        let longest = o.longest.as_secs_f64();
        eprintln!(
            "{kind:<6}{:>8}{:>9}{:>9}{:>11}{:>10}{longest:>9.1}s",
            o.whole, o.damaged, o.refused, o.timed_out, o.panicked
        );
    }
    ExitCode::from(u8::from(outcomes.values().any(|o| o.panicked > 0)))
}
