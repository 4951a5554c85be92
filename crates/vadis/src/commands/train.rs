//! `vadis train`: footage → a model that is kept.

use std::path::{Path, PathBuf};

use vadis::Failure;
use vadis::stages::open_sources;

use super::Output;
use super::learn::{self, Plan};
use crate::cli::TrainArgs;

pub(super) fn run(args: &TrainArgs, output: &Output<'_>) -> Result<(), Failure> {
    let plan = Plan::new(&args.system, &args.learn)?;
    if args.output.is_dir() {
        return Err(Failure::Usage {
            what: format!("{} is a folder", args.output.display()),
            hint: Some("-o takes the model file to write, such as camera.safetensors".to_owned()),
        });
    }
    if args.output.exists() && !args.learn.force && !args.learn.resume {
        return Err(Failure::Usage {
            what: format!("{} is there already", args.output.display()),
            hint: Some("use --force to replace it".to_owned()),
        });
    }
    let surroundings = output.surroundings(&args.source)?;
    let (sources, notes) = open_sources(&args.source.sources, &surroundings)?;
    let folder = work_folder(&args.output);
    std::fs::create_dir_all(&folder).map_err(Failure::io(&folder))?;
    let mut learnt = plan.learn(&sources, &folder, &args.source, output)?;
    learnt.info.notes.splice(0..0, notes);
    learn::keep(&learnt, &args.output)?;
    learnt.info.notes.iter().for_each(|note| output.note(note));
    let frames: u64 = learnt.info.sources.iter().map(|(_, frames)| frames).sum();
    let log = folder.join("training.csv");
    let text = format!(
        "{} learnt {frames} frames in {:.0} s\nmodel: {}\nlog: {}",
        plan.system,
        learnt.info.train_s,
        args.output.display(),
        log.display()
    );
    let json = serde_json::json!({
        "model": args.output,
        "log": log,
        "system": plan.system,
        "frames": frames,
        "train_s": learnt.info.train_s,
        "losses": learnt.info.losses,
        "notes": learnt.info.notes,
    });
    output.result(&text, &json)
}

/// Beside the model: `camera.safetensors` keeps its log and checkpoint in `camera.training/`.
fn work_folder(model: &Path) -> PathBuf {
    model.with_extension("training")
}
