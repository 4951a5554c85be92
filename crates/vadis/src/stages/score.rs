//! Scoring: frames through the model, as they are decoded, into `scores.csv`, `heat.mkv` and `regions.csv`.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use vadis_eval::localisation::{Bounds, HeatMap, heat_regions};
use vadis_eval::run::{
    FRAME_DIFF, HeatColours, HeatInfo, Region, RegionWriter, ScoreRow, ScoreWriter, SourceInfo,
};
use vadis_motion::{FrameDiff, FrameDiffConfig};
use vadis_systems::combination::numbered;
use vadis_systems::{InputFormat, Model, Scored, Scorer};
use vadis_video::{
    Codec, Colour, Frame, FrameFormat, FrameReader, HealthConfig, HealthMonitor, Trouble, VideoError,
    VideoWriter,
};

use super::{FrameNotes, Opened, Surroundings};
use crate::Failure;
use crate::progress::Stage;

/// Frames that go through the model together; the result does not depend on it.
const CHUNK: usize = 64;
/// Chunks decoded ahead.
const AHEAD: usize = 2;
/// A region is at least this share of the heat map.
const MIN_REGION_SHARE: f64 = 1.0 / 512.0;

/// What is written beside `scores.csv`.
#[derive(Debug, Clone, Copy)]
pub struct ScoreOptions {
    /// Write `heat.mkv` and `regions.csv`.
    pub heat: bool,
    /// What heat is to be drawn in.
    pub colours: HeatColours,
}

/// A run's scores as the later stages need them.
pub struct ScoredRun {
    /// One for each source, frames and errors filled in.
    pub sources: Vec<SourceInfo>,
    /// What is known of each source's frames beside their scores.
    pub frames: Vec<FrameNotes>,
    /// How `heat.mkv` is to be read.
    pub heat: Option<HeatInfo>,
    /// Files that broke.
    pub notes: Vec<String>,
    /// Frames scored.
    pub scored: u64,
    /// Wall seconds, decoding included.
    pub seconds: f64,
    /// Of these, by part of the work; decoding runs alongside.
    pub parts: Vec<(String, f64)>,
}

/// Scores every source into `folder`.
///
/// # Errors
/// No frame at all; a full disk; the user's interruption. A source that breaks keeps the rows up to there.
pub fn score(
    model: &dyn Model,
    sources: &[Opened],
    folder: &Path,
    options: ScoreOptions,
    surroundings: &Surroundings<'_>,
) -> Result<ScoredRun, Failure> {
    score_by(model, &|_| Ok(model.scorer()), sources, folder, options, surroundings)
}

/// What gives a source's scorer.
pub type Scorers<'a> = dyn Fn(&Opened) -> Result<Box<dyn Scorer + 'a>, Failure> + 'a;

/// As [`score`], by scorers of `model` that are got elsewhere.
///
/// # Errors
/// As [`score`]; whatever keeps a scorer from being got.
pub fn score_by<'a>(
    model: &dyn Model,
    scorers: &Scorers<'a>,
    sources: &[Opened],
    folder: &Path,
    options: ScoreOptions,
    surroundings: &Surroundings<'_>,
) -> Result<ScoredRun, Failure> {
    let mut files = Files::create(model, folder, options)?;
    let expected: Option<u64> = sources.iter().map(|s| s.info.frames).sum();
    let mut stage = Stage::new("scoring", expected, surroundings.quiet);
    let mut run = ScoredRun {
        sources: Vec::new(),
        frames: Vec::new(),
        heat: files.heat_info(),
        notes: Vec::new(),
        scored: 0,
        seconds: 0.0,
        parts: Vec::new(),
    };
    let (before, mut decoding) = (model.spent(), Duration::ZERO);
    let mut first_error = None;
    for opened in sources {
        let mut video = ScoringVideo::new(opened, model)?;
        let mut scorer = scorers(opened)?;
        let done = run.scored;
        let mut report = |frames: u64| stage.set(done + frames, expected, &opened.source.name);
        let result = video.run(scorer.as_mut(), &mut files, surroundings, &mut report);
        run.scored += video.entry.frames;
        decoding += video.decoding;
        match result {
            Ok(()) => {}
            Err(Failure::Video(error)) => {
                run.notes.push(error.to_string());
                video.entry.error = Some(error.to_string());
                first_error.get_or_insert(error);
            }
            Err(other) => return Err(other),
        }
        run.sources.push(video.entry);
        run.frames.push(video.notes);
    }
    if run.scored == 0 {
        let names = sources.iter().map(|s| s.source.location()).collect::<Vec<_>>().join(", ");
        return Err(first_error.map_or(Failure::NoFrames { sources: names }, Failure::Video));
    }
    files.finish()?;
    run.seconds = stage.finish(&format!("{} frames", run.scored));
    run.parts = parts(&before, &model.spent(), decoding);
    Ok(run)
}

