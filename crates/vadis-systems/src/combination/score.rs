//! The model: members side by side over one stream.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use serde_json::json;
use vadis_nn::weights::WeightFile;
use vadis_video::{Colour, Frame, FrameFormat, resize};

use super::{Blend, Standard, Weights};
use crate::{Explanation, InputFormat, Model, Scored, Scorer, Statistics, SystemError};

/// What a combination is called where one name stands for all of them.
const KEY: &str = "combination";

/// Trained systems that are judged together.
///
/// Frames are read once: at the members' size where they share one, else at the footage's own, and in colour where any
/// member wants it. Each member gets them as it would read them itself; only a grey member beside one in colour sees luma
/// made of colours, which differs by rounding from the luma that is stored.
pub struct Combination {
    models: Vec<Box<dyn Model>>,
    keys: Vec<&'static str>,
    blend: Blend,
    /// Where the weights come from.
    from: String,
    statistics: Statistics,
    /// Nanoseconds in each member.
    spent: Vec<AtomicU64>,
}

impl Combination {
    /// Of these models, each with what it is standardised by.
    ///
    /// # Errors
    /// [`SystemError::Members`] for fewer than two, or weights that do not fit them.
    pub fn new(models: Vec<(Box<dyn Model>, Standard)>, weights: &Weights) -> Result<Self, SystemError> {
        let size = |model: &dyn Model| (model.input().width, model.input().height);
        let members: Vec<_> =
            models.iter().map(|(model, standard)| (*standard, size(model.as_ref()))).collect();
        let blend = Blend::new(&members, weights)?;
        let models: Vec<Box<dyn Model>> = models.into_iter().map(|(model, _)| model).collect();
        let statistics = Statistics {
            footage: "members".to_owned(),
            frames: models.iter().map(|model| model.statistics().frames).min().unwrap_or(0),
            columns: Vec::new(),
            heat: blend.heat_statistics(models.iter().map(|model| model.statistics())),
        };
        let keys = models.iter().map(|model| model.system()).collect();
        let spent = models.iter().map(|_| AtomicU64::new(0)).collect();
        Ok(Self { models, keys, blend, from: weights.from.clone(), statistics, spent })
    }

    /// How the members are averaged.
    pub fn blend(&self) -> &Blend {
        &self.blend
    }

    /// Where the weights come from, in words.
    pub fn weights_from(&self) -> &str {
        &self.from
    }

    /// The members, in order.
    pub fn models(&self) -> impl Iterator<Item = &dyn Model> {
        self.models.iter().map(AsRef::as_ref)
    }

    /// A scorer whose members' scores come from elsewhere, one feed a member.
    pub fn scorer_of<'a>(&'a self, feeds: Vec<Feed<'a>>) -> CombinedScorer<'a> {
        let waiting = feeds.iter().map(|_| VecDeque::new()).collect();
        CombinedScorer { blend: &self.blend, feeds, waiting }
    }

    fn first(&self) -> &dyn Model {
        self.models[0].as_ref()
    }
}

impl Model for Combination {
    fn system(&self) -> &'static str {
        KEY
    }

    fn config(&self) -> serde_json::Value {
        let members = self.models.iter().zip(self.blend.members()).map(|(model, (weight, _))| {
            json!({ "system": model.system(), "weight": weight, "config": model.config() })
        });
        json!({ "members": members.collect::<Vec<_>>(), "weights": self.from })
    }

    /// The grid of the heat map, in the colour that is read.
    fn input(&self) -> InputFormat {
        let (width, height) = self.blend.grid();
        InputFormat { width, height, colour: self.reads().colour }
    }

    fn reads(&self) -> FrameFormat {
        let formats: Vec<InputFormat> = self.models.iter().map(|model| model.input()).collect();
        let size = |format: &InputFormat| (format.width, format.height);
        let first = size(&formats[0]);
        let in_colour = formats.iter().any(|format| format.colour == Colour::Rgb);
        FrameFormat {
            size: formats.iter().all(|format| size(format) == first).then_some(first),
            colour: if in_colour { Colour::Rgb } else { Colour::Grey },
        }
    }

    /// That of the slowest member.
    fn delay(&self) -> usize {
        self.models.iter().map(|model| model.delay()).max().unwrap_or(0)
    }

    /// The members' systems; one that is there more than once is numbered in files.
    fn indicators(&self) -> &[&'static str] {
        &self.keys
    }

    /// Of the heat alone: how the average lies on normal footage is not known from how the members do.
    fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    fn heat_unit(&self) -> &'static str {
        "deviations above the usual heat of normal footage, averaged over the members"
    }

    fn scorer(&self) -> Box<dyn Scorer + '_> {
        let feeds = self.models.iter().zip(&self.spent).map(|(model, spent)| Feed {
            scorer: model.scorer(),
            format: Some(model.input()),
            spent: Some(spent),
        });
        Box::new(self.scorer_of(feeds.collect()))
    }

    fn spent(&self) -> Vec<(&'static str, f64)> {
        let mut seconds: Vec<(&'static str, f64)> = Vec::new();
        for (key, nanos) in self.keys.iter().zip(&self.spent) {
            let spent = nanos.load(Ordering::Relaxed) as f64 * 1e-9;
            match seconds.iter_mut().find(|(name, _)| name == key) {
                Some((_, sum)) => *sum += spent,
                None => seconds.push((key, spent)),
            }
        }
        seconds.retain(|(_, seconds)| *seconds > 0.0);
        seconds
    }

    /// Empty: a combination is kept as its members' files, weights in the run.
    fn to_file(&self) -> WeightFile {
        WeightFile::default()
    }

    /// The first member's.
    fn explain(&self, frames: &[Frame]) -> Result<Explanation, SystemError> {
        self.first().explain(&all_fitted(frames, self.first().input())?)
    }

    fn context(&self) -> [usize; 2] {
        self.first().context()
    }

    fn explain_at(&self, frames: &[Frame], at: usize) -> Result<Explanation, SystemError> {
        self.first().explain_at(&all_fitted(frames, self.first().input())?, at)
    }
}

