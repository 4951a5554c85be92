//! Is this copy of a benchmark complete?

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::dataset::{Clip, ClipSource, Dataset, LabelSource, Split};
use crate::error::DataError;
use crate::masks::MaskSource;

/// Problems listed at most; the rest is counted.
const MAX_PROBLEMS: usize = 500;

/// How bad a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Odd, but figures can be had.
    Warning,
    /// Figures from this copy cannot be compared with anyone's.
    Error,
}

/// Something missing or odd.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// The file or folder it is about.
    pub path: PathBuf,
    /// What is wrong.
    pub what: String,
}

impl Problem {
    pub(crate) fn error(path: impl Into<PathBuf>, what: impl Into<String>) -> Self {
        Self { severity: Severity::Error, path: path.into(), what: what.into() }
    }

    pub(crate) fn warning(path: impl Into<PathBuf>, what: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, path: path.into(), what: what.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        write!(f, "{severity}: {}: {}", self.path.display(), self.what)
    }
}

/// Counts of one split.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct SplitCounts {
    /// Clips.
    pub clips: u64,
    /// Frames of the clips whose number is known.
    pub frames: u64,
    /// Clips whose number of frames is not known: videos without a probe.
    pub uncounted: u64,
    /// Frames labelled abnormal, in clips whose labels and frames are known.
    pub abnormal: u64,
    /// Clips with labels (or declared normal).
    pub labelled: u64,
    /// Masks.
    pub masks: u64,
}

/// What [`Dataset::check`] found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckReport {
    /// Key of the layout.
    pub key: &'static str,
    /// Where it is.
    pub root: PathBuf,
    /// The label set counted.
    pub label_set: &'static str,
    /// Training clips.
    pub train: SplitCounts,
    /// Validation clips.
    pub validation: SplitCounts,
    /// Test clips.
    pub test: SplitCounts,
    /// What is missing or odd, at most 500.
    pub problems: Vec<Problem>,
    /// Problems beyond those.
    pub omitted: u64,
}

impl CheckReport {
    /// Whether nothing worse than a warning was found.
    pub fn passed(&self) -> bool {
        self.omitted == 0 && self.problems.iter().all(|p| p.severity < Severity::Error)
    }

    fn note(&mut self, problem: Problem) {
        if self.problems.len() < MAX_PROBLEMS { self.problems.push(problem) } else { self.omitted += 1 }
    }

    fn counts(&mut self, split: Split) -> &mut SplitCounts {
        match split {
            Split::Train => &mut self.train,
            Split::Validation => &mut self.validation,
            Split::Test => &mut self.test,
        }
    }
}

/// Counts a video's frames, or says why not.
pub type Probe<'a> = &'a dyn Fn(&Path) -> Result<u64, String>;

/// How thorough a check is.
#[derive(Clone, Copy, Default)]
pub struct CheckOptions<'a> {
    /// Counts a video's frames; without it, videos are only looked for.
    pub probe: Option<Probe<'a>>,
    /// Whether masks are decoded, to compare them with the labels. Counting them needs no decoding; where
    /// the labels themselves come from masks, these are decoded in any case.
    pub decode_masks: bool,
}

impl fmt::Debug for CheckOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (probe, decode_masks) = (self.probe.is_some(), self.decode_masks);
        f.debug_struct("CheckOptions").field("probe", &probe).field("decode_masks", &decode_masks).finish()
    }
}

impl Dataset {
    /// Counts clips, frames, labels and masks against what the benchmark must have, and names what is
    /// missing or odd. Whatever it finds is in the report; it does not fail.
    pub fn check(&self, options: CheckOptions<'_>) -> CheckReport {
        let mut report = CheckReport {
            key: self.key,
            root: self.root.clone(),
            label_set: self.label_set,
            train: SplitCounts::default(),
            validation: SplitCounts::default(),
            test: SplitCounts::default(),
            problems: Vec::new(),
            omitted: 0,
        };
        self.problems.iter().for_each(|problem| report.note(problem.clone()));
        for clip in &self.clips {
            self.check_clip(clip, options, &mut report);
        }
        if self.whole {
            self.check_totals(&mut report);
        }
        report
    }

