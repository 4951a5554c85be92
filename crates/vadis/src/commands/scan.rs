//! `vadis scan`: unlabelled footage → ranked events and a report.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use vadis::eval::run::{CombinationInfo, Event, HeatColours, RunInfo};
use vadis::report::{ReportOptions, write_report};
use vadis::stages::{
    DecisionOptions, Opened, Replay, ScoreOptions, Surroundings, decide, illustrate, open_sources, score,
    score_by,
};
use vadis::systems::Model;
use vadis::{Failure, machine};

use super::learn::{self, Learnt, Plan};
use super::report::{file_name, write_players_files};
use super::{Output, decision_options, open_model};
use crate::cli::{ScanArgs, SourceArgs};

/// Name of the model in a run directory.
pub(super) const MODEL: &str = "model.safetensors";

pub(super) fn run(args: &ScanArgs, output: &Output<'_>) -> Result<(), Failure> {
    let started = machine::now();
    let plan = Plan::new(&args.system, &args.learn)?;
    let decision = decision_options(&args.decision)?;
    let surroundings = output.surroundings(&args.source)?;
    let (sources, mut notes) = open_sources(&args.source.sources, &surroundings)?;
    let folder = args.output.clone().unwrap_or_else(|| default_folder(&sources));
    learn::prepare_folder(&folder, args.learn.force, args.learn.resume)?;
    let learnt = learn_or_load(&plan, &sources, &folder, &args.source, args.learn.resume, output)?;
    notes.extend(learnt.info.notes.iter().cloned());
    let header = Header {
        command: "scan",
        preset: plan.preset().to_string(),
        seed: plan.seed(),
        started,
        notes,
        seconds: learnt.seconds.clone(),
        combination: None,
    };
    let colours = args.heat_colours.into();
    let options = FinishOptions { decision, overlay: args.overlay, colours, replay: None };
    finish(learnt.model.as_ref(), &sources, &folder, header, &options, &surroundings, output)
}

fn default_folder(sources: &[Opened]) -> PathBuf {
    Path::new("runs").join(file_name(&sources[0].source.name))
}

/// Trains, or takes the model that an interrupted run had finished.
pub(super) fn learn_or_load(
    plan: &Plan,
    sources: &[Opened],
    folder: &Path,
    args: &SourceArgs,
    resume: bool,
    output: &Output<'_>,
) -> Result<Learnt, Failure> {
    let path = folder.join(MODEL);
    if resume && path.exists() {
        let (model, info) = open_model(&path)?;
        let learnt_from = info.sources.iter().map(|(name, _)| name.as_str());
        let same = model.system() == plan.system
            && model.config() == plan.configured.config()
            && info.seed == plan.seed()
            && learnt_from.eq(sources.iter().map(|s| s.source.name.as_str()));
        if same {
            let seconds = vec![("train".to_owned(), info.train_s)];
            return Ok(Learnt { model, info, seconds });
        }
        let reason = "it was trained with other settings, another seed or other footage".to_owned();
        return Err(vadis::systems::SystemError::Checkpoint { path, reason }.into());
    }
    let learnt = plan.learn(sources, folder, args, output)?;
    learn::keep(&learnt, &path)?;
    Ok(learnt)
}

/// What is known of a run before its scores.
pub(super) struct Header {
    pub(super) command: &'static str,
    pub(super) preset: String,
    pub(super) seed: u64,
    pub(super) started: String,
    pub(super) notes: Vec<String>,
    pub(super) seconds: Vec<(String, f64)>,
    pub(super) combination: Option<CombinationInfo>,
}

/// How a run is finished.
pub(super) struct FinishOptions<'a> {
    pub(super) decision: DecisionOptions,
    pub(super) overlay: bool,
    /// What heat is drawn in.
    pub(super) colours: HeatColours,
    /// Scores that are there already.
    pub(super) replay: Option<&'a Replay<'a>>,
}

