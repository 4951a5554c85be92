//! What the systems share in reading footage: bytes to numbers, the median background, score statistics.

use std::borrow::Cow;

use vadis_video::{Frame, Mask};

use crate::clips::{Parts, Run, thinned};
use crate::{
    ColumnStatistics, FrameStore, InputFormat, Model, Progress, Scored, Session, Statistics, SystemError,
};

/// What ignored pixels are set to, in the picture and for the network.
const NEUTRAL: f32 = 0.5;
/// Frames that the median background is taken over; odd, so that the median is one of them.
const BACKGROUND_FRAMES: usize = 201;
/// Frames that the score statistics are taken over.
pub(crate) const CALIBRATION_FRAMES: usize = 2000;
/// Frames scored together while calibrating.
const CHUNK: usize = 32;

/// 1 for each pixel that counts, 0 for those ignored.
pub(crate) fn counts_of(format: InputFormat, ignore: Option<&Mask>) -> Vec<f32> {
    match ignore {
        Some(mask) => mask.data.iter().map(|&v| if v == 0 { 1.0 } else { 0.0 }).collect(),
        None => vec![1.0; format.width * format.height],
    }
}

/// The frame with the pixels that do not count made `grey`, so that nothing is seen of them; `counts` is 1 where one does.
pub(crate) fn veiled<'a>(frame: &'a Frame, counts: &[f32], grey: u8) -> Cow<'a, Frame> {
    if counts.iter().all(|&count| count > 0.0) {
        return Cow::Borrowed(frame);
    }
    let mut veiled = frame.clone();
    let pixels = veiled.data.chunks_exact_mut(frame.colour.channels());
    pixels.zip(counts).filter(|(_, count)| **count == 0.0).for_each(|(pixel, _)| pixel.fill(grey));
    Cow::Owned(veiled)
}

/// Bytes of frames as `[channels, height, width]` in [0, 1] one after another, ignored pixels neutral.
pub(crate) fn to_unit(bytes: &[u8], format: InputFormat, counts: &[f32]) -> Vec<f32> {
    let channels = format.colour.channels();
    let plane = format.width * format.height;
    let mut out = vec![0.0f32; bytes.len()];
    for (frame, planes) in bytes.chunks_exact(channels * plane).zip(out.chunks_exact_mut(channels * plane)) {
        for (c, values) in planes.chunks_exact_mut(plane).enumerate() {
            let pixels = frame[c..].iter().step_by(channels);
            for ((value, &byte), &count) in values.iter_mut().zip(pixels).zip(counts) {
                *value = if count > 0.0 { f32::from(byte) / 255.0 } else { NEUTRAL };
            }
        }
    }
    out
}

/// A frame's bytes as `[channels, height, width]` in [−1, 1]; ignored pixels are 0.
pub(crate) fn to_planes(bytes: &[u8], format: InputFormat, counts: &[f32]) -> Vec<f32> {
    let mut planes = to_unit(bytes, format, counts);
    planes.iter_mut().for_each(|v| *v = *v * 2.0 - 1.0);
    planes
}

/// How much each value is above what is usual at its place, 0 where it is not or does not count.
pub(crate) fn above_usual(values: &[f32], usual: &[f32], counts: &[f32]) -> Vec<f32> {
    let above = values.iter().zip(usual).zip(counts);
    above.map(|((value, usual), count)| (value - usual).max(0.0) * count).collect()
}

/// Values in [0, 1] as bytes.
pub(crate) fn grey_bytes(values: &[f32]) -> Vec<u8> {
    values.iter().map(|v| (v * 255.0).round().clamp(0.0, 255.0) as u8).collect()
}

/// At most `count` of `places`, evenly spread.
pub(crate) fn spread(places: &[usize], count: usize) -> Vec<usize> {
    let count = count.min(places.len());
    (0..count).map(|i| places[i * places.len() / count]).collect()
}

/// Per-pixel median over frames spread evenly, as a network sees them.
pub(crate) fn background(
    footage: &FrameStore,
    places: &[usize],
    counts: &[f32],
) -> Result<Vec<f32>, SystemError> {
    let chosen = spread(places, BACKGROUND_FRAMES);
    let format = footage.format();
    let frames = to_unit(&footage.read(&chosen)?, format, counts);
    let size = format.frame_bytes();
    let mut values = vec![0.0f32; chosen.len()];
    let median = |pixel: usize| {
        values.iter_mut().enumerate().for_each(|(i, v)| *v = frames[i * size + pixel]);
        let middle = values.len() / 2;
        *values.select_nth_unstable_by(middle, f32::total_cmp).1
    };
    Ok((0..size).map(median).collect())
}

/// The median of the frames at `places`, byte by byte.
pub(crate) fn median_frame(footage: &FrameStore, places: &[usize]) -> Result<Frame, SystemError> {
    let InputFormat { width, height, colour } = footage.format();
    let (bytes, size) = (footage.read(places)?, footage.format().frame_bytes());
    let mut values = vec![0u8; places.len()];
    let median = |i: usize| {
        values.iter_mut().enumerate().for_each(|(frame, value)| *value = bytes[frame * size + i]);
        let middle = values.len() / 2;
        *values.select_nth_unstable(middle).1
    };
    let data = (0..size).map(median).collect();
    Ok(Frame { index: 0, time_s: 0.0, width, height, colour, data })
}

