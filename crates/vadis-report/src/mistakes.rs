//! Where the score errs most against labels: the normal frames that stand out, the abnormal ones that do not.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use vadis_video::ReadOptions;

use crate::ReportError;
use crate::files::remove;
use crate::overlay::source_of;
use crate::pictures::{fitted, frame_at, write_heats, write_jpeg};
use crate::run::Run;

/// Frames shown of each class.
const MOST: usize = 6;
/// Two frames of one video nearer than this are one mistake, in seconds.
const APART_S: f64 = 3.0;
/// Width of a picture, at most.
const WIDTH: usize = 320;
/// The folder within a run.
const FOLDER: &str = "mistakes";

/// How the score errs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Error {
    /// A normal frame with a high score.
    FalsePositive,
    /// An abnormal frame with a low score.
    FalseNegative,
}

impl Error {
    /// As files are named.
    fn name(self) -> &'static str {
        match self {
            Self::FalsePositive => "false-positive",
            Self::FalseNegative => "false-negative",
        }
    }
}

/// A frame whose score errs.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Mistake {
    pub(crate) error: Error,
    /// From 1, the worst first.
    pub(crate) rank: usize,
    pub(crate) video: String,
    /// Row in the video's scores.
    row: usize,
    pub(crate) time_s: f64,
    /// As the decision has it: normalised and smoothed.
    pub(crate) score: f64,
}

impl Mistake {
    /// Its picture of that kind within a run.
    pub(crate) fn file(&self, run_dir: &Path, kind: &str) -> PathBuf {
        run_dir.join(FOLDER).join(format!("{}-{}-{kind}", self.error.name(), self.rank))
    }
}

/// The frame and its heat, as files are named.
pub(crate) const FRAME: &str = "frame.jpg";
pub(crate) const HEAT: &str = "heat.png";

/// The worst mistakes of both kinds; none without labels of both classes.
pub(crate) fn find(run: &Run) -> Vec<Mistake> {
    let mut all: Vec<(u8, Mistake)> = Vec::new();
    for signal in run.signals() {
        let Some(labels) = run.labels.get(&signal.video) else { continue };
        for (row, ((&label, &score), &time_s)) in
            labels.iter().zip(&signal.smooth).zip(&signal.times).enumerate()
        {
            let error = if label == 0 { Error::FalsePositive } else { Error::FalseNegative };
            let video = signal.video.clone();
            all.push((label, Mistake { error, rank: 0, video, row, time_s, score }));
        }
    }
    if [0, 1].iter().any(|class| all.iter().all(|(label, _)| label != class)) {
        return Vec::new();
    }
    // Of normal frames the highest come first, of abnormal ones the lowest.
    let wrongness = |m: &Mistake| if m.error == Error::FalsePositive { m.score } else { -m.score };
    let mut all: Vec<Mistake> = all.into_iter().map(|(_, m)| m).filter(|m| m.score.is_finite()).collect();
    all.sort_by(|a, b| wrongness(b).total_cmp(&wrongness(a)));
    [Error::FalsePositive, Error::FalseNegative].into_iter().flat_map(|error| worst(&all, error)).collect()
}

/// The first mistakes of a kind that are apart in time; `sorted` has the worst first.
fn worst(sorted: &[Mistake], error: Error) -> Vec<Mistake> {
    let mut kept: Vec<Mistake> = Vec::new();
    for mistake in sorted.iter().filter(|m| m.error == error) {
        let near = |k: &Mistake| k.video == mistake.video && (k.time_s - mistake.time_s).abs() < APART_S;
        if !kept.iter().any(near) {
            kept.push(Mistake { rank: kept.len() + 1, ..mistake.clone() });
        }
        if kept.len() == MOST {
            break;
        }
    }
    kept
}

/// Writes the frames and heat maps of the worst mistakes into the run, in place of earlier ones. Returns what could not
/// be made, and why. Needs labels in the run; without, it only clears.
///
/// # Errors
/// A file of the run that is there but cannot be read, or a picture cannot be written.
pub fn make_mistake_media(run_dir: &Path, read: &ReadOptions) -> Result<Vec<String>, ReportError> {
    let run = Run::load(run_dir)?;
    let mistakes = find(&run);
    clear(run_dir)?;
    if mistakes.is_empty() {
        return Ok(Vec::new());
    }
    let folder = run_dir.join(FOLDER);
    std::fs::create_dir_all(&folder).map_err(ReportError::write(&folder))?;
    let mut problems = Vec::new();
    let mut heats: BTreeMap<u64, Vec<PathBuf>> = BTreeMap::new();
    for mistake in &mistakes {
        let source = source_of(&run, &mistake.video);
        match source.and_then(|source| Ok(frame_at(&source, mistake.time_s, read)?)) {
            Ok(frame) => write_jpeg(&mistake.file(run_dir, FRAME), &fitted(&frame, WIDTH)?)?,
            Err(error) => problems.push(format!("no picture of {}: {error}", mistake.video)),
        }
        let frame = run.scores.video(&mistake.video).and_then(|v| v.rows.get(mistake.row)).map(|r| r.frame);
        if let Some(row) = frame.and_then(|frame| run.scores.row_of(&mistake.video, frame)) {
            heats.entry(row).or_default().push(mistake.file(run_dir, HEAT));
        }
    }
    write_heats(run_dir, &heats, run.palette(), read, &mut problems)?;
    Ok(problems)
}

/// Removes the pictures of an earlier evaluation.
fn clear(run_dir: &Path) -> Result<(), ReportError> {
    [FRAME, HEAT].iter().flat_map(|kind| files(run_dir, kind)).try_for_each(|file| remove(&file))
}

/// Every heat picture that there may be.
pub(crate) fn heat_files(run_dir: &Path) -> Vec<PathBuf> {
    files(run_dir, HEAT)
}

fn files(run_dir: &Path, kind: &str) -> Vec<PathBuf> {
    let errors = [Error::FalsePositive, Error::FalseNegative];
    let all = errors.into_iter().flat_map(|error| (1..=MOST).map(move |rank| (error, rank)));
    let file = |(error, rank)| {
        let mistake = Mistake { error, rank, video: String::new(), row: 0, time_s: 0.0, score: 0.0 };
        mistake.file(run_dir, kind)
    };
    all.map(file).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_are_apart_and_the_worst_first() {
        let mistake = |score: f64, time_s: f64| Mistake {
            error: Error::FalsePositive,
            rank: 0,
            video: "a".to_owned(),
            row: 0,
            time_s,
            score,
        };
        let sorted = [mistake(5.0, 10.0), mistake(4.0, 11.0), mistake(3.0, 20.0), mistake(2.0, 18.0)];
        let kept = worst(&sorted, Error::FalsePositive);
        let times: Vec<(usize, f64)> = kept.iter().map(|m| (m.rank, m.time_s)).collect();
        assert_eq!(times, [(1, 10.0), (2, 20.0)]);
        assert!(worst(&sorted, Error::FalseNegative).is_empty());
    }
}
