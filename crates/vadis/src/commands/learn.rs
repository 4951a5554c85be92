//! What `scan` and `train` share: from arguments to a trained model.

use std::path::{Path, PathBuf};

use vadis::eval::run::{TrainingRow, TrainingWriter};
use vadis::progress::Stage;
use vadis::stages::{Gathered, Opened, Thinning, gather};
use vadis::systems::{
    Configured, Device, InputFormat, LogRow, Model, ModelInfo, Native, Preset, Progress, Session, Setting,
    method, save_model,
};
use vadis::video::{ClockDetector, Mask, Zone, zone};
use vadis::{Failure, machine};

use super::{Output, parse, usage};
use crate::cli::{PresetArg, SourceArgs, SystemArgs};

/// What is to be learnt, and where the work lies.
pub(super) struct Plan {
    /// The system's key.
    pub(super) system: String,
    /// Its settings.
    pub(super) configured: Box<dyn Configured>,
    preset: Preset,
    seed: u64,
    resume: bool,
    device: Device,
    zones: Vec<Zone>,
}

/// A trained model and what training told.
pub(super) struct Learnt {
    /// The model.
    pub(super) model: Box<dyn Model>,
    /// What its file says of it.
    pub(super) info: ModelInfo,
    /// Wall seconds of each stage.
    pub(super) seconds: Vec<(String, f64)>,
}

impl Plan {
    /// Validates the arguments before any work.
    pub(super) fn new(system: &str, args: &SystemArgs) -> Result<Self, Failure> {
        let device = vadis::systems::device(&args.device).map_err(|e| Failure::Usage {
            what: format!("--device: {e}"),
            hint: Some("`vadis doctor` lists the devices".to_owned()),
        })?;
        let preset = match args.preset {
            PresetArg::Paper => Preset::Paper,
            PresetArg::Cpu => Preset::Cpu,
            PresetArg::Tiny => Preset::Tiny,
        };
        let settings =
            args.settings.iter().map(|s| parse("--set", s)).collect::<Result<Vec<Setting>, _>>()?;
        let wrong = |e: vadis::systems::SystemError| usage(e.to_string());
        let configured = method(system).map_err(wrong)?.configure(preset, &settings).map_err(wrong)?;
        let zones = args.ignore.iter().map(|z| parse("--ignore", z)).collect::<Result<_, _>>()?;
        Ok(Self {
            system: system.to_owned(),
            configured,
            preset,
            seed: args.seed,
            resume: args.resume,
            device,
            zones,
        })
    }

    pub(super) fn preset(&self) -> Preset {
        self.preset
    }

    pub(super) fn seed(&self) -> u64 {
        self.seed
    }

    /// Gathers the sources and trains on them, with the checkpoint and `training.csv` in `folder`.
    pub(super) fn learn(
        &self,
        sources: &[Opened],
        folder: &Path,
        args: &SourceArgs,
        output: &Output<'_>,
    ) -> Result<Learnt, Failure> {
        let first = &sources[0].info;
        let input = self.configured.input(first.width, first.height);
        let (gathered, suggestion) = self.gather(sources, input, folder, args, output)?;
        let native = Native::of(first.width, first.height, Some(&gathered.store.frame(0)?));
        let mut notes = gathered.notes.clone();
        notes.extend(suggestion);
        let (model, log, more, train_s) =
            self.train(&gathered, sources, input, folder, output).inspect_err(|_| {
                // A file that broke may be why.
                gathered.notes.iter().for_each(|note| output.note(note));
            })?;
        notes.extend(more);
        let names = sources.iter().map(|s| s.source.name.clone());
        let info = ModelInfo {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            preset: self.preset.to_string(),
            seed: self.seed,
            made: machine::now(),
            sources: names.zip(gathered.frames.iter().copied()).collect(),
            native: Some(native),
            train_s,
            losses: log.last().map(|row| row.terms.clone()).unwrap_or_default(),
            notes,
        };
        write_log(&folder.join("training.csv"), &log)?;
        let seconds = vec![("read".to_owned(), gathered.seconds), ("train".to_owned(), train_s)];
        Ok(Learnt { model, info, seconds })
    }

    /// Reads the footage; a burnt-in clock that is not ignored yet is suggested as a zone.
    fn gather(
        &self,
        sources: &[Opened],
        input: InputFormat,
        folder: &Path,
        args: &SourceArgs,
        output: &Output<'_>,
    ) -> Result<(Gathered, Option<String>), Failure> {
        let surroundings = output.surroundings(args)?;
        let mut clock = ClockDetector::new();
        let thinning =
            Thinning { capacity: self.configured.max_frames(), together: self.configured.together() };
        let gathered = gather(sources, input, thinning, folder, &surroundings, &mut |place, frame| {
            if place == 0 {
                clock.push(frame);
            }
        })?;
        let suggestion = clock.suggestion().filter(|_| self.zones.is_empty()).map(|zone| {
            format!("something like a clock is burnt into the picture; --ignore {zone} leaves it out")
        });
        Ok((gathered, suggestion))
    }

