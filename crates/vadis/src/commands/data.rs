//! `vadis data`: benchmark layouts, and synthetic scenes.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use rayon::prelude::*;
use vadis::Failure;
use vadis::data::{CheckOptions, CheckReport, ClipSource, Dataset, OpenOptions, layouts};
use vadis::progress::Stage;
use vadis::video::synth::{InsertConfig, Kind, SceneConfig, normal, write_scene};
use vadis::video::{Colour, FrameFormat, FrameReader, ReadOptions, Source, probe};

use super::{Output, insert, subsample, usage};
use crate::cli::DataCommand;

pub(super) fn run(command: &DataCommand, output: &Output<'_>) -> Result<(), Failure> {
    match command {
        DataCommand::List => list(output),
        DataCommand::Check { dataset, root, labels, subset, quick } => {
            let options =
                OpenOptions { label_set: labels.clone(), subset: subset.clone(), ..OpenOptions::default() };
            check(dataset, root, &options, *quick, output)
        }
        DataCommand::Synth { output: folder, minutes, seed, normal } => {
            synth(folder, *minutes, *seed, *normal, output)
        }
        DataCommand::Insert { source, output: folder, fraction, shortest, longest, kinds, every, seed } => {
            let (fraction, shortest, longest, seed) = (*fraction, *shortest, *longest, *seed);
            let kinds = if kinds.is_empty() { Kind::ALL.to_vec() } else { kinds.clone() };
            let config = InsertConfig { seed, kinds, fraction, shortest, longest, ..InsertConfig::default() };
            insert::run(source, folder, &config, *every, output)
        }
        DataCommand::Subsample { source, labels, dataset, root, output: folder, contamination, seed } => {
            let plan = subsample::Plan {
                source,
                labels: labels.as_deref(),
                dataset: dataset.as_deref().zip(root.as_deref()),
                folder,
                contamination: *contamination,
                seed: *seed,
            };
            subsample::run(&plan, output)
        }
    }
}

fn list(output: &Output<'_>) -> Result<(), Failure> {
    let mut text = String::new();
    for layout in layouts() {
        text += &format!("{:<14} {}\n", layout.key, layout.title);
        let names = |names: Vec<&str>| names.join(", ");
        let labels = names(layout.label_sets.iter().map(|l| l.name).collect());
        let subsets = names(layout.subsets.iter().map(|s| s.name).collect());
        if !labels.is_empty() {
            text += &format!("{:14} labels: {labels}\n", "");
        }
        if !subsets.is_empty() {
            text += &format!("{:14} subsets: {subsets}\n", "");
        }
    }
    output.result(&text, &serde_json::json!(layouts()))
}

fn check(
    key: &str,
    root: &Path,
    options: &OpenOptions,
    quick: bool,
    output: &Output<'_>,
) -> Result<(), Failure> {
    let dataset = Dataset::open(key, root, options)?;
    let counts = count_videos(&dataset, quick, output);
    let count = |path: &Path| counts.get(path).cloned().unwrap_or_else(|| count_by_decoding(path));
    let report = dataset.check(CheckOptions { probe: Some(&count), decode_masks: !quick });
    let counted = counted(&dataset, quick);
    let mut json = serde_json::json!(report);
    json["counted"] = serde_json::json!(counted);
    output.result(&describe(&report, &counted), &json)?;
    if report.passed() { Ok(()) } else { Err(Failure::Incomplete { dataset: key.to_owned() }) }
}

type Count = Result<u64, String>;

/// Frames of every video, several at a time.
fn count_videos<'a>(dataset: &'a Dataset, quick: bool, output: &Output<'_>) -> BTreeMap<&'a Path, Count> {
    let videos: Vec<&Path> = dataset.clips.iter().filter_map(|clip| video_of(&clip.source)).collect();
    if videos.is_empty() {
        return BTreeMap::new();
    }
    let (done, total) = (AtomicU64::new(0), videos.len() as u64);
    let stage = Mutex::new(Stage::new("counting", Some(total), output.quiet));
    let counts = videos.par_iter().map(|path| {
        let count = if quick { count_by_probe(path) } else { count_by_decoding(path) };
        if let Ok(mut stage) = stage.lock() {
            stage.set(done.fetch_add(1, Ordering::Relaxed) + 1, Some(total), "");
        }
        (*path, count)
    });
    let counts = counts.collect();
    if let Ok(stage) = stage.into_inner() {
        stage.finish(&format!("{total} videos"));
    }
    counts
}

