//! ShanghaiTech Campus (Luo, Liu, Gao, *A Revisit of Sparse Coding Based Anomaly Detection in Stacked RNN
//! Framework*, ICCV 2017; Liu et al., CVPR 2018).

use std::path::{Path, PathBuf};

use super::{Found, UNKNOWN, files, label_set, not_this};
use crate::dataset::{Clip, LabelSource, Split};
use crate::error::DataError;
use crate::layout::{Expected, Layout};
use crate::masks::MaskSource;

pub(super) const LAYOUT: Layout = Layout {
    key: "shanghaitech",
    title: "ShanghaiTech Campus",
    about: "\
training/videos/SS_NNN.avi (or pictures in training/frames/SS_NNN), testing/frames/SS_NNNN/NNN.jpg, labels in \
testing/test_frame_mask/SS_NNNN.npy, masks in testing/test_pixel_mask/SS_NNNN.npy; SS is the scene, 01 to 13 (13 has \
training clips only). The number of abnormal frames is not stated for this split.",
    expected: Expected {
        train_clips: Some(330),
        train_frames: Some(274_515),
        test_clips: Some(107),
        test_frames: Some(40_791),
        ..UNKNOWN
    },
    label_sets: &[label_set("test_frame_mask", None)],
    subsets: &[],
};

pub(super) fn open(root: &Path) -> Result<Found, DataError> {
    let names = ["", "shanghaitech", "ShanghaiTech", "shanghai"];
    let Some(base) = files::first(root, &names, |p| p.join("testing").is_dir()) else {
        return Err(not_this(root, LAYOUT.title, "the folder `testing` is missing"));
    };
    let mut found = Found::new(base.clone());
    let training = first_clips(&base, &["training/videos", "training/frames", "training"], Split::Train)?;
    if training.is_empty() {
        found.error(base.join("training/videos"), "there are no training clips");
    }
    for mut clip in training {
        clip.labels = LabelSource::Normal;
        found.clips.push(clip);
    }
    let labels =
        files::first(&base, &["testing/test_frame_mask", "test_frame_mask", "testframemask"], Path::is_dir);
    let masks = files::first(&base, &["testing/test_pixel_mask", "test_pixel_mask"], Path::is_dir);
    if masks.is_none() {
        found.warning(base.join("testing/test_pixel_mask"), "the masks are missing");
    }
    for mut clip in first_clips(&base, &["testing/frames", "testing/videos", "testing"], Split::Test)? {
        match npy(labels.as_deref(), &clip.name) {
            Some(path) => clip.labels = LabelSource::File(path),
            None => {
                found.error(clip.source.place(), format!("`{}` has no file in test_frame_mask", clip.name));
            }
        }
        match npy(masks.as_deref(), &clip.name) {
            Some(path) => clip.masks = MaskSource::Planes(path),
            None if masks.is_some() => {
                found.error(clip.source.place(), format!("`{}` has no file in test_pixel_mask", clip.name));
            }
            None => {}
        }
        found.clips.push(clip);
    }
    for clip in &mut found.clips {
        clip.scene = clip.name.split_once('_').map(|(scene, _)| scene.to_owned());
    }
    Ok(found)
}

fn first_clips(base: &Path, folders: &[&str], split: Split) -> Result<Vec<Clip>, DataError> {
    for folder in folders {
        let mut clips = files::clips(&base.join(folder), split)?;
        // `testing` itself also holds the folders of labels.
        clips.retain(|clip| clip.name.starts_with(|c: char| c.is_ascii_digit()));
        if !clips.is_empty() {
            return Ok(clips);
        }
    }
    Ok(Vec::new())
}

fn npy(folder: Option<&Path>, clip: &str) -> Option<PathBuf> {
    folder.map(|folder| folder.join(format!("{clip}.npy"))).filter(|path| path.is_file())
}
