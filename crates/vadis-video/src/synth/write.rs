//! A scene on disk: the video, its labels, kinds and masks.

use std::path::{Path, PathBuf};

use super::{Kind, PixelBox, Scene, SceneConfig, SceneFrame, SynthError};
use crate::{Codec, Colour, Frame, Mask, VideoWriter};

/// Constant rate factor of the video: what a decent network camera sends.
const CRF: u8 = 19;
/// Name of the video in every table.
const VIDEO: &str = "scene.mp4";

/// What [`write_scene`] wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SceneFiles {
    /// `scene.mp4`: H.264.
    pub video: PathBuf,
    /// `labels.csv`: `video,frame,label`, 1 abnormal.
    pub labels: PathBuf,
    /// `kinds.csv`: `video,start_frame,end_frame,kind,x,y,width,height`, one row for each stretch of frames in which a
    /// kind is seen, both ends included, with the pixels it touches in all.
    pub kinds: PathBuf,
    /// `masks.mkv`: lossless grey, 255 where something abnormal is seen, else 0.
    pub masks: PathBuf,
    /// `scene.toml`: the [`SceneConfig`].
    pub config: PathBuf,
    /// Frames written.
    pub frames: u64,
    /// Frames labelled 1.
    pub abnormal: u64,
}

/// A row of `kinds.csv`.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct KindSpan {
    /// The video's name.
    pub video: String,
    /// First frame in which it is seen.
    pub start_frame: u64,
    /// Last frame, inclusive.
    pub end_frame: u64,
    /// What it is.
    pub kind: Kind,
    /// Left edge of all it touches, in pixels.
    pub x: usize,
    /// Top edge.
    pub y: usize,
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
}

/// Writes a scene into the folder `dir`, which is made if it is not there.
///
/// # Errors
/// [`SynthError::Setting`]; [`SynthError::Exists`] where one of the files is there already, before anything is done;
/// [`SynthError::Video`] and [`SynthError::Io`]. After an error none of the files is there.
pub fn write_scene(config: &SceneConfig, dir: &Path) -> Result<SceneFiles, SynthError> {
    write_scene_with(config, dir, |_| ())
}

/// [`write_scene`], calling `each` with every frame written, for progress or measurement.
///
/// # Errors
/// As [`write_scene`].
pub fn write_scene_with(
    config: &SceneConfig,
    dir: &Path,
    mut each: impl FnMut(&SceneFrame),
) -> Result<SceneFiles, SynthError> {
    let scene = Scene::new(config)?;
    let mut files = SceneFiles::within(dir);
    files.refuse_existing()?;
    std::fs::create_dir_all(dir).map_err(|e| SynthError::io("make", dir, e))?;
    let prefix = tempfile::Builder::new().prefix(".scene-").tempdir_in(dir);
    let work = prefix.map_err(|e| SynthError::io("write in", dir, e))?;
    let part = SceneFiles::within(work.path());

    let (width, height, fps) = (config.width, config.height, config.fps);
    let mut video = VideoWriter::create(&part.video, width, height, fps, Codec::H264 { crf: CRF })?;
    let mut masks = VideoWriter::create(&part.masks, width, height, fps, Codec::Ffv1Grey)?;
    let mut tables = Tables::create(&part)?;
    for shot in scene {
        video.write(&shot.frame)?;
        masks.write(&mask_frame(&shot.mask, &shot.frame))?;
        tables.add(&shot)?;
        files.frames += 1;
        files.abnormal += u64::from(shot.label());
        each(&shot);
    }
    video.finish()?;
    masks.finish()?;
    tables.finish()?;
    write_config(config, &part.config)?;
    files.take(&part)?;
    Ok(files)
}

impl SceneFiles {
    fn within(dir: &Path) -> Self {
        Self {
            video: dir.join(VIDEO),
            labels: dir.join("labels.csv"),
            kinds: dir.join("kinds.csv"),
            masks: dir.join("masks.mkv"),
            config: dir.join("scene.toml"),
            frames: 0,
            abnormal: 0,
        }
    }

    fn paths(&self) -> [&Path; 5] {
        // The video last: where it is, the rest is.
        [&self.labels, &self.kinds, &self.masks, &self.config, &self.video]
    }

    fn refuse_existing(&self) -> Result<(), SynthError> {
        match self.paths().into_iter().find(|path| path.exists()) {
            Some(path) => Err(SynthError::Exists { path: path.to_path_buf() }),
            None => Ok(()),
        }
    }

