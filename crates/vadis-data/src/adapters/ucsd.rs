//! UCSD Pedestrian 1 and 2 (Mahadevan, Li, Bhalodia, Vasconcelos, *Anomaly Detection in Crowded Scenes*,
//! CVPR 2010), release v1p2.

use std::ops::Range;
use std::path::Path;

use super::{Found, UNKNOWN, files, label_set, not_this};
use crate::dataset::{Clip, ClipSource, LabelSource, Split, event_ranges};
use crate::error::DataError;
use crate::layout::{Expected, Layout};
use crate::masks::MaskSource;

const ABOUT: &str = "\
UCSDpedN/Train/TrainNNN/NNN.tif, UCSDpedN/Test/TestNNN/NNN.tif, masks in Test/TestNNN_gt/ (NNN.bmp; in Ped2's \
Test006, Test009 and Test012 frameNNN.bmp), abnormal frame ranges (from 1) in Test/UCSDpedN.m. \
Read as well: the repackaged training/frames/NN, testing/frames/NN with pedN.mat. \
Ped1 has masks for ten test clips only; its number of abnormal frames is not stated by the authors.";

pub(super) const PED1: Layout = Layout {
    key: "ped1",
    title: "UCSD Ped1",
    about: ABOUT,
    expected: Expected {
        train_clips: Some(34),
        train_frames: Some(6800),
        test_clips: Some(36),
        test_frames: Some(7200),
        ..UNKNOWN
    },
    label_sets: &[label_set("frame ranges of UCSDped1.m", None)],
    subsets: &[],
};

pub(super) const PED2: Layout = Layout {
    key: "ped2",
    title: "UCSD Ped2",
    about: ABOUT,
    expected: Expected {
        train_clips: Some(16),
        train_frames: Some(2550),
        test_clips: Some(12),
        test_frames: Some(2010),
        test_masks: Some(2010),
        ..UNKNOWN
    },
    label_sets: &[label_set("frame ranges of UCSDped2.m", Some(1648))],
    subsets: &[],
};

pub(super) fn open(root: &Path, layout: &Layout) -> Result<Found, DataError> {
    let folder = if layout.key == "ped1" { "UCSDped1" } else { "UCSDped2" };
    let nested = format!("UCSD_Anomaly_Dataset.v1p2/{folder}");
    let candidates = ["", folder, nested.as_str()];
    if let Some(base) =
        files::first(root, &candidates, |p| p.join("Test").is_dir() || p.join("Train").is_dir())
    {
        return official(&base, folder);
    }
    match files::first(root, &["", layout.key], |p| p.join("testing/frames").is_dir()) {
        Some(base) => repackaged(&base, layout.key),
        None => Err(not_this(root, layout.title, "neither `Train` and `Test` nor `testing/frames` is there")),
    }
}

fn official(base: &Path, name: &str) -> Result<Found, DataError> {
    let mut found = Found::new(base.to_owned());
    for (folder, split) in [("Train", Split::Train), ("Test", Split::Test)] {
        let folder = base.join(folder);
        if !folder.is_dir() {
            found.error(&folder, "the folder is missing");
        }
        let own = files::folders(&folder)?.into_iter().filter(|p| !files::name(p).ends_with("_gt"));
        for path in own {
            let mut clip = Clip::new(files::name(&path), split, ClipSource::Images(files::pictures(&path)?));
            if split == Split::Train {
                clip.labels = LabelSource::Normal;
            } else {
                clip.masks = masks(&path)?;
            }
            found.clips.push(clip);
        }
    }
    label(&mut found, base, name)?;
    Ok(found)
}

fn masks(clip: &Path) -> Result<MaskSource, DataError> {
    let images = files::pictures(&clip.with_file_name(format!("{}_gt", files::name(clip))))?;
    Ok(if images.is_empty() { MaskSource::None } else { MaskSource::Images(images) })
}

