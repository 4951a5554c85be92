//! Anyone's own videos with a labels CSV.

use std::path::Path;

use super::{Found, UNKNOWN, files, label_set};
use crate::dataset::{Clip, LabelSource, Split};
use crate::error::DataError;
use crate::labels::read_labels;
use crate::layout::Layout;

pub(super) const LAYOUT: Layout = Layout {
    key: "folder",
    title: "a folder of videos",
    about: "\
Videos and folders of pictures anywhere below the folder; those below folders called train (or training), val (or \
validation) and test (or testing) are split accordingly, training clips are taken for normal, all others are for testing. \
Labels in labels.csv: video,frame,label, frames from 0, 1 for abnormal; a video is named by its path below the folder or \
by its file name, with or without ending.",
    expected: UNKNOWN,
    label_sets: &[label_set("labels.csv", None)],
    subsets: &[],
};

pub(super) fn open(root: &Path) -> Result<Found, DataError> {
    let mut found = list(root)?;
    let path = root.join("labels.csv");
    if !path.is_file() {
        found.error(path, "the file is missing");
        return Ok(found);
    }
    let labels = read_labels(&path)?;
    labels.check_videos(found.clips.iter().map(|clip| clip.name.as_str()))?;
    for clip in &mut found.clips {
        if let Some(own) = labels.find(&clip.name).filter(|_| labels.named || clip.split == Split::Test) {
            clip.labels = LabelSource::Frames(own.to_vec());
        }
    }
    Ok(found)
}

/// The clips, split by the name of their first folder, without labels but for training clips.
pub(super) fn list(root: &Path) -> Result<Found, DataError> {
    let mut found = Found::new(root.to_owned());
    for (name, source) in files::discovered(root)? {
        let split = match name.split_once('/').map(|(first, _)| first.to_lowercase()).as_deref() {
            Some("train" | "training") => Split::Train,
            Some("val" | "validation") => Split::Validation,
            _ => Split::Test,
        };
        let mut clip = Clip::new(name, split, source);
        if split == Split::Train {
            clip.labels = LabelSource::Normal;
        }
        found.clips.push(clip);
    }
    Ok(found)
}