/// How the model's columns and its heat lie on frames spread over `places`; `footage_kind` says what those are.
pub(crate) fn calibrate(
    model: &dyn Model,
    footage: &FrameStore,
    places: &[usize],
    footage_kind: &str,
    session: &mut Session<'_>,
) -> Result<Statistics, SystemError> {
    let chosen = spread(places, CALIBRATION_FRAMES);
    let mut seen = Seen::new(model);
    let mut scorer = model.scorer();
    let mut scored = Vec::with_capacity(CHUNK);
    for (i, part) in chosen.chunks(CHUNK).enumerate() {
        let frames = part.iter().map(|&p| footage.frame(p)).collect::<Result<Vec<Frame>, _>>()?;
        scorer.push(&frames, &mut scored)?;
        scored.drain(..).for_each(|s| seen.push(&s));
        let (done, total) = ((i * CHUNK + part.len()) as u64, chosen.len() as u64);
        (session.progress)(Progress { stage: "calibrating", done, total, note: String::new() });
    }
    Ok(seen.statistics(footage_kind))
}

/// Stretches for the score statistics, some `budget` frames in all, and what footage that is: what was held out, or else
/// what was learnt, which the session then notes.
pub(crate) fn calibration_runs(
    parts: &Parts,
    length: usize,
    budget: usize,
    session: &mut Session<'_>,
) -> (Vec<Run>, &'static str) {
    if !parts.held_out.is_empty() {
        return (thinned(&parts.held_out, length, budget), "held-out");
    }
    session.notes.push(
        "no footage is held out: score statistics are those of footage that was learnt, and too low"
            .to_owned(),
    );
    (thinned(&parts.train, length, budget), "training")
}

/// What a model that needs consecutive frames says of `runs` of them, each as a video of its own.
pub(crate) fn observe_runs(
    model: &dyn Model,
    footage: &FrameStore,
    runs: &[Run],
    session: &mut Session<'_>,
) -> Result<Seen, SystemError> {
    let total = runs.iter().map(Run::len).sum::<usize>() as u64;
    let (mut seen, mut done) = (Seen::new(model), 0);
    let mut scored = Vec::new();
    for run in runs {
        let mut scorer = model.scorer();
        for place in run.clone() {
            if session.interrupted() {
                let checkpoint = session.checkpoint.clone().unwrap_or_default();
                return Err(SystemError::Interrupted { step: session.log.len() as u64, checkpoint });
            }
            scorer.push(&[footage.frame(place)?], &mut scored)?;
            done += 1;
            scored.drain(..).filter(|s| !s.edge).for_each(|s| seen.push(&s));
            (session.progress)(Progress { stage: "calibrating", done, total, note: String::new() });
        }
        scorer.finish(&mut scored)?;
        scored.drain(..).filter(|s| !s.edge).for_each(|s| seen.push(&s));
    }
    Ok(seen)
}

/// The columns and a part of the heat of frames seen.
pub(crate) struct Seen {
    names: Vec<&'static str>,
    columns: Vec<Vec<f64>>,
    heats: Vec<f64>,
}

impl Seen {
    fn new(model: &dyn Model) -> Self {
        let names: Vec<_> = std::iter::once("score").chain(model.indicators().iter().copied()).collect();
        Self { columns: vec![Vec::new(); names.len()], names, heats: Vec::new() }
    }

    fn push(&mut self, scored: &Scored) {
        self.columns[0].push(scored.score);
        scored.indicators.iter().zip(&mut self.columns[1..]).for_each(|(v, column)| column.push(*v));
        self.heats.extend(scored.heat.iter().step_by(37).map(|&h| f64::from(h)));
    }

    fn frames(&self) -> usize {
        self.columns[0].len()
    }

    /// The same frames with other scores and indicators, made of the indicators that they have.
    pub(crate) fn retell(&mut self, tell: impl Fn(&[f64]) -> (f64, Vec<f64>)) {
        for frame in 0..self.frames() {
            let old: Vec<f64> = self.columns[1..].iter().map(|column| column[frame]).collect();
            let (score, indicators) = tell(&old);
            let new = std::iter::once(score).chain(indicators);
            self.columns.iter_mut().zip(new).for_each(|(column, value)| column[frame] = value);
        }
    }

    /// How the columns and the heat lie; `footage_kind` says on what footage.
    pub(crate) fn statistics(&self, footage_kind: &str) -> Statistics {
        let columns = self.names.iter().zip(&self.columns);
        Statistics {
            footage: footage_kind.to_owned(),
            frames: self.frames(),
            columns: columns.map(|(name, values)| ColumnStatistics::of(name, values)).collect(),
            heat: ColumnStatistics::of("heat", &self.heats),
        }
    }
}