/// By the `.m` file, else by masks.
fn label(found: &mut Found, base: &Path, name: &str) -> Result<(), DataError> {
    let script = format!("{name}.m");
    let place =
        files::first(base, &[&format!("Test/{script}"), &script, &format!("../{script}")], Path::is_file);
    let ranges = match &place {
        Some(path) => parse_ranges(path)?,
        None => {
            found.warning(base.join("Test").join(&script), "the file is missing; labels come from the masks");
            Vec::new()
        }
    };
    let test: Vec<usize> = (0..found.clips.len()).filter(|&i| found.clips[i].split == Split::Test).collect();
    if let Some(path) = place.filter(|_| ranges.len() != test.len()) {
        found.error(path, format!("labels {} clips, {} are there", ranges.len(), test.len()));
    }
    for index in test {
        let clip = &mut found.clips[index];
        // `Test007` has the seventh entry, also where another clip is missing.
        let number = crate::check::last_number(Path::new(&clip.name)).unwrap_or(0);
        let own = usize::try_from(number).ok().and_then(|n| ranges.get(n.wrapping_sub(1)));
        clip.labels = match own {
            Some(ranges) => LabelSource::Ranges { ranges: ranges.clone(), cut: false },
            None if clip.masks != MaskSource::None => LabelSource::Masks,
            None => LabelSource::Unknown,
        };
    }
    Ok(())
}

/// Reads lines such as `TestVideoFile{end+1}.gt_frame = [5:90, 140:200];`.
fn parse_ranges(path: &Path) -> Result<Vec<Vec<Range<u64>>>, DataError> {
    let mut clips = Vec::new();
    for (number, line) in files::lines(path)? {
        let Some((_, assigned)) = line.split_once("gt_frame") else { continue };
        let inside =
            assigned.split_once('[').and_then(|(_, rest)| rest.split_once(']')).map(|(inside, _)| inside);
        let inside = inside.ok_or_else(|| DataError::line(path, number, "`[first:last]` was expected"))?;
        let inside = inside.replace(": ", ":").replace(" :", ":");
        let parts = inside.split([',', ' ', ';']).filter(|part| !part.is_empty());
        let range = |part: &str| {
            let (first, last) = part.split_once(':').unwrap_or((part, part));
            let (first, last) = (first.trim().parse::<u64>().ok()?, last.trim().parse::<u64>().ok()?);
            (1 <= first && first <= last).then(|| first - 1..last)
        };
        let odd =
            |part: &str| DataError::line(path, number, format!("`{part}` is not a range of frames from 1"));
        clips.push(parts.map(|part| range(part).ok_or_else(|| odd(part))).collect::<Result<_, _>>()?);
    }
    Ok(clips)
}

/// The form in which Liu et al. (*Future Frame Prediction*, CVPR 2018) and many after them share data.
fn repackaged(base: &Path, key: &str) -> Result<Found, DataError> {
    let mut found = Found::new(base.to_owned());
    found.clips = files::clips(&base.join("training/frames"), Split::Train)?;
    found.clips.iter_mut().for_each(|clip| clip.labels = LabelSource::Normal);
    let mut test = files::clips(&base.join("testing/frames"), Split::Test)?;
    label_events(&mut test, &mut found, base, &format!("{key}.mat"))?;
    found.clips.append(&mut test);
    Ok(found)
}

/// Labels clips in order by a `.mat` file of event ranges.
pub(super) fn label_events(
    test: &mut [Clip],
    found: &mut Found,
    base: &Path,
    file: &str,
) -> Result<(), DataError> {
    let nested = format!("gt_mat/{file}");
    let candidates =
        [file, &format!("testing/{file}"), &nested, &format!("../{file}"), &format!("../{nested}")];
    let Some(path) = files::first(base, &candidates, Path::is_file) else {
        found.error(base.join(file), "the file is missing; test clips have no labels");
        return Ok(());
    };
    let ranges = event_ranges(&path)?;
    if ranges.len() != test.len() {
        found.error(&path, format!("labels {} clips, {} are there", ranges.len(), test.len()));
    }
    for (clip, ranges) in test.iter_mut().zip(ranges) {
        clip.labels = LabelSource::Ranges { ranges, cut: false };
    }
    Ok(())
}
