//! IITB-Corridor (Rodrigues, Bhargava, Velmurugan, Chaudhuri, *Multi-timescale Trajectory Prediction for
//! Abnormal Human Activity Detection*, WACV 2020).

use std::path::{Path, PathBuf};

use super::{Found, UNKNOWN, files, label_set, not_this};
use crate::dataset::{Clip, ClipSource, LabelSource, Split};
use crate::error::DataError;
use crate::layout::{Expected, Layout, Subset, SubsetRule};

pub(super) const LAYOUT: Layout = Layout {
    key: "corridor",
    title: "IITB-Corridor",
    about: "\
Train_IITB-Corridor/Train/NNNNNN/NNNNNN.avi (000001 to 000208), Test_IITB-Corridor/Test/NNNNNN/NNNNNN.avi (000209 to \
000358), labels in Test_IITB-Corridor/Test_Annotation/Annotation/NNNNNN/NNNNNN.npy. Read as well: Train/, Test/, \
training/, testing/ with a video or pictures in each folder, and labels in groundtruth/ or anomaly_labels/. The tree is \
as users of the archive describe it; frame counts are the paper's.",
    expected: Expected {
        clips: Some(358),
        train_clips: Some(208),
        test_clips: Some(150),
        train_frames: Some(301_999),
        test_frames: Some(181_567),
        ..UNKNOWN
    },
    label_sets: &[label_set("Test_Annotation", Some(108_278))],
    subsets: &[Subset {
        name: "protest",
        about: "the test clips with a protest; the numbers of these clips are not published",
        rule: SubsetRule::ListFile,
    }],
};

const TRAIN: [&str; 6] =
    ["Train_IITB-Corridor/Train", "Train_IITB-Corridor", "Train", "training/frames", "training", "train"];
const TEST: [&str; 6] =
    ["Test_IITB-Corridor/Test", "Test_IITB-Corridor", "Test", "testing/frames", "testing", "test"];
const LABELS: [&str; 7] = [
    "Test_IITB-Corridor/Test_Annotation/Annotation",
    "Test_IITB-Corridor/Test_Annotation",
    "Test_Annotation/Annotation",
    "Test_Annotation",
    "groundtruth",
    "anomaly_labels",
    "Annotation",
];

pub(super) fn open(root: &Path) -> Result<Found, DataError> {
    let Some(test) = files::first(root, &TEST, Path::is_dir) else {
        return Err(not_this(
            root,
            LAYOUT.title,
            "the folder `Test_IITB-Corridor/Test` or `Test` is missing",
        ));
    };
    let mut found = Found::new(root.to_owned());
    match files::first(root, &TRAIN, Path::is_dir) {
        Some(train) => add(&mut found, &train, Split::Train, |_, clip| clip.labels = LabelSource::Normal)?,
        None => found.error(root.join(TRAIN[0]), "the folder is missing"),
    }
    let labels = files::first(root, &LABELS, Path::is_dir);
    if labels.is_none() {
        found.error(root.join(LABELS[0]), "the labels are missing");
    }
    add(&mut found, &test, Split::Test, |found, clip| {
        match labels.as_deref().and_then(|folder| label_file(folder, &clip.name)) {
            Some(path) => clip.labels = LabelSource::File(path),
            None => found.error(clip.source.place(), format!("`{}` has no label file", clip.name)),
        }
    })?;
    Ok(found)
}

fn add(
    found: &mut Found,
    folder: &Path,
    split: Split,
    label: impl Fn(&mut Found, &mut Clip),
) -> Result<(), DataError> {
    for path in files::folders(folder)? {
        let name = files::name(&path);
        if !name.bytes().all(|b| b.is_ascii_digit()) {
            continue;
        }
        let source = match files::videos(&path)?.into_iter().next() {
            Some(video) => ClipSource::Video(video),
            None => ClipSource::Images(files::pictures(&path)?),
        };
        if source == ClipSource::Images(Vec::new()) {
            found.error(path, "there is neither a video nor a picture in it");
            continue;
        }
        let mut clip = Clip::new(name, split, source);
        label(found, &mut clip);
        found.clips.push(clip);
    }
    Ok(())
}

fn label_file(folder: &Path, clip: &str) -> Option<PathBuf> {
    files::first(folder, &[&format!("{clip}/{clip}.npy"), &format!("{clip}.npy")], Path::is_file)
}
