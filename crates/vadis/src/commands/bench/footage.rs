//! The footage of a benchmark: what is learnt from, what is judged, and by which labels.

use std::fs;
use std::path::{Path, PathBuf};

use vadis::Failure;
use vadis::data::{Clip, Dataset, OpenOptions, Split, layouts};
use vadis::progress::Stage;
use vadis::stages::{Opened, Surroundings, open_sources, probe_sources};
use vadis::video::Source;
use vadis::video::synth::{InsertConfig, Kind, SceneConfig, normal, write_scene};

use super::super::insert::insert_into;
use super::super::usage;
use crate::cli::BenchArgs;

/// The data set that is made.
const SYNTH: &str = "synth";
/// Data sets of one test video: an unsupervised system learns that video itself. Of the others it learns the training
/// and test clips together, since test clips are cut around anomalies.
const WHOLE_FOOTAGE: [&str; 2] = ["upcam", SYNTH];
/// One training clip in so many is held out for validation.
const HELD_OUT: usize = 4;
/// A held-out clip is judged once as it is and this often with anomalies, each time with others …
const MOST_EDITS: u64 = 6;
/// … but not oftener than gives a set of so many frames.
const VALIDATION_FRAMES: u64 = 4000;
/// Training scenes of a `synth`: several, so that some can be held out.
const TRAINING_SCENES: u64 = 8;
/// Their seeds are far from that of the test scene.
const TRAINING_SEED: u64 = 1000;

/// A benchmark that was asked for.
pub(super) struct Asked {
    name: String,
    root: PathBuf,
}

/// What is learnt from, what is judged.
pub(super) struct Footage {
    /// As the results call it.
    pub(super) name: String,
    pub(super) train: Vec<Opened>,
    /// The benchmark whose training clips those are.
    pub(super) taught_by: String,
    pub(super) test: Vec<Opened>,
    /// Whether an unsupervised system learns training and test footage together.
    pub(super) pooled: bool,
    pub(super) truth: Truth,
    /// What could not be read.
    pub(super) notes: Vec<String>,
}

impl Footage {
    /// Whether another benchmark's clips are learnt from.
    pub(super) fn is_foreign(&self) -> bool {
        self.taught_by != self.name
    }
}

/// Where labels come from: a benchmark's own files or a table.
#[derive(Default)]
pub(super) struct Truth {
    pub(super) layout: Option<(String, PathBuf)>,
    pub(super) labels: Option<PathBuf>,
    pub(super) kinds: Option<PathBuf>,
}

/// Names and roots, paired and checked.
pub(super) fn asked(args: &BenchArgs) -> Result<Vec<Asked>, Failure> {
    let mut roots = args.roots.iter();
    let one =
        |name: &String| pair(name, roots.next(), args, "give a --root for each --dataset, in the same order");
    let asked = args.datasets.iter().map(one).collect::<Result<Vec<_>, _>>()?;
    if roots.next().is_some() {
        return Err(usage("there are more --root than --dataset"));
    }
    let fits = args.minutes.is_finite() && (0.05..=1000.0).contains(&args.minutes);
    if fits { Ok(asked) } else { Err(usage("--minutes must be from 0.05 to 1000")) }
}

/// The benchmark that is learnt from, if it is another one.
pub(super) fn teacher(args: &BenchArgs) -> Result<Option<Asked>, Failure> {
    let root = args.train_root.as_ref();
    let one = |name: &String| pair(name, root, args, "say where its training clips lie by --train-root");
    args.train_dataset.as_ref().map(one).transpose()
}

/// A benchmark and where it lies; what is made lies in the output where nothing else is said.
fn pair(name: &str, root: Option<&PathBuf>, args: &BenchArgs, hint: &str) -> Result<Asked, Failure> {
    if name != SYNTH && layouts().iter().all(|layout| layout.key != name) {
        let known = layouts().iter().map(|l| l.key).chain([SYNTH]).collect::<Vec<_>>().join(", ");
        return Err(Failure::Usage {
            what: format!("there is no data set `{name}`"),
            hint: Some(format!("there are: {known}")),
        });
    }
    let root = match (name, root) {
        (_, Some(root)) => root.clone(),
        (SYNTH, None) => args.output.join(SYNTH).join("footage"),
        (name, None) => {
            return Err(Failure::Usage {
                what: format!("data set {name} has no root"),
                hint: Some(hint.to_owned()),
            });
        }
    };
    Ok(Asked { name: name.to_owned(), root })
}

