//! CUHK Avenue (Lu, Shi, Jia, *Abnormal Event Detection at 150 FPS in MATLAB*, ICCV 2013).

use std::path::{Path, PathBuf};

use super::{Found, UNKNOWN, files, not_this, ucsd};
use crate::check::last_number;
use crate::dataset::{Clip, ClipSource, LabelSource, Split};
use crate::error::DataError;
use crate::layout::{Expected, LabelSet, Layout};
use crate::masks::MaskSource;
use crate::npy::NpyFile;

pub(super) const LAYOUT: Layout = Layout {
    key: "avenue",
    title: "CUHK Avenue",
    about: "\
training_videos/NN.avi and testing_videos/NN.avi (in `Avenue Dataset` or not), or the volumes training_vol/volNN.mat \
and testing_vol/volNN.mat, or repackaged pictures training/frames/NN and testing/frames/NN; masks in \
ground_truth_demo/testing_label_mask/N_label.mat. The shared frame labels are looked for as avenue.mat (cell `gt` of \
first and last frames), as frame_labels/NN.npy, test_frame_mask/NN.npy or label/NN.npy, or, with pictures, as \
frame_labels_avenue.npy (all clips in one vector).",
    expected: Expected {
        train_clips: Some(16),
        train_frames: Some(15_328),
        test_clips: Some(21),
        test_frames: Some(15_324),
        ..UNKNOWN
    },
    label_sets: &[
        LabelSet {
            name: "masks",
            about: "a frame is abnormal where its official mask has a pixel",
            abnormal_frames: Some(3712),
        },
        LabelSet {
            name: "shared",
            about: "the frame-label file that many papers share",
            abnormal_frames: Some(3867),
        },
    ],
    subsets: &[],
};

const TREES: [(&str, &str); 4] = [
    ("training_videos", "testing_videos"),
    ("training_vol", "testing_vol"),
    ("training/frames", "testing/frames"),
    ("training", "testing"),
];

pub(super) fn open(root: &Path, label_set: &str) -> Result<Found, DataError> {
    let bases = ["", "Avenue Dataset", "Avenue_Dataset", "avenue"];
    let pairs = bases.iter().flat_map(|base| TREES.iter().map(move |tree| (base, tree)));
    for (base, (training, testing)) in pairs {
        let base = if base.is_empty() { root.to_owned() } else { root.join(base) };
        let test = clips(&base.join(testing), Split::Test)?;
        if !test.is_empty() {
            return build(root, &base, training, test, label_set);
        }
    }
    Err(not_this(root, LAYOUT.title, "none of `testing_videos`, `testing_vol`, `testing/frames` is there"))
}

fn build(
    root: &Path,
    base: &Path,
    training: &str,
    mut test: Vec<Clip>,
    label_set: &str,
) -> Result<Found, DataError> {
    let mut found = Found::new(base.to_owned());
    let training = base.join(training);
    found.clips = clips(&training, Split::Train)?;
    if found.clips.is_empty() {
        found.error(&training, "there are no training clips");
    }
    found.clips.iter_mut().for_each(|clip| clip.labels = LabelSource::Normal);
    add_masks(&mut test, &mut found, root, label_set);
    if label_set == "shared" {
        add_shared(&mut test, &mut found, root)?;
    }
    found.clips.append(&mut test);
    Ok(found)
}

/// Videos and picture folders, or volumes.
fn clips(folder: &Path, split: Split) -> Result<Vec<Clip>, DataError> {
    let clips = files::clips(folder, split)?;
    if !clips.is_empty() {
        return Ok(clips);
    }
    let volumes = files::with_ending(folder, "mat")?;
    let name = |path: &Path| files::stem(path).trim_start_matches("vol").to_owned();
    Ok(volumes.into_iter().map(|path| Clip::new(name(&path), split, ClipSource::Volume(path))).collect())
}

fn add_masks(test: &mut [Clip], found: &mut Found, root: &Path, label_set: &str) {
    let base = found.root.clone();
    let places = ["ground_truth_demo/testing_label_mask", "testing_label_mask"];
    let folder = [root, &base, base.parent().unwrap_or(&base)]
        .into_iter()
        .find_map(|p| files::first(p, &places, Path::is_dir));
    let Some(folder) = folder else {
        found.error(base.join(places[0]), "the masks are missing");
        return;
    };
    for clip in test {
        let number = last_number(Path::new(&clip.name)).unwrap_or(0);
        let path = folder.join(format!("{number}_label.mat"));
        if !path.is_file() {
            found.error(path, format!("the masks of `{}` are missing", clip.name));
            continue;
        }
        clip.masks = MaskSource::Cells(path);
        if label_set == "masks" {
            clip.labels = LabelSource::Masks;
        }
    }
}

fn add_shared(test: &mut [Clip], found: &mut Found, root: &Path) -> Result<(), DataError> {
    let base = found.root.clone();
    for place in [root, base.as_path()] {
        let files = [
            "avenue.mat",
            "gt_mat/avenue.mat",
            "testing/avenue.mat",
            "../avenue.mat",
            "../gt_mat/avenue.mat",
        ];
        if files::first(place, &files, Path::is_file).is_some() {
            return ucsd::label_events(test, found, place, "avenue.mat");
        }
        for folder in ["frame_labels", "test_frame_mask", "testing/test_frame_mask", "label"] {
            let labels = files::with_ending(&place.join(folder), "npy")?;
            if !labels.is_empty() {
                by_file(test, found, &labels);
                return Ok(());
            }
        }
        if let Some(path) =
            files::first(place, &["frame_labels_avenue.npy", "label/frame_labels_avenue.npy"], Path::is_file)
        {
            return by_vector(test, found, &path);
        }
    }
    found
        .error(root.join("avenue.mat"), "the shared frame labels are missing (avenue.mat, or a .npy a clip)");
    Ok(())
}

fn by_file(test: &mut [Clip], found: &mut Found, labels: &[PathBuf]) {
    for clip in test {
        let number = last_number(Path::new(&clip.name));
        match labels.iter().find(|path| last_number(path) == number) {
            Some(path) => clip.labels = LabelSource::File(path.clone()),
            None => found.error(clip.source.place(), format!("the shared labels lack `{}`", clip.name)),
        }
    }
}

/// One vector for all clips: where each begins is known only if all before it are counted.
fn by_vector(test: &mut [Clip], found: &mut Found, path: &Path) -> Result<(), DataError> {
    let mut start = 0;
    for clip in test {
        let Some(frames) = clip.frames()? else {
            found.error(path, "one vector labels all clips; that can be taken apart only where clips are pictures or volumes");
            return Ok(());
        };
        clip.labels = LabelSource::Vector { path: path.to_owned(), start };
        start += frames;
    }
    let npy = |source| DataError::Npy { path: path.to_owned(), source };
    let labels: u64 = NpyFile::open(path).map_err(npy)?.shape().iter().map(|&d| d as u64).product();
    if labels != start {
        found.error(path, format!("{labels} labels for {start} frames"));
    }
    Ok(())
}
