//! The command line.

use vadis_peers::{Common, Outcome};

use crate::parse_measure;
use crate::task::{Measure, Name, Task};

const USAGE: &str = "\
options:
  --network A[,B..]   ae3d, memae, itae, one-path, cae, mle, glow,
                      glow-small, glow-frames (all)
  --measure A[,B..]   inference, training, sliding (all); networks of clips slide
  --scale S           multiplies height and width (1)";

pub(crate) struct Options {
    networks: Vec<Name>,
    measures: Vec<Measure>,
    scale: f64,
    pub(crate) common: Common,
}

impl Options {
    pub(crate) fn parse(mut arguments: impl Iterator<Item = String>) -> Outcome<Self> {
        let mut options = Self {
            networks: Name::ALL.to_vec(),
            measures: vec![Measure::Inference, Measure::Training, Measure::Sliding],
            scale: 1.0,
            common: Common::new("target/bench-peers.json")?,
        };
        while let Some(argument) = arguments.next() {
            let mut value =
                || Ok(arguments.next().ok_or_else(|| format!("{argument} needs a value\n{}", usage()))?);
            match argument.as_str() {
                "--network" => {
                    options.networks = value()?.split(',').map(parse_name).collect::<Outcome<_>>()?;
                }
                "--measure" => {
                    options.measures = value()?.split(',').map(parse_measure).collect::<Outcome<_>>()?;
                }
                "--scale" => options.scale = value()?.parse()?,
                other => {
                    if !options.common.take(other, value)? {
                        return Err(format!("unknown option {other}\n{}", usage()).into());
                    }
                }
            }
        }
        Ok(options)
    }

    pub(crate) fn tasks(&self) -> Vec<Task> {
        let Common { threads, compile, redraw, variant, .. } = &self.common;
        let task = |&network| {
            let of = move |&measure| {
                let task = Task::new(network, measure, self.scale, *threads, *compile);
                Task { variant: variant.clone(), ..task }
            };
            self.measures.iter().map(of)
        };
        let tasks = self.networks.iter().flat_map(task).filter(Task::makes_sense);
        tasks.filter(|_| !redraw).collect()
    }
}

fn usage() -> String {
    format!("{USAGE}\n{}", Common::USAGE)
}

fn parse_name(text: &str) -> Outcome<Name> {
    let found = Name::ALL.into_iter().find(|name| name.to_string() == text);
    found.ok_or_else(|| format!("unknown network `{text}`\n{}", usage()).into())
}
