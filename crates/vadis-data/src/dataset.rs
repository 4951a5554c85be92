//! An opened data set: its clips, their labels and masks.

use std::collections::HashSet;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Serialize;
use vadis_video::{Source, natural_cmp};

use crate::adapters;
use crate::check::Problem;
use crate::error::DataError;
use crate::labels::{self, Labels, read_labels};
use crate::layout::{Layout, SubsetRule, layouts};
use crate::masks::{MaskSource, Masks, mat};
use crate::mat::MatFile;
use crate::volume::Volume;

/// What a clip is meant for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// To learn from.
    Train,
    /// To choose settings by.
    Validation,
    /// To measure on.
    Test,
}

/// Where a clip's frames are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClipSource {
    /// A video file.
    Video(PathBuf),
    /// Pictures in order.
    Images(Vec<PathBuf>),
    /// A `.mat` file whose variable `vol` is `[height, width, frames]`.
    Volume(PathBuf),
}

impl ClipSource {
    /// The file, or the first picture's folder.
    pub fn place(&self) -> &Path {
        match self {
            Self::Video(path) | Self::Volume(path) => path,
            Self::Images(images) => images.first().and_then(|p| p.parent()).unwrap_or(Path::new("")),
        }
    }
}

/// Where a clip's frame labels come from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum LabelSource {
    /// Nobody says.
    #[default]
    Unknown,
    /// The benchmark says that every frame is normal.
    Normal,
    /// These frames are abnormal, counted from 0, the end excluded.
    Ranges {
        /// The ranges, which may overlap.
        ranges: Vec<Range<u64>>,
        /// Whether the benchmark's own evaluation cuts ranges at the video's end.
        cut: bool,
    },
    /// A label a frame, read already.
    Frames(Vec<u8>),
    /// A file that holds this clip's labels alone.
    File(PathBuf),
    /// A `.npy` vector of several clips' labels one after the other, and where this clip's begin.
    Vector {
        /// The file.
        path: PathBuf,
        /// This clip's first label.
        start: u64,
    },
    /// A frame is abnormal where its mask has a pixel set.
    Masks,
}

/// One video of a data set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clip {
    /// Unique within the data set: where a training clip is named as a test clip is (Avenue's `01`), it is
    /// called `train/01`.
    pub name: String,
    /// What it is meant for.
    pub split: Split,
    /// Where its frames are.
    pub source: ClipSource,
    /// The camera or scene, where the benchmark has several.
    pub scene: Option<String>,
    /// The benchmark's class of it: `abnormal`, `Robbery`, `fight` …
    pub kind: Option<String>,
    /// Where its labels come from.
    pub labels: LabelSource,
    /// Where its masks are.
    pub masks: MaskSource,
}

impl Clip {
    pub(crate) fn new(name: impl Into<String>, split: Split, source: ClipSource) -> Self {
        let (labels, masks) = (LabelSource::Unknown, MaskSource::None);
        Self { name: name.into(), split, source, scene: None, kind: None, labels, masks }
    }

    /// Whether the benchmark says that every frame of it is normal: footage for one-class training.
    pub fn is_normal(&self) -> bool {
        match &self.labels {
            LabelSource::Normal => true,
            LabelSource::Ranges { ranges, .. } => ranges.is_empty(),
            LabelSource::Frames(labels) => labels.iter().all(|&l| l == 0),
            _ => false,
        }
    }

    /// The clip as a source of frames, under its name.
    ///
    /// # Errors
    /// [`DataError::Volume`] for a `.mat` volume, which [`unpack`](Self::unpack) turns into pictures.
    pub fn source(&self) -> Result<Source, DataError> {
        match &self.source {
            ClipSource::Video(path) => Ok(Source { name: self.name.clone(), ..Source::file(path) }),
            ClipSource::Images(images) => Ok(Source::images(self.name.clone(), images.clone())),
            ClipSource::Volume(path) => {
                Err(DataError::Volume { clip: self.name.clone(), path: path.clone() })
            }
        }
    }

    /// The frames of a `.mat` volume.
    ///
    /// # Errors
    /// [`DataError::Mat`], or [`DataError::Unexpected`] where the clip is no volume.
    pub fn volume(&self) -> Result<Volume, DataError> {
        match &self.source {
            ClipSource::Volume(path) => Volume::open(path),
            other => Err(DataError::unexpected(other.place(), "not a .mat volume")),
        }
    }

