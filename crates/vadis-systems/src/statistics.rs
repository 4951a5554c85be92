//! How a model's columns lie on the footage it learnt from: what normalisation and thresholds stand on.

use serde::{Deserialize, Serialize};

/// Quantiles that are kept of each column.
const LEVELS: [f64; 9] = [0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 0.995, 0.999];

/// One column's distribution.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ColumnStatistics {
    /// `score` or an indicator.
    pub name: String,
    /// Mean.
    pub mean: f64,
    /// Standard deviation.
    pub std: f64,
    /// Median absolute deviation, unscaled.
    pub mad: f64,
    /// `(level, value)`, levels ascending.
    pub quantiles: Vec<(f64, f64)>,
}

impl ColumnStatistics {
    /// Of these values; all zero for none.
    pub fn of(name: &str, values: &[f64]) -> Self {
        let n = values.len().max(1) as f64;
        let mean = values.iter().sum::<f64>() / n;
        let std = (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n).sqrt();
        let sorted = ascending(values.to_vec());
        let median = quantile(&sorted, 0.5);
        let deviations = ascending(values.iter().map(|v| (v - median).abs()).collect());
        let quantiles = LEVELS.iter().map(|&level| (level, quantile(&sorted, level))).collect();
        Self { name: name.to_owned(), mean, std, mad: quantile(&deviations, 0.5), quantiles }
    }

    /// The median.
    pub fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    /// The kept quantile nearest to `level`.
    pub fn quantile(&self, level: f64) -> f64 {
        let nearest =
            self.quantiles.iter().min_by(|a, b| (a.0 - level).abs().total_cmp(&(b.0 - level).abs()));
        nearest.map_or(0.0, |(_, value)| *value)
    }
}

/// All columns of a model, and its heat.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Statistics {
    /// What footage: `training` (unlabelled, anomalies included) or `held-out`.
    pub footage: String,
    /// Frames behind them.
    pub frames: usize,
    /// `score`, then the indicators.
    pub columns: Vec<ColumnStatistics>,
    /// The heat of single pixels.
    pub heat: ColumnStatistics,
}

impl Statistics {
    /// The column of that name.
    pub fn column(&self, name: &str) -> Option<&ColumnStatistics> {
        self.columns.iter().find(|c| c.name == name)
    }

    /// A column's value in deviations from its mean; as it is where the column is not known.
    pub fn standardised(&self, column: &str, value: f64) -> f64 {
        match self.column(column) {
            Some(known) if known.std > 0.0 => (value - known.mean) / known.std,
            Some(known) => value - known.mean,
            None => value,
        }
    }
}

fn ascending(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_unstable_by(f64::total_cmp);
    values
}

/// Linear interpolation between order statistics, as NumPy's default.
fn quantile(sorted: &[f64], level: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return 0.0 };
    let place = level * last as f64;
    let below = place.floor() as usize;
    let above = (below + 1).min(last);
    sorted[below] + (sorted[above] - sorted[below]) * (place - below as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_described_as_numpy_would() {
        let values: Vec<f64> = (0..=100).map(f64::from).collect();
        let column = ColumnStatistics::of("score", &values);
        assert_eq!((column.mean, column.median(), column.mad), (50.0, 50.0, 25.0));
        assert!((column.std - 29.154_759_474_226_502).abs() < 1e-12);
        assert!((column.quantile(0.95) - 95.0).abs() < 1e-12);
        assert_eq!(ColumnStatistics::of("score", &[]).median(), 0.0);
    }
}
