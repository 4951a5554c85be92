//! UBI-Fights (Degardin, Proença, *Iterative weak/self-supervised classification framework for abnormal
//! events detection*, Pattern Recognition Letters 2021).

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::{Found, UNKNOWN, files, label_set, not_this};
use crate::dataset::{Clip, ClipSource, LabelSource, Split};
use crate::error::DataError;
use crate::layout::{Expected, Layout};

pub(super) const LAYOUT: Layout = Layout {
    key: "ubi-fights",
    title: "UBI-Fights",
    about: "\
UBI_FIGHTS/videos/{normal,fight}/<name>.mp4, annotation/<name>.csv (one 0/1 a frame), test_videos.csv with the names of \
the test videos. Videos in folders called train, val or test below those are split accordingly. How many videos the \
official split has could not be confirmed.",
    expected: Expected { clips: Some(1000), ..UNKNOWN },
    label_sets: &[label_set("annotation/<name>.csv", None)],
    subsets: &[],
};

pub(super) fn open(root: &Path) -> Result<Found, DataError> {
    let names = ["", "UBI_FIGHTS", "UBI_FIGHTS/UBI_FIGHTS"];
    let Some(base) = files::first(root, &names, |p| p.join("videos").is_dir()) else {
        return Err(not_this(root, LAYOUT.title, "the folder `videos` is missing"));
    };
    let mut found = Found::new(base.clone());
    let test = test_names(&mut found, &base)?;
    for kind in ["normal", "fight"] {
        let folder = base.join("videos").join(kind);
        if !folder.is_dir() {
            found.error(&folder, "the folder is missing");
        }
        for (name, video) in files::videos_below(&folder)? {
            let split = split(&test, &folder, &name, &video);
            add(&mut found, &base, Clip::new(name, split, ClipSource::Video(video)), kind);
        }
    }
    for missing in test
        .iter()
        .flatten()
        .filter(|&name| !found.clips.iter().any(|clip| clip.name == *name))
        .cloned()
        .collect::<Vec<_>>()
    {
        found.error(
            base.join("videos").join(&missing),
            "the test video is missing (named in test_videos.csv)",
        );
    }
    Ok(found)
}

/// `None` where there is no list.
fn test_names(found: &mut Found, base: &Path) -> Result<Option<HashSet<String>>, DataError> {
    let Some(path) =
        files::first(base, &["test_videos.csv", "../test_videos.csv", "test_videos.txt"], Path::is_file)
    else {
        let path = base.join("test_videos.csv");
        found.warning(
            path,
            "the list is missing; without folders train, val and test every video is taken for testing",
        );
        return Ok(None);
    };
    let first_field = |line: &str| line.split(',').next().unwrap_or("").trim().to_owned();
    let names = files::lines(&path)?.into_iter().map(|(_, line)| files::stem(Path::new(&first_field(&line))));
    // The files' names begin with F_ or N_; anything else is a heading.
    Ok(Some(names.filter(|name| name.starts_with("F_") || name.starts_with("N_")).collect()))
}

fn split(test: &Option<HashSet<String>>, folder: &Path, name: &str, video: &Path) -> Split {
    if let Some(test) = test {
        return if test.contains(name) { Split::Test } else { Split::Train };
    }
    let inner = video.strip_prefix(folder).ok().and_then(|p| p.components().next());
    match inner.map(|c| c.as_os_str().to_string_lossy().to_lowercase()).as_deref() {
        Some("train" | "training") => Split::Train,
        Some("val" | "validation") => Split::Validation,
        _ => Split::Test,
    }
}

fn add(found: &mut Found, base: &Path, mut clip: Clip, kind: &str) {
    clip.kind = Some(kind.to_owned());
    let path: PathBuf = base.join("annotation").join(format!("{}.csv", clip.name));
    clip.labels = match (path.is_file(), kind) {
        // Normal videos are normal throughout; their files say nothing else.
        (_, "normal") if clip.split == Split::Train => LabelSource::Normal,
        (true, _) => LabelSource::File(path),
        (false, "normal") => LabelSource::Normal,
        (false, _) => {
            found.error(path, "the annotation is missing");
            LabelSource::Unknown
        }
    };
    found.clips.push(clip);
}
