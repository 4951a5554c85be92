//! The part of the command line that is the same in every comparison.

use std::path::PathBuf;

use crate::Outcome;
use crate::report::{self, Row};

/// Options of every comparison.
#[derive(Debug, Clone)]
pub struct Common {
    /// Timed runs of each side.
    pub runs: usize,
    /// Threads of each side.
    pub threads: usize,
    /// Whether PyTorch may compile.
    pub compile: bool,
    /// PyTorch's variant; the fastest is looked for first where there is none.
    pub variant: Option<String>,
    /// Whether one thread is compared too.
    pub single_thread: bool,
    /// A Python with PyTorch.
    pub python: String,
    /// Where the result goes.
    pub json: PathBuf,
    /// Rows of that file that are not measured again stay.
    pub keep: bool,
    /// Nothing is measured.
    pub redraw: bool,
}

impl Common {
    /// Its part of the usage.
    pub const USAGE: &'static str = "  --runs N            timed runs of each side (7)
  --threads N         threads of each side (what the machine has)
  --variant V         PyTorch's variant, e.g. \"channels-last, eager\" (the fastest, looked for first)
  --no-compile        leave torch.compile out
  --no-single-thread  leave the comparison on one thread out
  --python PATH       a Python with PyTorch (python3)
  --json PATH         where the result goes; a picture beside it
  --keep              keep the rows of that file that are not measured again
  --redraw            measure nothing: print and draw what the file has";

    /// The defaults, with the result in `json`.
    ///
    /// # Errors
    /// If the system does not say how many threads it runs.
    pub fn new(json: &str) -> Outcome<Self> {
        Ok(Self {
            runs: 7,
            threads: std::thread::available_parallelism()?.get(),
            compile: true,
            variant: None,
            single_thread: true,
            python: "python3".to_owned(),
            json: PathBuf::from(json),
            keep: false,
            redraw: false,
        })
    }

    /// Takes `argument`, whose value `value` gives; false if it is none of these options.
    ///
    /// # Errors
    /// For a missing or wrong value.
    pub fn take(&mut self, argument: &str, mut value: impl FnMut() -> Outcome<String>) -> Outcome<bool> {
        match argument {
            "--runs" => self.runs = value()?.parse::<usize>()?.max(1),
            "--threads" => self.threads = value()?.parse::<usize>()?.max(1),
            "--variant" => self.variant = Some(value()?),
            "--no-compile" => self.compile = false,
            "--no-single-thread" => self.single_thread = false,
            "--python" => self.python = value()?,
            "--json" => self.json = value()?.into(),
            "--keep" => self.keep = true,
            "--redraw" => (self.keep, self.redraw) = (true, true),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// The rows that are there already and are kept.
    ///
    /// # Errors
    /// If their file cannot be read.
    pub fn kept_rows(&self) -> Outcome<Vec<Row>> {
        if self.keep && self.json.exists() { report::read(&self.json) } else { Ok(Vec::new()) }
    }
}
