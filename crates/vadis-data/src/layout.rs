//! What a layout is, and what each benchmark must have.

use serde::Serialize;

/// A benchmark's layout on disk and the figures it must come to.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Layout {
    /// What it is called on the command line.
    pub key: &'static str,
    /// Its name in the literature.
    pub title: &'static str,
    /// The folder tree that is read, and what about it is unconfirmed.
    pub about: &'static str,
    /// What the whole benchmark must have.
    pub expected: Expected,
    /// Ways its test frames are labelled; the first is the default.
    pub label_sets: &'static [LabelSet],
    /// Named parts of it.
    pub subsets: &'static [Subset],
}

/// Counts as published; `None` where no figure is, or where sources contradict one another.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Expected {
    /// Clips of all splits, where the split's own numbers are not published.
    pub clips: Option<u64>,
    /// Training clips.
    pub train_clips: Option<u64>,
    /// Validation clips.
    pub validation_clips: Option<u64>,
    /// Test clips.
    pub test_clips: Option<u64>,
    /// Training frames.
    pub train_frames: Option<u64>,
    /// Validation frames.
    pub validation_frames: Option<u64>,
    /// Test frames.
    pub test_frames: Option<u64>,
    /// Masks of test frames.
    pub test_masks: Option<u64>,
}

impl Expected {
    /// Nothing published.
    pub(crate) const UNKNOWN: Self = Self {
        clips: None,
        train_clips: None,
        validation_clips: None,
        test_clips: None,
        train_frames: None,
        validation_frames: None,
        test_frames: None,
        test_masks: None,
    };
}

/// One way in which a benchmark's test frames are labelled.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct LabelSet {
    /// What it is called.
    pub name: &'static str,
    /// Where it comes from.
    pub about: &'static str,
    /// Abnormal test frames it has.
    pub abnormal_frames: Option<u64>,
}

/// A named part of a benchmark.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Subset {
    /// What it is called.
    pub name: &'static str,
    /// What it holds, and how sure that is.
    pub about: &'static str,
    /// How its test clips are told.
    pub rule: SubsetRule,
}

/// How the test clips of a subset are told.
#[derive(Debug, Clone, Copy, Serialize)]
pub enum SubsetRule {
    /// The clip's name contains one of these.
    NameContains(&'static [&'static str]),
    /// The file `<subset>.txt` in the data set's folder lists them, one name a line; no list is published.
    ListFile,
}

/// Every layout that [`Dataset::open`](crate::Dataset::open) knows.
pub fn layouts() -> &'static [Layout] {
    &crate::adapters::LAYOUTS
}
