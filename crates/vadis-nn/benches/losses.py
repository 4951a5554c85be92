"""PyTorch's side of `examples/losses.rs`: one measurement for each line that it reads.

A line names what is measured; the answer is the seconds it took, elapsed and on a processor. Value and gradient of a loss, or an update.
Needs torch 2.15.0 and pytorch-msssim 1.0.0.
"""

import math
import sys
import time

import torch
from pytorch_msssim import ms_ssim
from torch import nn

PARAMETERS = 7_740_491


def renyi(z: torch.Tensor) -> torch.Tensor:
    """Distances by one product, the median of the pairs as the bandwidth."""
    n = len(z)
    z = z - z.detach().mean(0)
    norms = z.square().sum(1)
    distance2 = (norms[:, None] + norms - 2 * z @ z.T).clamp_min(0)
    pairs = distance2.detach()[PAIRS]
    sigma2 = pairs.median() / 2
    return 2 * math.log(n) - torch.logsumexp((distance2 / (-4 * sigma2)).flatten(), 0)


PAIRS = tuple(torch.triu_indices(256, 256, 1))


def gradient_loss(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return sum((x.diff(dim=d).abs() - y.diff(dim=d).abs()).abs().mean() for d in (-1, -2))


def frames_first(t: torch.Tensor) -> torch.Tensor:
    return t.transpose(1, 2).flatten(0, 1)


def similar(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return 1 - ms_ssim(frames_first(x), frames_first(y), data_range=2)


def itae(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return nn.functional.mse_loss(x, y) + similar(x, y) + gradient_loss(x, y)


class Bench:
    def __init__(self) -> None:
        self.clips = [(torch.rand(2, 3, 16, 256, 256) * 2 - 1) for _ in range(2)]
        self.clips[1] = self.clips[0] * 0.7 + self.clips[1] * 0.3
        self.latents = torch.randn(256, 256)
        self.updates = {}
        for name, make in {
            "adam": lambda p: torch.optim.Adam(p, lr=1e-3),
            "adam_foreach": lambda p: torch.optim.Adam(p, lr=1e-3, foreach=True),
            "adam_fused": lambda p: torch.optim.Adam(p, lr=1e-3, fused=True),
            "adamw_fused": lambda p: torch.optim.AdamW(p, lr=1e-3, fused=True),
            "sgd": lambda p: torch.optim.SGD(p, lr=1e-3, momentum=0.9),
            "sgd_fused": lambda p: torch.optim.SGD(p, lr=1e-3, momentum=0.9, fused=True),
        }.items():
            parameter = nn.Parameter(torch.randn(PARAMETERS))
            parameter.grad = torch.randn(PARAMETERS)
            self.updates[name] = make([parameter])

    def run(self, name: str) -> tuple[float, float]:
        if name in self.updates:
            return timed(self.updates[name].step)
        losses = {"mse": nn.functional.mse_loss, "ms_ssim": similar, "gradient": gradient_loss, "itae": itae}
        if name == "renyi":
            x, arguments, loss = self.latents, (), renyi
        else:
            (x, y), loss = self.clips, losses[name]
            arguments = (y,)
        x = x.detach().requires_grad_()
        return timed(lambda: loss(x, *arguments).backward())


def timed(work) -> tuple[float, float]:
    start, before = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - start, time.process_time() - before


def main() -> None:
    torch.set_num_threads(int(sys.argv[1]))
    bench = Bench()
    for line in sys.stdin:
        print(*bench.run(line.strip()), flush=True)


if __name__ == "__main__":
    main()
