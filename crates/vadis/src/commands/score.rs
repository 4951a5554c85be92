//! `vadis score`: footage through a model that was kept.

use vadis::stages::open_sources;
use vadis::systems::load_model;
use vadis::{Failure, machine};

use super::scan::{FinishOptions, Header, finish};
use super::{Output, decision_options, learn};
use crate::cli::ScoreArgs;

pub(super) fn run(args: &ScoreArgs, output: &Output<'_>) -> Result<(), Failure> {
    let started = machine::now();
    let decision = decision_options(&args.decision)?;
    let (model, info) = load_model(&args.model)?;
    let surroundings = output.surroundings(&args.source)?;
    let (sources, mut notes) = open_sources(&args.source.sources, &surroundings)?;
    learn::prepare_folder(&args.output, args.force, false)?;
    notes.push(format!("scored with {}, made {}", args.model.display(), info.made));
    let seconds = vec![("train".to_owned(), info.train_s)];
    let header = Header { command: "score", preset: info.preset, seed: info.seed, started, notes, seconds };
    let options = FinishOptions { decision, overlay: args.overlay };
    finish(model.as_ref(), &sources, &args.output, header, &options, &surroundings, output)
}
