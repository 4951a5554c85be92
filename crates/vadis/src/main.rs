//! The `vadis` command: exit code 0 when done, 1 when the work failed, 2 for wrong usage.

mod cli;
mod commands;

use std::io::Write;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Parser;
use tracing_subscriber::EnvFilter;
use vadis::{Failure, Hint};

use cli::Cli;

/// Set by Ctrl-C; every stage looks at it.
static INTERRUPT: AtomicBool = AtomicBool::new(false);

fn main() -> ExitCode {
    vadis::keep_freed_memory();
    let cli = Cli::parse();
    let filter = EnvFilter::try_from_env("VADIS_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .without_time()
        // They would be told on a stderr that has just failed.
        .log_internal_errors(false)
        .init();
    if let Err(error) = ctrlc::set_handler(on_interrupt) {
        tracing::warn!("Ctrl-C will not leave a checkpoint: {error}");
    }
    match commands::run(&cli, &INTERRUPT) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            complain(&failure);
            ExitCode::from(if matches!(failure, Failure::Usage { .. }) { 2 } else { 1 })
        }
    }
}

/// The first Ctrl-C asks the work to stop and leave a checkpoint; the second ends at once.
fn on_interrupt() {
    if INTERRUPT.swap(true, Ordering::Relaxed) {
        std::process::exit(130);
    }
    let _ = writeln!(std::io::stderr(), "\nstopping; press Ctrl-C again to stop at once");
}

/// `error:`, its causes, and `hint:` where one helps.
fn complain(failure: &Failure) {
    let mut err = std::io::stderr().lock();
    let _ = writeln!(err, "error: {failure}");
    let mut shown = failure.to_string();
    let mut cause = std::error::Error::source(failure);
    while let Some(error) = cause {
        let text = error.to_string();
        if !shown.contains(&text) {
            let _ = writeln!(err, "  because: {text}");
            shown = text;
        }
        cause = error.source();
    }
    if let Some(hint) = failure.hint() {
        let _ = writeln!(err, "hint: {hint}");
    }
}
