//! One file a benchmark: what it must have, and how its clips are listed.

mod avenue;
mod corridor;
pub(crate) mod files;
mod folder;
mod lv;
mod shanghaitech;
mod ubi_fights;
mod ubnormal;
mod ucf_crime;
mod ucsd;
mod upcam;

use std::path::{Path, PathBuf};

use crate::check::Problem;
use crate::dataset::Clip;
use crate::error::DataError;
use crate::layout::{Expected, LabelSet, Layout};

/// Every layout, in the order `vadis data list` shows them.
pub(crate) static LAYOUTS: [Layout; 11] = [
    ucsd::PED1,
    ucsd::PED2,
    avenue::LAYOUT,
    shanghaitech::LAYOUT,
    ubnormal::LAYOUT,
    corridor::LAYOUT,
    ucf_crime::LAYOUT,
    lv::LAYOUT,
    ubi_fights::LAYOUT,
    upcam::LAYOUT,
    folder::LAYOUT,
];

/// What an adapter found.
pub(crate) struct Found {
    pub root: PathBuf,
    pub clips: Vec<Clip>,
    pub problems: Vec<Problem>,
}

impl Found {
    fn new(root: PathBuf) -> Self {
        Self { root, clips: Vec::new(), problems: Vec::new() }
    }

    fn error(&mut self, path: impl Into<PathBuf>, what: impl Into<String>) {
        self.problems.push(Problem::error(path, what));
    }

    fn warning(&mut self, path: impl Into<PathBuf>, what: impl Into<String>) {
        self.problems.push(Problem::warning(path, what));
    }
}

/// Lists the clips of the layout `key` in `root`.
pub(crate) fn open(key: &'static str, root: &Path, label_set: &str) -> Result<Found, DataError> {
    std::fs::read_dir(root).map_err(DataError::io(root))?;
    let found = match key {
        "ped1" => ucsd::open(root, &ucsd::PED1),
        "ped2" => ucsd::open(root, &ucsd::PED2),
        "avenue" => avenue::open(root, label_set),
        "shanghaitech" => shanghaitech::open(root),
        "ubnormal" => ubnormal::open(root),
        "corridor" => corridor::open(root),
        "ucf-crime" => ucf_crime::open(root),
        "lv" => lv::open(root),
        "ubi-fights" => ubi_fights::open(root),
        "upcam" => upcam::open(root),
        _ => folder::open(root),
    }?;
    if found.clips.is_empty() {
        let title = LAYOUTS.iter().find(|layout| layout.key == key).map_or(key, |layout| layout.title);
        return Err(not_this(root, title, "no clips were found"));
    }
    Ok(found)
}

fn not_this(root: &Path, title: &'static str, missing: impl Into<String>) -> DataError {
    DataError::NotThisLayout { root: root.to_owned(), title, missing: missing.into() }
}

const fn label_set(about: &'static str, abnormal_frames: Option<u64>) -> LabelSet {
    LabelSet { name: "official", about, abnormal_frames }
}

const UNKNOWN: Expected = Expected::UNKNOWN;