/// Scores, decides, illustrates, reports and says so: what `scan` and `score` share.
pub(super) fn finish(
    model: &dyn Model,
    sources: &[Opened],
    folder: &Path,
    header: Header,
    options: &FinishOptions<'_>,
    surroundings: &Surroundings<'_>,
    output: &Output<'_>,
) -> Result<(), Failure> {
    let Finished { run, events, report } = complete(model, sources, folder, header, options, surroundings)?;
    run.notes.iter().for_each(|note| output.note(note));
    present(&run, &events, folder, &report, output)
}

/// A run that is whole.
pub(super) struct Finished {
    pub(super) run: RunInfo,
    events: Vec<Event>,
    report: PathBuf,
}

/// Scores, decides, illustrates and reports.
pub(super) fn complete(
    model: &dyn Model,
    sources: &[Opened],
    folder: &Path,
    header: Header,
    options: &FinishOptions<'_>,
    surroundings: &Surroundings<'_>,
) -> Result<Finished, Failure> {
    let with_heat = ScoreOptions { heat: true, colours: options.colours };
    let scored = match options.replay {
        Some(replay) => {
            score_by(model, &|opened| replay.scorer(opened), sources, folder, with_heat, surroundings)?
        }
        None => score(model, sources, folder, with_heat, surroundings)?,
    };
    let decided = decide(folder, &scored.frames, model.statistics(), &options.decision)?;
    let began = std::time::Instant::now();
    let (events, more) = illustrate(
        model,
        sources,
        &scored.sources,
        decided.candidates,
        folder,
        options.colours,
        surroundings,
    )?;
    let mut run = RunInfo {
        command: header.command.to_owned(),
        command_line: machine::command_line(),
        directory: machine::directory(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        system: header.combination.as_ref().map_or_else(|| model.system().to_owned(), CombinationInfo::name),
        preset: header.preset,
        seed: header.seed,
        config: model.config(),
        machine: machine::describe("cpu"),
        started: header.started,
        seconds: header.seconds,
        scoring: scored.parts,
        peak_mib: machine::peak_mib(),
        sources: scored.sources,
        decision: Some(decided.decision),
        heat: scored.heat,
        combination: header.combination,
        notes: header.notes,
    };
    run.seconds.push(("score".to_owned(), scored.seconds));
    run.notes.extend(scored.notes.into_iter().chain(more));
    // A file that is broken is found so by every stage that reads it.
    let mut told = BTreeSet::new();
    run.notes.retain(|note| told.insert(note.clone()));
    run.write(&folder.join("run.json"))?;
    write_players_files(folder, options.overlay)?;
    run.seconds.push(("report".to_owned(), began.elapsed().as_secs_f64()));
    run.write(&folder.join("run.json"))?;
    let report = write_report(folder, &ReportOptions::default())?;
    Ok(Finished { run, events, report })
}

fn present(
    run: &RunInfo,
    events: &[Event],
    folder: &Path,
    report: &Path,
    output: &Output<'_>,
) -> Result<(), Failure> {
    let frames: u64 = run.sources.iter().map(|s| s.frames).sum();
    let seconds: f64 = run.sources.iter().map(|s| s.duration_s).sum();
    let moments = if events.len() == 1 { "moment" } else { "moments" };
    let mut text =
        format!("{} strange {moments} in {} of footage ({frames} frames)\n", events.len(), clock(seconds));
    for (i, event) in events.iter().take(10).enumerate() {
        let (start, end) = (clock(event.start_s), clock(event.end_s));
        text += &format!("{:>3}. {} {start} – {end}  {}\n", i + 1, event.video, event.reason);
    }
    let alarms = run.decision.as_ref().and_then(|decision| decision.alarms.as_ref());
    if let Some(alarms) = alarms {
        text += &format!("{}\n", alarms.words());
    }
    text += &format!("report: {}\n", report.display());
    let json = serde_json::json!({
        "run": folder,
        "report": report,
        "frames": frames,
        "seconds": run.seconds,
        "peak_mib": run.peak_mib,
        "events": events,
        "alarms": alarms,
        "notes": run.notes,
    });
    output.result(&text, &json)
}

/// h:mm:ss
fn clock(seconds: f64) -> String {
    let s = seconds.max(0.0) as u64;
    format!("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60)
}
