//! The report of a run: one self-contained page, an overlay video, chapter marks, and the events' pictures and clips.
//!
//! Everything is read from a run directory ([`vadis_eval::run`]); no network, no tensor. [`write_report`] makes
//! `report.html`, [`write_comparison`] sets several runs side by side, [`make_event_media`] gives the events their
//! pictures and clips, [`make_mistake_media`] shows where the score errs against labels, [`overlay`] shows footage, heat and score as a video, [`write_chapters`] marks the events in it,
//! [`recolour`] draws the heat of a run in other colours, [`write_results`] makes a benchmark's tables.

mod canvas;
mod chapters;
mod colour;
mod error;
mod event_media;
mod files;
mod media;
mod mistakes;
mod overlay;
mod page;
mod pictures;
mod plot;
mod recolour;
mod results;
mod run;
mod same_frames;
mod thin;
mod words;

use std::path::{Path, PathBuf};

pub use chapters::write_chapters;
pub use colour::Palette;
pub use error::ReportError;
pub use event_media::{MediaOptions, MediaSummary, Seen, make_event_media};
pub use mistakes::make_mistake_media;
pub use overlay::{OverlayOptions, overlay};
pub use recolour::recolour;
pub use results::{results_markdown, write_results};

use files::write_whole;
use page::Named;
use run::Run;

/// Name of the page within a run directory.
pub const REPORT: &str = "report.html";

/// How much a page holds.
#[derive(Debug, Clone, PartialEq)]
pub struct ReportOptions {
    /// Slices of time that a timeline is thinned to; each keeps its least and greatest score.
    pub buckets: usize,
    /// Bytes of page that pictures and clips may take. Pictures come first; clips that do not fit are left out and
    /// the page says so.
    pub media_budget: u64,
    /// Events shown as cards.
    pub max_events: usize,
}

impl Default for ReportOptions {
    /// 1500 slices, 25 MB of media, 200 events.
    fn default() -> Self {
        Self { buckets: 1500, media_budget: 25_000_000, max_events: 200 }
    }
}

/// Writes `report.html` into the run directory and returns its path. Needs `run.json`, `scores.csv` and `events.csv`;
/// what else is missing (labels, training log, latents, pictures) is left out of the page.
///
/// # Errors
/// A file of the run that is there but cannot be read, or the page cannot be written.
pub fn write_report(run_dir: &Path, options: &ReportOptions) -> Result<PathBuf, ReportError> {
    let run = Run::load(run_dir)?;
    let gallery = media::collect(run_dir, run.events.len().min(options.max_events), options.media_budget);
    let mistakes = media::collect_mistakes(run_dir, mistakes::find(&run), options.media_budget);
    let evaluation = run.evaluate();
    let page = page::report(&run, &gallery, &mistakes, evaluation.as_ref(), options);
    let path = run_dir.join(REPORT);
    write_whole(&path, page.as_bytes())?;
    Ok(path)
}

/// Writes a page that sets runs side by side: their figures in a table, their scores over one time axis.
///
/// # Errors
/// As [`write_report`]; no directory given.
pub fn write_comparison(
    run_dirs: &[PathBuf],
    out: &Path,
    options: &ReportOptions,
) -> Result<(), ReportError> {
    if run_dirs.is_empty() {
        return Err(ReportError::NoRun);
    }
    let names = short_names(run_dirs);
    let runs = run_dirs.iter().zip(names).map(|(dir, name)| Ok(Named { name, run: Run::load(dir)? }));
    let runs = runs.collect::<Result<Vec<_>, ReportError>>()?;
    let moments = same_frames::same_frames(run_dirs, &runs)?;
    write_whole(out, page::comparison(&runs, &moments, options).as_bytes())
}

/// The directories' names, each as short as keeps them apart from the right: `mle`, or `ped2/mle` beside `upcam/mle`.
fn short_names(dirs: &[PathBuf]) -> Vec<String> {
    let parts: Vec<Vec<String>> = dirs
        .iter()
        .map(|dir| dir.components().map(|c| c.as_os_str().to_string_lossy().into_owned()).collect())
        .collect();
    let tail = |parts: &[String], length: usize| parts[parts.len().saturating_sub(length)..].join("/");
    let longest = parts.iter().map(Vec::len).max().unwrap_or(1);
    let unique = |length: usize| {
        let names: std::collections::BTreeSet<String> = parts.iter().map(|p| tail(p, length)).collect();
        names.len() == parts.len()
    };
    let length = (1..=longest).find(|&length| unique(length)).unwrap_or(longest);
    parts.iter().map(|p| tail(p, length)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_called_by_what_tells_them_apart() {
        let names = |dirs: &[&str]| short_names(&dirs.iter().map(PathBuf::from).collect::<Vec<_>>());
        assert_eq!(names(&["runs/mle", "runs/pca"]), ["mle", "pca"]);
        assert_eq!(names(&["ped2/mle/0", "upcam/mle/0"]), ["ped2/mle/0", "upcam/mle/0"]);
        assert_eq!(names(&["a", "a"]), ["a", "a"]);
    }
}
