//! `vadis data subsample`: footage of which a given share of the frames is abnormal, to learn from and be scored.
//!
//! An unsupervised system learns from the very footage that it judges, so the share of anomalies in it matters, and a
//! curve over that share needs footage that was thinned before anything was learnt from it.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use vadis::Failure;
use vadis::data::{Dataset, OpenOptions, labels::read_labels};
use vadis::eval::protocol::contaminated_subset;
use vadis::eval::run::{Labels, write_labels};
use vadis::progress::Stage;
use vadis::stages::{Opened, Surroundings, open_sources};
use vadis::video::{Codec, Colour, Frame, FrameFormat, FrameReader, VideoError, VideoWriter};

use super::report::FileNames;
use super::{Output, usage};
use crate::cli::SourceArgs;

/// What is to be made of which footage.
pub(super) struct Plan<'a> {
    pub(super) source: &'a SourceArgs,
    pub(super) labels: Option<&'a Path>,
    pub(super) dataset: Option<(&'a str, &'a Path)>,
    pub(super) folder: &'a Path,
    /// Share of abnormal frames, in [0, 1).
    pub(super) contamination: f64,
    pub(super) seed: u64,
}

/// A source with what a first reading told of it.
struct Footage {
    opened: Opened,
    labels: Vec<u8>,
    grey: bool,
}

pub(super) fn run(plan: &Plan<'_>, output: &Output<'_>) -> Result<(), Failure> {
    let surroundings = output.surroundings(plan.source)?;
    let known = Known::open(plan)?;
    let (sources, notes) = open_sources(&plan.source.sources, &surroundings)?;
    prepare(plan.folder)?;
    let mut stage = Stage::new("counting", Some(sources.len() as u64), output.quiet);
    let mut footage = Vec::with_capacity(sources.len());
    for opened in sources {
        let (frames, grey) = look_at(&opened, &surroundings)?;
        let labels = known.of(&opened.source.name, frames)?;
        stage.set(footage.len() as u64 + 1, None, &opened.source.name);
        footage.push(Footage { opened, labels, grey });
    }
    stage.finish(&format!("{} sources", footage.len()));
    let pooled: Vec<u8> = footage.iter().flat_map(|f| f.labels.iter().copied()).collect();
    let kept = contaminated_subset(&pooled, plan.contamination, plan.seed)
        .map_err(|e| usage(format!("--contamination: {e}")))?;
    let written = write(&footage, &kept, plan.folder, &surroundings, output)?;
    notes.iter().for_each(|note| output.note(note));
    present(plan, &pooled, &written, output)
}

/// Where labels come from.
enum Known {
    File(vadis::data::labels::Labels),
    Dataset(Box<Dataset>),
}

impl Known {
    fn open(plan: &Plan<'_>) -> Result<Self, Failure> {
        match (plan.labels, plan.dataset) {
            (Some(path), _) => Ok(Self::File(read_labels(path)?)),
            (None, Some((key, root))) => {
                Ok(Self::Dataset(Box::new(Dataset::open(key, root, &OpenOptions::default())?)))
            }
            (None, None) => Err(usage("--labels or --dataset is needed")),
        }
    }

    /// One label for each frame; a video without labels is an error, for it would be taken as normal.
    fn of(&self, video: &str, frames: usize) -> Result<Vec<u8>, Failure> {
        match self {
            Self::File(labels) => Ok(labels.of(video, frames)?.to_vec()),
            Self::Dataset(dataset) => {
                let clip = dataset.clips.iter().find(|clip| clip.name == video);
                let labels = clip.map(|clip| dataset.labels(clip, frames)).transpose()?.flatten();
                labels.ok_or_else(|| Failure::Usage {
                    what: format!("{} has no labels of a clip `{video}`", dataset.key),
                    hint: Some("give the clips as sources by their own folders or files".to_owned()),
                })
            }
        }
    }
}

fn prepare(folder: &Path) -> Result<(), Failure> {
    let labels = folder.join("labels.csv");
    if labels.exists() {
        let source = std::io::Error::new(std::io::ErrorKind::AlreadyExists, "is there already");
        return Err(Failure::Io { path: labels, source });
    }
    let videos = folder.join("videos");
    std::fs::create_dir_all(&videos).map_err(Failure::io(&videos))
}

/// Counts the frames, and tells whether all are grey.
fn look_at(opened: &Opened, surroundings: &Surroundings<'_>) -> Result<(usize, bool), Failure> {
    let (mut frames, mut grey) = (0, true);
    each_frame(opened, Colour::Rgb, surroundings, |frame| {
        frames += 1;
        grey = grey && frame.data.chunks_exact(3).all(|p| p[0] == p[1] && p[1] == p[2]);
        Ok(())
    })?;
    Ok((frames, grey))
}

