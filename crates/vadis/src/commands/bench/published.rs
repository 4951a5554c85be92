//! What the systems' papers report, to stand beside our figures.

use vadis::eval::run::Published;

/// Data set, system, metric, value in per cent as the papers print it, source.
type Row = (&'static str, &'static str, &'static str, f64, &'static str);

/// Cho et al., *Unsupervised Video Anomaly Detection via Normalizing Flows with Implicit Latent Features*.
const ITAE: &str = "Cho et al., Normalizing Flows with Implicit Latent Features, Table 4";

/// The masked autoencoder's paper: its motion-only rows.
const MOTION: &str = "paper 004, Table 4";
/// Its autoencoders. Its tables contradict one another: Table 4 has .97 for the same `motion-mae`.
const MAE: &str = "paper 004, Table 3";

/// Rai et al., *Video Anomaly Detection via Spatio-Temporal Pseudo-Anomaly Generation*: its own figures, and those it
/// reports of others.
const PSEUDO: &str = "Rai et al., Spatio-Temporal Pseudo-Anomaly Generation, Table 1";

const PUBLISHED: [Row; 52] = [
    ("ped2", "frame-diff: mean", "micro_auc", 72.0, MOTION),
    ("ped2", "mog2: mean", "micro_auc", 77.0, MOTION),
    ("ped2", "flow-magnitude: mean", "micro_auc", 80.0, MOTION),
    ("ped2", "cae", "micro_auc", 89.0, MAE),
    ("ped2", "gan", "micro_auc", 91.0, MAE),
    ("ped2", "motion-mae", "micro_auc", 95.0, MAE),
    ("ped2", "one-path", "micro_auc", 97.7, ITAE),
    ("ped2", "one-path", "eer", 5.6, ITAE),
    ("ped2", "itae", "micro_auc", 98.7, ITAE),
    ("ped2", "itae", "eer", 5.5, ITAE),
    ("ped2", "itae-nf", "micro_auc", 99.2, ITAE),
    ("ped2", "itae-nf", "eer", 3.9, ITAE),
    ("ped2", "itae-nf: reconstruction alone", "micro_auc", 98.7, ITAE),
    ("ped2", "itae-nf: reconstruction alone", "eer", 5.5, ITAE),
    ("ped2", "itae-nf: + static flow", "micro_auc", 98.8, ITAE),
    ("ped2", "itae-nf: + static flow", "eer", 4.4, ITAE),
    ("ped2", "itae-nf: + dynamic flow", "micro_auc", 99.1, ITAE),
    ("ped2", "itae-nf: + dynamic flow", "eer", 4.1, ITAE),
    ("ped2", "itae-nf: flows alone", "micro_auc", 90.6, ITAE),
    ("ped2", "itae-nf: the paper's combination", "micro_auc", 99.2, ITAE),
    ("ped2", "itae-nf: the paper's combination", "eer", 3.9, ITAE),
    ("ped2", "nf-frames: whole frame", "micro_auc", 82.2, ITAE),
    ("avenue", "one-path", "micro_auc", 86.4, ITAE),
    ("avenue", "one-path", "eer", 21.3, ITAE),
    ("avenue", "itae", "micro_auc", 87.3, ITAE),
    ("avenue", "itae", "eer", 19.6, ITAE),
    ("avenue", "itae-nf", "micro_auc", 88.0, ITAE),
    ("avenue", "itae-nf", "eer", 19.0, ITAE),
    ("shanghaitech", "one-path", "micro_auc", 73.1, ITAE),
    ("shanghaitech", "one-path", "eer", 33.1, ITAE),
    ("shanghaitech", "itae", "micro_auc", 74.8, ITAE),
    ("shanghaitech", "itae", "eer", 31.8, ITAE),
    ("shanghaitech", "itae-nf", "micro_auc", 76.3, ITAE),
    ("shanghaitech", "itae-nf", "eer", 30.6, ITAE),
    ("ped2", "ae3d", "micro_auc", 92.49, PSEUDO),
    ("ped2", "memae", "micro_auc", 94.1, PSEUDO),
    ("ped2", "lntra-patch", "micro_auc", 94.77, PSEUDO),
    ("ped2", "lntra-skip", "micro_auc", 96.5, PSEUDO),
    ("ped2", "steal", "micro_auc", 98.4, PSEUDO),
    ("ped2", "pseudo", "micro_auc", 93.52, PSEUDO),
    ("avenue", "ae3d", "micro_auc", 81.47, PSEUDO),
    ("avenue", "memae", "micro_auc", 83.3, PSEUDO),
    ("avenue", "lntra-patch", "micro_auc", 84.91, PSEUDO),
    ("avenue", "lntra-skip", "micro_auc", 84.67, PSEUDO),
    ("avenue", "steal", "micro_auc", 87.1, PSEUDO),
    ("avenue", "pseudo", "micro_auc", 86.51, PSEUDO),
    ("shanghaitech", "ae3d", "micro_auc", 71.28, PSEUDO),
    ("shanghaitech", "memae", "micro_auc", 71.2, PSEUDO),
    ("shanghaitech", "lntra-patch", "micro_auc", 72.46, PSEUDO),
    ("shanghaitech", "lntra-skip", "micro_auc", 75.97, PSEUDO),
    ("shanghaitech", "steal", "micro_auc", 73.7, PSEUDO),
    ("shanghaitech", "pseudo", "micro_auc", 71.76, PSEUDO),
];

/// What is published of this system on this data set.
pub(super) fn published(dataset: &str, system: &str) -> Vec<Published> {
    let rows = PUBLISHED.iter().filter(|row| (row.0, row.1) == (dataset, system));
    let figure = |&(_, _, metric, percent, source): &Row| Published {
        metric: metric.to_owned(),
        value: percent / 100.0,
        source: source.to_owned(),
    };
    rows.map(figure).collect()
}
