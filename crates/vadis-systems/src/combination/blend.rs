//! What the members say of one frame, averaged.

use serde::{Deserialize, Serialize};

use crate::{ColumnStatistics, Scored, Statistics, SystemError};

/// Least frames that say how a score lies.
const MIN_FRAMES: usize = 2;

/// How a member's score and heat lie on its normal footage: what they are standardised by.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Standard {
    /// Mean score.
    pub mean: f64,
    /// Its standard deviation; where it is 0, scores are only centred.
    pub std: f64,
    /// Mean heat of a pixel.
    pub heat_mean: f64,
    /// Its standard deviation.
    pub heat_std: f64,
}

impl Standard {
    /// From what a model keeps of the footage that it learnt from; none where that says nothing of the score.
    pub fn of(statistics: &Statistics) -> Option<Self> {
        let ColumnStatistics { mean, std, .. } = *statistics.column("score")?;
        let ColumnStatistics { mean: heat_mean, std: heat_std, .. } = statistics.heat;
        let known = [mean, std, heat_mean, heat_std].iter().all(|value| value.is_finite());
        let usable = known && statistics.frames >= MIN_FRAMES;
        usable.then_some(Self { mean, std, heat_mean, heat_std })
    }

    /// A score in deviations from the mean.
    pub fn score(&self, score: f64) -> f64 {
        (score - self.mean) / spread(self.std)
    }

    /// A heat in deviations above the mean, 0 below it.
    pub fn heat(&self, heat: f64) -> f64 {
        ((heat - self.heat_mean) / spread(self.heat_std)).max(0.0)
    }
}

fn spread(std: f64) -> f64 {
    if std > 0.0 { std } else { 1.0 }
}

/// How much each member counts, and who says so.
#[derive(Debug, Clone, PartialEq)]
pub struct Weights {
    /// One a member, ≥ 0; only their proportions count.
    pub values: Vec<f64>,
    /// In words: `equal`, `given`, or how they were chosen.
    pub from: String,
}

impl Weights {
    /// Every member counts the same.
    pub fn equal(members: usize) -> Self {
        Self { values: vec![1.0; members], from: "equal".to_owned() }
    }

    /// The weights scaled to a sum of 1.
    fn shares(&self, members: usize) -> Result<Vec<f64>, SystemError> {
        let wrong = |reason: String| Err(SystemError::Members { reason });
        let sum: f64 = self.values.iter().sum();
        if self.values.len() != members {
            return wrong(format!("{} weights for {members} members", self.values.len()));
        }
        let weighty = sum > 0.0 && sum.is_finite();
        if !(weighty && self.values.iter().all(|w| w.is_finite() && *w >= 0.0)) {
            return wrong("weights must be 0 or more, and not all 0".to_owned());
        }
        Ok(self.values.iter().map(|weight| weight / sum).collect())
    }
}

/// The average of members.
#[derive(Debug, Clone)]
pub struct Blend {
    members: Vec<Share>,
    grid: (usize, usize),
}

/// A member's part.
#[derive(Debug, Clone)]
struct Share {
    weight: f64,
    standard: Standard,
    /// Pixels a row of its heat map.
    width: usize,
    columns: Vec<Tap>,
    rows: Vec<Tap>,
}

impl Blend {
    /// Of members with these standards and heat maps of `(width, height)`. The combined heat map is as large as the largest.
    ///
    /// # Errors
    /// [`SystemError::Members`] for fewer than two members, or weights that do not fit them.
    pub fn new(members: &[(Standard, (usize, usize))], weights: &Weights) -> Result<Self, SystemError> {
        if members.len() < 2 {
            return Err(SystemError::Members { reason: "at least two are combined".to_owned() });
        }
        let shares = weights.shares(members.len())?;
        let sizes = members.iter().map(|(_, size)| *size);
        // Of equals, the first.
        let grid = sizes.rev().max_by_key(|(width, height)| width * height).unwrap_or_default();
        let share = |(&(standard, (width, height)), weight)| Share {
            weight,
            standard,
            width,
            columns: taps(width, grid.0),
            rows: taps(height, grid.1),
        };
        Ok(Self { members: members.iter().zip(shares).map(share).collect(), grid })
    }

