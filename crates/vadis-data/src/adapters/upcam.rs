//! upCam: a room watched for a day, and one more hour in which odd things happen (F. S. Hofmann, MIT licence).

use std::path::Path;

use super::{Found, UNKNOWN, files, folder, label_set, not_this};
use crate::dataset::{LabelSource, Split};
use crate::error::DataError;
use crate::layout::{Expected, Layout};

/// The test hour, and its labels.
const TEST: &str = "eval.mp4";
const LABELS: &str = "eval.labels.csv";

pub(super) const LAYOUT: Layout = Layout {
    key: "upcam",
    title: "upCam, one room",
    about: "\
train/*.mp4 (a day of the room, unlabelled and taken for normal), eval.mp4 and eval.labels.csv (one 0/1 a frame).",
    expected: Expected { test_clips: Some(1), test_frames: Some(18_066), ..UNKNOWN },
    label_sets: &[label_set("eval.labels.csv", Some(5517))],
    subsets: &[],
};

pub(super) fn open(root: &Path) -> Result<Found, DataError> {
    if !root.join(TEST).is_file() {
        return Err(not_this(root, LAYOUT.title, "the file `eval.mp4` is missing"));
    }
    let mut found = folder::list(root)?;
    found.clips.retain(|clip| clip.split == Split::Train || files::name(clip.source.place()) == TEST);
    let labels = root.join(LABELS);
    if !labels.is_file() {
        found.error(&labels, "the file is missing");
        return Ok(found);
    }
    for clip in found.clips.iter_mut().filter(|clip| clip.split == Split::Test) {
        clip.labels = LabelSource::File(labels.clone());
    }
    Ok(found)
}