    /// Writes a `.mat` volume's frames as numbered PNG files into `folder/<name>` and returns them as a
    /// source; any other clip's source is returned as it is. The folder appears whole or not at all, and
    /// is not written again if it is there.
    ///
    /// # Errors
    /// As [`volume`](Self::volume), and where the folder cannot be written.
    pub fn unpack(&self, folder: &Path) -> Result<Source, DataError> {
        match &self.source {
            ClipSource::Volume(path) => {
                let images = Volume::open(path)?.unpack(&folder.join(&self.name))?;
                Ok(Source::images(self.name.clone(), images))
            }
            _ => self.source(),
        }
    }

    /// How many frames it has, where that is known without decoding: pictures and volumes.
    ///
    /// # Errors
    /// [`DataError::Mat`] where a volume's header is malformed.
    pub fn frames(&self) -> Result<Option<u64>, DataError> {
        match &self.source {
            ClipSource::Video(_) => Ok(None),
            ClipSource::Images(images) => Ok(Some(images.len() as u64)),
            ClipSource::Volume(path) => Volume::open(path).map(|v| Some(v.frames_left() as u64)),
        }
    }
}

/// Choices at opening; the default is the whole benchmark with its first label set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OpenOptions {
    /// A name of the layout's [`label_sets`](Layout::label_sets).
    pub label_set: Option<String>,
    /// A name of the layout's [`subsets`](Layout::subsets), or of a list `<name>.txt` in the data set's
    /// folder. It picks test and validation clips; training clips stay if such a clip shows their scene.
    pub subset: Option<String>,
    /// Only these scenes; none means all.
    pub scenes: Vec<String>,
    /// A label file of the user's own, in any form of [`read_labels`], in place of the test labels.
    pub labels: Option<PathBuf>,
    /// By how many frames labels and video may differ in length: surplus labels are dropped, missing
    /// ones repeat the last. Decoders disagree by a frame or two on some files; the default is 0.
    pub tolerance: usize,
}

/// An opened data set.
#[derive(Debug, Clone)]
pub struct Dataset {
    /// Key of its layout.
    pub key: &'static str,
    /// The folder it was found in, at or below the one given.
    pub root: PathBuf,
    /// The label set in use.
    pub label_set: &'static str,
    /// Training clips first, then validation and test clips, each in natural order of their names.
    pub clips: Vec<Clip>,
    pub(crate) layout: &'static Layout,
    /// What the adapter missed or found odd.
    pub(crate) problems: Vec<Problem>,
    /// Whether it is the whole benchmark, so that its figures apply.
    pub(crate) whole: bool,
    tolerance: usize,
}

impl Dataset {
    /// Opens the data set with layout `key` in or just below the folder `root`.
    ///
    /// Opening lists files and reads small annotation files; nothing is decoded. What is merely
    /// incomplete does not fail here but is told by [`check`](Self::check).
    ///
    /// # Errors
    /// [`DataError::UnknownLayout`], [`DataError::UnknownChoice`], [`DataError::NotThisLayout`] where the
    /// folder holds no such data set, [`DataError::NeedsFile`] where a choice or the split needs a list
    /// that is not there, and the errors of reading annotation files.
    pub fn open(key: &str, root: &Path, options: &OpenOptions) -> Result<Self, DataError> {
        let layout = layout(key)?;
        let label_set = label_set(layout, options)?;
        let found = adapters::open(layout.key, root, label_set)?;
        let whole = options.subset.is_none() && options.scenes.is_empty();
        let mut dataset = Self {
            key: layout.key,
            root: found.root,
            label_set,
            clips: found.clips,
            layout,
            problems: found.problems,
            whole,
            tolerance: options.tolerance,
        };
        dataset.tell_apart();
        if let Some(path) = &options.labels {
            dataset.relabel(&read_labels(path)?)?;
        }
        if let Some(subset) = &options.subset {
            dataset.keep_subset(subset)?;
        }
        if !options.scenes.is_empty() {
            dataset.keep_scenes(&options.scenes)?;
        }
        dataset.clips.sort_by(|a, b| a.split.cmp(&b.split).then_with(|| natural_cmp(&a.name, &b.name)));
        Ok(dataset)
    }

