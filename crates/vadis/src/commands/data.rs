//! `vadis data`: benchmark layouts, and synthetic scenes.

use std::path::Path;

use vadis::Failure;
use vadis::data::{CheckOptions, CheckReport, Dataset, OpenOptions, layouts};
use vadis::video::synth::{InsertConfig, SceneConfig, normal, write_scene};
use vadis::video::{Colour, FrameFormat, FrameReader, ReadOptions, Source, probe};

use super::{Output, insert, usage};
use crate::cli::DataCommand;

pub(super) fn run(command: &DataCommand, output: &Output<'_>) -> Result<(), Failure> {
    match command {
        DataCommand::List => list(output),
        DataCommand::Check { dataset, root, labels, subset, decode } => {
            let options =
                OpenOptions { label_set: labels.clone(), subset: subset.clone(), ..OpenOptions::default() };
            check(dataset, root, &options, *decode, output)
        }
        DataCommand::Synth { output: folder, minutes, seed, normal } => {
            synth(folder, *minutes, *seed, *normal, output)
        }
        DataCommand::Insert { source, output: folder, fraction, shortest, longest, every, seed } => {
            let (fraction, shortest, longest, seed) = (*fraction, *shortest, *longest, *seed);
            let config = InsertConfig { seed, fraction, shortest, longest, ..InsertConfig::default() };
            insert::run(source, folder, &config, *every, output)
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
    decode: bool,
    output: &Output<'_>,
) -> Result<(), Failure> {
    let dataset = Dataset::open(key, root, options)?;
    let count = |path: &Path| if decode { count_by_decoding(path) } else { count_by_probe(path) };
    let report = dataset.check(CheckOptions { probe: Some(&count), decode_masks: decode });
    output.result(&describe(&report), &serde_json::json!(report))?;
    if report.passed() { Ok(()) } else { Err(Failure::Incomplete { dataset: key.to_owned() }) }
}

fn count_by_probe(path: &Path) -> Result<u64, String> {
    let info = probe(&Source::file(path), &ReadOptions::default()).map_err(|e| e.to_string())?;
    info.frames.ok_or_else(|| "its container does not say how many frames it has; try --decode".to_owned())
}

fn count_by_decoding(path: &Path) -> Result<u64, String> {
    let format = FrameFormat { size: Some((16, 16)), colour: Colour::Grey };
    let mut reader = FrameReader::open(&Source::file(path), &format, &ReadOptions::default())
        .map_err(|e| e.to_string())?;
    reader.try_fold(0, |n, frame| frame.map(|_| n + 1)).map_err(|e| e.to_string())
}

fn describe(report: &CheckReport) -> String {
    let mut text = format!("{} in {} (labels: {})\n", report.key, report.root.display(), report.label_set);
    let splits = [("train", report.train), ("validation", report.validation), ("test", report.test)];
    for (name, counts) in splits.into_iter().filter(|(_, counts)| counts.clips > 0) {
        text += &format!(
            "{name:<11} {} clips, {} frames, {} abnormal, {} masks\n",
            counts.clips, counts.frames, counts.abnormal, counts.masks
        );
    }
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