    #[allow(clippy::type_complexity)]
    fn train(
        &self,
        gathered: &Gathered,
        sources: &[Opened],
        input: InputFormat,
        folder: &Path,
        output: &Output<'_>,
    ) -> Result<(Box<dyn Model>, Vec<LogRow>, Vec<String>, f64), Failure> {
        let checkpoint = folder.join("checkpoint.safetensors");
        let mut stage = Stage::new("training", None, output.quiet);
        let mut progress = |p: Progress| {
            stage.enter(p.stage);
            stage.set(p.done, Some(p.total), &p.note);
        };
        let mut session = Session {
            seed: self.seed,
            device: self.device.clone(),
            ignore: self.ignored(sources, input)?,
            checkpoint: Some(checkpoint.clone()),
            resume: self.resume,
            interrupt: output.interrupt,
            progress: &mut progress,
            log: Vec::new(),
            notes: Vec::new(),
        };
        let model = self.configured.train(&gathered.store, &mut session)?;
        let (log, notes) = (std::mem::take(&mut session.log), std::mem::take(&mut session.notes));
        let train_s = stage.finish(&format!("{} on {} frames", self.system, gathered.store.len()));
        let _ = std::fs::remove_file(checkpoint);
        Ok((model, log, notes, train_s))
    }

    /// The ignored zones at the network's size; zones in pixels are those of the first source.
    fn ignored(&self, sources: &[Opened], input: InputFormat) -> Result<Option<Mask>, Failure> {
        let native = (sources[0].info.width, sources[0].info.height);
        Ok(zone::ignored(&self.zones, native, input.width, input.height)?)
    }
}

/// Writes the model file.
pub(super) fn keep(learnt: &Learnt, path: &Path) -> Result<(), Failure> {
    Ok(save_model(learnt.model.as_ref(), &learnt.info, path)?)
}

fn write_log(path: &Path, log: &[LogRow]) -> Result<(), Failure> {
    let Some(first) = log.first() else { return Ok(()) };
    let terms: Vec<String> = first.terms.iter().map(|(name, _)| name.clone()).collect();
    let mut writer = TrainingWriter::create(path, &terms)?;
    for LogRow { step, epoch, seconds, terms } in log {
        let values = terms.iter().map(|(_, value)| *value).collect();
        writer.push(&TrainingRow { step: *step, epoch: *epoch, seconds: *seconds, values })?;
    }
    Ok(writer.finish()?)
}

/// Makes `folder` ready for a run: it must hold none, unless it is to be replaced or taken up.
pub(super) fn prepare_folder(folder: &Path, force: bool, resume: bool) -> Result<(), Failure> {
    const RUN_FILES: [&str; 3] = ["run.json", "scores.csv", "checkpoint.safetensors"];
    let taken = RUN_FILES.iter().any(|name| folder.join(name).exists());
    if taken && !force && !resume {
        return Err(Failure::RunExists { path: folder.to_owned(), resumable: true });
    }
    if force {
        clear(folder)?;
    }
    std::fs::create_dir_all(folder).map_err(Failure::io(folder))
}

/// Removes the files of an earlier run, and nothing else.
fn clear(folder: &Path) -> Result<(), Failure> {
    const FILES: [&str; 18] = [
        "run.json",
        "scores.csv",
        "scores.csv.part",
        "events.csv",
        "regions.csv",
        "regions.csv.part",
        "heat.mkv",
        "metrics.json",
        "labels.csv",
        "latents.csv",
        "training.csv",
        "pseudo_anomalies.png",
        "model.safetensors",
        "statistics.json",
        "checkpoint.safetensors",
        "report.html",
        "overlay.mp4",
        "events.vtt",
    ];
    let files = FILES.iter().map(|name| folder.join(name)).chain(players_files(folder));
    for path in files.collect::<Vec<_>>() {
        remove(std::fs::remove_file(&path), path)?;
    }
    ["events", "mistakes"].into_iter().try_for_each(|name| {
        let pictures = folder.join(name);
        remove(std::fs::remove_dir_all(&pictures), pictures)
    })
}

/// What a run of several sources has for each of them: `events-NAME.vtt`, `overlay-NAME.mp4`.
fn players_files(folder: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| {
        let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
        name.starts_with("events-") && name.ends_with(".vtt")
            || name.starts_with("overlay-") && name.ends_with(".mp4")
    })
}

fn remove(result: std::io::Result<()>, path: PathBuf) -> Result<(), Failure> {
    match result {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(Failure::Io { path, source }),
        _ => Ok(()),
    }
}