/// Seconds of each of the model's parts since `before`, and of decoding.
fn parts(before: &[(&str, f64)], after: &[(&str, f64)], decoding: Duration) -> Vec<(String, f64)> {
    let spent_before = |name: &str| before.iter().find(|(n, _)| *n == name).map_or(0.0, |(_, s)| *s);
    let of_model = after.iter().map(|(name, seconds)| ((*name).to_owned(), seconds - spent_before(name)));
    of_model.chain([("decoding, alongside".to_owned(), decoding.as_secs_f64())]).collect()
}

/// The files being written.
struct Files {
    scores: ScoreWriter,
    heat: Option<(VideoWriter, RegionWriter, HeatInfo)>,
}

impl Files {
    fn create(model: &dyn Model, folder: &Path, options: ScoreOptions) -> Result<Self, Failure> {
        let indicators = numbered(model.indicators().iter().copied().chain([FRAME_DIFF]));
        let scores = ScoreWriter::create(&folder.join("scores.csv"), &indicators)?;
        if !options.heat {
            return Ok(Self { scores, heat: None });
        }
        let InputFormat { width, height, .. } = model.input();
        let usual = model.statistics().heat.quantile(0.999).max(1e-9);
        let info = HeatInfo {
            width: width as u32,
            height: height as u32,
            scale: 4.0 * usual,
            threshold: usual,
            unit: model.heat_unit().to_owned(),
            colours: options.colours,
        };
        let video = VideoWriter::create(&folder.join("heat.mkv"), width, height, 25.0, Codec::Ffv1Grey)?;
        let regions = RegionWriter::create(&folder.join("regions.csv"))?;
        Ok(Self { scores, heat: Some((video, regions, info)) })
    }

    fn heat_info(&self) -> Option<HeatInfo> {
        self.heat.as_ref().map(|(_, _, info)| info.clone())
    }

    fn push(&mut self, opened: &Opened, scored: Scored) -> Result<(), Failure> {
        let name = &opened.source.name;
        if let Some((video, regions, info)) = &mut self.heat {
            video.write(&heat_frame(&scored, info))?;
            for region in frame_regions(opened, &scored, info)? {
                regions.push(&region)?;
            }
        }
        let Scored { frame, time_s, score, causal, edge, indicators, .. } = scored;
        Ok(self.scores.push(name, &ScoreRow { frame, time_s, score, causal, edge, indicators })?)
    }

    fn finish(self) -> Result<(), Failure> {
        if let Some((video, regions, _)) = self.heat {
            video.finish()?;
            regions.finish()?;
        }
        Ok(self.scores.finish()?)
    }
}

fn heat_frame(scored: &Scored, info: &HeatInfo) -> Frame {
    let scale = 255.0 / info.scale as f32;
    let data = scored.heat.iter().map(|&h| (h * scale).round().clamp(0.0, 255.0) as u8).collect();
    let (width, height) = (info.width as usize, info.height as usize);
    Frame { index: scored.frame, time_s: scored.time_s, width, height, colour: Colour::Grey, data }
}

fn frame_regions(opened: &Opened, scored: &Scored, info: &HeatInfo) -> Result<Vec<Region>, Failure> {
    let size = (info.width as usize, info.height as usize);
    let native = (opened.info.width, opened.info.height);
    let map = HeatMap::new(size.0, size.1, &scored.heat)?;
    let min_area = ((size.0 * size.1) as f64 * MIN_REGION_SHARE).ceil() as usize;
    let found = heat_regions(&map, info.threshold as f32, min_area);
    let row = |region: vadis_eval::localisation::HeatRegion| {
        let Bounds { x, y, width, height } = region.bounds.scaled(size, native);
        let (video, frame) = (opened.source.name.clone(), scored.frame);
        Region { video, frame, x, y, width, height, score: f64::from(region.mean) }
    };
    Ok(found.into_iter().map(row).collect())
}

