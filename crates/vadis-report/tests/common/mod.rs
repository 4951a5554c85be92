//! Run directories that look like real ones, made from numbers alone.

#![allow(dead_code, unreachable_pub)] // each test binary uses its own part

use std::path::Path;

use image::{Rgb, RgbImage, Rgba, RgbaImage};
use vadis_eval::protocol::{EvalOptions, EventRun, evaluate};
use vadis_eval::run::{
    Decision, Event, HeatColours, HeatInfo, Labels, LatentPoint, Machine, Metrics, RunInfo, ScoreRow,
    ScoreTable, SourceInfo, TrainingLog, TrainingRow, TrainingWriter, VideoScores, write_events,
    write_labels, write_latents,
};
use vadis_report::Palette;
use vadis_video::{Codec, Colour, Frame, VideoWriter};

/// What a made-up run has.
#[derive(Debug, Clone)]
pub struct FakeRun {
    /// Name and number of frames of each video.
    pub videos: Vec<(String, u64)>,
    /// Frames a second.
    pub fps: f64,
    /// Strange moments over all videos.
    pub events: usize,
    /// Frames of camera trouble at the end of the first video, 0 for none.
    pub trouble: u64,
    /// Whether labels are known.
    pub labels: bool,
    /// Whether events have pictures.
    pub pictures: bool,
    /// Whether there are `training.csv` and `latents.csv`.
    pub learning: bool,
    /// Added to every random choice.
    pub seed: u64,
}

impl FakeRun {
    /// One video of an hour with all there can be.
    pub fn hour() -> Self {
        Self {
            videos: vec![("eval".to_owned(), 18_000)],
            fps: 5.0,
            events: 12,
            trouble: 150,
            labels: true,
            pictures: true,
            learning: true,
            seed: 1,
        }
    }

    /// A few seconds without anything optional.
    pub fn tiny() -> Self {
        Self {
            videos: vec![("door".to_owned(), 60)],
            fps: 10.0,
            events: 1,
            trouble: 0,
            labels: false,
            pictures: false,
            learning: false,
            seed: 1,
        }
    }

    /// Writes the run directory; `report.html` is not part of it.
    pub fn write(&self, dir: &Path) {
        std::fs::create_dir_all(dir).unwrap();
        let mut random = Random(self.seed);
        let truth = self.truth(&mut random);
        let scores = self.scores(&truth, &mut random);
        let events = self.found(&truth, &scores);
        scores.write(&dir.join("scores.csv")).unwrap();
        write_events(&dir.join("events.csv"), &events).unwrap();
        self.info().write(&dir.join("run.json")).unwrap();
        if self.labels {
            let labels = self.labelled(&truth);
            write_labels(&dir.join("labels.csv"), &labels).unwrap();
            self.metrics(&scores, &labels, &events).write(&dir.join("metrics.json")).unwrap();
        }
        if self.learning {
            self.training(dir, &mut random);
            write_latents(&dir.join("latents.csv"), &self.latents(&events, &mut random)).unwrap();
        }
        if self.pictures {
            for (i, event) in events.iter().enumerate() {
                pictures(&dir.join("events").join(format!("{:03}", i + 1)), event);
            }
        }
    }

    /// Strange stretches: video, first and last frame.
    fn truth(&self, random: &mut Random) -> Vec<(usize, u64, u64)> {
        let per_video = self.events.div_ceil(self.videos.len().max(1)).max(1) as u64;
        let mut found = Vec::new();
        for i in 0..self.events as u64 {
            let video = (i / per_video) as usize;
            let frames = self.videos[video].1;
            let slot = frames * 9 / 10 / per_video;
            let length = (slot / 8 + random.below(slot / 4 + 1)).max(1);
            let start = (i % per_video) * slot + slot / 5 + random.below(slot / 4 + 1);
            found.push((video, start.min(frames - 1), (start + length).min(frames - 1)));
        }
        found
    }

    fn scores(&self, truth: &[(usize, u64, u64)], random: &mut Random) -> ScoreTable {
        let videos = self.videos.iter().enumerate().map(|(v, (name, frames))| {
            let rows = (0..*frames).map(|frame| {
                let near = truth.iter().filter(|t| t.0 == v && frame + 4 >= t.1 && frame <= t.2 + 4);
                let lift: f64 = near.map(|t| 0.05 + 0.05 * ((t.1 * 7919 % 97) as f64 / 97.0)).sum();
                let drift = 0.012 * (frame as f64 / 2400.0).sin();
                let spike = if random.below(600) == 0 { 0.06 } else { 0.0 };
                let score = 0.06 + drift + lift + spike + 0.008 * random.gauss();
                let time_s = frame as f64 / self.fps;
                ScoreRow {
                    frame,
                    time_s,
                    score,
                    causal: score + 0.012 * random.gauss(),
                    edge: false,
                    indicators: vec![score * 0.8],
                }
            });
            VideoScores { video: name.clone(), rows: rows.collect() }
        });
        ScoreTable { indicators: vec!["reconstruction".to_owned()], videos: videos.collect() }
    }

