//! One file a command: arguments are validated, stages are run, the result is printed.

mod bench;
mod data;
mod doctor;
mod eval;
mod info;
mod insert;
mod learn;
mod report;
mod scan;
mod score;
mod subsample;
mod train;

use std::io::Write;
use std::path::Path;
use std::str::FromStr;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use clap::CommandFactory;
use vadis::Failure;
use vadis::stages::{DecisionOptions, Surroundings};
use vadis::systems::{Model, ModelInfo, load_model};
use vadis::video::ReadOptions;

use crate::cli::{Cli, Command, DecisionArgs, SourceArgs};

/// Runs what the user asked for.
pub(crate) fn run(cli: &Cli, interrupt: &AtomicBool) -> Result<(), Failure> {
    set_threads(cli.threads)?;
    let output = Output { json: cli.json, quiet: cli.quiet, interrupt };
    match &cli.command {
        Command::Scan(args) => scan::run(args, &output),
        Command::Train(args) => train::run(args, &output),
        Command::Score(args) => score::run(args, &output),
        Command::Eval(args) => eval::run(args, &output),
        Command::Bench(args) => bench::run(args, &output),
        Command::Report(args) => report::run(args, &output),
        Command::Data(args) => data::run(&args.command, &output),
        Command::Info(args) => info::run(args, &output),
        Command::Doctor => doctor::run(&output),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "vadis", &mut script);
            print_bytes(&script)
        }
    }
}

/// How results are shown.
pub(crate) struct Output<'a> {
    pub(crate) json: bool,
    pub(crate) quiet: bool,
    pub(crate) interrupt: &'a AtomicBool,
}

impl<'a> Output<'a> {
    /// Prints `text`, or `json` where that was asked for.
    pub(crate) fn result(&self, text: &str, json: &serde_json::Value) -> Result<(), Failure> {
        let mut line = if self.json {
            serde_json::to_string_pretty(json).unwrap_or_default()
        } else {
            text.trim_end().to_owned()
        };
        line.push('\n');
        print_bytes(line.as_bytes())
    }

    /// Says something on stderr, unless silence was asked for.
    pub(crate) fn note(&self, text: &str) {
        if !self.quiet {
            let _ = writeln!(std::io::stderr(), "note: {text}");
        }
    }

    /// The stages' surroundings for these sources.
    pub(crate) fn surroundings(&self, args: &SourceArgs) -> Result<Surroundings<'a>, Failure> {
        if !(args.timeout.is_finite() && (0.1..=86_400.0).contains(&args.timeout)) {
            return Err(usage("--timeout must be from 0.1 to 86400 seconds"));
        }
        if !(args.image_fps.is_finite() && (0.001..=1000.0).contains(&args.image_fps)) {
            return Err(usage("--image-fps must be from 0.001 to 1000"));
        }
        let read = ReadOptions {
            timeout: Duration::from_secs_f64(args.timeout),
            image_fps: args.image_fps,
            max_frames: args.max_frames,
            ..ReadOptions::default()
        };
        Ok(Surroundings { read, quiet: self.quiet, interrupt: self.interrupt })
    }
}

/// Results go to stdout; a reader that closed it early is no failure.
fn print_bytes(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::io(Path::new("stdout"))(error))
        }
        _ => Ok(()),
    }
}

pub(crate) fn usage(what: impl Into<String>) -> Failure {
    Failure::Usage { what: what.into(), hint: None }
}

fn set_threads(threads: Option<usize>) -> Result<(), Failure> {
    let Some(threads) = threads else { return Ok(()) };
    if !(1..=1024).contains(&threads) {
        return Err(usage("--threads must be from 1 to 1024"));
    }
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build_global();
    pool.map_err(|e| usage(format!("--threads: {e}")))
}

/// The model in a file; whatever is wrong with it, the error names the file.
pub(crate) fn open_model(path: &Path) -> Result<(Box<dyn Model>, ModelInfo), Failure> {
    load_model(path).map_err(|source| {
        let named = source.to_string().contains(&*path.to_string_lossy());
        if named { source.into() } else { Failure::Model { path: path.to_owned(), source } }
    })
}

/// An argument's text as the type it stands for.
pub(crate) fn parse<T: FromStr>(option: &str, text: &str) -> Result<T, Failure>
where
    T::Err: std::fmt::Display,
{
    text.parse().map_err(|e: T::Err| usage(format!("{option}: {e}")))
}

pub(crate) fn decision_options(args: &DecisionArgs) -> Result<DecisionOptions, Failure> {
    let seconds = |option: &str, value: f64| {
        let fits = value.is_finite() && (0.0..=86_400.0).contains(&value);
        if fits { Ok(value) } else { Err(usage(format!("{option} must be from 0 to 86400 seconds"))) }
    };
    Ok(DecisionOptions {
        normalisation: parse("--normalisation", &args.normalisation)?,
        smoothing: parse("--smoothing", &args.smoothing)?,
        rule: parse("--threshold", &args.threshold)?,
        calibration: None,
        minimum_s: seconds("--min-event", args.min_event)?,
        merge_s: seconds("--merge", args.merge)?,
    })
}