/// One source on its way through the model.
struct ScoringVideo<'a> {
    opened: &'a Opened,
    /// How frames are read.
    format: FrameFormat,
    /// Size of the heat map.
    input: InputFormat,
    entry: SourceInfo,
    notes: FrameNotes,
    health: HealthMonitor,
    motion: FrameDiff,
    /// What decoding took, on its own thread.
    decoding: Duration,
    /// Frame differences of the frames that are not written yet.
    differences: VecDeque<f64>,
}

impl<'a> ScoringVideo<'a> {
    fn new(opened: &'a Opened, model: &dyn Model) -> Result<Self, Failure> {
        Ok(Self {
            opened,
            format: model.reads(),
            input: model.input(),
            entry: opened.entry(),
            notes: FrameNotes::default(),
            health: HealthMonitor::new(HealthConfig::default()),
            motion: FrameDiff::new(FrameDiffConfig::default())?,
            decoding: Duration::ZERO,
            differences: VecDeque::new(),
        })
    }

    fn run(
        &mut self,
        scorer: &mut dyn Scorer,
        files: &mut Files,
        surroundings: &Surroundings<'_>,
        report: &mut dyn FnMut(u64),
    ) -> Result<(), Failure> {
        let reader = FrameReader::open(&self.opened.source, &self.format, &surroundings.read)?;
        std::thread::scope(|scope| {
            let (send, chunks) = sync_channel(AHEAD);
            let decoder = scope.spawn(move || {
                let (mut reader, mut decoding) = (reader, Duration::ZERO);
                loop {
                    let began = Instant::now();
                    let chunk: Vec<_> = reader.by_ref().take(CHUNK).collect();
                    decoding += began.elapsed();
                    if chunk.is_empty() || send.send(chunk).is_err() {
                        return decoding;
                    }
                }
            });
            let taken = self.take(chunks, scorer, files, surroundings, report);
            self.decoding = decoder.join().unwrap_or_default();
            taken
        })
    }

    fn take(
        &mut self,
        chunks: Receiver<Vec<Result<Frame, VideoError>>>,
        scorer: &mut dyn Scorer,
        files: &mut Files,
        surroundings: &Surroundings<'_>,
        report: &mut dyn FnMut(u64),
    ) -> Result<(), Failure> {
        let mut scored = Vec::with_capacity(CHUNK);
        let mut broken = None;
        for chunk in chunks {
            if surroundings.interrupted() {
                return Err(Failure::Interrupted { stage: "scoring", resumable: true });
            }
            let mut frames = Vec::with_capacity(chunk.len());
            for frame in chunk {
                match frame {
                    Ok(frame) => frames.push(frame),
                    Err(error) => broken = Some(error),
                }
            }
            for frame in &frames {
                self.notes.trouble.push(self.health.push(frame).map(Trouble::name));
                self.differences.push_back(self.motion.push(frame)?.map_or(0.0, |motion| motion.mean));
            }
            scorer.push(&frames, &mut scored)?;
            self.write(&mut scored, files)?;
            report(self.entry.frames);
        }
        scorer.finish(&mut scored)?;
        self.write(&mut scored, files)?;
        report(self.entry.frames);
        // What was scored before the break is written; only then is the break told.
        broken.map_or(Ok(()), |error| Err(error.into()))
    }

    fn write(&mut self, scored: &mut Vec<Scored>, files: &mut Files) -> Result<(), Failure> {
        for mut frame in scored.drain(..) {
            frame.indicators.push(self.differences.pop_front().unwrap_or(0.0));
            self.entry.frames += 1;
            self.entry.duration_s = frame.time_s;
            self.notes.place.push(hottest(&frame.heat, self.input));
            files.push(self.opened, frame)?;
        }
        Ok(())
    }
}

/// Where the heat is greatest, as shares of width and height.
fn hottest(heat: &[f32], input: InputFormat) -> Option<[f32; 2]> {
    let place = (0..heat.len()).max_by(|&a, &b| heat[a].total_cmp(&heat[b]))?;
    let (x, y) = (place % input.width, place / input.width);
    Some([(x as f32 + 0.5) / input.width as f32, (y as f32 + 0.5) / input.height as f32])
}