    /// The stretches as a detector finds them: a little late and long, the strongest first.
    fn found(&self, truth: &[(usize, u64, u64)], scores: &ScoreTable) -> Vec<Event> {
        let mut events: Vec<Event> = truth
            .iter()
            .map(|&(v, start, end)| {
                let rows = &scores.videos[v].rows;
                let (first, last) = (start as usize, (end as usize + 3).min(rows.len() - 1));
                let peak = rows[first..=last].iter().max_by(|a, b| a.score.total_cmp(&b.score)).unwrap();
                let place = ["in the upper left", "in the centre", "in the lower right", "on the left"]
                    [start as usize % 4];
                Event {
                    video: self.videos[v].0.clone(),
                    start_frame: rows[first].frame,
                    end_frame: rows[last].frame,
                    start_s: rows[first].time_s,
                    end_s: rows[last].time_s,
                    peak_frame: peak.frame,
                    peak_score: peak.score,
                    reason: format!(
                        "{place}, clearly unlike what this camera usually shows there: {:.1} deviations \
                         above the median, more than 99.{} % of the frames (reconstruction)",
                        peak.score / 0.012,
                        start % 10
                    ),
                }
            })
            .collect();
        events.sort_by(|a, b| b.peak_score.total_cmp(&a.peak_score));
        events.extend(self.camera_trouble(scores));
        events
    }

    fn camera_trouble(&self, scores: &ScoreTable) -> Option<Event> {
        let rows = &scores.videos[0].rows;
        let first = rows.len() - self.trouble.min(rows.len() as u64) as usize;
        let (start, end) = (rows.get(first)?, rows.last()?);
        Some(Event {
            video: self.videos[0].0.clone(),
            start_frame: start.frame,
            end_frame: end.frame,
            start_s: start.time_s,
            end_s: end.time_s,
            peak_frame: start.frame,
            peak_score: start.score,
            reason: "camera: the picture is frozen".to_owned(),
        })
    }

    fn labelled(&self, truth: &[(usize, u64, u64)]) -> Labels {
        let mut labels: Labels =
            self.videos.iter().map(|(name, frames)| (name.clone(), vec![0; *frames as usize])).collect();
        for (i, &(v, start, end)) in truth.iter().enumerate() {
            // One in six was nothing, and one lasted longer than was seen.
            if i % 6 != 5 {
                let row = labels.get_mut(&self.videos[v].0).unwrap();
                let last = (end as usize + if i % 6 == 2 { 120 } else { 0 }).min(row.len() - 1);
                row[start as usize..=last].fill(1);
            }
        }
        labels
    }

    fn metrics(&self, scores: &ScoreTable, labels: &Labels, events: &[Event]) -> Metrics {
        let decision = self.info().decision.unwrap();
        let options = EvalOptions { bootstrap: None, ..EvalOptions::mle("labels.csv") };
        evaluate(scores, labels, Some(EventRun { events, decision: &decision }), &options).unwrap().metrics
    }

    fn training(&self, dir: &Path, random: &mut Random) {
        let terms = ["loss", "reconstruction", "entropy", "mean_distance"].map(str::to_owned);
        let log = TrainingLog { terms: terms.to_vec(), rows: Vec::new() };
        let mut writer = TrainingWriter::create(&dir.join("training.csv"), &log.terms).unwrap();
        for step in 1..=560u64 {
            let epoch = step as f64 / 70.0;
            let reconstruction = 0.004 + 0.06 * (-epoch * 1.1).exp() + 0.0009 * random.gauss().abs();
            let entropy = 0.6 + 4.6 * (-epoch * 0.9).exp() + 0.05 * random.gauss();
            let values = vec![
                reconstruction + 0.01 * entropy,
                reconstruction,
                entropy,
                9.0 - 6.0 * (epoch / 8.0).sqrt(),
            ];
            writer.push(&TrainingRow { step, epoch, seconds: step as f64 * 0.4, values }).unwrap();
        }
        writer.finish().unwrap();
    }

    fn latents(&self, events: &[Event], random: &mut Random) -> Vec<LatentPoint> {
        let mut points = Vec::new();
        for (name, frames) in &self.videos {
            for frame in (0..*frames).step_by(5) {
                let inside = |e: &&Event| e.video == *name && (e.start_frame..=e.end_frame).contains(&frame);
                let event =
                    events.iter().filter(|e| !e.reason.starts_with("camera:")).position(|e| inside(&e));
                let group = event.map_or(0, |i| i as u32 % 5 + 1);
                let angle = f64::from(group) * 1.3 + (frame as f64 / 3000.0).floor();
                let far = if group == 0 { 1.0 } else { 3.2 };
                let (x, y) =
                    (far * angle.cos() + 0.5 * random.gauss(), far * angle.sin() + 0.5 * random.gauss());
                points.push(LatentPoint { video: name.clone(), frame, x, y, group });
            }
        }
        points
    }

