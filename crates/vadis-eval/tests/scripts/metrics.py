"""Reference figures for tests/metrics.rs, by scikit-learn, SciPy and NumPy; writes ../fixtures/metrics.json.

python tests/scripts/metrics.py      (scikit-learn 1.x, NumPy, SciPy)
"""

import json
from pathlib import Path

import numpy as np
from scipy.optimize import brentq
from scipy.stats import rankdata
from sklearn import metrics

rng = np.random.default_rng(20261121)


def draw(n, share, shift, digits):
    labels = (rng.random(n) < share).astype(int)
    scores = np.round(rng.normal(size=n) + shift * labels, digits)
    return scores, labels


def equal_error_rate(scores, labels):
    """FPR = FNR on the ROC polyline, by Brent's method along it."""
    fpr, tpr, _ = metrics.roc_curve(labels, scores, drop_intermediate=False)
    steps = np.arange(len(fpr))
    at = lambda t, y: np.interp(t, steps, y)
    t = brentq(lambda t: at(t, fpr) - (1 - at(t, tpr)), 0, steps[-1], xtol=1e-13)
    return float(at(t, fpr))


def figures(scores, labels):
    fpr, tpr, thresholds = metrics.roc_curve(labels, scores, drop_intermediate=False)
    precision, recall, pr_thresholds = metrics.precision_recall_curve(labels, scores)
    precision, recall = precision[:-1], recall[:-1]
    with np.errstate(invalid="ignore"):
        f1 = np.nan_to_num(2 * precision * recall / (precision + recall))
    best = max(range(len(f1)), key=lambda i: (round(f1[i], 12), pr_thresholds[i]))
    flagged = (scores >= pr_thresholds[best]).astype(int)
    tn, fp, fn, tp = metrics.confusion_matrix(labels, flagged, labels=[0, 1]).ravel()
    normal, abnormal = scores[labels == 0], scores[labels == 1]
    spread = np.sqrt((normal.var() + abnormal.var()) / 2)
    reached = np.round(tpr * labels.sum()) * 10 >= 9 * labels.sum()
    return {
        "auc": metrics.roc_auc_score(labels, scores),
        "eer": equal_error_rate(scores, labels),
        "average_precision": metrics.average_precision_score(labels, scores),
        "prevalence": labels.mean(),
        "best_f1": metrics.f1_score(labels, flagged),
        "best_threshold": pr_thresholds[best],
        "confusion": [int(tp), int(fp), int(tn), int(fn)],
        "accuracy": metrics.accuracy_score(labels, flagged),
        "fpr_at_90_recall": fpr[reached].min(),
        "d_prime": abs(abnormal.mean() - normal.mean()) / spread if spread > 0 else None,
        "roc": [fpr[1:].tolist(), tpr[1:].tolist(), thresholds[1:].tolist()],
        "precision_recall": [recall.tolist(), precision.tolist(), pr_thresholds.tolist()],
    }


def case(name, scores, labels):
    return {"name": name, "scores": scores.tolist(), "labels": labels.tolist(), **figures(scores, labels)}


def videos():
    """Twenty videos of different level and difficulty, three of them with one class."""
    made = []
    for index in range(20):
        scores, labels = draw(60, 0.35, rng.uniform(0.2, 2.0), 2)
        scores = scores + np.round(rng.normal(), 2)
        if index in (3, 11):
            labels[:] = 1
        if index == 7:
            labels[:] = 0
        made.append((scores, labels))
    return made


def bootstrap(made, statistic, resamples=4000):
    values = []
    for _ in range(resamples):
        drawn = [made[i] for i in rng.integers(len(made), size=len(made))]
        values.append(statistic(drawn))
    return np.percentile(values, [2.5, 97.5]).tolist()


def micro(made):
    """Mann-Whitney's statistic, which is the AUC and faster than scikit-learn's function."""
    scores = np.concatenate([s for s, _ in made])
    labels = np.concatenate([l for _, l in made])
    abnormal = labels.sum()
    rank_sum = rankdata(scores)[labels == 1].sum()
    return (rank_sum - abnormal * (abnormal + 1) / 2) / (abnormal * (len(labels) - abnormal))


def macro(made):
    return np.mean([micro([video]) for video in made if 0 < video[1].sum() < len(video[1])])


def several():
    made = videos()
    return {
        "scores": [s.tolist() for s, _ in made],
        "labels": [l.tolist() for _, l in made],
        "micro_auc": micro(made),
        "macro_auc": macro(made),
        "micro_interval": bootstrap(made, micro),
        "macro_interval": bootstrap([micro([v]) if 0 < v[1].sum() < len(v[1]) else np.nan for v in made], np.nanmean),
    }


cases = [
    case("continuous", *draw(300, 0.3, 1.0, 12)),
    case("ties", *draw(400, 0.4, 0.8, 1)),
    case("heavy ties", *draw(200, 0.5, 0.5, 0)),
    case("few abnormal", *draw(250, 0.03, 1.5, 1)),
    case("mostly abnormal", *draw(150, 0.85, 0.7, 1)),
    case("worse than chance", *draw(120, 0.3, -0.8, 1)),
    case("separated", np.array([0.1, 0.2, 0.3, 0.8, 0.9]), np.array([0, 0, 0, 1, 1])),
    case("constant", np.full(10, 0.5), np.array([0, 1] * 5)),
]
target = Path(__file__).parent.parent / "fixtures" / "metrics.json"
target.write_text(json.dumps({"cases": cases, "several": several()}, separators=(",", ":")) + "\n")