/// Opens a benchmark, made where it is made, held out or taught by another one where that was asked for.
pub(super) fn open(
    asked: &Asked,
    teacher: Option<&Asked>,
    args: &BenchArgs,
    surroundings: &Surroundings<'_>,
) -> Result<Footage, Failure> {
    let dataset = dataset(asked, &args.scenes, args, surroundings)?;
    let name = in_scenes(&asked.name, args.scenes.len());
    let (train, mut notes) = match teacher {
        Some(teacher) => {
            let dataset = self::dataset(teacher, &[], args, surroundings)?;
            clips(&dataset, Split::Train, &pictures(args, &teacher.name), surroundings)?
        }
        None => clips(&dataset, Split::Train, &pictures(args, &name), surroundings)?,
    };
    if args.validate {
        return validation(&name, train, notes, args, surroundings);
    }
    let (test, more) = clips(&dataset, Split::Test, &pictures(args, &name), surroundings)?;
    notes.extend(more);
    let kinds = Some(asked.root.join("kinds.csv")).filter(|path| asked.name == SYNTH && path.exists());
    let truth =
        Truth { layout: Some((dataset.key.to_owned(), asked.root.clone())), kinds, ..Truth::default() };
    let pooled = teacher.is_none() && !WHOLE_FOOTAGE.contains(&name.as_str());
    let (name, taught_by) = match teacher {
        Some(teacher) => (format!("{name}-from-{}", teacher.name), teacher.name.clone()),
        None => (name.clone(), name),
    };
    Ok(Footage { name, train, taught_by, test, pooled, truth, notes })
}

/// Where volumes of a benchmark are unpacked.
fn pictures(args: &BenchArgs, name: &str) -> PathBuf {
    args.output.join(name).join("footage")
}

/// The benchmark itself, made if it is one that is made.
fn dataset(
    asked: &Asked,
    scenes: &[String],
    args: &BenchArgs,
    surroundings: &Surroundings<'_>,
) -> Result<Dataset, Failure> {
    let key = match asked.name.as_str() {
        SYNTH => {
            make_synth(&asked.root, args.minutes, surroundings)?;
            "folder"
        }
        other => other,
    };
    Ok(Dataset::open(key, &asked.root, &OpenOptions { scenes: scenes.to_vec(), ..OpenOptions::default() })?)
}

/// What a part of a data set is called: another number of scenes is another benchmark.
fn in_scenes(name: &str, scenes: usize) -> String {
    match scenes {
        0 => name.to_owned(),
        1 => format!("{name}-1-scene"),
        n => format!("{name}-{n}-scenes"),
    }
}

/// The clips of a split; volumes are unpacked into `pictures`.
fn clips(
    dataset: &Dataset,
    split: Split,
    pictures: &Path,
    surroundings: &Surroundings<'_>,
) -> Result<(Vec<Opened>, Vec<String>), Failure> {
    // A benchmark whose training clips are partly abnormal is learnt from the normal ones.
    let fits = |clip: &&Clip| split != Split::Train || clip.is_normal();
    let sources = dataset.split(split).filter(fits).map(|clip| clip.unpack(pictures));
    let sources: Vec<Source> = sources.collect::<Result<_, _>>()?;
    if sources.is_empty() {
        let what = if split == Split::Train { "training" } else { "test" };
        return Err(Failure::Usage {
            what: format!("{} has no {what} clips in {}", dataset.key, dataset.root.display()),
            hint: Some(format!("`vadis data check --dataset {} --root …` says what is missing", dataset.key)),
        });
    }
    probe_sources(sources, surroundings)
}