    /// A heat map a frame: a bright spot that wanders, 64×32.
    pub fn write_heat(&self, path: &Path) {
        let (width, height) = (64usize, 32usize);
        let mut writer = VideoWriter::create(path, width, height, self.fps, Codec::Ffv1Grey).unwrap();
        let frames = self.videos.iter().map(|v| v.1).sum::<u64>();
        for index in 0..frames {
            let (cx, cy) = (8.0 + (index / 20 * 7 % 48) as f32, 16.0);
            let heat = |i: usize| {
                let (x, y) = ((i % width) as f32, (i / width) as f32);
                (255.0 * (-((x - cx).powi(2) + (y - cy).powi(2)) / 40.0).exp()) as u8
            };
            let data = (0..width * height).map(heat).collect();
            let time_s = index as f64 / self.fps;
            writer.write(&Frame { index, time_s, width, height, colour: Colour::Grey, data }).unwrap();
        }
        writer.finish().unwrap();
    }

    fn info(&self) -> RunInfo {
        let sources = self.videos.iter().map(|(name, frames)| SourceInfo {
            video: name.clone(),
            path: format!("/footage/{name}.mp4"),
            width: 128,
            height: 64,
            fps: self.fps,
            frames: *frames,
            duration_s: *frames as f64 / self.fps,
            error: None,
        });
        RunInfo {
            command: "scan".to_owned(),
            command_line: "vadis scan /footage/eval.mp4 --set epochs=8".to_owned(),
            directory: "/home/me".to_owned(),
            version: "0.1.0".to_owned(),
            system: "mle".to_owned(),
            preset: "cpu".to_owned(),
            seed: 0,
            config: serde_json::json!({"epochs": 8, "batch": 256, "lambda": 0.01, "bandwidth": "median", "size": [128, 64]}),
            machine: Machine {
                cpu: "AMD EPYC 7763".to_owned(),
                threads: 2,
                os: "Linux x86_64".to_owned(),
                device: "cpu".to_owned(),
            },
            started: "2026-11-21T20:15:00Z".to_owned(),
            seconds: [("train", 214.0), ("score", 38.5), ("report", 4.2)]
                .map(|(n, s)| (n.to_owned(), s))
                .to_vec(),
            scoring: vec![("network".to_owned(), 3.5), ("decoding, alongside".to_owned(), 1.25)],
            peak_mib: Some(612.4),
            sources: sources.collect(),
            decision: Some(Decision {
                normalisation: "none".to_owned(),
                smoothing: "median:5s".to_owned(),
                rule: "median + 3 · 1.4826 · MAD".to_owned(),
                threshold: 0.098,
                alarms: None,
            }),
            heat: Some(HeatInfo {
                width: 128,
                height: 64,
                scale: 0.12,
                threshold: 0.03,
                unit: "mean squared error of an 8×8 patch".to_owned(),
                colours: HeatColours::default(),
            }),
            combination: None,
            notes: vec![
                "There seems to be a clock at the top edge; --ignore 0,0,100%,8% would leave it out."
                    .to_owned(),
            ],
        }
    }
}

/// A room with a blob in it, its reconstruction without, and heat where the blob is.
fn pictures(folder: &Path, event: &Event) {
    std::fs::create_dir_all(folder).unwrap();
    let (width, height) = (256u32, 128u32);
    let (cx, cy) = (40.0 + (event.start_frame * 37 % 170) as f32, 70.0);
    let distance =
        |x: u32, y: u32| (((x as f32 - cx) / 16.0).powi(2) + ((y as f32 - cy) / 34.0).powi(2)).sqrt();
    let room = |x: u32, y: u32| {
        let wall = 150.0 - 50.0 * (x as f32 / width as f32 - 0.3).abs();
        let floor = if y > 88 { 0.62 } else { 1.0 };
        let window = if (30..74).contains(&x) && (18..58).contains(&y) { 1.4 } else { 1.0 };
        wall * floor * window
    };
    let paint = |with: bool| {
        RgbImage::from_fn(width, height, |x, y| {
            let light = if with && distance(x, y) < 1.0 { 55.0 } else { room(x, y) };
            Rgb([light, light * 0.97, light * 0.9].map(|v| v.clamp(0.0, 255.0) as u8))
        })
    };
    let heat = RgbaImage::from_fn(128, 64, |x, y| {
        let value = (255.0 * (-distance(x * 2, y * 2).powi(2)).exp()) as u8;
        let palette = Palette::of(HeatColours::Ember);
        let [r, g, b] = palette.colour(value);
        Rgba([r, g, b, (255.0 * palette.opacity(value)).round() as u8])
    });
    paint(true).save(folder.join("frame.jpg")).unwrap();
    paint(false).save(folder.join("reconstruction.jpg")).unwrap();
    heat.save(folder.join("heat.png")).unwrap();
}

/// A small generator, so that a fixture is the same everywhere (Knuth's MMIX constants).
pub struct Random(pub u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }

    /// About standard normal: twelve uniforms.
    fn gauss(&mut self) -> f64 {
        (0..12).map(|_| self.next() as f64 / f64::from(1u32 << 31)).sum::<f64>() - 6.0
    }
}
