//! UBnormal (Acsintoae et al., *UBnormal: New Benchmark for Supervised Open-Set Video Anomaly Detection*,
//! CVPR 2022; layout and counts from the authors' repository).

use std::path::{Path, PathBuf};

use super::{Found, UNKNOWN, files, label_set, not_this};
use crate::dataset::{Clip, ClipSource, LabelSource, Split};
use crate::error::DataError;
use crate::layout::{Expected, Layout, Subset, SubsetRule};
use crate::masks::{MaskSource, Track};

pub(super) const LAYOUT: Layout = Layout {
    key: "ubnormal",
    title: "UBnormal",
    about: "\
SceneS/{normal,abnormal}_scene_S_scenario_N….mp4, S from 1 to 29; SceneS/<clip>_annotations/ with object maps \
<clip>_NNNN_gt.png and <clip>_tracks.txt (object, first frame, last frame, from 0). The archive does not hold the \
split: put the six lists {normal,abnormal}_{training,validation,test}_video_names.txt of the authors' repository \
(folder scripts) beside the scenes or into scripts/.",
    expected: Expected {
        clips: Some(543),
        train_clips: Some(268),
        validation_clips: Some(64),
        test_clips: Some(211),
        train_frames: Some(116_087),
        validation_frames: Some(28_175),
        test_frames: Some(92_640),
        ..UNKNOWN
    },
    label_sets: &[label_set("frames of <clip>_tracks.txt", Some(49_850))],
    subsets: &[
        Subset {
            name: "fire",
            about: "the five test clips named …_fire",
            rule: SubsetRule::NameContains(&["_fire"]),
        },
        Subset {
            name: "smoke",
            about: "the eight test clips named …_smoke",
            rule: SubsetRule::NameContains(&["_smoke"]),
        },
        Subset {
            name: "fire-alarm",
            about: "the thirteen test clips named …_fire or …_smoke; which clips the \"fire alarm\" results in the \
                    literature used is not public, so this is our reading",
            rule: SubsetRule::NameContains(&["_fire", "_smoke"]),
        },
    ],
};

const LISTS: [(&str, Split); 3] =
    [("training", Split::Train), ("validation", Split::Validation), ("test", Split::Test)];

pub(super) fn open(root: &Path) -> Result<Found, DataError> {
    let has_scene =
        |p: &Path| files::folders(p).is_ok_and(|f| f.iter().any(|f| files::name(f).starts_with("Scene")));
    let Some(base) = files::first(root, &["", "UBnormal", "ubnormal"], has_scene) else {
        return Err(not_this(root, LAYOUT.title, "the folders `Scene1` … are missing"));
    };
    let mut found = Found::new(base.clone());
    let mut listed = 0;
    for (list, split) in LISTS {
        for kind in ["normal", "abnormal"] {
            for (_, name) in files::lines(&list_file(root, &base, kind, list)?)? {
                listed += 1;
                add(&mut found, &name, kind, split)?;
            }
        }
    }
    let present = files::videos_below(&base)?.len();
    if present > listed {
        found.warning(&base, format!("{present} videos, of which the lists name {listed}"));
    }
    Ok(found)
}

fn list_file(root: &Path, base: &Path, kind: &str, split: &str) -> Result<PathBuf, DataError> {
    let name = format!("{kind}_{split}_video_names.txt");
    let nested = [format!("scripts/{name}"), format!("splits/{name}"), format!("Split/{name}")];
    let candidates = [name.as_str(), &nested[0], &nested[1], &nested[2]];
    [root, base].into_iter().find_map(|p| files::first(p, &candidates, Path::is_file)).ok_or_else(|| {
        DataError::NeedsFile {
            what: "the split of UBnormal".to_owned(),
            path: base.join("scripts").join(&name),
            hint: "copy the folder `scripts` of github.com/lilygeorgescu/UBnormal beside the scenes",
        }
    })
}

fn add(found: &mut Found, name: &str, kind: &str, split: Split) -> Result<(), DataError> {
    // As in `abnormal_scene_4_scenario_1_fire`; names come from a text file and become paths.
    let scene = name.split('_').nth(2).filter(|s| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit()));
    let Some(scene) = scene.filter(|_| !name.contains(['/', '\\'])) else {
        found.error(found.root.clone(), format!("the lists name `{name}`, which is no UBnormal clip"));
        return Ok(());
    };
    let folder = found.root.join(format!("Scene{scene}"));
    let video = folder.join(format!("{name}.mp4"));
    if !video.is_file() {
        found.error(video, "the video is missing");
        return Ok(());
    }
    let mut clip = Clip::new(name, split, ClipSource::Video(video));
    clip.scene = Some(scene.to_owned());
    clip.kind = Some(kind.to_owned());
    clip.labels = LabelSource::Normal;
    if kind == "abnormal" {
        annotate(found, &mut clip, &folder.join(format!("{name}_annotations")))?;
    }
    found.clips.push(clip);
    Ok(())
}

/// Labels by `_tracks.txt`; masks by `_new_tracks.txt` where there is one, as the authors' own scripts do.
fn annotate(found: &mut Found, clip: &mut Clip, folder: &Path) -> Result<(), DataError> {
    clip.labels = LabelSource::Unknown;
    let path = folder.join(format!("{}_tracks.txt", clip.name));
    if !path.is_file() {
        found.error(path, "the tracks are missing");
        return Ok(());
    }
    let tracks = read_tracks(&path)?;
    let ranges = tracks.iter().map(|t| t.start..t.end + 1).collect();
    clip.labels = LabelSource::Ranges { ranges, cut: false };
    let newer = folder.join(format!("{}_new_tracks.txt", clip.name));
    let tracks = if newer.is_file() { read_tracks(&newer)? } else { tracks };
    let images = files::with_ending(folder, "png")?;
    if images.is_empty() {
        found.warning(folder, "the object maps are missing");
    } else {
        clip.masks = MaskSource::Objects { images, tracks };
    }
    Ok(())
}

/// Lines of `object,first,last`, whole numbers that may be written as decimals.
fn read_tracks(path: &Path) -> Result<Vec<Track>, DataError> {
    let track = |(number, line): (u64, String)| {
        let values: Vec<f64> = line.split(',').filter_map(|v| v.trim().parse().ok()).collect();
        match values[..] {
            [object, start, end]
                if (1.0..=255.0).contains(&object)
                    && (0.0..1e9).contains(&start)
                    && (start..1e9).contains(&end) =>
            {
                Ok(Track { object: object as u8, start: start as u64, end: end as u64 })
            }
            _ => Err(DataError::line(path, number, "`object,first frame,last frame` was expected")),
        }
    };
    files::lines(path)?.into_iter().map(track).collect()
}
