"""OpenCV's fast-marching fill of a picture with a hole: `tests/fixtures/telea.bin`.

Needs NumPy and OpenCV. The file holds 48×40 bytes four times: the picture with noise in the hole, the hole (0 or 1), the
fill by `cv2.inpaint` with radius 3, and the picture as it was."""

import pathlib

import cv2
import numpy as np

rng = np.random.default_rng(7)
y, x = np.mgrid[0:40, 0:48]
picture = 90 + 50 * np.sin(x / 9) + 30 * np.cos(y / 7) + 40 * (x + y > 55)
hole = np.zeros((40, 48), np.uint8)
hole[8:20, 10:22] = 1
cv2.line(hole, (28, 30), (44, 24), 1, 5)
truth = np.clip(picture, 0, 255).astype(np.uint8)
picture = np.clip(np.where(hole == 1, rng.integers(0, 255, hole.shape), picture), 0, 255).astype(np.uint8)
filled = cv2.inpaint(picture, hole, 3, cv2.INPAINT_TELEA)
out = pathlib.Path(__file__).parents[1] / "fixtures" / "telea.bin"
out.write_bytes(picture.tobytes() + hole.tobytes() + filled.tobytes() + truth.tobytes())
