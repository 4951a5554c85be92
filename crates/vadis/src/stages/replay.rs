//! Scores that members of a combination have told already, from their run directories; and what a model says of footage,
//! where its file does not.

use std::cell::RefCell;
use std::path::Path;
use std::slice::Iter;

use vadis_eval::run::{RunInfo, ScoreRow, ScoreTable};
use vadis_systems::combination::{Combination, Feed};
use vadis_systems::{ColumnStatistics, Model, Scored, Scorer, Statistics, SystemError};
use vadis_video::{Colour, Frame, FrameFormat, FrameReader, ReadOptions, Source};

use super::{Opened, Surroundings};
use crate::Failure;

/// One pixel in so many is looked at of a heat map.
const HEAT_STEP: usize = 37;

/// The runs of a combination's members over the same footage: scored again without scoring. Scores are the members' own,
/// bit for bit; heat is as their `heat.mkv` keeps it, in 255 steps.
pub struct Replay<'a> {
    combination: &'a Combination,
    members: Vec<Told>,
}

/// What one member told.
struct Told {
    /// Its run directory, for errors.
    run: String,
    table: ScoreTable,
    heat: RefCell<FrameReader>,
    /// The heat that a step of `heat.mkv` stands for.
    step: f32,
}

impl<'a> Replay<'a> {
    /// Of the members' run directories, in order.
    ///
    /// # Errors
    /// A directory without scores or heat map, or a file of it that is damaged.
    pub fn open(
        combination: &'a Combination,
        runs: &[impl AsRef<Path>],
        read: &ReadOptions,
    ) -> Result<Self, Failure> {
        let members = runs.iter().map(|run| Told::open(run.as_ref(), read)).collect::<Result<_, _>>()?;
        Ok(Self { combination, members })
    }

    /// A scorer of the next source; sources come in the order of the runs' own.
    ///
    /// # Errors
    /// A member's run has no such source.
    pub fn scorer(&self, opened: &Opened) -> Result<Box<dyn Scorer + '_>, Failure> {
        let name = &opened.source.name;
        let feeds = self.members.iter().map(|told| {
            let video = told.table.video(name).ok_or_else(|| Failure::Usage {
                what: format!("{} has no scores of {name}", told.run),
                hint: Some("remove that run, so that it is measured again".to_owned()),
            })?;
            let scorer = Box::new(Rows { told, rows: video.rows.iter() });
            Ok(Feed { scorer, format: None, spent: None })
        });
        Ok(Box::new(self.combination.scorer_of(feeds.collect::<Result<_, Failure>>()?)))
    }
}

impl Told {
    fn open(run: &Path, read: &ReadOptions) -> Result<Self, Failure> {
        let info = RunInfo::read(&run.join("run.json"))?;
        let heat = info.heat.ok_or(Failure::NotARun { path: run.to_owned(), missing: "heat map" })?;
        let format = FrameFormat { size: None, colour: Colour::Grey };
        let read = ReadOptions { max_frames: None, ..read.clone() };
        let frames = FrameReader::open(&Source::file(run.join("heat.mkv")), &format, &read)?;
        Ok(Self {
            run: run.display().to_string(),
            table: ScoreTable::read(&run.join("scores.csv"))?,
            heat: RefCell::new(frames),
            step: (heat.scale / 255.0) as f32,
        })
    }

    fn next_heat(&self) -> Option<Vec<f32>> {
        let frame = self.heat.borrow_mut().next()?.ok()?;
        Some(frame.data.iter().map(|&value| f32::from(value) * self.step).collect())
    }
}

/// Tells a frame's row as soon as the frame comes.
struct Rows<'a> {
    told: &'a Told,
    rows: Iter<'a, ScoreRow>,
}

impl Rows<'_> {
    fn differs(&self) -> SystemError {
        SystemError::Members {
            reason: format!("{} is of other footage, or its heat map is cut", self.told.run),
        }
    }
}

impl Scorer for Rows<'_> {
    fn push(&mut self, frames: &[Frame], out: &mut Vec<Scored>) -> Result<(), SystemError> {
        for frame in frames {
            let row = self.rows.next().filter(|row| row.frame == frame.index);
            let (Some(row), Some(heat)) = (row, self.told.next_heat()) else { return Err(self.differs()) };
            out.push(Scored {
                frame: row.frame,
                time_s: row.time_s,
                score: row.score,
                causal: row.causal,
                edge: row.edge,
                indicators: row.indicators.clone(),
                heat,
            });
        }
        Ok(())
    }

    fn finish(&mut self, _: &mut Vec<Scored>) -> Result<(), SystemError> {
        if self.rows.len() == 0 { Ok(()) } else { Err(self.differs()) }
    }
}

/// How a model's scores and heat lie on the last sources, some `most` frames of them.
///
/// # Errors
/// A source that cannot be read; the user's interruption.
pub fn observe(
    model: &dyn Model,
    sources: &[Opened],
    most: usize,
    surroundings: &Surroundings<'_>,
) -> Result<Statistics, Failure> {
    let (mut scores, mut heats) = (Vec::new(), Vec::new());
    for opened in sources.iter().rev() {
        if scores.len() >= most {
            break;
        }
        let (mut scorer, mut scored) = (model.scorer(), Vec::new());
        for frame in FrameReader::open(&opened.source, &model.reads(), &surroundings.read)?.take(most) {
            if surroundings.interrupted() {
                return Err(Failure::Interrupted { stage: "scoring normal footage", resumable: true });
            }
            scorer.push(&[frame?], &mut scored)?;
            take(&mut scored, &mut scores, &mut heats);
        }
        scorer.finish(&mut scored)?;
        take(&mut scored, &mut scores, &mut heats);
    }
    Ok(Statistics {
        footage: "training".to_owned(),
        frames: scores.len(),
        columns: vec![ColumnStatistics::of("score", &scores)],
        heat: ColumnStatistics::of("heat", &heats),
    })
}

/// Takes in what was said of frames that are no edge frames.
fn take(scored: &mut Vec<Scored>, scores: &mut Vec<f64>, heats: &mut Vec<f64>) {
    for frame in scored.drain(..).filter(|frame| !frame.edge) {
        scores.push(frame.score);
        heats.extend(frame.heat.iter().step_by(HEAT_STEP).map(|&heat| f64::from(heat)));
    }
}