    fn check_clip(&self, clip: &Clip, options: CheckOptions<'_>, report: &mut CheckReport) {
        report.counts(clip.split).clips += 1;
        check_files(clip, report);
        let frames = match count_frames(clip, options.probe) {
            Ok(frames) => frames,
            Err(what) => {
                report.note(Problem::error(clip.source.place(), what));
                None
            }
        };
        match frames {
            Some(frames) => report.counts(clip.split).frames += frames,
            None => report.counts(clip.split).uncounted += 1,
        }
        let labels = self.check_labels(clip, frames, report);
        self.check_masks(clip, frames, labels.as_deref(), options.decode_masks, report);
    }

    fn check_labels(&self, clip: &Clip, frames: Option<u64>, report: &mut CheckReport) -> Option<Vec<u8>> {
        if clip.labels == LabelSource::Unknown {
            // Training footage of weakly supervised sets has none, and needs none.
            if clip.split != Split::Train {
                report.note(Problem::error(clip.source.place(), format!("`{}` has no labels", clip.name)));
            }
            return None;
        }
        report.counts(clip.split).labelled += 1;
        match self.labels(clip, usize::try_from(frames?).ok()?) {
            Ok(labels) => {
                let abnormal = labels.iter().flatten().filter(|&&label| label == 1).count();
                report.counts(clip.split).abnormal += abnormal as u64;
                labels
            }
            Err(error) => {
                report.note(Problem::error(label_place(clip), error.to_string()));
                None
            }
        }
    }

    fn check_masks(
        &self,
        clip: &Clip,
        frames: Option<u64>,
        labels: Option<&[u8]>,
        decode: bool,
        report: &mut CheckReport,
    ) {
        let masks = match self.masks(clip) {
            Ok(None) => return,
            Ok(Some(masks)) => masks,
            Err(error) => return report.note(Problem::error(mask_place(clip), error.to_string())),
        };
        let count = masks.left();
        report.counts(clip.split).masks += count;
        if frames.is_some_and(|frames| frames != count) {
            let what = format!("`{}` has {} frames but {count} masks", clip.name, frames.unwrap_or(0));
            report.note(Problem::error(mask_place(clip), what));
        } else if decode && clip.labels != LabelSource::Masks {
            compare(clip, masks, labels.unwrap_or_default(), report);
        }
    }

    fn check_totals(&self, report: &mut CheckReport) {
        let expected = &self.layout.expected;
        let all = report.train.clips + report.validation.clips + report.test.clips;
        let mut rows = vec![("clips", expected.clips, all)];
        let splits = [
            ("training clips", expected.train_clips, "training frames", expected.train_frames, report.train),
            (
                "validation clips",
                expected.validation_clips,
                "validation frames",
                expected.validation_frames,
                report.validation,
            ),
            ("test clips", expected.test_clips, "test frames", expected.test_frames, report.test),
        ];
        for (clips, expected_clips, frames, expected_frames, found) in splits {
            rows.push((clips, expected_clips, found.clips));
            if found.uncounted == 0 {
                rows.push((frames, expected_frames, found.frames));
            }
        }
        rows.push(("masks of test frames", expected.test_masks, report.test.masks));
        if report.test.uncounted == 0 {
            let set = self.layout.label_sets.iter().find(|set| set.name == self.label_set);
            rows.push((
                "abnormal test frames",
                set.and_then(|set| set.abnormal_frames),
                report.test.abnormal,
            ));
        }
        for (what, expected, found) in rows {
            if let Some(expected) = expected.filter(|&expected| expected != found) {
                let title = self.layout.title;
                report.note(Problem::error(&self.root, format!("{found} {what}, {title} has {expected}")));
            }
        }
    }
}

fn count_frames(clip: &Clip, probe: Option<Probe<'_>>) -> Result<Option<u64>, String> {
    match (&clip.source, probe) {
        (ClipSource::Video(path), Some(probe)) => probe(path).map(Some),
        _ => clip.frames().map_err(|error| error.to_string()),
    }
}

