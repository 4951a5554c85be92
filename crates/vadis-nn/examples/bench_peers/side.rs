//! The process of one side: asked line by line, it answers in lines of JSON.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::Outcome;
use crate::task::Task;

pub(crate) struct Side {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    /// What runs, in words.
    pub(crate) variant: String,
}

#[derive(Deserialize)]
struct Greeting {
    variant: String,
}

impl Side {
    /// Ours: this program.
    pub(crate) fn ours(task: &Task) -> Outcome<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("--work").env("RAYON_NUM_THREADS", task.threads.to_string());
        Self::start(command, task)
    }

    /// PyTorch.
    pub(crate) fn peer(python: &str, task: &Task) -> Outcome<Self> {
        let mut command = Command::new(python);
        command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/benches/peers.py"));
        Self::start(command, task)
    }

    fn start(mut command: Command, task: &Task) -> Outcome<Self> {
        command.arg(serde_json::to_string(task)?);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().ok_or("no standard output")?);
        let mut side = Self { child, input, output, variant: String::new() };
        side.variant = serde_json::from_str::<Greeting>(&side.line()?)?.variant;
        Ok(side)
    }

    fn line(&mut self) -> Outcome<String> {
        let mut line = String::new();
        match self.output.read_line(&mut line)? {
            0 => Err(format!("a side ended: {}", self.child.wait()?).into()),
            _ => Ok(line),
        }
    }

    fn ask<T: DeserializeOwned>(&mut self, question: &str) -> Outcome<T> {
        writeln!(self.input.as_mut().ok_or("no standard input")?, "{question}")?;
        Ok(serde_json::from_str(&self.line()?)?)
    }

    /// Elapsed seconds of one run, and those of all processors.
    pub(crate) fn run(&mut self) -> Outcome<[f64; 2]> {
        self.ask("run")
    }

    /// Largest resident memory of the process so far.
    pub(crate) fn peak_mib(&mut self) -> Outcome<f64> {
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
