"""Shares of a 256×256 picture that masks of LaMa's generators cover: the constants of `src/inpaint/masks.rs`.

Needs NumPy and OpenCV. Written from the description of the generators (medium strokes: 4 or 5 polylines of 1 to 5
segments, up to 100 long and 50 wide; 1 to 5 boxes of 10 to 50, 10 from the border)."""

import cv2
import numpy as np

SIDE = 256
rng = np.random.default_rng(0)


def irregular():
    mask = np.zeros((SIDE, SIDE), np.uint8)
    for line in range(rng.integers(4, 6)):
        x, y = rng.integers(0, SIDE, 2)
        for _ in range(rng.integers(1, 6)):
            angle = 0.01 + rng.integers(0, 4)
            if line % 2 == 0:
                angle = 2 * np.pi - angle
            length, brush = rng.integers(10, 101), rng.integers(5, 51)
            to = [int(np.clip(v + length * f(angle), 0, SIDE)) for v, f in ((x, np.sin), (y, np.cos))]
            cv2.line(mask, (int(x), int(y)), tuple(to), 1, int(brush))
            x, y = to
    return mask


def boxes():
    mask = np.zeros((SIDE, SIDE), np.uint8)
    for _ in range(rng.integers(1, 6)):
        w, h = rng.integers(10, 51, 2)
        x, y = (rng.integers(10, SIDE - 10 - s + 1) for s in (w, h))
        mask[y : y + h, x : x + w] = 1
    return mask


for name, draw in (("irregular", irregular), ("boxes", boxes)):
    shares = np.array([draw().mean() for _ in range(20000)])
    print(name, [round(float(v), 4) for v in (shares.mean(), *np.quantile(shares, (0.1, 0.5, 0.9)))])