/// Empty files, and gaps in the numbering of pictures.
fn check_files(clip: &Clip, report: &mut CheckReport) {
    let pictures = match &clip.source {
        ClipSource::Video(path) | ClipSource::Volume(path) => return check_not_empty(path, report),
        ClipSource::Images(images) => images,
    };
    if pictures.is_empty() {
        report.note(Problem::error(clip.source.place(), format!("`{}` has no frames", clip.name)));
    }
    pictures.iter().for_each(|path| check_not_empty(path, report));
    check_numbering(pictures, report);
    if let MaskSource::Images(masks) | MaskSource::Objects { images: masks, .. } = &clip.masks {
        masks.iter().for_each(|path| check_not_empty(path, report));
        check_numbering(masks, report);
    }
}

fn check_not_empty(path: &Path, report: &mut CheckReport) {
    match std::fs::metadata(path) {
        Ok(meta) if meta.len() == 0 => report.note(Problem::error(path, "the file is empty")),
        Ok(_) => {}
        Err(error) => report.note(Problem::error(path, error.to_string())),
    }
}

fn check_numbering(pictures: &[PathBuf], report: &mut CheckReport) {
    for pair in pictures.windows(2) {
        let (Some(before), Some(after)) = (last_number(&pair[0]), last_number(&pair[1])) else { continue };
        // Equal numbers are no counter but, say, a size in the name.
        let what = match after {
            _ if after > before.saturating_add(1) => {
                format!("frames are missing: number {before} is followed by {after}")
            }
            _ if after < before => format!("number {before} is followed by {after}"),
            _ => continue,
        };
        report.note(Problem::error(&pair[1], what));
    }
}

/// The last run of digits in a file's stem.
pub(crate) fn last_number(path: &Path) -> Option<u64> {
    let stem = path.file_stem()?.to_string_lossy().into_owned();
    let stem = stem.trim_end_matches(|c: char| !c.is_ascii_digit());
    let before = stem.trim_end_matches(|c: char| c.is_ascii_digit());
    stem[before.len()..].parse().ok()
}

/// Whether masks have pixels exactly where labels say abnormal, and one size.
fn compare(
    clip: &Clip,
    masks: impl Iterator<Item = Result<vadis_video::Mask, DataError>>,
    labels: &[u8],
    report: &mut CheckReport,
) {
    let mut size = None;
    let mut differing = 0_u64;
    let mut first = None;
    for (frame, mask) in masks.enumerate() {
        let mask = match mask {
            Ok(mask) => mask,
            Err(error) => return report.note(Problem::error(mask_place(clip), error.to_string())),
        };
        let own = (mask.width, mask.height);
        if *size.get_or_insert(own) != own {
            let what = format!("the mask of frame {frame} is {}×{}, the first is another size", own.0, own.1);
            return report.note(Problem::error(mask_place(clip), what));
        }
        let set = mask.data.contains(&1);
        if labels.get(frame).is_some_and(|&label| (label == 1) != set) {
            differing += 1;
            first.get_or_insert(frame);
        }
    }
    if let Some(first) = first {
        let what =
            format!("masks and labels of `{}` disagree on {differing} frames, first on {first}", clip.name);
        report.note(Problem::warning(mask_place(clip), what));
    }
}

fn label_place(clip: &Clip) -> PathBuf {
    match &clip.labels {
        LabelSource::File(path) | LabelSource::Vector { path, .. } => path.clone(),
        LabelSource::Masks => mask_place(clip),
        _ => clip.source.place().to_owned(),
    }
}

fn mask_place(clip: &Clip) -> PathBuf {
    match &clip.masks {
        MaskSource::Cells(path) | MaskSource::Planes(path) => path.clone(),
        MaskSource::Images(images) | MaskSource::Objects { images, .. } => {
            images.first().and_then(|p| p.parent()).unwrap_or(clip.source.place()).to_owned()
        }
        MaskSource::None => clip.source.place().to_owned(),
    }
}
