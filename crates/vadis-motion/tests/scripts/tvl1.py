"""Makes ../fixtures/tvl1.bin: synthetic pairs and their TV-L1 flow by OpenCV 5.0 with its default settings.

python tvl1.py   (opencv-contrib-python-headless, numpy)

Of each pair, little-endian: width and height (u32), the two grey pictures (u8), u and v in 1/1024 pixel (i16).
"""

import pathlib

import cv2
import numpy as np


def texture(height, width, seed):
    noise = np.random.default_rng(seed).random((height, width)).astype(np.float32)
    coarse, fine = cv2.GaussianBlur(noise, (0, 0), 3), cv2.GaussianBlur(noise, (0, 0), 1.2)
    mixed = coarse / coarse.std() + 0.5 * fine / fine.std()
    return 128 + 40 * (mixed - mixed.mean()) / mixed.std()


def moved(picture, dx, dy):
    height, width = picture.shape
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    return cv2.remap(picture, x - np.float32(dx), y - np.float32(dy), cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)


def to_bytes(picture, seed):
    noise = np.random.default_rng(seed).normal(0, 1, picture.shape)
    return np.clip(np.rint(picture + noise), 0, 255).astype(np.uint8)


def walkers(width, height):
    """A still background, and three discs that move by themselves."""
    background, before, after = texture(height, width, 1), None, None
    y, x = np.mgrid[:height, :width]
    frames = []
    for t in (0, 1):
        frame = background.copy()
        for i, (cx, cy, dx, dy) in enumerate([(24, 20, 2.5, 0.5), (60, 40, -3.0, 0.0), (80, 16, 0.0, 1.5)]):
            skin = moved(texture(height, width, 10 + i), dx * t, dy * t)
            inside = (x - cx - dx * t) ** 2 + (y - cy - dy * t) ** 2 < 81
            frame[inside] = skin[inside] * 0.8
        frames.append(to_bytes(frame, 20 + t))
    return frames


def panned(width, height):
    """The whole picture moves."""
    picture = texture(height, width, 3)
    return [to_bytes(picture, 30), to_bytes(moved(picture, 1.75, -1.25), 31)]


with open(pathlib.Path(__file__).parent / "../fixtures/tvl1.bin", "wb") as out:
    for before, after in [walkers(96, 64), panned(96, 64), walkers(101, 67)]:
        flow = cv2.optflow.DualTVL1OpticalFlow_create().calc(before, after, None)
        print(before.shape, np.abs(flow).mean(axis=(0, 1)), np.abs(flow).max())
        out.write(np.array(before.shape[::-1], "<u4").tobytes() + before.tobytes() + after.tobytes())
        out.write(np.rint(np.moveaxis(flow, 2, 0) * 1024).clip(-32767, 32767).astype("<i2").tobytes())
