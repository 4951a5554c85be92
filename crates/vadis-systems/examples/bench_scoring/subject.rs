//! What is measured: a model of a system, and the files that both sides read.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use vadis_motion::TvL1;
use vadis_peers::Outcome;
use vadis_peers::report::Subject as RowSubject;
use vadis_systems::{
    FrameStoreWriter, InputFormat, Model, ModelInfo, Preset, Session, Setting, cpu_device, load_model,
    method, save_model,
};
use vadis_video::Frame;

use crate::footage::Footage;
use crate::options::Options;

/// The systems that there is a peer of.
pub(crate) const SYSTEMS: [&str; 3] = ["itae-nf", "ae3d", "pseudo"];
/// Frames of footage: more than any run has, so that no window is seen twice in one.
const FRAMES: usize = 64;
/// Training for a few steps: enough that no layer is as it was initialised, and calibration on a few windows. The stride keeps clips few.
const BRIEF: [&str; 8] = [
    "max_steps=3",
    "min_steps=0",
    "epochs=1",
    "batch=1",
    "train_stride=8",
    "holdout=0.0",
    "max_frames=64",
    "calibration_frames=24",
];
const BRIEF_FLOWS: [&str; 4] = ["flow_max_steps=3", "flow_clips=1", "flow_batch=4", "flow_patch=0"];
const BRIEF_HOLES: [&str; 2] = ["masks=random", "inpaint=diffuse"];

/// What a model comes from.
pub(crate) enum Subject {
    Fresh { system: String, preset: Preset },
    Trained(PathBuf),
}

/// One comparison; both sides read it as JSON.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Task {
    pub(crate) model: PathBuf,
    /// Frames as bytes; a stream goes through them forwards and backwards.
    pub(crate) frames: PathBuf,
    /// Frames of a run.
    pub(crate) push: usize,
    /// Frames before the first run.
    pub(crate) warm: usize,
    /// Frames whose scores are compared.
    pub(crate) checked: usize,
    /// Our flows, `[2, height, width]` from each frame of the stream to the next, of a system that sees flows.
    pub(crate) flows: Option<PathBuf>,
    /// Whether the peer takes those, and spends nothing on its own.
    pub(crate) flow_given: bool,
    pub(crate) threads: usize,
    pub(crate) compile: bool,
    /// The peer's variant; it looks for the fastest if not given.
    pub(crate) variant: Option<String>,
}

/// A model on disk with footage of its format.
pub(crate) struct Prepared {
    folder: TempDir,
    model: Box<dyn Model>,
    preset: String,
    path: PathBuf,
    frames: Vec<Frame>,
}

impl Prepared {
    pub(crate) fn new(subject: &Subject, options: &Options) -> Outcome<Self> {
        let folder = TempDir::new()?;
        let footage = Footage::of(options.footage.as_deref())?;
        let path = match subject {
            Subject::Trained(path) => path.clone(),
            Subject::Fresh { system, preset } => {
                let path = folder.path().join("model.safetensors");
                let info = ModelInfo { preset: preset.to_string(), ..Default::default() };
                save_model(train(system, *preset, &footage, folder.path())?.as_ref(), &info, &path)?;
                path
            }
        };
        let (model, info) = load_model(&path)?;
        if !SYSTEMS.contains(&model.system()) {
            return Err(format!("{} has no peer", model.system()).into());
        }
        let frames = footage.frames(model.input(), FRAMES)?;
        let bytes: Vec<u8> = frames.iter().flat_map(|frame| frame.data.iter().copied()).collect();
        fs::write(folder.path().join("frames"), bytes)?;
        Ok(Self { folder, model, preset: info.preset, path, frames })
    }

    /// Of `pseudo` two: with OpenCV's flow, and with ours given to the peer, which then spends nothing on it.
    pub(crate) fn tasks(&self, options: &Options) -> Outcome<Vec<Task>> {
        let number = |key: &str| self.model.config()[key].as_u64().unwrap_or(1) as usize;
        let (clip, stride) = (number("clip"), number("score_stride"));
        let large = stride == 1 && self.model.system() == "itae-nf";
        let push = options.frames.unwrap_or(if large { 8 } else { 40 }).next_multiple_of(stride);
        let task = Task {
            model: self.path.clone(),
            frames: self.folder.path().join("frames"),
            push,
            warm: clip + 1,
            checked: clip + 1 + push.min(16),
            flows: None,
            flow_given: false,
            threads: options.common.threads,
            compile: options.common.compile,
            variant: None,
        };
        if self.model.system() != "pseudo" {
            return Ok(vec![task]);
        }
        let own = Task { flows: Some(self.write_flows()?), ..task };
        Ok(vec![Task { flow_given: true, ..own.clone() }, own])
    }

    pub(crate) fn row(&self, task: &Task) -> RowSubject {
        let InputFormat { width, height, colour } = self.model.input();
        let given = if task.flow_given { ", flow given" } else { "" };
        RowSubject {
            network: self.model.system().to_owned(),
            measure: format!("{}{given}", self.preset),
            batch: task.push,
            size: vec![height, width],
            channels: colour.channels(),
            threads: task.threads,
        }
    }

    fn write_flows(&self) -> Outcome<PathBuf> {
        let mut flows = TvL1::default();
        let mut bytes = Vec::new();
        let stream: Vec<&Frame> = there_and_back(&self.frames).collect();
        for (at, before) in stream.iter().enumerate() {
            let flow = flows.flow(before, stream[(at + 1) % stream.len()])?;
            bytes.extend(flow.u.iter().chain(&flow.v).flat_map(|value| value.to_le_bytes()));
        }
        let path = self.folder.path().join("flows");
        fs::write(&path, bytes)?;
        Ok(path)
    }
}

/// The frames forwards and backwards, the first and the last one once.
pub(crate) fn there_and_back(frames: &[Frame]) -> impl Iterator<Item = &Frame> {
    let inner = frames.len().saturating_sub(2);
    frames.iter().chain(frames.iter().rev().skip(1).take(inner))
}

/// A model after a few steps.
fn train(system: &str, preset: Preset, footage: &Footage, folder: &Path) -> Outcome<Box<dyn Model>> {
    let own: &[&str] = match system {
        "itae-nf" => &BRIEF_FLOWS,
        "pseudo" => &BRIEF_HOLES,
        _ => &[],
    };
    let settings =
        BRIEF.iter().chain(own).map(|text| Ok(text.parse()?)).collect::<Outcome<Vec<Setting>>>()?;
    let configured = method(system)?.configure(preset, &settings)?;
    let [width, height] = footage.native()?;
    let format = configured.input(width, height);
    let mut store = FrameStoreWriter::create(folder, format, configured.max_frames())?;
    for frame in footage.frames(format, FRAMES)? {
        store.push(0, &frame)?;
    }
    let (interrupt, mut progress) = (AtomicBool::new(false), |_| {});
    let mut session = Session::new(0, cpu_device(), &interrupt, &mut progress);
    Ok(configured.train(&store.finish()?, &mut session)?)
}
