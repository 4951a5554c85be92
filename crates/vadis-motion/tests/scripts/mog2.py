"""Makes ../fixtures/mog2.bin: a short synthetic video in grey and in colour, and OpenCV's MOG2 masks of it.

python mog2.py   (opencv-python-headless, numpy)

Of each video, little-endian: width, height, channels and frames (u32), then of each frame the picture (u8, RGB) and
the mask as OpenCV's createBackgroundSubtractorMOG2() gives it, two bits a pixel: 0 background, 1 shadow, 2 foreground.
"""

import pathlib

import cv2
import numpy as np

WIDTH, HEIGHT, FRAMES = 32, 24, 30


def video(seed):
    """Flickering leaves, noise, a light that changes, a shadowed disc that crosses the scene."""
    noise = np.random.default_rng(seed)
    background = cv2.GaussianBlur(noise.uniform(60, 200, (HEIGHT, WIDTH, 3)), (0, 0), 2)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    for t in range(FRAMES):
        frame = background + noise.normal(0, 2.5, background.shape)
        leaves = (x < 8) & (noise.random((HEIGHT, WIDTH)) < 0.3)
        frame[leaves] += 40
        frame *= 1 + 0.05 * np.sin(t / 6)
        if t >= 8:
            left = 1.2 * (t - 8)
            frame[(x - left - 5) ** 2 / 2 + (y - 18) ** 2 < 9] *= 0.7
            frame[(x - left) ** 2 + (y - 12) ** 2 < 20] = (250, 240, 40)
        yield np.clip(np.rint(frame), 0, 255).astype(np.uint8)


with open(pathlib.Path(__file__).parent / "../fixtures/mog2.bin", "wb") as out:
    for channels in (1, 3):
        out.write(np.array([WIDTH, HEIGHT, channels, FRAMES], "<u4").tobytes())
        subtractor = cv2.createBackgroundSubtractorMOG2()
        for rgb in video(7):
            frame = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY) if channels == 1 else rgb
            mask = subtractor.apply(frame)
            classes = np.select([mask == 0, mask == 127], [0, 1], 2).reshape(-1, 4)
            out.write(frame.tobytes() + (classes @ [1, 4, 16, 64]).astype(np.uint8).tobytes())
        print(channels, np.bincount(classes.ravel()))
