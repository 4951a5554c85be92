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
        if !self.values.iter().all(|w| w.is_finite() && *w >= 0.0) || !(sum > 0.0 && sum.is_finite()) {
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PLAIN: Standard = Standard { mean: 0.0, std: 1.0, heat_mean: 0.0, heat_std: 1.0 };

    fn said(score: f64, edge: bool, heat: &[f32]) -> Scored {
        let indicators = Vec::new();
        Scored { frame: 3, time_s: 0.3, score, causal: score - 1.0, edge, indicators, heat: heat.to_vec() }
    }

    #[test]
    fn scores_are_standardised_and_averaged() {
        let members = [
            (Standard { mean: 2.0, std: 4.0, heat_mean: 1.0, heat_std: 2.0 }, (2, 1)),
            (Standard { mean: -1.0, std: 0.0, heat_mean: 0.0, heat_std: 0.5 }, (2, 1)),
        ];
        let weights = Weights { values: vec![1.0, 3.0], from: "given".to_owned() };
        let blend = Blend::new(&members, &weights).unwrap();
        assert_eq!(blend.members().map(|(weight, _)| weight).collect::<Vec<_>>(), [0.25, 0.75]);
        let got = blend.blend(&[said(10.0, true, &[0.0, 5.0]), said(0.5, false, &[1.0, 0.0])]);
        // (10 − 2) / 4 = 2 and 0.5 + 1 = 1.5, a deviation of 0 only centred.
        assert_eq!((got.score, got.indicators), (0.25 * 2.0 + 0.75 * 1.5, vec![2.0, 1.5]));
        assert_eq!(got.causal, 0.25 * 1.75 + 0.75 * 0.5);
        assert_eq!(got.heat, [0.75 * 2.0, 0.25 * 2.0], "what is cooler than usual is no heat");
        assert_eq!((got.frame, got.time_s, got.edge), (3, 0.3, false));
        let alone = Blend::new(&members, &Weights { values: vec![1.0, 0.0], ..weights }).unwrap();
        assert!(alone.blend(&[said(1.0, true, &[0.0; 2]), said(1.0, false, &[0.0; 2])]).edge);
    }

    #[test]
    fn heat_maps_are_brought_to_the_largest_grid() {
        let blend = Blend::new(&[(PLAIN, (2, 1)), (PLAIN, (4, 2))], &Weights::equal(2)).unwrap();
        assert_eq!(blend.grid(), (4, 2));
        let got = blend.blend(&[said(0.0, false, &[0.0, 4.0]), said(0.0, false, &[2.0; 8])]);
        let row = [1.0, 1.5, 2.5, 3.0];
        assert_eq!(got.heat, [row, row].concat());
    }

    #[test]
    fn weights_that_do_not_fit_are_told() {
        let members = [(PLAIN, (2, 1)); 2];
        let told = |values: &[f64]| {
            let weights = Weights { values: values.to_vec(), from: String::new() };
            Blend::new(&members, &weights).unwrap_err().to_string()
        };
        assert!(told(&[1.0]).contains("1 weights for 2 members"));
        for values in [[0.0, 0.0], [1.0, -1.0], [f64::NAN, 1.0], [f64::INFINITY, 1.0]] {
            assert!(told(&values).contains("weights must be 0 or more"), "{values:?}");
        }
        assert!(Blend::new(&members[..1], &Weights::equal(1)).is_err());
    }

    #[test]
    fn a_model_that_says_nothing_of_its_score_has_no_standard() {
        let known = |frames: usize, values: &[f64]| Statistics {
            frames,
            columns: vec![ColumnStatistics::of("score", values)],
            ..Statistics::default()
        };
        let standard = Standard::of(&known(2, &[1.0, 3.0])).unwrap();
        assert_eq!((standard.mean, standard.std), (2.0, 1.0));
        assert_eq!(Standard::of(&known(0, &[])), None);
        assert_eq!(Standard::of(&known(2, &[1.0, f64::NAN])), None);
        assert_eq!(Standard::of(&Statistics::default()), None);
    }

    proptest! {
        #[test]
        fn a_resized_map_keeps_its_range(
            map in prop::collection::vec(0.0f32..9.0, 12), width in 1usize..20, height in 1usize..20,
        ) {
            let members = [(PLAIN, (4, 3)), (PLAIN, (width.max(4), height.max(3)))];
            let weights = Weights { values: vec![1.0, 0.0], from: String::new() };
            let blend = Blend::new(&members, &weights).unwrap();
            let (width, height) = members[1].1;
            let got = blend.blend(&[said(0.0, false, &map), said(0.0, false, &vec![0.0; width * height])]);
            let ends = |values: &[f32]| values.iter().fold([f32::MAX, f32::MIN], |[a, b], &v| [a.min(v), b.max(v)]);
            let ([low, high], [least, most]) = (ends(&map), ends(&got.heat));
            prop_assert!(least >= low - 1e-5 && most <= high + 1e-5);
        }
    }
}