    /// The layout it was opened with.
    pub fn layout(&self) -> &'static Layout {
        self.layout
    }

    /// The clips of a split.
    pub fn split(&self, split: Split) -> impl Iterator<Item = &Clip> {
        self.clips.iter().filter(move |clip| clip.split == split)
    }

    /// The labels of a clip of `frames` frames, 0 or 1 each; `None` where nobody says.
    ///
    /// # Errors
    /// [`DataError::LengthMismatch`] where labels and frames differ in number by more than the
    /// tolerance, and the errors of reading the label file.
    pub fn labels(&self, clip: &Clip, frames: usize) -> Result<Option<Vec<u8>>, DataError> {
        let fit = |labels| self.fit(clip, labels, frames).map(Some);
        match &clip.labels {
            LabelSource::Unknown => Ok(None),
            LabelSource::Normal => Ok(Some(vec![0; frames])),
            LabelSource::Ranges { ranges, cut } => self.expand(clip, ranges, *cut, frames).map(Some),
            LabelSource::Frames(labels) => fit(labels.clone()),
            LabelSource::File(path) => {
                let labels = read_labels(path)?;
                fit(labels.find(&clip.name).unwrap_or_default().to_vec())
            }
            LabelSource::Vector { path, start } => {
                let all = labels::read_npy(path)?;
                let start = usize::try_from(*start).unwrap_or(usize::MAX).min(all.len());
                fit(all[start..].iter().take(frames).copied().collect())
            }
            LabelSource::Masks => match self.masks(clip)? {
                None => Ok(None),
                Some(masks) => {
                    let set = |mask: vadis_video::Mask| u8::from(mask.data.contains(&1));
                    fit(masks.map(|mask| mask.map(set)).collect::<Result<_, _>>()?)
                }
            },
        }
    }

    /// The masks of a clip in frame order, streamed; `None` where there are none.
    ///
    /// # Errors
    /// Where the mask file cannot be opened; the iterator's items tell of the rest.
    pub fn masks(&self, clip: &Clip) -> Result<Option<Masks>, DataError> {
        Masks::open(&clip.masks)
    }

    fn fit(&self, clip: &Clip, mut labels: Vec<u8>, frames: usize) -> Result<Vec<u8>, DataError> {
        if labels.len().abs_diff(frames) > self.tolerance || (labels.is_empty() && frames > 0) {
            return Err(mismatch(clip, frames, labels.len() as u64));
        }
        let last = labels.last().copied().unwrap_or(0);
        labels.resize(frames, last);
        Ok(labels)
    }

    fn expand(
        &self,
        clip: &Clip,
        ranges: &[Range<u64>],
        cut: bool,
        frames: usize,
    ) -> Result<Vec<u8>, DataError> {
        let end = ranges.iter().map(|r| r.end).max().unwrap_or(0);
        if !cut && end > frames as u64 + self.tolerance as u64 {
            return Err(mismatch(clip, frames, end));
        }
        let mut labels = vec![0; frames];
        let within = |at: u64| usize::try_from(at).unwrap_or(frames).min(frames);
        for range in ranges {
            let (start, end) = (within(range.start), within(range.end));
            labels[start.min(end)..end].fill(1);
        }
        Ok(labels)
    }

    /// Names the clips apart that several splits name alike; test clips keep their names.
    fn tell_apart(&mut self) {
        for (split, prefix) in [(Split::Train, "train"), (Split::Validation, "validation")] {
            let others: HashSet<String> =
                self.clips.iter().filter(|clip| clip.split > split).map(|clip| clip.name.clone()).collect();
            for clip in
                self.clips.iter_mut().filter(|clip| clip.split == split && others.contains(&clip.name))
            {
                clip.name = format!("{prefix}/{}", clip.name);
            }
        }
    }

    fn relabel(&mut self, labels: &Labels) -> Result<(), DataError> {
        labels.check_videos(self.clips.iter().map(|clip| clip.name.as_str()))?;
        for clip in self.clips.iter_mut().filter(|clip| clip.split != Split::Train) {
            if let Some(own) = labels.find(&clip.name) {
                clip.labels = LabelSource::Frames(own.to_vec());
            }
        }
        Ok(())
    }

    fn keep_subset(&mut self, name: &str) -> Result<(), DataError> {
        let keep = self.subset_members(name)?;
        self.clips.retain(|clip| clip.split == Split::Train || keep.contains(&clip.name));
        let scenes: HashSet<Option<String>> = self.held_out().map(|clip| clip.scene.clone()).collect();
        self.clips.retain(|clip| clip.split != Split::Train || scenes.contains(&clip.scene));
        if self.held_out().next().is_none() {
            return Err(self.unknown_choice("subset", name, self.layout.subsets.iter().map(|s| s.name)));
        }
        Ok(())
    }

    fn subset_members(&self, name: &str) -> Result<HashSet<String>, DataError> {
        let list = self.root.join(format!("{name}.txt"));
        match self.layout.subsets.iter().find(|s| s.name == name).map(|s| s.rule) {
            Some(SubsetRule::NameContains(parts)) => {
                let member = |clip: &&Clip| parts.iter().any(|part| clip.name.contains(part));
                Ok(self.clips.iter().filter(member).map(|clip| clip.name.clone()).collect())
            }
            // Only plain names reach the file system.
            _ if !name.contains(['/', '\\', '.']) && list.is_file() => {
                Ok(adapters::files::lines(&list)?.into_iter().map(|(_, line)| line).collect())
            }
            Some(SubsetRule::ListFile) => Err(DataError::NeedsFile {
                what: format!("the subset `{name}` of {}", self.layout.title),
                path: list,
                hint: "no list of it is published: write the names of its test clips into that file, one a line",
            }),
            None => Err(self.unknown_choice("subset", name, self.layout.subsets.iter().map(|s| s.name))),
        }
    }

    fn keep_scenes(&mut self, scenes: &[String]) -> Result<(), DataError> {
        let mut known: Vec<String> = self.clips.iter().filter_map(|clip| clip.scene.clone()).collect();
        known.sort_by(|a, b| natural_cmp(a, b));
        known.dedup();
        if let Some(unknown) = scenes.iter().find(|scene| !known.contains(scene)) {
            return Err(self.unknown_choice("scene", unknown, known.iter().map(String::as_str)));
        }
        self.clips.retain(|clip| clip.scene.as_ref().is_some_and(|scene| scenes.contains(scene)));
        Ok(())
    }

    fn held_out(&self) -> impl Iterator<Item = &Clip> {
        self.clips.iter().filter(|clip| clip.split != Split::Train)
    }

    fn unknown_choice<'a>(
        &self,
        what: &'static str,
        name: &str,
        known: impl Iterator<Item = &'a str>,
    ) -> DataError {
        unknown_choice(self.layout, what, name, known)
    }
}

