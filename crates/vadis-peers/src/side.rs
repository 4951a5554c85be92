//! The process of one side: asked line by line, it answers in lines of JSON.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::Outcome;

/// Before the task of the process that is our side.
const WORK: &str = "--work";

/// The task of this process, if it was started as [`Side::ours`].
///
/// # Errors
/// If the task is missing or cannot be read.
pub fn own_task<T: DeserializeOwned>() -> Outcome<Option<T>> {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().is_none_or(|first| first != WORK) {
        return Ok(None);
    }
    let task = arguments.next().ok_or("--work needs a task")?;
    Ok(Some(serde_json::from_str(&task)?))
}

/// One side of a comparison.
#[derive(Debug)]
pub struct Side {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    /// What runs, in words.
    pub variant: String,
}

#[derive(Deserialize)]
struct Greeting {
    variant: String,
}

impl Side {
    /// Starts the program of `command` with `task` as its last argument, and waits for its greeting.
    ///
    /// # Errors
    /// If it cannot be started, or does not greet.
    pub fn start(mut command: Command, task: &impl Serialize) -> Outcome<Self> {
        command.arg(serde_json::to_string(task)?);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().ok_or("no standard output")?);
        let mut side = Self { child, input, output, variant: String::new() };
        side.variant = serde_json::from_str::<Greeting>(&side.line()?)?.variant;
        Ok(side)
    }

    /// This program, told by `--work` that it is our side, with so many threads.
    ///
    /// # Errors
    /// As [`Side::start`].
    pub fn ours(task: &impl Serialize, threads: usize) -> Outcome<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(WORK).env("RAYON_NUM_THREADS", threads.to_string());
        Self::start(command, task)
    }

    /// A Python program, which finds `side.py` as a module.
    ///
    /// # Errors
    /// As [`Side::start`].
    pub fn python(python: &str, script: &str, task: &impl Serialize) -> Outcome<Self> {
        let mut command = Command::new(python);
        command.arg(script).env("PYTHONPATH", concat!(env!("CARGO_MANIFEST_DIR"), "/python"));
        Self::start(command, task)
    }

    fn line(&mut self) -> Outcome<String> {
        let mut line = String::new();
        match self.output.read_line(&mut line)? {
            0 => Err(format!("a side ended: {}", self.child.wait()?).into()),
            _ => Ok(line),
        }
    }

    /// The answer to a question.
    ///
    /// # Errors
    /// If the side ended, or answers something else.
    pub fn ask<T: DeserializeOwned>(&mut self, question: &str) -> Outcome<T> {
        writeln!(self.input.as_mut().ok_or("no standard input")?, "{question}")?;
        Ok(serde_json::from_str(&self.line()?)?)
    }

    /// Elapsed seconds of one run, and those of all processors.
    ///
    /// # Errors
    /// As [`Side::ask`].
    pub fn run(&mut self) -> Outcome<[f64; 2]> {
        self.ask("run")
    }

    /// Largest resident memory of the process so far.
    ///
    /// # Errors
    /// As [`Side::ask`].
    pub fn peak_mib(&mut self) -> Outcome<f64> {
        self.ask("peak")
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        drop(self.input.take());
        // The end of its input ends it.
        let _ = self.child.wait();
    }
}