    /// Moves finished files to their names here.
    fn take(&self, part: &Self) -> Result<(), SynthError> {
        self.refuse_existing()?;
        for (from, to) in part.paths().into_iter().zip(self.paths()) {
            if let Err(e) = std::fs::rename(from, to) {
                self.paths().into_iter().take_while(|&done| done != to).for_each(|done| {
                    // Nothing more can be done for what cannot be removed either.
                    let _ = std::fs::remove_file(done);
                });
                return Err(SynthError::io("write", to, e));
            }
        }
        Ok(())
    }
}

/// `labels.csv` and `kinds.csv` while they are written.
struct Tables<'a> {
    files: &'a SceneFiles,
    labels: csv::Writer<std::fs::File>,
    kinds: csv::Writer<std::fs::File>,
    open: Vec<KindSpan>,
}

impl<'a> Tables<'a> {
    fn create(files: &'a SceneFiles) -> Result<Self, SynthError> {
        let writer = |path: &Path| csv::Writer::from_path(path).map_err(|e| SynthError::csv(path, e));
        let mut labels = writer(&files.labels)?;
        labels.write_record(["video", "frame", "label"]).map_err(|e| SynthError::csv(&files.labels, e))?;
        let mut kinds = csv::WriterBuilder::new()
            .has_headers(false)
            .from_path(&files.kinds)
            .map_err(|e| SynthError::csv(&files.kinds, e))?;
        let header = ["video", "start_frame", "end_frame", "kind", "x", "y", "width", "height"];
        kinds.write_record(header).map_err(|e| SynthError::csv(&files.kinds, e))?;
        Ok(Self { files, labels, kinds, open: Vec::new() })
    }

    fn add(&mut self, shot: &SceneFrame) -> Result<(), SynthError> {
        let index = shot.frame.index;
        let row = [VIDEO, &index.to_string(), &shot.label().to_string()];
        self.labels.write_record(row).map_err(|e| SynthError::csv(&self.files.labels, e))?;
        for (&kind, &seen) in shot.kinds.iter().zip(&shot.boxes) {
            match self.open.iter_mut().find(|span| span.kind == kind) {
                Some(span) => span.extend(index, seen),
                None => self.open.push(KindSpan::begin(index, kind, seen)),
            }
        }
        let (open, closed) = std::mem::take(&mut self.open).into_iter().partition(|s| s.end_frame == index);
        self.open = open;
        self.close(closed)
    }

    fn close(&mut self, spans: Vec<KindSpan>) -> Result<(), SynthError> {
        let mut write = |span| self.kinds.serialize(span);
        spans.into_iter().try_for_each(&mut write).map_err(|e| SynthError::csv(&self.files.kinds, e))
    }

    fn finish(mut self) -> Result<(), SynthError> {
        let open = std::mem::take(&mut self.open);
        self.close(open)?;
        self.labels.flush().map_err(|e| SynthError::io("write", &self.files.labels, e))?;
        self.kinds.flush().map_err(|e| SynthError::io("write", &self.files.kinds, e))
    }
}

impl KindSpan {
    fn begin(frame: u64, kind: Kind, seen: PixelBox) -> Self {
        let PixelBox { x, y, width, height } = seen;
        Self { video: VIDEO.to_owned(), start_frame: frame, end_frame: frame, kind, x, y, width, height }
    }

    fn extend(&mut self, frame: u64, seen: PixelBox) {
        let so_far = PixelBox { x: self.x, y: self.y, width: self.width, height: self.height };
        let PixelBox { x, y, width, height } = so_far.union(seen);
        *self = Self { end_frame: frame, x, y, width, height, ..self.clone() };
    }
}

/// A mask as a picture: 255 where it is set.
fn mask_frame(mask: &Mask, of: &Frame) -> Frame {
    let data = mask.data.iter().map(|&v| 255 * v).collect();
    let (width, height) = (mask.width, mask.height);
    Frame { index: of.index, time_s: of.time_s, width, height, colour: Colour::Grey, data }
}

fn write_config(config: &SceneConfig, path: &Path) -> Result<(), SynthError> {
    let text =
        toml::to_string(config).map_err(|e| SynthError::io("write", path, std::io::Error::other(e)))?;
    std::fs::write(path, text).map_err(|e| SynthError::io("write", path, e))
}
