"""Prints the micro AUC of frame differencing on UCSD Ped2's test clips, computed with OpenCV and scikit-learn.

python ped2.py DATA   (DATA as VADIS_DATA; opencv-python-headless, numpy, scikit-learn)
"""

import sys

import cv2
import numpy as np
from sklearn.metrics import roc_auc_score

LENGTHS = [180, 180, 150, 180, 150, 180, 180, 180, 120, 150, 180, 180]
# First and last abnormal frame of each clip, from 1 (UCSDped2.m).
ABNORMAL = [
    (61, 180), (95, 180), (1, 146), (31, 180), (1, 129), (1, 159),
    (46, 180), (1, 180), (1, 120), (1, 150), (1, 180), (88, 180),
]  # fmt: skip
SIZE, PATCH = (240, 160), 16


def read(path):
    capture = cv2.VideoCapture(path)
    while True:
        found, frame = capture.read()
        if not found:
            return
        yield cv2.resize(frame[:, :, 0], SIZE, interpolation=cv2.INTER_LINEAR)


def scores(clip, before, after):
    """Mean and worst-patch mean of |I[t + before] - I[t + after]|; frames at the ends repeat their neighbour."""
    means, worsts = [], []
    for t in range(-before, len(clip) - after):
        difference = cv2.absdiff(clip[t + before], clip[t + after])
        sums = cv2.integral(difference, sdepth=cv2.CV_64F)
        patches = sums[PATCH:, PATCH:] - sums[:-PATCH, PATCH:] - sums[PATCH:, :-PATCH] + sums[:-PATCH, :-PATCH]
        means.append(difference.mean())
        worsts.append(patches.max())
    return [np.pad(values, (-before, after), mode="edge") for values in (means, worsts)]


frames = np.stack(list(read(f"{sys.argv[1]}/ped2/test.mkv")))
clips = np.split(frames, np.cumsum(LENGTHS)[:-1])
labels = [(np.arange(1, n + 1) >= a) & (np.arange(1, n + 1) <= b) for n, (a, b) in zip(LENGTHS, ABNORMAL)]
for name, before, after in [("backward", -1, 0), ("symmetric", -1, 1)]:
    means, worsts = (np.concatenate(s) for s in zip(*(scores(clip, before, after) for clip in clips)))
    truth = np.concatenate(labels)
    print(f"{name}: mean {roc_auc_score(truth, means):.5f}, worst patch {roc_auc_score(truth, worsts):.5f}")
