"""Reference figures for tests/localisation.rs, by SciPy's labelling and plain loops; writes ../fixtures/localisation.json.

python tests/scripts/localisation.py      (NumPy, SciPy, scikit-learn)

Blobs drift over small frames; the heat map sees most of them, late, and some that are not there. Every threshold is
swept by itself, unlike the code under test.
"""

import json
from pathlib import Path

import numpy as np
from scipy import ndimage
from sklearn import metrics

rng = np.random.default_rng(20261121)
WIDTH, HEIGHT, FRAMES = 24, 16, 14
THRESHOLD, MIN_AREA = 3, 2
EIGHT = np.ones((3, 3), int)


def draw_video():
    blobs = [
        {
            "at": rng.uniform([3, 3], [WIDTH - 3, HEIGHT - 3]),
            "speed": rng.uniform(-1.2, 1.2, 2),
            "size": rng.uniform(1.2, 3.0),
            "from": rng.integers(0, 6),
            "to": rng.integers(7, FRAMES + 1),
            "seen": rng.uniform(2, 9),
        }
        for _ in range(3)
    ]
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    frames = []
    for t in range(FRAMES):
        mask = np.zeros((HEIGHT, WIDTH), bool)
        heat = rng.gamma(1.2, 0.9, (HEIGHT, WIDTH))
        heat = ndimage.gaussian_filter(heat, 0.6) * 1.2
        for blob in blobs:
            if blob["from"] <= t < blob["to"]:
                cx, cy = blob["at"] + blob["speed"] * t
                mask |= np.hypot(x - cx, y - cy) < blob["size"]
                heat += blob["seen"] * (np.hypot(x - cx - 1, y - cy) < blob["size"]) * rng.uniform(0.3, 1)
        frames.append((np.clip(heat, 0, 9).astype(int), mask))
    return frames


def parts(binary):
    """Box (x0, y0, x1, y1), ends exclusive, and pixels of each 8-connected part, in scanning order."""
    labels, count = ndimage.label(binary, EIGHT)
    found = []
    for name, (rows, columns) in enumerate(ndimage.find_objects(labels), 1):
        found.append(((columns.start, rows.start, columns.stop, rows.stop), labels == name))
    return found


def iou(a, b):
    across = max(0, min(a[2], b[2]) - max(a[0], b[0]))
    down = max(0, min(a[3], b[3]) - max(a[1], b[1]))
    area = lambda c: (c[2] - c[0]) * (c[3] - c[1])
    return across * down / (area(a) + area(b) - across * down)


def collect(videos):
    """True regions as (frame, box, track) and detections as (frame, box, score), frames numbered over all videos."""
    truth, found, number, tracks = [], [], 0, 0
    for frames in videos:
        before = []
        for heat, mask in frames:
            now = parts(mask)
            names = {}
            overlaps = sorted(
                ((-(p & q).sum(), i, j) for i, (_, p) in enumerate(b[:2] for b in before) for j, (_, q) in enumerate(now)),
            )
            used = set()
            for pixels, i, j in overlaps:
                if pixels < 0 and i not in used and j not in names:
                    names[j] = before[i][2]
                    used.add(i)
            for j in range(len(now)):
                if j not in names:
                    names[j] = tracks
                    tracks += 1
            before = [(box, pixels, names[j]) for j, (box, pixels) in enumerate(now)]
            truth += [(number, box, track) for box, _, track in before]
            for box, pixels in parts(heat > THRESHOLD):
                if pixels.sum() >= MIN_AREA:
                    found.append((number, box, float(np.float32(heat[pixels].mean()))))
            number += 1
    return truth, found, number


def areas(truth, found, frames):
    regions, tracks, rates = [], [], []
    tracks_of = sorted({track for *_, track in truth})
    for threshold in sorted({score for *_, score in found}, reverse=True):
        kept = [(f, box) for f, box, score in found if score >= threshold]
        hit = [any(f == g and iou(box, other) >= 0.1 for g, other in kept) for f, box, _ in truth]
        wrong = sum(not any(f == g and iou(box, other) >= 0.1 for g, box, _ in truth) for f, other in kept)
        regions.append(np.mean(hit))
        by_track = [[h for h, (*_, t) in zip(hit, truth) if t == track] for track in tracks_of]
        tracks.append(np.mean([np.mean(h) >= 0.1 for h in by_track]))
        rates.append(wrong / frames)
    return area(rates, regions), area(rates, tracks), len(tracks_of)


def area(x, y):
    """Trapezoids from (0, 0) to false positive rate 1, the last rate held."""
    x, y = np.array([0, *x, max(1, x[-1])]), np.array([0, *y, y[-1]])
    below = x <= 1
    if not below.all():
        first = np.argmin(below)
        at_one = y[first - 1] + (y[first] - y[first - 1]) * (1 - x[first - 1]) / (x[first] - x[first - 1])
        x, y = np.append(x[below], 1), np.append(y[below], at_one)
    return float(np.trapezoid(y, x))


def pixel_auc(videos):
    """Rates at every heat, then the area; 10 is above every heat."""
    frames = [frame for video in videos for frame in video]
    tpr, fpr = [], []
    for threshold in range(10, -1, -1):
        hit = [np.mean(heat[mask] >= threshold) >= 0.4 for heat, mask in frames if mask.any()]
        false = [(heat >= threshold).any() for heat, mask in frames if not mask.any()]
        tpr.append(np.mean(hit))
        fpr.append(np.mean(false))
    return metrics.auc(fpr, tpr)


def text(picture):
    return ["".join(str(int(v)) for v in row) for row in picture]


# a video without anything in it gives the pixel criterion its normal frames
videos = [draw_video() for _ in range(3)]
videos.append([(heat, np.zeros_like(mask)) for heat, mask in draw_video()])
truth, found, frames = collect(videos)
rbdc, tbdc, tracks = areas(truth, found, frames)
fixture = {
    "threshold": THRESHOLD,
    "min_area": MIN_AREA,
    "videos": [[{"heat": text(h), "mask": text(m)} for h, m in video] for video in videos],
    "rbdc": rbdc,
    "tbdc": tbdc,
    "pixel_auc": pixel_auc(videos),
    "regions": len(truth),
    "tracks": tracks,
}
print({key: value for key, value in fixture.items() if key != "videos"}, len(found), frames)
target = Path(__file__).parent.parent / "fixtures" / "localisation.json"
target.write_text(json.dumps(fixture, separators=(",", ":")) + "\n")
