//! The command line.

use std::path::PathBuf;

use crate::report::{self, Row};
use crate::task::{Measure, Name, Task};
use crate::{Outcome, parse_measure};

const USAGE: &str = "\
options:
  --network A[,B..]   ae3d, memae, itae, one-path, cae, mle, glow,
                      glow-small, glow-frames (all)
  --measure A[,B..]   inference, training, sliding (all); networks of clips slide
  --runs N            timed runs of each side (7)
  --scale S           multiplies height and width (1)
  --threads N         threads of each side (what the machine has)
  --variant V         PyTorch's variant, e.g. \"channels-last, eager\" (the fastest, looked for first)
  --no-compile        leave torch.compile out
  --no-single-thread  leave the comparison on one thread out
  --python PATH       a Python with PyTorch (python3)
  --json PATH         where the result goes (target/bench-peers.json; a picture beside it)
  --keep              keep the rows of that file that are not measured again
  --redraw            measure nothing: print and draw what the file has";

pub(crate) struct Options {
    networks: Vec<Name>,
    measures: Vec<Measure>,
    pub(crate) runs: usize,
    scale: f64,
    threads: usize,
    compile: bool,
    variant: Option<String>,
    pub(crate) single_thread: bool,
    pub(crate) python: String,
    pub(crate) json: PathBuf,
    keep: bool,
}

impl Options {
    pub(crate) fn parse(mut arguments: impl Iterator<Item = String>) -> Outcome<Self> {
        let mut options = Self {
            networks: Name::ALL.to_vec(),
            measures: vec![Measure::Inference, Measure::Training, Measure::Sliding],
            runs: 7,
            scale: 1.0,
            threads: std::thread::available_parallelism()?.get(),
            compile: true,
            variant: None,
            single_thread: true,
            python: "python3".to_owned(),
            json: PathBuf::from("target/bench-peers.json"),
            keep: false,
        };
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(|| format!("{argument} needs a value\n{USAGE}"));
            match argument.as_str() {
                "--network" => {
                    options.networks = value()?.split(',').map(parse_name).collect::<Outcome<_>>()?;
                }
                "--measure" => {
                    options.measures = value()?.split(',').map(parse_measure).collect::<Outcome<_>>()?;
                }
                "--runs" => options.runs = value()?.parse::<usize>()?.max(1),
                "--scale" => options.scale = value()?.parse()?,
                "--threads" => options.threads = value()?.parse()?,
                "--variant" => options.variant = Some(value()?),
                "--no-compile" => options.compile = false,
                "--no-single-thread" => options.single_thread = false,
                "--python" => options.python = value()?,
                "--json" => options.json = value()?.into(),
                "--keep" => options.keep = true,
                "--redraw" => {
                    options.networks.clear();
                    options.keep = true;
                }
                other => return Err(format!("unknown option {other}\n{USAGE}").into()),
            }
        }
        Ok(options)
    }

    pub(crate) fn tasks(&self) -> Vec<Task> {
        let task = |&network| {
            let of = move |&measure| {
                let task = Task::new(network, measure, self.scale, self.threads, self.compile);
                Task { variant: self.variant.clone(), ..task }
            };
            self.measures.iter().map(of)
        };
        self.networks.iter().flat_map(task).filter(Task::makes_sense).collect()
    }

    pub(crate) fn kept_rows(&self) -> Outcome<Vec<Row>> {
        if self.keep && self.json.exists() { report::read(&self.json) } else { Ok(Vec::new()) }
    }
}

fn parse_name(text: &str) -> Outcome<Name> {
    let found = Name::ALL.into_iter().find(|name| name.to_string() == text);
    found.ok_or_else(|| format!("unknown network `{text}`\n{USAGE}").into())
}