/// A quarter of the training clips, each once as it is and several times with anomalies inserted.
fn validation(
    name: &str,
    clips: Vec<Opened>,
    notes: Vec<String>,
    args: &BenchArgs,
    surroundings: &Surroundings<'_>,
) -> Result<Footage, Failure> {
    if clips.len() < HELD_OUT {
        return Err(Failure::Usage {
            what: format!(
                "{name} has {} training clips; --validate holds out one in {HELD_OUT}",
                clips.len()
            ),
            hint: Some("cut the training footage into several videos".to_owned()),
        });
    }
    let name = validation_name(name, &args.kinds);
    let folder = args.output.join(&name).join("footage");
    let (mut train, mut held_out) = (Vec::new(), Vec::new());
    for (place, clip) in clips.into_iter().enumerate() {
        if place % HELD_OUT == HELD_OUT - 1 { held_out.push(clip) } else { train.push(clip) }
    }
    let labels = folder.join("labels.csv");
    if !labels.exists() {
        let copies = 0..=edits(&held_out);
        let clips: Vec<_> =
            held_out.iter().flat_map(|clip| copies.clone().map(move |copy| (clip, copy > 0))).collect();
        let config = InsertConfig { kinds: validation_kinds(&args.kinds), ..InsertConfig::default() };
        insert_into(&clips, &folder, &config, surroundings)?;
    }
    let videos = folder.join("videos").to_string_lossy().into_owned();
    let (test, more) = open_sources(&[videos], surroundings)?;
    let kinds = Some(folder.join("kinds.csv")).filter(|path| path.exists());
    let truth = Truth { labels: Some(labels), kinds, layout: None };
    let notes = notes.into_iter().chain(more).collect();
    Ok(Footage { taught_by: name.clone(), name, train, test, pooled: true, truth, notes })
}

/// The kinds asked for. Where people go both ways nobody goes the wrong one, which would be a label without an anomaly:
/// that kind is to be asked for.
fn validation_kinds(asked: &[Kind]) -> Vec<Kind> {
    match asked {
        [] => Kind::ALL.into_iter().filter(|&kind| kind != Kind::WrongDirection).collect(),
        asked => asked.to_vec(),
    }
}

/// Other kinds are another set.
fn validation_name(name: &str, asked: &[Kind]) -> String {
    let kinds: String = asked.iter().map(|kind| format!("-{kind}")).collect();
    format!("{name}-validation{kinds}")
}

/// How often each clip is judged with anomalies in it.
fn edits(clips: &[Opened]) -> u64 {
    let frames: u64 = clips.iter().map(|clip| clip.info.frames.unwrap_or(VALIDATION_FRAMES)).sum();
    (VALIDATION_FRAMES / frames.max(1)).saturating_sub(1).clamp(1, MOST_EDITS)
}

/// A street: `train/` with normal scenes, `test/scene.mp4`, `labels.csv` and `kinds.csv`, which is the layout `folder`.
fn make_synth(root: &Path, minutes: f64, surroundings: &Surroundings<'_>) -> Result<(), Failure> {
    let labels = root.join("labels.csv");
    if labels.exists() {
        return Ok(());
    }
    let mut stage = Stage::new("making", Some(TRAINING_SCENES + 1), surroundings.quiet);
    let scene = |seed: u64, minutes: f64| {
        let config = SceneConfig { seed, ..SceneConfig::default() };
        SceneConfig { frames: (minutes * 60.0 * config.fps).ceil() as u64, ..config }
    };
    for folder in ["train", "test"].map(|part| root.join(part)) {
        fs::create_dir_all(&folder).map_err(Failure::io(&folder))?;
    }
    let work = root.join("work");
    let keep = |from: &Path, to: PathBuf| fs::rename(from, &to).map_err(Failure::io(&to));
    for place in 0..TRAINING_SCENES {
        if surroundings.interrupt.load(std::sync::atomic::Ordering::Relaxed) {
            return Err(Failure::Interrupted { stage: "making the street", resumable: true });
        }
        clear(&work)?;
        let config = normal(&scene(TRAINING_SEED + place, minutes / TRAINING_SCENES as f64));
        let files = write_scene(&config, &work)?;
        keep(&files.video, root.join("train").join(format!("street-{place}.mp4")))?;
        stage.set(place + 1, None, "training scenes");
    }
    clear(&work)?;
    let files = write_scene(&scene(0, minutes), &work)?;
    keep(&files.video, root.join("test").join("scene.mp4"))?;
    keep(&files.kinds, root.join("kinds.csv"))?;
    // The labels last: where they are, the street is whole.
    keep(&files.labels, labels)?;
    clear(&work)?;
    stage.finish(&format!("a street of {minutes} minutes"));
    Ok(())
}

fn clear(folder: &Path) -> Result<(), Failure> {
    match fs::remove_dir_all(folder) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(Failure::Io { path: folder.to_owned(), source })
        }
        _ => Ok(()),
    }
}
