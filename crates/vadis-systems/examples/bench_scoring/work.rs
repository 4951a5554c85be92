//! Our side: the model's scorer over an endless stream.

use std::fs;

use serde_json::json;
use vadis_peers::Outcome;
use vadis_systems::{InputFormat, Model, Scored, Scorer, load_model};
use vadis_video::Frame;

use crate::subject::{Task, there_and_back};

pub(crate) fn answer(task: &Task) -> Outcome<()> {
    // As the program does.
    vadis_kernels::keep_freed_memory();
    let (model, _) = load_model(&task.model)?;
    let frames = frames(task, model.input())?;
    let mut stream = Stream::new(model.as_ref(), &frames);
    stream.push(task.warm)?;
    let run = || stream.push(task.push).map(drop);
    vadis_peers::answer(task.push as f64, run, |question| match question {
        "scores" => {
            let mut fresh = Stream::new(model.as_ref(), &frames);
            Ok(json!(fresh.push(task.checked)?.iter().map(row).collect::<Vec<_>>()))
        }
        other => Err(format!("unknown question `{other}`").into()),
    })
}

fn frames(task: &Task, format: InputFormat) -> Outcome<Vec<Frame>> {
    let InputFormat { width, height, colour } = format;
    let bytes = fs::read(&task.frames)?;
    let frame = |data: &[u8]| Frame { data: data.to_vec(), ..Frame::filled(width, height, colour, 0) };
    Ok(bytes.chunks_exact(format.frame_bytes()).map(frame).collect())
}

/// Score, indicators, mean heat.
fn row(scored: &Scored) -> Vec<f64> {
    let heat: f64 = scored.heat.iter().map(|&heat| f64::from(heat)).sum();
    let heat = heat / scored.heat.len() as f64;
    std::iter::once(scored.score).chain(scored.indicators.iter().copied()).chain([heat]).collect()
}

/// A scorer, and the frames that come next.
struct Stream<'a> {
    scorer: Box<dyn Scorer + 'a>,
    frames: Vec<&'a Frame>,
    taken: usize,
    out: Vec<Scored>,
}

impl<'a> Stream<'a> {
    fn new(model: &'a dyn Model, frames: &'a [Frame]) -> Self {
        let frames = there_and_back(frames).collect();
        Self { scorer: model.scorer(), frames, taken: 0, out: Vec::new() }
    }

    /// Scores the next `count` frames; gives what is told.
    fn push(&mut self, count: usize) -> Outcome<&[Scored]> {
        self.out.clear();
        for _ in 0..count {
            let frame = self.frames[self.taken % self.frames.len()];
            let (index, time_s) = (self.taken as u64, self.taken as f64 / 10.0);
            self.taken += 1;
            self.scorer.push(&[Frame { index, time_s, ..frame.clone() }], &mut self.out)?;
        }
        Ok(&self.out)
    }
}
