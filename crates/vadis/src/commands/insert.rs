//! `vadis data insert`: anomalies with known labels and masks, inserted into footage that has none.

use std::collections::BTreeMap;
use std::path::Path;

use vadis::Failure;
use vadis::eval::run::write_labels;
use vadis::progress::Stage;
use vadis::stages::{Opened, Surroundings, open_sources};
use vadis::video::synth::{InsertConfig, SceneFrame, insert_anomalies};
use vadis::video::{Codec, Colour, Frame, FrameFormat, FrameReader, VideoError, VideoWriter};

use super::Output;
use super::report::FileNames;
use crate::cli::SourceArgs;

/// Constant rate factor of the videos: what a decent network camera sends.
const CRF: u8 = 19;

pub(super) fn run(
    args: &SourceArgs,
    folder: &Path,
    config: &InsertConfig,
    every: bool,
    output: &Output<'_>,
) -> Result<(), Failure> {
    let surroundings = output.surroundings(args)?;
    let (sources, notes) = open_sources(&args.sources, &surroundings)?;
    // Every second clip stays as it is, so that the set has whole clips of both kinds.
    let edited = |place: usize| every || sources.len() == 1 || place % 2 == 1;
    let clips: Vec<_> = sources.iter().enumerate().map(|(place, clip)| (clip, edited(place))).collect();
    let (frames, abnormal) = insert_into(&clips, folder, config, &surroundings)?;
    notes.iter().for_each(|note| output.note(note));
    let text = format!(
        "{frames} frames, {abnormal} abnormal\nvideos: {}\nlabels: {}",
        folder.join("videos").display(),
        folder.join("labels.csv").display()
    );
    let json = serde_json::json!({ "output": folder, "frames": frames, "abnormal": abnormal });
    output.result(&text, &json)
}

/// Writes clips, those with anomalies inserted of which that is said; returns how many frames there are, and how many
/// are abnormal. A clip may be there several times, each time with other anomalies.
pub(super) fn insert_into(
    clips: &[(&Opened, bool)],
    folder: &Path,
    config: &InsertConfig,
    surroundings: &Surroundings<'_>,
) -> Result<(usize, usize), Failure> {
    let labels = folder.join("labels.csv");
    if labels.exists() {
        let source = std::io::Error::new(std::io::ErrorKind::AlreadyExists, "is there already");
        return Err(Failure::Io { path: labels, source });
    }
    for part in ["videos", "masks"].map(|name| folder.join(name)) {
        std::fs::create_dir_all(&part).map_err(Failure::io(&part))?;
    }
    let (mut written, mut names) = (Written::default(), FileNames::default());
    let mut stage = Stage::new("inserting", Some(clips.len() as u64), surroundings.quiet);
    for (place, &(opened, edited)) in clips.iter().enumerate() {
        let fraction = if edited { config.fraction } else { 0.0 };
        let seed = config.seed.wrapping_add(place as u64);
        let config =
            InsertConfig { seed, fraction, fps: opened.info.fps.clamp(0.1, 1000.0), ..config.clone() };
        let name = names.unique(&opened.source.name);
        insert_one(opened, &name, folder, &config, surroundings, &mut written)?;
        stage.set(place as u64 + 1, None, &opened.source.name);
    }
    write_kinds(&folder.join("kinds.csv"), &written.kinds)?;
    // The labels last: where they are, the set is whole.
    write_labels(&labels, &written.labels)?;
    stage.finish(&format!("{} clips", clips.len()));
    let frames = written.labels.values().map(Vec::len).sum();
    Ok((frames, written.labels.values().flatten().map(|&l| usize::from(l)).sum()))
}

#[derive(Default)]
struct Written {
    labels: BTreeMap<String, Vec<u8>>,
    /// Video, frame, kinds seen.
    kinds: Vec<(String, u64, String)>,
}

fn insert_one(
    opened: &Opened,
    name: &str,
    folder: &Path,
    config: &InsertConfig,
    surroundings: &Surroundings<'_>,
    written: &mut Written,
) -> Result<(), Failure> {
    let format = FrameFormat { size: None, colour: Colour::Rgb };
    let mut reader = FrameReader::open(&opened.source, &format, &surroundings.read)?;
    let (width, height) = reader.size();
    let path = |part: &str, ending: &str| folder.join(part).join(format!("{name}.{ending}"));
    let fps = config.fps;
    let mut video =
        VideoWriter::create(&path("videos", "mp4"), width, height, fps, Codec::H264 { crf: CRF })?;
    let mut masks = VideoWriter::create(&path("masks", "mkv"), width, height, fps, Codec::Ffv1Grey)?;
    let mut broken: Option<VideoError> = None;
    let frames = std::iter::from_fn(|| match reader.next()? {
        Ok(frame) => Some(frame),
        Err(error) => {
            broken = Some(error);
            None
        }
    });
    let mut labels = Vec::new();
    for shot in insert_anomalies(frames, config)? {
        if surroundings.interrupt.load(std::sync::atomic::Ordering::Relaxed) {
            return Err(Failure::Interrupted { stage: "inserting", resumable: false });
        }
        video.write(&shot.frame)?;
        masks.write(&mask_frame(&shot))?;
        labels.push(shot.label());
        written.kinds.extend(shot.kinds.iter().map(|k| (name.to_owned(), shot.frame.index, k.to_string())));
    }
    if let Some(error) = broken {
        return Err(error.into());
    }
    video.finish()?;
    masks.finish()?;
    written.labels.insert(name.to_owned(), labels);
    Ok(())
}

fn mask_frame(shot: &SceneFrame) -> Frame {
    let data = shot.mask.data.iter().map(|&v| 255 * v).collect();
    let (width, height) = (shot.mask.width, shot.mask.height);
    Frame { width, height, colour: Colour::Grey, data, ..shot.frame.clone() }
}

/// Consecutive frames of one kind become one row: `video,start_frame,end_frame,kind`.
fn write_kinds(path: &Path, kinds: &[(String, u64, String)]) -> Result<(), Failure> {
    let mut rows: Vec<(String, u64, u64, String)> = Vec::new();
    for (video, frame, kind) in kinds {
        let same =
            |row: &&mut (String, u64, u64, String)| row.0 == *video && row.3 == *kind && row.2 + 1 == *frame;
        match rows.iter_mut().rev().take(8).find(same) {
            Some(row) => row.2 = *frame,
            None => rows.push((video.clone(), *frame, *frame, kind.clone())),
        }
    }
    let failed = |e: csv::Error| Failure::Io { path: path.to_owned(), source: std::io::Error::other(e) };
    let mut writer = csv::Writer::from_path(path).map_err(failed)?;
    writer.write_record(["video", "start_frame", "end_frame", "kind"]).map_err(failed)?;
    rows.iter().try_for_each(|row| writer.serialize(row)).map_err(failed)?;
    writer.flush().map_err(Failure::io(path))
}
