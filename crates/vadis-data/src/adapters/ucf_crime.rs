//! UCF-Crime (Sultani, Chen, Shah, *Real-world Anomaly Detection in Surveillance Videos*, CVPR 2018).

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::{Found, UNKNOWN, files, label_set, not_this};
use crate::dataset::{Clip, ClipSource, LabelSource, Split, one_based};
use crate::error::DataError;
use crate::layout::{Expected, Layout};

pub(super) const LAYOUT: Layout = Layout {
    key: "ucf-crime",
    title: "UCF-Crime",
    about: "\
Videos anywhere below the folder (Anomaly-Videos-Part-N/<Class>/<Class>NNN_x264.mp4, Training-Normal-Videos-Part-N/, \
Testing_Normal_Videos_Anomaly/), found by file name; Anomaly_Detection_splits/Anomaly_Train.txt and Anomaly_Test.txt; \
Temporal_Anomaly_Annotation_for_Testing_Videos.txt (name, class, first and last frame of up to two events, −1 for none). \
Frames count from 1 and events are cut at the video's end, as in the authors' MATLAB evaluation. Abnormal training \
videos have no frame labels; one-class systems train on the normal ones. No frame counts are published for the split.",
    expected: Expected { clips: Some(1900), train_clips: Some(1610), test_clips: Some(290), ..UNKNOWN },
    label_sets: &[label_set("Temporal_Anomaly_Annotation_for_Testing_Videos.txt", None)],
    subsets: &[],
};

const LISTS: [&str; 6] = [
    "",
    "Anomaly_Detection_splits",
    "UCF_Crimes-Train-Test-Split/Anomaly_Detection_splits",
    "UCF_Crimes/Anomaly_Detection_splits",
    "splits",
    "Txt_formate",
];
const ANNOTATIONS: [&str; 2] =
    ["Temporal_Anomaly_Annotation_for_Testing_Videos.txt", "Temporal_Anomaly_Annotation.txt"];

struct Annotation {
    kind: String,
    ranges: Vec<Range<u64>>,
}

pub(super) fn open(root: &Path) -> Result<Found, DataError> {
    let mut found = Found::new(root.to_owned());
    let Some(path) = ANNOTATIONS.iter().find_map(|name| list(root, name)) else {
        return Err(not_this(root, LAYOUT.title, format!("`{}` is missing", ANNOTATIONS[0])));
    };
    let annotations = annotations(&path)?;
    let videos = files::videos_below(root)?;
    add_test(&mut found, root, &annotations, &videos)?;
    let test: HashSet<String> =
        found.clips.iter().map(|clip| clip.name.clone()).chain(annotations.keys().cloned()).collect();
    match list(root, "Anomaly_Train.txt") {
        Some(path) => {
            for (_, line) in files::lines(&path)? {
                let name = files::stem(Path::new(&line));
                match videos.get(&name) {
                    Some(video) => found.clips.push(training(&name, video)),
                    None => found.error(line, "the video is missing (named in Anomaly_Train.txt)"),
                }
            }
        }
        None => {
            found.warning(
                root.join("Anomaly_Train.txt"),
                "the list is missing; every video that is not for testing is taken for training",
            );
            // Copies for the recognition task, not part of the detection set.
            let copies = |path: &Path| path.components().any(|c| c.as_os_str() == "Normal_Videos_event");
            let rest = videos.iter().filter(|(name, path)| !test.contains(*name) && !copies(path));
            found.clips.extend(rest.map(|(name, video)| training(name, video)));
        }
    }
    Ok(found)
}

fn list(root: &Path, name: &str) -> Option<PathBuf> {
    LISTS.iter().map(|folder| root.join(folder).join(name)).find(|path| path.is_file())
}

fn add_test(
    found: &mut Found,
    root: &Path,
    annotations: &HashMap<String, Annotation>,
    videos: &HashMap<String, PathBuf>,
) -> Result<(), DataError> {
    let names: Vec<String> = match list(root, "Anomaly_Test.txt") {
        Some(path) => files::lines(&path)?.iter().map(|(_, line)| files::stem(Path::new(line))).collect(),
        None => annotations.keys().cloned().collect(),
    };
    for name in names {
        let Some(video) = videos.get(&name) else {
            found.error(root.join(&name), "the test video is missing");
            continue;
        };
        let mut clip = Clip::new(&name, Split::Test, ClipSource::Video(video.clone()));
        match annotations.get(&name) {
            Some(annotation) => {
                clip.kind = Some(annotation.kind.clone());
                clip.labels = LabelSource::Ranges { ranges: annotation.ranges.clone(), cut: true };
            }
            None => found.error(video, "the annotation file does not name this test video"),
        }
        found.clips.push(clip);
    }
    Ok(())
}

/// Normal footage is told by its name, `Normal_VideosNNN`.
fn training(name: &str, video: &Path) -> Clip {
    let mut clip = Clip::new(name, Split::Train, ClipSource::Video(video.to_owned()));
    let normal = name.starts_with("Normal");
    let class: String = name.chars().take_while(char::is_ascii_alphabetic).collect();
    clip.kind = Some(class);
    clip.labels = if normal { LabelSource::Normal } else { LabelSource::Unknown };
    clip
}

fn annotations(path: &Path) -> Result<HashMap<String, Annotation>, DataError> {
    let mut all = HashMap::new();
    for (number, line) in files::lines(path)? {
        let odd = |what: &str| DataError::line(path, number, what);
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [name, kind, frames @ ..] = &fields[..] else {
            return Err(odd("a name, a class and frames were expected"));
        };
        let frames: Vec<f64> = frames.iter().filter_map(|f| f.parse().ok()).collect();
        if frames.len() != fields.len() - 2 || frames.is_empty() || !frames.len().is_multiple_of(2) {
            return Err(odd("pairs of first and last frames were expected"));
        }
        let events = frames.chunks_exact(2).filter(|pair| pair[0] >= 0.0);
        // The authors' evaluation takes a first frame of 0 for 1.
        let range = |pair: &[f64]| {
            one_based(pair[0].max(1.0), pair[1]).ok_or_else(|| odd("an event ends before it begins"))
        };
        let ranges = events.map(range).collect::<Result<_, _>>()?;
        all.insert(files::stem(Path::new(name)), Annotation { kind: (*kind).to_owned(), ranges });
    }
    Ok(all)
}
