//! `vadis score`: footage through a model that was kept.

use std::path::Path;

use vadis::stages::open_sources;
use vadis::{Failure, machine};

use super::scan::{FinishOptions, Header, finish};
use super::{Output, decision_options, learn, open_model};
use crate::cli::ScoreArgs;

pub(super) fn run(args: &ScoreArgs, output: &Output<'_>) -> Result<(), Failure> {
    score(args, output).map_err(Failure::without_resume)
}

fn score(args: &ScoreArgs, output: &Output<'_>) -> Result<(), Failure> {
    let started = machine::now();
    let decision = decision_options(&args.decision)?;
    let (model, info) = open_model(&args.model)?;
    let surroundings = output.surroundings(&args.source)?;
    let (sources, mut notes) = open_sources(&args.source.sources, &surroundings)?;
    if args.force && lies_in(&args.model, &args.output) {
        return Err(Failure::Usage {
            what: format!("--force would remove {}", args.model.display()),
            hint: Some("give another -o, or move the model out of that folder".to_owned()),
        });
    }
    learn::prepare_folder(&args.output, args.force, false)?;
    notes.push(format!("scored with {}, made {}", args.model.display(), info.made));
    let seconds = vec![("train".to_owned(), info.train_s)];
    let header = Header { command: "score", preset: info.preset, seed: info.seed, started, notes, seconds };
    let options = FinishOptions { decision, overlay: args.overlay };
    finish(model.as_ref(), &sources, &args.output, header, &options, &surroundings, output)
}

fn lies_in(file: &Path, folder: &Path) -> bool {
    match (file.canonicalize(), folder.canonicalize()) {
        (Ok(file), Ok(folder)) => file.parent() == Some(folder.as_path()),
        _ => false,
    }
}