/// Where a member's scores come from.
pub struct Feed<'a> {
    /// Tells them as frames come.
    pub scorer: Box<dyn Scorer + 'a>,
    /// What frames are made into before it sees them; as they are for none.
    pub format: Option<InputFormat>,
    /// Where its wall time is counted, in nanoseconds.
    pub spent: Option<&'a AtomicU64>,
}

impl Feed<'_> {
    fn push(&mut self, frames: &[Frame], out: &mut Vec<Scored>) -> Result<(), SystemError> {
        let began = Instant::now();
        match self.format {
            Some(format) => self.scorer.push(&all_fitted(frames, format)?, out)?,
            None => self.scorer.push(frames, out)?,
        }
        if let Some(spent) = self.spent {
            let nanos = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
            spent.fetch_add(nanos, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// Scores one video by every member; a frame is told once all of them have.
pub struct CombinedScorer<'a> {
    blend: &'a Blend,
    feeds: Vec<Feed<'a>>,
    /// For each member what it said of the frames not told yet.
    waiting: Vec<VecDeque<Scored>>,
}

impl CombinedScorer<'_> {
    fn tell(&mut self, out: &mut Vec<Scored>) {
        while self.waiting.iter().all(|waiting| !waiting.is_empty()) {
            let said: Vec<Scored> = self.waiting.iter_mut().filter_map(VecDeque::pop_front).collect();
            out.push(self.blend.blend(&said));
        }
    }
}

impl Scorer for CombinedScorer<'_> {
    fn push(&mut self, frames: &[Frame], out: &mut Vec<Scored>) -> Result<(), SystemError> {
        let mut said = Vec::new();
        for (feed, waiting) in self.feeds.iter_mut().zip(&mut self.waiting) {
            feed.push(frames, &mut said)?;
            waiting.extend(said.drain(..));
        }
        self.tell(out);
        Ok(())
    }

    /// # Errors
    /// [`SystemError::Members`] if the members did not tell of equally many frames.
    fn finish(&mut self, out: &mut Vec<Scored>) -> Result<(), SystemError> {
        let mut said = Vec::new();
        for (feed, waiting) in self.feeds.iter_mut().zip(&mut self.waiting) {
            feed.scorer.finish(&mut said)?;
            waiting.extend(said.drain(..));
        }
        self.tell(out);
        match self.waiting.iter().all(VecDeque::is_empty) {
            true => Ok(()),
            false => {
                Err(SystemError::Members { reason: "not every one has a score of every frame".to_owned() })
            }
        }
    }
}

fn all_fitted(frames: &[Frame], format: InputFormat) -> Result<Vec<Frame>, SystemError> {
    frames.iter().map(|frame| fitted(frame, format).map(Cow::into_owned)).collect()
}

/// A frame as a reader of that format gives it: colours first, then size.
fn fitted(frame: &Frame, format: InputFormat) -> Result<Cow<'_, Frame>, SystemError> {
    let InputFormat { width, height, colour } = format;
    let coloured = match colour {
        same if same == frame.colour => Cow::Borrowed(frame),
        Colour::Grey => Cow::Owned(frame.to_grey()),
        Colour::Rgb => Cow::Owned(frame.to_rgb()),
    };
    if (coloured.width, coloured.height) == (width, height) {
        return Ok(coloured);
    }
    let wrong = |error: vadis_video::VideoError| SystemError::Shape {
        frame: frame.index,
        got: error.to_string(),
        expected: format!("{width}×{height}"),
    };
    Ok(Cow::Owned(resize(&coloured, width, height).map_err(wrong)?))
}
