use serde::{Deserialize, Serialize};

use super::{Edges, LabelledVideo};

/// Means and standard deviations of the two classes' scores.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Separation {
    /// Mean score of normal frames.
    pub mean_normal: f64,
    /// Mean score of abnormal frames.
    pub mean_abnormal: f64,
    /// Standard deviation (divisor n) of normal frames.
    pub std_normal: f64,
    /// Standard deviation (divisor n) of abnormal frames.
    pub std_abnormal: f64,
}

impl Separation {
    /// d′ = |μ₁ − μ₀| / √((σ₁² + σ₀²) / 2); none where both classes are constant.
    pub fn d_prime(&self) -> Option<f64> {
        let spread = ((self.std_normal.powi(2) + self.std_abnormal.powi(2)) / 2.0).sqrt();
        (spread > 0.0).then(|| (self.mean_abnormal - self.mean_normal).abs() / spread)
    }
}

/// Count, sum and sum of squares of one class, as offsets from a common origin.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Moments {
    count: f64,
    sum: f64,
    squares: f64,
}

impl Moments {
    fn push(&mut self, value: f64) {
        self.count += 1.0;
        self.sum += value;
        self.squares += value * value;
    }

    fn add(&mut self, other: &Self, weight: f64) {
        self.count += weight * other.count;
        self.sum += weight * other.sum;
        self.squares += weight * other.squares;
    }

    fn mean(&self) -> f64 {
        self.sum / self.count
    }

    fn std(&self) -> f64 {
        (self.squares / self.count - self.mean().powi(2)).max(0.0).sqrt()
    }
}

/// The two classes' moments in each unit, so that a resample is a weighted sum.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ClassMoments {
    origin: f64,
    units: Vec<[Moments; 2]>,
}

impl ClassMoments {
    /// Of checked videos; `unit` as in [`Ranking::by_unit`](super::Ranking::by_unit).
    pub(crate) fn new(
        videos: &[LabelledVideo<'_>],
        edges: Edges,
        count: usize,
        unit: impl Fn(usize, usize) -> usize,
    ) -> Self {
        // Squares of offsets from the mean keep the digits that squares of large scores would lose.
        let origin = overall_mean(videos, edges);
        let mut units = vec![[Moments::default(); 2]; count];
        for (index, video) in videos.iter().enumerate() {
            for (frame, score, label) in video.counted(edges) {
                units[unit(index, frame)][usize::from(label)].push(score - origin);
            }
        }
        Self { origin, units }
    }

    /// The classes when each unit counts `weights[unit]` times; none where one is empty.
    pub(crate) fn separation(&self, weights: Option<&[u32]>) -> Option<Separation> {
        let mut total = [Moments::default(); 2];
        for (unit, classes) in self.units.iter().enumerate() {
            let weight = weights.map_or(1.0, |w| f64::from(w[unit]));
            total[0].add(&classes[0], weight);
            total[1].add(&classes[1], weight);
        }
        let [normal, abnormal] = total;
        (normal.count > 0.0 && abnormal.count > 0.0).then(|| Separation {
            mean_normal: self.origin + normal.mean(),
            mean_abnormal: self.origin + abnormal.mean(),
            std_normal: normal.std(),
            std_abnormal: abnormal.std(),
        })
    }
}

fn overall_mean(videos: &[LabelledVideo<'_>], edges: Edges) -> f64 {
    let scores = || videos.iter().flat_map(|video| video.counted(edges).map(|(_, score, _)| score));
    let count = scores().count();
    // Dividing first keeps the sum finite for any finite scores.
    if count == 0 { 0.0 } else { scores().map(|score| score / count as f64).sum() }
}

impl Separation {
    /// The classes of all videos together; none where one is empty. Videos must have passed [`LabelledVideo::check`].
    pub fn of(videos: &[LabelledVideo<'_>], edges: Edges) -> Option<Self> {
        ClassMoments::new(videos, edges, 1, |_, _| 0).separation(None)
    }
}
