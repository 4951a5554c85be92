//! Live Videos (Leyva, Sanchez, Li, *The LV dataset: a realistic surveillance video dataset for abnormal
//! event detection*, IWBF 2017).

use std::path::{Path, PathBuf};

use super::{Found, UNKNOWN, files, folder, label_set};
use crate::dataset::{Clip, LabelSource};
use crate::error::DataError;
use crate::layout::{Expected, Layout};

pub(super) const LAYOUT: Layout = Layout {
    key: "lv",
    title: "Live Videos (LV)",
    about: "\
28 videos. The tree inside the authors' archive could not be confirmed; read is: videos or folders of pictures anywhere \
below the folder, those below folders called train, val or test split accordingly (else all are for testing), and beside \
each (or in a folder GT, gt, annotation or labels) its labels as <name>.csv, <name>_GT.csv, <name>.npy or <name>_GT.npy, one 0/1 a frame; \
or one labels.csv of video,frame,label for all.",
    expected: Expected { clips: Some(28), ..UNKNOWN },
    label_sets: &[label_set("one 0/1 a frame", None)],
    subsets: &[],
};

pub(super) fn open(root: &Path) -> Result<Found, DataError> {
    if root.join("labels.csv").is_file() {
        return folder::open(root);
    }
    let mut found = folder::list(root)?;
    for index in 0..found.clips.len() {
        let clip = &mut found.clips[index];
        let file = beside(root, clip);
        if let Some(path) = file {
            clip.labels = LabelSource::File(path);
        } else if clip.labels == LabelSource::Unknown {
            let (place, what) =
                (clip.source.place().to_owned(), format!("`{}` has no label file", clip.name));
            found.error(place, what);
        }
    }
    Ok(found)
}

fn beside(root: &Path, clip: &Clip) -> Option<PathBuf> {
    let place = clip.source.place();
    let parent = place.parent()?;
    let name = files::stem(place);
    let folders = [
        parent.to_owned(),
        parent.join("GT"),
        parent.join("gt"),
        root.join("GT"),
        root.join("gt"),
        root.join("annotation"),
        root.join("labels"),
    ];
    let names =
        [format!("{name}.csv"), format!("{name}_GT.csv"), format!("{name}.npy"), format!("{name}_GT.npy")];
    folders.iter().flat_map(|folder| names.iter().map(|name| folder.join(name))).find(|path| path.is_file())
}
