//! `vadis score`: footage through a model that was kept.

use std::path::{Path, PathBuf};

use vadis::eval::run::{CombinationInfo, MemberInfo, RunInfo};
use vadis::stages::{Opened, Surroundings, calibrate, open_sources};
use vadis::systems::combination::{Combination, Standard, Weights, numbered};
use vadis::systems::{Model, ModelInfo, Native};
use vadis::video::{Colour, SourceKind, VideoInfo, grab_frames};
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
    let loaded = Loaded::open(&args.models, &args.weights, args.int8)?;
    if let Some(run) = &args.calibrated_on {
        let model = loaded.judge.model();
        check_calibration(run, model, &loaded.infos[0], args)?;
        // What that run cannot promise is told before hours of scoring.
        decision.calibration = Some(calibrate(run, model.statistics(), &decision)?);
    }
    let surroundings = output.surroundings(&args.source)?;
    let (sources, mut notes) = open_sources(&args.source.sources, &surroundings)?;
    let inside = args.models.iter().find(|model| args.force && lies_in(model, &args.output));
    if let Some(model) = inside {
        return Err(Failure::Usage {
            what: format!("--force would remove {}", model.display()),
            hint: Some("give another -o, or move the model out of that folder".to_owned()),
        });
    }
    learn::prepare_folder(&args.output, args.force, false)?;
    for (path, info) in args.models.iter().zip(&loaded.infos) {
        notes.push(format!("scored with {}, made {}", path.display(), info.made));
    }
    if args.int8 {
        notes.push("scored in bytes (int8)".to_owned());
    }
    for (model, info) in loaded.judge.models().into_iter().zip(&loaded.infos) {
        notes.extend(from_elsewhere(model, info, &sources, &surroundings));
    }
    let seconds = vec![("train".to_owned(), loaded.infos.iter().map(|info| info.train_s).sum())];
    let (preset, seed) = (presets(&loaded.infos), loaded.infos[0].seed);
    let combination = loaded.judge.described(&args.models);
    let header = Header { command: "score", preset, seed, started, notes, seconds, combination };
    let colours = args.heat_colours.into();
    let options = FinishOptions { decision, overlay: args.overlay, colours, replay: None };
    finish(loaded.judge.model(), &sources, &args.output, header, &options, &surroundings, output)
}

/// The models that were asked for, and what their files say of them.
struct Loaded {
    judge: Judge,
    infos: Vec<ModelInfo>,
}

/// What scores: one model, or several together.
enum Judge {
    One(Box<dyn Model>),
    Several(Box<Combination>),
}

impl Loaded {
    fn open(paths: &[PathBuf], weights: &str, in_bytes: bool) -> Result<Self, Failure> {
        let (mut models, mut infos) = (Vec::new(), Vec::new());
        for path in paths {
            let (mut model, info) = open_model(path)?;
            if in_bytes {
                model.score_in_bytes()?;
            }
            models.push(model);
            infos.push(info);
        }
        let weights = given_weights(weights, paths.len())?;
        let judge = match models.len() {
            1 => Judge::One(models.remove(0)),
            _ => {
                let standard =
                    |(model, path): (Box<dyn Model>, &PathBuf)| match Standard::of(model.statistics()) {
                        Some(standard) => Ok((model, standard)),
                        None => Err(Failure::Usage {
                            what: format!(
                                "{} does not say how its scores lie on normal footage",
                                path.display()
                            ),
                            hint: Some("train it again, on more footage".to_owned()),
                        }),
                    };
                let members = models.into_iter().zip(paths).map(standard).collect::<Result<_, _>>()?;
                Judge::Several(Box::new(Combination::new(members, &weights)?))
            }
        };
        Ok(Self { judge, infos })
    }
}

/// The preset, or those of the members where they differ.
pub(super) fn presets(infos: &[ModelInfo]) -> String {
    let mut presets: Vec<&str> = infos.iter().map(|info| info.preset.as_str()).collect();
    presets.dedup();
    presets.join("+")
}

impl Judge {
    fn model(&self) -> &dyn Model {
        match self {
            Self::One(model) => model.as_ref(),
            Self::Several(combination) => combination.as_ref(),
        }
    }

    fn models(&self) -> Vec<&dyn Model> {
        match self {
            Self::One(model) => vec![model.as_ref()],
            Self::Several(combination) => combination.models().collect(),
        }
    }

    fn described(&self, paths: &[PathBuf]) -> Option<CombinationInfo> {
        match self {
            Self::One(_) => None,
            Self::Several(combination) => Some(described(combination, paths)),
        }
    }
}

/// A combination as `run.json` has it; `from` is where each member's scores come from.
pub(super) fn described(combination: &Combination, from: &[PathBuf]) -> CombinationInfo {
    let names = numbered(combination.indicators().iter().copied());
    let member = |((name, from), (weight, standard)): ((String, &PathBuf), (f64, Standard))| MemberInfo {
        name,
        from: from.display().to_string(),
        weight,
        mean: standard.mean,
        std: standard.std,
    };
    let members = names.into_iter().zip(from).zip(combination.blend().members()).map(member).collect();
    CombinationInfo { members, weights: combination.weights_from().to_owned(), delay: combination.delay() }
}

/// `equal`, or a number a member.
pub(super) fn given_weights(text: &str, members: usize) -> Result<Weights, Failure> {
    if text == "equal" {
        return Ok(Weights::equal(members));
    }
    let wrong = |what: String| Failure::Usage {
        what: format!("--weights: {what}"),
        hint: Some("it takes `equal`, or a number of 0 or more for each member, such as 1,2".to_owned()),
    };
    let number = |part: &str| part.trim().parse().map_err(|_| wrong(format!("`{part}` is no number")));
    let values = text.split(',').map(number).collect::<Result<Vec<f64>, _>>()?;
    let fits = values.iter().all(|w| w.is_finite() && *w >= 0.0) && values.iter().any(|w| *w > 0.0);
    match values.len() == members && fits {
        true => Ok(Weights { values, from: "given".to_owned() }),
        false => Err(wrong(format!("`{text}` does not weigh {members} members"))),
    }
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
    let format = model.reads();
    let colour = format.colour;
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