fn each_frame(
    opened: &Opened,
    colour: Colour,
    surroundings: &Surroundings<'_>,
    mut take: impl FnMut(&Frame) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let format = FrameFormat { size: None, colour };
    for frame in FrameReader::open(&opened.source, &format, &surroundings.read)? {
        if surroundings.interrupt.load(Ordering::Relaxed) {
            return Err(Failure::Interrupted { stage: "subsampling", resumable: false });
        }
        let frame: Result<Frame, VideoError> = frame;
        take(&frame?)?;
    }
    Ok(())
}

/// What was written.
#[derive(Default)]
struct Written {
    labels: Labels,
    /// Video, frame in it, source, frame in that.
    origin: Vec<(String, u64, String, u64)>,
}

/// Writes `videos/`, `kept.csv` and, last, `labels.csv`: where it is, the rest is.
fn write(
    footage: &[Footage],
    kept: &[usize],
    folder: &Path,
    surroundings: &Surroundings<'_>,
    output: &Output<'_>,
) -> Result<Written, Failure> {
    let (mut written, mut names) = (Written::default(), FileNames::default());
    let mut stage = Stage::new("writing", Some(kept.len() as u64), output.quiet);
    let (mut first, mut rest) = (0, kept);
    for clip in footage {
        let end = first + clip.labels.len();
        let (own, later) = rest.split_at(rest.partition_point(|&place| place < end));
        if !own.is_empty() {
            let places: Vec<usize> = own.iter().map(|place| place - first).collect();
            let name = names.unique(&clip.opened.source.name);
            write_clip(clip, &places, &folder.join("videos").join(format!("{name}.mkv")), surroundings)?;
            let source = &clip.opened.source.name;
            let origin = places.iter().enumerate();
            written
                .origin
                .extend(origin.map(|(i, &place)| (name.clone(), i as u64, source.clone(), place as u64)));
            written.labels.insert(name, places.iter().map(|&place| clip.labels[place]).collect());
        }
        (first, rest) = (end, later);
        stage.set((kept.len() - rest.len()) as u64, None, &clip.opened.source.name);
    }
    write_origin(&folder.join("kept.csv"), &written.origin)?;
    write_labels(&folder.join("labels.csv"), &written.labels)?;
    stage.finish(&format!("{} frames", kept.len()));
    Ok(written)
}

/// The frames at `places` of a clip, without loss and at their own times.
fn write_clip(
    clip: &Footage,
    places: &[usize],
    path: &Path,
    surroundings: &Surroundings<'_>,
) -> Result<(), Failure> {
    let (colour, codec) =
        if clip.grey { (Colour::Grey, Codec::Ffv1Grey) } else { (Colour::Rgb, Codec::Ffv1Rgb) };
    let mut video: Option<VideoWriter> = None;
    let (mut place, mut next) = (0, 0);
    each_frame(&clip.opened, colour, surroundings, |frame| {
        if places.get(next) == Some(&place) {
            let writer = match video.take() {
                Some(writer) => writer,
                None => VideoWriter::create_timed(path, frame.width, frame.height, codec)?,
            };
            video.insert(writer).write(frame)?;
            next += 1;
        }
        place += 1;
        Ok(())
    })?;
    video.map(VideoWriter::finish).transpose()?;
    Ok(())
}

fn write_origin(path: &Path, rows: &[(String, u64, String, u64)]) -> Result<(), Failure> {
    let failed = |e: csv::Error| Failure::Io { path: path.to_owned(), source: std::io::Error::other(e) };
    let mut writer = csv::Writer::from_path(path).map_err(failed)?;
    writer.write_record(["video", "frame", "source", "source_frame"]).map_err(failed)?;
    rows.iter().try_for_each(|row| writer.serialize(row)).map_err(failed)?;
    writer.flush().map_err(Failure::io(path))
}

fn present(plan: &Plan<'_>, pooled: &[u8], written: &Written, output: &Output<'_>) -> Result<(), Failure> {
    let count = |labels: &[u8]| labels.iter().filter(|&&label| label != 0).count();
    let frames = written.origin.len();
    let abnormal: usize = written.labels.values().map(|labels| count(labels)).sum();
    let share = abnormal as f64 / frames.max(1) as f64;
    let (videos, labels): (PathBuf, PathBuf) = (plan.folder.join("videos"), plan.folder.join("labels.csv"));
    let text = format!(
        "{frames} of {} frames, {abnormal} abnormal ({:.2} %; before {:.2} %)\nvideos: {}\nlabels: {}",
        pooled.len(),
        100.0 * share,
        100.0 * count(pooled) as f64 / pooled.len().max(1) as f64,
        videos.display(),
        labels.display()
    );
    let json = serde_json::json!({
        "output": plan.folder,
        "videos": videos,
        "labels": labels,
        "frames": frames,
        "abnormal": abnormal,
        "of_frames": pooled.len(),
        "seed": plan.seed,
    });
    output.result(&text, &json)
}
