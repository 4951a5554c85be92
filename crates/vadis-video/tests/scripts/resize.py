"""Makes tests/fixtures/resize.bin: pictures scaled by OpenCV's INTER_LINEAR.

For each case, little endian: u16 channels, source width, source height, target width, target height, then the
source's bytes and the target's. Needs numpy and opencv-python (made with 4.x). Usage: python resize.py OUT
"""

import struct
import sys

import cv2
import numpy as np

CASES = [
    (1, 37, 23, 64, 64),
    (1, 64, 48, 32, 24),
    (1, 128, 64, 64, 64),
    (1, 61, 47, 13, 11),
    (1, 13, 11, 61, 47),
    (1, 1, 1, 5, 4),
    (1, 5, 1, 3, 7),
    (1, 2, 9, 1, 1),
    (1, 90, 60, 64, 60),
    (1, 50, 40, 50, 27),
    (3, 45, 31, 64, 64),
    (3, 64, 64, 32, 32),
    (3, 33, 57, 20, 19),
    (3, 7, 5, 29, 31),
    (3, 80, 60, 64, 48),
]

rng = np.random.default_rng(0)
with open(sys.argv[1], "wb") as out:
    for channels, w, h, to_w, to_h in CASES:
        shape = (h, w) if channels == 1 else (h, w, channels)
        source = rng.integers(0, 256, shape, dtype=np.uint8)
        target = cv2.resize(source, (to_w, to_h), interpolation=cv2.INTER_LINEAR)
        out.write(struct.pack("<5H", channels, w, h, to_w, to_h))
        out.write(source.tobytes() + target.tobytes())
