"""Makes ../fixtures/frame_difference.json with OpenCV and NumPy.

python frame_difference.py   (opencv-python-headless, numpy)
"""

import json
from pathlib import Path

import cv2
import numpy as np

WIDTH, HEIGHT, FRAMES, PATCH = 29, 23, 5, 8


def scene(rng):
    """A noisy ground with a bright square that moves right and down, three channels."""
    ground = rng.integers(0, 200, (HEIGHT, WIDTH, 3))
    for t in range(FRAMES):
        frame = ground + rng.integers(-6, 7, ground.shape)
        frame[4 + t : 10 + t, 3 + 4 * t : 9 + 4 * t] += 90
        yield np.clip(frame, 0, 255).astype(np.uint8)


def score(a, b):
    """Mean and worst-patch mean of |a - b|, in [0, 1]; the patch by its left and top edge."""
    difference = cv2.absdiff(a, b)
    sums = cv2.integral(difference, sdepth=cv2.CV_64F)
    patches = sums[PATCH:, PATCH:] - sums[:-PATCH, PATCH:] - sums[PATCH:, :-PATCH] + sums[:-PATCH, :-PATCH]
    y, x = np.unravel_index(np.argmax(patches), patches.shape)
    return {
        "difference": difference.ravel().tolist(),
        "mean": float(difference.mean() / 255),
        "worst": {"x": int(x), "y": int(y), "mean": float(patches[y, x] / PATCH**2 / 255)},
    }


frames = list(scene(np.random.default_rng(7)))
greys = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]
fixture = {
    "width": WIDTH,
    "height": HEIGHT,
    "patch": PATCH,
    "rgb": [frame.ravel().tolist() for frame in frames],
    "backward": [score(greys[t - 1], greys[t]) for t in range(1, FRAMES)],
    "symmetric": [score(greys[t - 1], greys[t + 1]) for t in range(1, FRAMES - 1)],
}
target = Path(__file__).parent.parent / "fixtures" / "frame_difference.json"
target.write_text(json.dumps(fixture, separators=(",", ":")) + "\n")
