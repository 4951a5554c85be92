//! What the systems' papers report, to stand beside our figures.

use vadis::eval::run::Published;

/// Data set, system, metric, value, source.
type Row = (&'static str, &'static str, &'static str, f64, &'static str);

/// Cho et al., *Unsupervised Video Anomaly Detection via Normalizing Flows with Implicit Latent Features*.
const ITAE: &str = "Cho et al., Normalizing Flows with Implicit Latent Features, Table 4";

const PUBLISHED: [Row; 18] = [
    ("ped2", "one-path", "micro_auc", 0.977, ITAE),
    ("ped2", "one-path", "eer", 0.056, ITAE),
    ("ped2", "itae", "micro_auc", 0.987, ITAE),
    ("ped2", "itae", "eer", 0.055, ITAE),
    ("ped2", "itae-nf", "micro_auc", 0.992, ITAE),
    ("ped2", "itae-nf", "eer", 0.039, ITAE),
    ("avenue", "one-path", "micro_auc", 0.864, ITAE),
    ("avenue", "one-path", "eer", 0.213, ITAE),
    ("avenue", "itae", "micro_auc", 0.873, ITAE),
    ("avenue", "itae", "eer", 0.196, ITAE),
    ("avenue", "itae-nf", "micro_auc", 0.880, ITAE),
    ("avenue", "itae-nf", "eer", 0.190, ITAE),
    ("shanghaitech", "one-path", "micro_auc", 0.731, ITAE),
    ("shanghaitech", "one-path", "eer", 0.331, ITAE),
    ("shanghaitech", "itae", "micro_auc", 0.748, ITAE),
    ("shanghaitech", "itae", "eer", 0.318, ITAE),
    ("shanghaitech", "itae-nf", "micro_auc", 0.763, ITAE),
    ("shanghaitech", "itae-nf", "eer", 0.306, ITAE),
];

/// What is published of this system on this data set.
pub(super) fn published(dataset: &str, system: &str) -> Vec<Published> {
    let rows = PUBLISHED.iter().filter(|row| (row.0, row.1) == (dataset, system));
    let figure = |&(_, _, metric, value, source): &Row| Published {
        metric: metric.to_owned(),
        value,
        source: source.to_owned(),
    };
    rows.map(figure).collect()
}
