"""PyTorch's side of `examples/bench_peers`: one network and one measure a process.

    python peers.py '{"network": "ae3d", "measure": "training", "size": [16, 256, 256], ...}'

A `sliding` run is that of one window: what PyTorch spends on each frame of a stream.

Takes the fastest of default and channels-last layout, eager and compiled (`variant` names one to take
instead), and answers as `vadis-peers/python/side.py`. Needs what `scripts/bench-peers` installs.
"""

import json
import sys
import time
from functools import partial
from pathlib import Path

import torch
from pytorch_msssim import ms_ssim
from pytorch_msssim.ssim import _fspecial_gauss_1d, _ssim
from side import answer, fastest, form_of, variants
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
        image = len(task["size"]) == 2
        form = form_of(variant, len(task["size"]) + 2)
        self.training = task["measure"] == "training"
        network = build(task).train(self.training).to(memory_format=form)
        self.adam = torch.optim.Adam(network.parameters(), lr=1e-4) if self.training else None
        self.network = torch.compile(network) if variant.endswith("compiled") else network
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


def main() -> None:
    task = json.loads(sys.argv[1])
    torch.set_num_threads(task["threads"])

    def make() -> Runner:
        label = f"{task['network']} {task['measure']}"
        found = task.get("variant") or fastest(variants(task["compile"]), partial(Runner, task), label)
        runner = Runner(task, found)
        runner.run()
        return runner

    answer(make)


if __name__ == "__main__":
    main()
