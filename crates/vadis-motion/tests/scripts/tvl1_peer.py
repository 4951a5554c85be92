"""Times OpenCV's TV-L1 flow against ours, pair by pair in turn on two cores, and prints the end-point errors.

python tvl1_peer.py BINARY SOURCE...   (opencv-contrib-python-headless, numpy)

BINARY is target/release/examples/tvl1_peer; a SOURCE is a video or a folder of pictures. Of each, PAIRS consecutive
pairs are taken, evenly spread, and each is computed RUNS times by both.
"""

import os
import pathlib
import resource
import statistics
import struct
import subprocess
import sys
import time

import cv2
import numpy as np

PAIRS, RUNS, CORES = int(os.environ.get("PAIRS", 6)), int(os.environ.get("RUNS", 3)), 2


def read(source):
    path = pathlib.Path(source)
    if path.is_dir():
        names = sorted(p for p in path.iterdir() if p.suffix.lower() in {".png", ".tif", ".jpg", ".bmp"})
        return [cv2.imread(str(name), cv2.IMREAD_GRAYSCALE) for name in names]
    capture, frames = cv2.VideoCapture(source), []
    while len(frames) < 800:
        found, frame = capture.read()
        if not found:
            break
        frames.append(cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY))
    return frames


def processor_s():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def theirs(before, after):
    start, ran = time.perf_counter(), processor_s()
    flow = cv2.optflow.DualTVL1OpticalFlow_create().calc(before, after, None)
    return time.perf_counter() - start, processor_s() - ran, flow


def ours(process, before, after):
    height, width = before.shape
    process.stdin.write(struct.pack("<II", width, height) + before.tobytes() + after.tobytes())
    process.stdin.flush()
    seconds, ran = struct.unpack("<dd", process.stdout.read(16))
    planes = np.frombuffer(process.stdout.read(8 * width * height), "<f4").reshape(2, height, width)
    return seconds, ran, np.moveaxis(planes, 0, 2)


cv2.setNumThreads(CORES)
environment = {**os.environ, "RAYON_NUM_THREADS": str(CORES)}
process = subprocess.Popen(sys.argv[1], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
for source in sys.argv[2:]:
    frames = read(source)
    errors, worst, clock, processor, best = [], [], [], [], []
    for at in np.linspace(0, len(frames) - 2, PAIRS).astype(int):
        pair = np.ascontiguousarray(frames[at]), np.ascontiguousarray(frames[at + 1])
        runs = [(theirs(*pair), ours(process, *pair)) for _ in range(RUNS)]
        clock += [their[0] / our[0] for their, our in runs]
        processor += [their[1] / our[1] for their, our in runs]
        best.append((min(their[0] for their, _ in runs), min(our[0] for _, our in runs)))
        error = np.linalg.norm(runs[0][0][2] - runs[0][1][2], axis=2)
        errors.append(error.mean())
        worst.append(error.max())
    their, our = (1e3 * statistics.median(b[i] for b in best) for i in (0, 1))
    height, width = frames[0].shape
    print(
        f"{source} {width}x{height}: OpenCV {their:.0f} ms, ours {our:.1f} ms a pair (best of {RUNS});"
        f" ratio {statistics.median(clock):.2f} by the clock, {statistics.median(processor):.2f} by processor time;"
        f" end-point error mean {np.mean(errors):.5f}, worst pair {np.max(errors):.5f},"
        f" worst pixel {np.max(worst):.2f} px",
        flush=True,
    )
