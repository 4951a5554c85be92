//! The command line.

use std::path::PathBuf;

use vadis_peers::{Common, Outcome};
use vadis_systems::Preset;

use crate::subject::{SYSTEMS, Subject};

const USAGE: &str = "\
options:
  --system A[,B..]    itae-nf, ae3d, pseudo (all)
  --preset A[,B..]    cpu, paper, tiny (cpu,paper); models of them are trained for a few steps
  --model PATH        a trained model of one of these systems in place of that; may be repeated
  --footage PATH      a video or a folder of frames (a synthetic street)
  --frames N          frames of a run (40; of itae-nf with preset paper 8)";

pub(crate) struct Options {
    systems: Vec<String>,
    presets: Vec<Preset>,
    models: Vec<PathBuf>,
    pub(crate) footage: Option<String>,
    pub(crate) frames: Option<usize>,
    pub(crate) common: Common,
}

impl Options {
    pub(crate) fn parse(mut arguments: impl Iterator<Item = String>) -> Outcome<Self> {
        let mut options = Self {
            systems: SYSTEMS.map(str::to_owned).to_vec(),
            presets: vec![Preset::Cpu, Preset::Paper],
            models: Vec::new(),
            footage: None,
            frames: None,
            common: Common::new("target/bench-scoring.json")?,
        };
        while let Some(argument) = arguments.next() {
            let mut value =
                || Ok(arguments.next().ok_or_else(|| format!("{argument} needs a value\n{}", usage()))?);
            match argument.as_str() {
                "--system" => options.systems = value()?.split(',').map(known).collect::<Outcome<_>>()?,
                "--preset" => {
                    options.presets =
                        value()?.split(',').map(|text| Ok(text.parse()?)).collect::<Outcome<_>>()?;
                }
                "--model" => options.models.push(value()?.into()),
                "--footage" => options.footage = Some(value()?),
                "--frames" => options.frames = Some(value()?.parse::<usize>()?.max(1)),
                other => {
                    if !options.common.take(other, value)? {
                        return Err(format!("unknown option {other}\n{}", usage()).into());
                    }
                }
            }
        }
        Ok(options)
    }

    pub(crate) fn subjects(&self) -> Vec<Subject> {
        if self.common.redraw {
            return Vec::new();
        }
        if !self.models.is_empty() {
            return self.models.iter().cloned().map(Subject::Trained).collect();
        }
        let of = |system: &String| {
            let fresh = |&preset| Subject::Fresh { system: system.clone(), preset };
            self.presets.iter().map(fresh).collect::<Vec<_>>()
        };
        self.systems.iter().flat_map(of).collect()
    }
}

fn usage() -> String {
    format!("{USAGE}\n{}", Common::USAGE)
}

fn known(text: &str) -> Outcome<String> {
    match SYSTEMS.contains(&text) {
        true => Ok(text.to_owned()),
        false => Err(format!("unknown system `{text}`\n{}", usage()).into()),
    }
}
