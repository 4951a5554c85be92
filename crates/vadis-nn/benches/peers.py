"""PyTorch's side of `examples/bench_peers.rs`: one network and one measure a process.

    python peers.py '{"network": "ae3d", "measure": "training", "size": [16, 256, 256], ...}'

A `sliding` run is that of one window: what PyTorch spends on each frame of a stream.

Finds the fastest of default and channels-last layout, eager and compiled (`variant` names one to
take instead), says which on a line of JSON, and then answers each line on stdin with one on stdout:
`run` with the elapsed and the processor's seconds of one run, `peak` with a number of MiB. Needs what
`scripts/bench-peers` installs.
"""

import json
import os
import resource
import sys
import time
from pathlib import Path

import torch
from pytorch_msssim import ms_ssim
from pytorch_msssim.ssim import _fspecial_gauss_1d, _ssim
from torch import Tensor, nn
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "scripts"))
import twins  # noqa: E402

ENTROPY_WEIGHT = 0.01  # mle's λ
SCALES = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


def build(task: dict) -> nn.Module:
    channels, size = task["channels"], tuple(task["size"])
    match task["network"]:
        case "ae3d":
            return twins.Ae3d(channels, size)
        case "memae":
            return twins.MemAe(channels, size)
        case "itae":
            return twins.Itae(channels)
        case "one-path":
            return twins.Itae(channels, two_path=False)
        case "cae":
            return twins.Cae(channels)
        case "mle":
            return twins.Mle(channels, size)
        case "glow" | "glow-small" | "glow-frames":
            steps, levels, hidden = task["flow"]
            return twins.Glow(channels, steps, levels, hidden)
        case other:
            raise SystemExit(f"unknown network {other}")


def small_ms_ssim(x: Tensor, y: Tensor) -> Tensor:
    """MS-SSIM of frames too small for five scales, its weights renormalised."""
    scales = sum(min(x.shape[2:]) > 10 << scale for scale in range(5))
    weights = torch.tensor(SCALES[:scales])
    window = _fspecial_gauss_1d(11, 1.5).repeat(x.shape[1], 1, 1, 1)
    terms = []
    for scale in range(scales):
        ssim, cs = _ssim(x, y, data_range=2.0, win=window, size_average=False)
        terms.append(torch.relu(cs if scale < scales - 1 else ssim))
        x, y = (F.avg_pool2d(t, 2, padding=[s % 2 for s in t.shape[2:]]) for t in (x, y))
    return torch.prod(torch.stack(terms) ** (weights / weights.sum()).view(-1, 1, 1), dim=0).mean()


def itae_loss(y: Tensor, x: Tensor) -> Tensor:
    """L2 + (1 - MS-SSIM) + gradient loss over frames (paper 003, Eq. 9)."""
    a, b = (t.transpose(1, 2).flatten(0, 1).contiguous() for t in (y, x))
    similar = ms_ssim(a, b, data_range=2.0) if min(a.shape[2:]) > 160 else small_ms_ssim(a, b)
    edges = sum((a.diff(dim=d).abs() - b.diff(dim=d).abs()).abs().mean() for d in (-1, -2))
    return F.mse_loss(y, x) + (1 - similar) + edges


def loss_of(task: dict, output: object, x: Tensor) -> Tensor:
    match task["network"]:
        case "memae":
            y, entropy = output
            return F.mse_loss(y, x) + twins.MemAe.ENTROPY_WEIGHT * entropy
        case "mle":
            z, y = output
            return F.mse_loss(y, x) + ENTROPY_WEIGHT * twins.renyi_entropy(z)
        case "itae" | "one-path":
            return itae_loss(output, x)
        case "glow" | "glow-small" | "glow-frames":
            return output.mean()
        case _:
            return F.mse_loss(output, x)


class Runner:
    """A network in one layout, eager or compiled, and its optimiser."""

    def __init__(self, task: dict, variant: str) -> None:
        torch.manual_seed(0)
        self.task, self.variant = task, variant
        layout, mode = variant.split(", ")
        image = len(task["size"]) == 2
        last = torch.channels_last if image else torch.channels_last_3d
        form = last if layout == "channels-last" else torch.contiguous_format
        self.training = task["measure"] == "training"
        network = build(task).train(self.training).to(memory_format=form)
        self.adam = torch.optim.Adam(network.parameters(), lr=1e-4) if self.training else None
        self.network = torch.compile(network) if mode == "compiled" else network
        shape = (task["batch"], task["channels"], *task["size"])
        x = torch.rand(shape) if image else torch.rand(shape) * 2 - 1
        self.x = x.to(memory_format=form)

    def run(self) -> tuple[float, float]:
        start = time.perf_counter(), time.process_time()
        if self.adam is None:
            with torch.inference_mode():
                self.network(self.x)
        else:
            self.adam.zero_grad()
            loss_of(self.task, self.network(self.x), self.x).backward()
            self.adam.step()
        return time.perf_counter() - start[0], time.process_time() - start[1]


def fastest(task: dict) -> Runner:
    """The variant with the shortest of two runs after a first one; only that one is kept."""
    variants = ["default, eager", "channels-last, eager"]
    if task["compile"]:
        variants += ["default, compiled", "channels-last, compiled"]
    times = {}
    for variant in variants:
        try:
            runner = Runner(task, variant)
            runner.run()
            times[variant] = min(runner.run()[0] for _ in range(2))
        except Exception as error:  # torch.compile refuses in many ways
            print(f"{variant} does not work: {type(error).__name__}", file=sys.stderr)
        del runner
    for variant, seconds in times.items():
        print(f"  peer {task['network']} {task['measure']}, {variant}: {seconds:.3f} s", file=sys.stderr)
    best = Runner(task, min(times, key=times.__getitem__))
    best.run()
    return best


def main() -> None:
    task = json.loads(sys.argv[1])
    torch.set_num_threads(task["threads"])
    runner = Runner(task, task["variant"]) if task.get("variant") else fastest(task)
    # Standard output is the protocol's: what libraries print goes to standard error.
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    say = lambda value: print(json.dumps(value), file=out, flush=True)
    say({"variant": runner.variant, "torch": torch.__version__})
    for line in sys.stdin:
        match line.split():
            case ["run"]:
                say(runner.run())
            case ["peak"]:
                say(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


if __name__ == "__main__":
    main()
