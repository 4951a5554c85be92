//! `vadis score`: footage through a model that was kept.

use std::path::Path;

use vadis::eval::run::RunInfo;
use vadis::stages::{Opened, Surroundings, calibrate, open_sources};
use vadis::systems::{InputFormat, Model, ModelInfo, Native};
use vadis::video::{Colour, FrameFormat, SourceKind, VideoInfo, grab_frames};
use vadis::{Failure, machine};

use super::report::check_run;
use super::scan::{FinishOptions, Header, finish};
use super::{Output, decision_options, learn, open_model};
use crate::cli::ScoreArgs;

/// Sources from elsewhere that are told one by one.
const MOST_TOLD: usize = 8;

pub(super) fn run(args: &ScoreArgs, output: &Output<'_>) -> Result<(), Failure> {
    score(args, output).map_err(Failure::without_resume)
}

fn score(args: &ScoreArgs, output: &Output<'_>) -> Result<(), Failure> {
    let started = machine::now();
    let mut decision = decision_options(&args.decision)?;
    let (mut model, info) = open_model(&args.model)?;
    if args.int8 {
        model.score_in_bytes()?;
    }
    if let Some(run) = &args.calibrated_on {
        check_calibration(run, model.as_ref(), &info, args)?;
        decision.calibrated_on = Some(run.clone());
        // What that run cannot promise is told before hours of scoring.
        calibrate(run, model.statistics(), &decision)?;
    }
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
    if args.int8 {
        notes.push("scored in bytes (int8)".to_owned());
    }
    notes.extend(from_elsewhere(model.as_ref(), &info, &sources, &surroundings));
    let seconds = vec![("train".to_owned(), info.train_s)];
    let header = Header { command: "score", preset: info.preset, seed: info.seed, started, notes, seconds };
    let options = FinishOptions { decision, overlay: args.overlay };
    finish(model.as_ref(), &sources, &args.output, header, &options, &surroundings, output)
}

/// A threshold of one model means nothing to another, and a run that is about to be replaced sets none.
fn check_calibration(
    run: &Path,
    model: &dyn Model,
    info: &ModelInfo,
    args: &ScoreArgs,
) -> Result<(), Failure> {
    check_run(run)?;
    let refuse = |why: &str| Failure::Usage {
        what: format!("--calibrated-on {}: {why}", run.display()),
        hint: Some("score normal footage with this model into another folder first".to_owned()),
    };
    let other = RunInfo::read(&run.join("run.json"))?;
    let same = other.system == model.system() && other.config == model.config() && other.seed == info.seed;
    if !same {
        return Err(refuse("it was scored with another model"));
    }
    let replaced = matches!((run.canonicalize(), args.output.canonicalize()), (Ok(a), Ok(b)) if a == b);
    if replaced { Err(refuse("it is the folder that is to be written")) } else { Ok(()) }
}

/// What the user should know where the footage is not like what the model learnt from: it is scored all the same.
fn from_elsewhere(
    model: &dyn Model,
    info: &ModelInfo,
    sources: &[Opened],
    surroundings: &Surroundings<'_>,
) -> Vec<String> {
    let Some(learnt) = info.native else { return Vec::new() };
    let InputFormat { width, height, colour } = model.input();
    let format = FrameFormat { size: Some((width, height)), colour };
    let told = sources.iter().filter_map(|opened| {
        let VideoInfo { width, height, .. } = opened.info;
        let native = match opened.source.kind {
            // A stream's first frame is scored, and not to be had twice; and grey is all that some systems read.
            _ if colour == Colour::Grey => Native { width, height, ..learnt },
            SourceKind::Stream(_) => Native { width, height, ..learnt },
            _ => {
                // What cannot be read is told where it is scored.
                let frames = grab_frames(&opened.source, &format, &surroundings.read, &[0]).ok()?;
                Native::of(width, height, Some(frames.first()?))
            }
        };
        let unlike = learnt.unlike(&native)?;
        Some(format!("{} is unlike what the model learnt from: {unlike}", opened.source.name))
    });
    told.take(MOST_TOLD).collect()
}

fn lies_in(file: &Path, folder: &Path) -> bool {
    match (file.canonicalize(), folder.canonicalize()) {
        (Ok(file), Ok(folder)) => file.parent() == Some(folder.as_path()),
        _ => false,
    }
}
