//! `results.json` of a benchmark: a row for each data set, system and seed.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{Figure, KindFigure, RunError, file};
use crate::protocol::SanityRow;

/// What a benchmark found.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// One for each data set, system and seed, in the order they were measured.
    pub rows: Vec<ResultRow>,
    /// For each data set what needs no learning: random, constant, frame difference.
    #[serde(default)]
    pub sanity: Vec<DatasetSanity>,
}

/// One run of a benchmark.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ResultRow {
    /// The data set; `…-validation` for anomalies inserted into its own training footage.
    pub dataset: String,
    /// Key of the system.
    pub system: String,
    /// Preset it started from.
    pub preset: String,
    /// Random seed.
    pub seed: u64,
    /// The whole resolved configuration.
    pub config: serde_json::Value,
    /// What it learnt from, in words.
    pub learnt_from: String,
    /// As in the run's `metrics.json`.
    pub figures: Vec<Figure>,
    /// As there: how each kind of anomaly was found, where kinds are known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kinds: Vec<KindFigure>,
    /// What the system's paper reports of this data set.
    pub published: Vec<Published>,
    /// Wall seconds of training.
    pub train_s: f64,
    /// Frames scored a second, decoding included.
    pub frames_per_s: f64,
    /// Peak resident memory in MiB, where the system tells.
    pub peak_mib: Option<f64>,
    /// How many settings of this system have been measured on this data set's test labels, this one included; 0 for
    /// a validation set, which may be looked at freely.
    pub test_looks: u64,
    /// What the paper's combination of the run's indicators reaches by its weight; only of systems that have one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lambda_sweep: Vec<LambdaPoint>,
    /// The run directory, from where `results.json` lies.
    pub run: String,
}

/// The figures of one weight of a combination, under the protocol `paper`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LambdaPoint {
    /// λ_L of Cho et al., Eq. 14.
    pub lambda: f64,
    /// Micro AUC; none where the labels leave it undefined.
    pub auc: Option<f64>,
    /// Equal error rate.
    pub eer: Option<f64>,
}

/// A figure of a publication.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Published {
    /// As in [`Figure::metric`].
    pub metric: String,
    /// Its value, on the same scale as ours.
    pub value: f64,
    /// Where it is printed.
    pub source: String,
}

/// What needs no learning, on one data set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DatasetSanity {
    /// The data set.
    pub dataset: String,
    /// Smoothing of the protocol under which it was measured.
    pub smoothing: String,
    /// The rows.
    pub rows: Vec<SanityRow>,
}

impl Results {
    /// Reads `results.json`.
    ///
    /// # Errors
    /// Not such a file, with the line; or the system's refusal.
    pub fn read(path: &Path) -> Result<Self, RunError> {
        file::read_json(path)
    }

    /// Writes `results.json`.
    ///
    /// # Errors
    /// A number that JSON cannot hold; or the system's refusal.
    pub fn write(&self, path: &Path) -> Result<(), RunError> {
        file::write_json(path, self)
    }

    /// Takes in a row, in place of an earlier one of the same run. Its looks at the test labels are counted: other
    /// settings of the same system on the same data set are further looks.
    pub fn put(&mut self, mut row: ResultRow) {
        let same = |r: &&ResultRow| r.dataset == row.dataset && r.system == row.system;
        if row.test_looks > 0 {
            let known = self.rows.iter().filter(same);
            let looked = |r: &ResultRow| r.test_looks + u64::from(r.config != row.config);
            let again = self.rows.iter().filter(same).find(|r| r.config == row.config);
            row.test_looks =
                again.map_or_else(|| known.map(looked).max().unwrap_or(1).max(1), |r| r.test_looks);
        }
        let place = self.rows.iter().position(|r| {
            (&r.dataset, &r.system, r.seed, &r.run) == (&row.dataset, &row.system, row.seed, &row.run)
        });
        match place {
            Some(place) => self.rows[place] = row,
            None => self.rows.push(row),
        }
    }

    /// Takes in what needs no learning, in place of an earlier one of the same data set.
    pub fn put_sanity(&mut self, sanity: DatasetSanity) {
        self.sanity.retain(|s| s.dataset != sanity.dataset);
        self.sanity.push(sanity);
    }
}

impl ResultRow {
    /// The figure of this metric under this protocol.
    pub fn figure(&self, metric: &str, protocol: &str) -> Option<&Figure> {
        self.figures.iter().find(|f| f.metric == metric && f.protocol.name == protocol)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(system: &str, seed: u64, epochs: u64) -> ResultRow {
        ResultRow {
            dataset: "ped2".to_owned(),
            system: system.to_owned(),
            preset: "cpu".to_owned(),
            seed,
            config: serde_json::json!({ "epochs": epochs }),
            learnt_from: "training clips".to_owned(),
            figures: Vec::new(),
            kinds: Vec::new(),
            published: Vec::new(),
            train_s: 1.0,
            frames_per_s: 2.0,
            peak_mib: None,
            test_looks: 1,
            lambda_sweep: Vec::new(),
            run: format!("ped2/{system}/{seed}"),
        }
    }

    #[test]
    fn looks_count_settings_not_seeds() {
        let mut results = Results::default();
        for (system, seed, epochs) in
            [("a", 0, 1), ("a", 1, 1), ("b", 0, 1), ("a", 0, 2), ("a", 1, 2), ("a", 0, 2)]
        {
            results.put(row(system, seed, epochs));
        }
        let looks: Vec<_> = results.rows.iter().map(|r| (r.system.as_str(), r.seed, r.test_looks)).collect();
        assert_eq!(looks, [("a", 0, 2), ("a", 1, 2), ("b", 0, 1)]);
        results.put(ResultRow { test_looks: 0, ..row("a", 2, 7) });
        assert_eq!(results.rows[3].test_looks, 0, "a validation set has none");
    }

    #[test]
    fn results_round_trip_and_a_cut_file_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("results.json");
        let mut results = Results::default();
        results.put(row("a", 0, 1));
        results.write(&path).unwrap();
        assert_eq!(Results::read(&path).unwrap(), results);
        let text = std::fs::read(&path).unwrap();
        std::fs::write(&path, &text[..text.len() / 2]).unwrap();
        assert!(Results::read(&path).is_err());
    }
}
