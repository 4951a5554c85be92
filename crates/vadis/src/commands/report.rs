//! `vadis report`: the page of a run anew, or several runs side by side.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use vadis::Failure;
use vadis::eval::run::{Event, RunInfo, read_events};
use vadis::report::{
    OverlayOptions, ReportOptions, overlay, recolour, write_chapters, write_comparison, write_report,
};

use super::Output;
use crate::cli::ReportArgs;

pub(super) fn run(args: &ReportArgs, output: &Output<'_>) -> Result<(), Failure> {
    args.runs.iter().try_for_each(|run| check_run(run))?;
    let options = ReportOptions::default();
    let mut pages: Vec<PathBuf> = Vec::new();
    for run in &args.runs {
        if let Some(colours) = args.heat_colours {
            recolour(run, colours.into())?.iter().for_each(|problem| output.note(problem));
        }
        write_players_files(run, args.overlay)?;
        pages.push(write_report(run, &options)?);
    }
    if args.runs.len() > 1 || args.output.is_some() {
        let page = args.output.clone().unwrap_or_else(|| PathBuf::from("comparison.html"));
        write_comparison(&args.runs, &page, &options)?;
        pages.push(page);
    }
    let text: String = pages.iter().map(|page| format!("report: {}\n", page.display())).collect();
    output.result(&text, &serde_json::json!({ "reports": pages }))
}

/// Chapter marks of every source, and its overlay where wanted: `events.vtt` and `overlay.mp4`, or
/// `events-NAME.vtt` and `overlay-NAME.mp4` where there are several.
pub(super) fn write_players_files(folder: &Path, with_overlay: bool) -> Result<(), Failure> {
    let run = RunInfo::read(&folder.join("run.json"))?;
    let events: Vec<Event> = read_events(&folder.join("events.csv"))?;
    let mut names = FileNames::default();
    for source in &run.sources {
        let suffix = match run.sources.len() {
            1 => String::new(),
            _ => format!("-{}", names.unique(&source.video)),
        };
        write_chapters(&events, &source.video, &folder.join(format!("events{suffix}.vtt")))?;
        if with_overlay {
            let options = OverlayOptions { video: Some(source.video.clone()), ..OverlayOptions::default() };
            overlay(folder, &folder.join(format!("overlay{suffix}.mp4")), &options)?;
        }
    }
    Ok(())
}

/// Longest part of a file's name, in characters: at four bytes each it stays under the 255 that file systems take.
const LONGEST_NAME: usize = 56;

/// A source's name as part of a file's name; never empty, never too long.
pub(super) fn file_name(name: &str) -> String {
    let plain = |c: char| if c.is_alphanumeric() || "-_. ".contains(c) { c } else { '_' };
    let name: String = name.chars().map(plain).take(LONGEST_NAME).collect();
    match name.trim_start_matches(['-', '.']) {
        "" => "source".to_owned(),
        name => name.to_owned(),
    }
}

/// Names as parts of files' names, told apart where two sources' would be the same.
#[derive(Default)]
pub(super) struct FileNames {
    taken: BTreeSet<String>,
}

impl FileNames {
    /// [`file_name`], numbered if another source has it.
    pub(super) fn unique(&mut self, name: &str) -> String {
        let name = file_name(name);
        let numbered = (2..).map(|n: u64| format!("{name}-{n}"));
        let free = std::iter::once(name.clone()).chain(numbered).find(|name| !self.taken.contains(name));
        let free = free.unwrap_or(name);
        self.taken.insert(free.clone());
        free
    }
}

/// A run directory has at least its description and scores.
pub(super) fn check_run(folder: &Path) -> Result<(), Failure> {
    match ["run.json", "scores.csv"].into_iter().find(|name| !folder.join(name).is_file()) {
        Some(missing) => Err(Failure::NotARun { path: folder.to_owned(), missing }),
        None => Ok(()),
    }
}
