"""Times the Winograd convolutions against PyTorch's, interleaved in one run.

    python winograd_speed.py TEST_BINARY [--threads 2] [--runs 7] [--tile 4] [--isa Avx512] [SHAPE ...]

TEST_BINARY is the unit test of vadis-kernels (`cargo test --release -p vadis-kernels --lib --no-run` prints
it). A shape is batch,cin,cout,time,height,width,taps and, if it is not 1, the stride in time and in space: forward and
input pass only. Prints medians in milliseconds, effective GFLOP/s
(operations of the direct convolution without products with padding in time), and the ratio to PyTorch's
better layout; then the same ratio of processor times, which other programs on the machine disturb less (with
one thread; idle threads of PyTorch spin).
"""

import argparse
import glob
import os
import statistics
import subprocess
import time

import torch

SHAPES = ["1,256,256,4,64,64,3", "1,128,256,4,64,64,3", "1,192,192,4,64,64,3", "8,512,512,1,32,32,1"]


class Ours:
    def __init__(self, binary, shape, threads, tile, isa):
        env = dict(os.environ, SHAPE=shape, TILE=str(tile), RAYON_NUM_THREADS=str(threads))
        if isa:
            env["ISA"] = isa
        command = [binary, "--ignored", "--nocapture", "--exact", "volume::winograd::tests::speed"]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stderr=pipe, stdout=subprocess.DEVNULL, env=env, text=True)
        self.operations = float(self.read("ready"))

    def read(self, name):
        for line in self.process.stderr:
            word, _, rest = line.partition(" ")
            if word == name:
                return rest
        raise SystemExit("the test ended")

    def run(self, request):
        before = self.processor_time()
        self.process.stdin.write(request + "\n")
        self.process.stdin.flush()
        seconds = float(self.read("seconds"))
        return seconds, self.processor_time() - before

    def processor_time(self):
        tasks = glob.glob(f"/proc/{self.process.pid}/task/*/schedstat")
        return sum(int(open(task).read().split()[0]) for task in tasks) * 1e-9


def theirs(shape, layout):
    """The operations of one layout by name."""
    batch, cin, cout, t, h, w, taps, steps, step = shape
    flat = t == 1 and taps == 1
    size, kernel = ((h, w), (3, 3)) if flat else ((t, h, w), (taps, 3, 3))
    padding = [k // 2 for k in kernel]
    stride = (step, step) if flat else (steps, step, step)
    x = torch.randn(batch, cin, *size)
    weight = torch.randn(cout, cin, *kernel)
    if layout == "last":
        memory = torch.channels_last if flat else torch.channels_last_3d
        x, weight = x.to(memory_format=memory), weight.to(memory_format=memory)
    convolve = torch.nn.functional.conv2d if flat else torch.nn.functional.conv3d
    y = convolve(x, weight, stride=stride, padding=padding)
    dy = torch.randn_like(y)
    ones = [1] * len(size)

    def backward(mask):
        torch.ops.aten.convolution_backward(dy, x, weight, None, stride, padding, ones, False, [0] * len(size), 1, mask)

    return {
        "forward": lambda: convolve(x, weight, stride=stride, padding=padding),
        "input": lambda: backward([True, False, False]),
        "weight": lambda: backward([False, True, False]),
    }


def timed(call):
    start, before = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - start, time.process_time() - before


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("binary")
    parser.add_argument("shapes", nargs="*", default=SHAPES)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--tile", type=int, default=4)
    parser.add_argument("--isa")
    parser.add_argument("--requests", default="forward,input,weight")
    arguments = parser.parse_intermixed_args()
    torch.set_num_threads(arguments.threads)
    print(f"{'shape':26} {'pass':8} {'default':>8} {'last':>8} {'ours':>8} {'GFLOP/s':>8} {'ratio':>6} {'cpu':>6} {'ours cpu':>8}  (ms)")
    for shape in arguments.shapes or SHAPES:
        shape += ",1,1" if shape.count(",") == 6 else ""
        ours = Ours(arguments.binary, shape, arguments.threads, arguments.tile, arguments.isa)
        numbers = [int(n) for n in shape.split(",")]
        peers = {layout: theirs(numbers, layout) for layout in ["default", "last"]}
        for request in arguments.requests.split(","):
            times = {name: [] for name in ["default", "last", "ours"]}
            for run in range(arguments.runs + 1):
                for layout, calls in peers.items():
                    times[layout].append(timed(calls[request]))
                times["ours"].append(ours.run(request))
            # The first of each fills the caches of primitives and buffers.
            wall, processor = (
                {name: 1e3 * statistics.median(pair[i] for pair in pairs[1:]) for name, pairs in times.items()}
                for i in range(2)
            )
            rate = ours.operations / wall["ours"] * 1e-6
            ratios = [min(ms["default"], ms["last"]) / ms["ours"] for ms in (wall, processor)]
            columns = " ".join(f"{wall[name]:8.2f}" for name in times)
            print(f"{shape:26} {request:8} {columns} {rate:8.0f} {ratios[0]:6.2f} {ratios[1]:6.2f} "
                  f"{processor['ours']:8.2f}", flush=True)
        ours.process.stdin.close()


main()