    /// Width and height of the combined heat map.
    pub fn grid(&self) -> (usize, usize) {
        self.grid
    }

    /// Each member's weight, their sum 1, and what it is standardised by.
    pub fn members(&self) -> impl ExactSizeIterator<Item = (f64, Standard)> + '_ {
        self.members.iter().map(|member| (member.weight, member.standard))
    }

    /// What the members say of one frame, `said[member]`, as one; its indicators are the members' standardised scores.
    pub fn blend(&self, said: &[Scored]) -> Scored {
        let mean = |value: &dyn Fn(&Scored) -> f64| {
            let parts = self.members.iter().zip(said);
            parts.map(|(member, scored)| member.weight * member.standard.score(value(scored))).sum()
        };
        let weighty = || self.members.iter().zip(said).filter(|(member, _)| member.weight > 0.0);
        let first = said.first();
        Scored {
            frame: first.map_or(0, |scored| scored.frame),
            time_s: first.map_or(0.0, |scored| scored.time_s),
            score: mean(&|scored| scored.score),
            causal: mean(&|scored| scored.causal),
            edge: weighty().all(|(_, scored)| scored.edge),
            indicators: self.members.iter().zip(said).map(|(m, s)| m.standard.score(s.score)).collect(),
            heat: self.heat(said),
        }
    }

    fn heat(&self, said: &[Scored]) -> Vec<f32> {
        let mut sum = vec![0.0f32; self.grid.0 * self.grid.1];
        for (member, scored) in self.members.iter().zip(said).filter(|(member, _)| member.weight > 0.0) {
            member.add_heat(&scored.heat, &mut sum);
        }
        sum
    }

    /// How the heat of single pixels lies at most where each member's own lies as in `statistics`: its quantiles, averaged
    /// as if all members were hot at once.
    pub(super) fn heat_statistics<'a>(
        &self,
        statistics: impl Iterator<Item = &'a Statistics>,
    ) -> ColumnStatistics {
        let mut heat = ColumnStatistics { name: "heat".to_owned(), ..ColumnStatistics::default() };
        for (member, statistics) in self.members.iter().zip(statistics) {
            heat.quantiles.resize(statistics.heat.quantiles.len().max(heat.quantiles.len()), (0.0, 0.0));
            for (sum, (level, value)) in heat.quantiles.iter_mut().zip(&statistics.heat.quantiles) {
                *sum = (*level, sum.1 + member.weight * member.standard.heat(*value));
            }
        }
        heat
    }
}

impl Share {
    /// Adds this member's heat map, standardised and resized, by its weight.
    fn add_heat(&self, heat: &[f32], sum: &mut [f32]) {
        let standard = |heat: f32| (self.weight * self.standard.heat(f64::from(heat))) as f32;
        let heat: Vec<f32> = heat.iter().map(|&heat| standard(heat)).collect();
        for (row, out) in self.rows.iter().zip(sum.chunks_exact_mut(self.columns.len())) {
            let line = |y: usize| &heat[y * self.width..(y + 1) * self.width];
            let (upper, lower) = (line(row.first), line(row.second));
            for (column, out) in self.columns.iter().zip(out) {
                *out += row.between(column.of(upper), column.of(lower));
            }
        }
    }
}

/// Two neighbouring positions, and how far a point lies from the first to the second.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Tap {
    first: usize,
    second: usize,
    part: f32,
}

impl Tap {
    fn between(&self, first: f32, second: f32) -> f32 {
        first + (second - first) * self.part
    }

    fn of(&self, line: &[f32]) -> f32 {
        self.between(line[self.first], line[self.second])
    }
}

/// Bilinear interpolation from `from` to `to` positions, centres aligned and borders repeated, as pictures are resized.
fn taps(from: usize, to: usize) -> Vec<Tap> {
    let last = from.saturating_sub(1);
    let tap = |i: usize| {
        let place = ((i as f64 + 0.5) * from as f64 / to as f64 - 0.5).clamp(0.0, last as f64);
        let first = place.floor() as usize;
        Tap { first, second: (first + 1).min(last), part: (place - first as f64) as f32 }
    };
    (0..to).map(tap).collect()
}