fn unknown_choice<'a>(
    layout: &'static Layout,
    what: &'static str,
    name: &str,
    known: impl Iterator<Item = &'a str>,
) -> DataError {
    let known = known.collect::<Vec<_>>().join(", ");
    DataError::UnknownChoice { layout: layout.key, what, name: name.to_owned(), known }
}

fn mismatch(clip: &Clip, frames: usize, labels: u64) -> DataError {
    DataError::LengthMismatch { video: clip.name.clone(), frames: frames as u64, labels }
}

fn layout(key: &str) -> Result<&'static Layout, DataError> {
    layouts().iter().find(|layout| layout.key == key).ok_or_else(|| {
        let known = layouts().iter().map(|layout| layout.key).collect::<Vec<_>>().join(", ");
        DataError::UnknownLayout { key: key.to_owned(), known }
    })
}

fn label_set(layout: &'static Layout, options: &OpenOptions) -> Result<&'static str, DataError> {
    let mut names = layout.label_sets.iter().map(|set| set.name);
    match &options.label_set {
        None => Ok(names.next().unwrap_or("official")),
        Some(wanted) => names.find(|name| name == wanted).ok_or_else(|| {
            unknown_choice(layout, "label set", wanted, layout.label_sets.iter().map(|s| s.name))
        }),
    }
}

/// Abnormal frames of each clip, from a `.mat` file with a cell `gt` of `[2, events]` matrices: first and
/// last frame, counted from 1 (the form in which Liu et al., CVPR 2018, share labels).
pub(crate) fn event_ranges(path: &Path) -> Result<Vec<Vec<Range<u64>>>, DataError> {
    let cells = MatFile::open(path).and_then(|file| file.cells("gt")).map_err(mat(path))?;
    let clip = |(index, value): (usize, Result<crate::mat::Value, crate::mat::MatError>)| {
        let value = value.map_err(mat(path))?;
        let odd = || {
            DataError::unexpected(
                path,
                format!("gt{{{}}} is not a matrix of first and last frames", index + 1),
            )
        };
        let numeric = value.as_numeric().ok_or_else(odd)?;
        if !numeric.data.is_empty() && numeric.dims.first() != Some(&2) && numeric.data.len() != 2 {
            return Err(odd());
        }
        numeric.data.chunks_exact(2).map(|pair| one_based(pair[0], pair[1]).ok_or_else(odd)).collect()
    };
    cells.enumerate().map(clip).collect()
}

/// `first..=last` counted from 1, as a range from 0 with its end excluded.
pub(crate) fn one_based(first: f64, last: f64) -> Option<Range<u64>> {
    let whole = |v: f64| v.fract() == 0.0 && (1.0..1e12).contains(&v);
    (whole(first) && whole(last) && first <= last).then(|| first as u64 - 1..last as u64)
}