fn video_of(source: &ClipSource) -> Option<&Path> {
    match source {
        ClipSource::Video(path) => Some(path),
        _ => None,
    }
}

/// By what means frames were counted, each kind of clip that is there.
fn counted(dataset: &Dataset, quick: bool) -> Vec<&'static str> {
    let any = |kind: fn(&ClipSource) -> bool| dataset.clips.iter().any(|clip| kind(&clip.source));
    let videos =
        if quick { "videos: as their containers say, not decoded" } else { "videos: every frame decoded" };
    [
        (any(|s| matches!(s, ClipSource::Video(_))), videos),
        (any(|s| matches!(s, ClipSource::Images(_))), "folders of pictures: their files, none empty"),
        (any(|s| matches!(s, ClipSource::Volume(_))), "volumes: the header's last dimension"),
        (
            true,
            if quick { "masks: counted, not decoded" } else { "masks: decoded and compared with the labels" },
        ),
    ]
    .into_iter()
    .filter_map(|(there, how)| there.then_some(how))
    .collect()
}

fn count_by_probe(path: &Path) -> Count {
    let info = probe(&Source::file(path), &ReadOptions::default()).map_err(|e| e.to_string())?;
    info.frames
        .ok_or_else(|| "its container does not say how many frames it has; leave --quick out".to_owned())
}

/// At the native size and without colour: the least work that still decodes every frame.
fn count_by_decoding(path: &Path) -> Count {
    let format = FrameFormat { size: None, colour: Colour::Grey };
    let mut reader = FrameReader::open(&Source::file(path), &format, &ReadOptions::default())
        .map_err(|e| e.to_string())?;
    reader.try_fold(0, |n, frame| frame.map(|_| n + 1)).map_err(|e| e.to_string())
}

fn describe(report: &CheckReport, counted: &[&str]) -> String {
    let mut text = format!("{} in {} (labels: {})\n", report.key, report.root.display(), report.label_set);
    let splits = [("train", report.train), ("validation", report.validation), ("test", report.test)];
    for (name, counts) in splits.into_iter().filter(|(_, counts)| counts.clips > 0) {
        text += &format!(
            "{name:<11} {} clips, {} frames, {} abnormal, {} masks\n",
            counts.clips, counts.frames, counts.abnormal, counts.masks
        );
    }
    counted.iter().for_each(|how| text += &format!("counted     {how}\n"));
    for problem in &report.problems {
        text += &format!("{problem}\n");
    }
    if report.omitted > 0 {
        text += &format!("and {} more problems\n", report.omitted);
    }
    text += if report.passed() { "complete" } else { "not complete" };
    text
}

fn synth(
    folder: &Path,
    minutes: Option<f64>,
    seed: u64,
    only_normal: bool,
    output: &Output<'_>,
) -> Result<(), Failure> {
    let mut config = SceneConfig { seed, ..SceneConfig::default() };
    if let Some(minutes) = minutes {
        if !(minutes.is_finite() && (0.01..=10_000.0).contains(&minutes)) {
            return Err(usage("--minutes must be from 0.01 to 10000"));
        }
        config.frames = (minutes * 60.0 * config.fps).ceil() as u64;
    }
    if only_normal {
        config = normal(&config);
    }
    let files = write_scene(&config, folder)?;
    let text = format!("video: {}\nlabels: {}", files.video.display(), files.labels.display());
    output.result(
        &text,
        &serde_json::json!({ "video": files.video, "labels": files.labels, "frames": config.frames }),
    )
}
