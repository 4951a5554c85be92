"""Writes fixtures/optim.safetensors: optimisers, clipping, averaged weights and schedules by PyTorch.

Parameters and gradients are made by the same arithmetic in tests/optim.rs. Run with torch 2.15.0, numpy and
safetensors.
"""

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn
from torch.optim import lr_scheduler
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

COUNT, STEPS, RATE = 70, 12, 0.03
# Steps of a training and of its epoch, for the schedules.
TOTAL, EPOCH, WARMUP = 60, 3, 5


def noise(seed: int) -> torch.Tensor:
    i = np.arange(COUNT, dtype=np.uint64)
    return torch.from_numpy((((i + seed) * 2654435761 % 2**32).astype(np.float64) / 2**31 - 1).astype(np.float32))


def train(make, max_norm: float | None = None) -> torch.Tensor:
    p = nn.Parameter(noise(0).double())
    optimiser = make([p])
    for step in range(STEPS):
        p.grad = noise(1000 * (step + 1)).double() * (step % 3 + 0.1)
        if max_norm is not None:
            nn.utils.clip_grad_norm_([p], max_norm)
        optimiser.step()
        optimiser.param_groups[0]["lr"] *= 0.9
    return p.detach().float()


def average() -> torch.Tensor:
    model = nn.Module()
    model.p = nn.Parameter(noise(0))
    averaged = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9))
    for step in range(STEPS):
        model.p.data = noise(500 * step)
        averaged.update_parameters(model)
    return averaged.module.p.detach()


def rates(make, every: int, count: int = TOTAL + 1) -> torch.Tensor:
    """The rate of each step; the scheduler advances every `every` steps."""
    optimiser = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=RATE)
    scheduler = make(optimiser)
    values = []
    for step in range(count):
        values.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        if (step + 1) % every == 0:
            scheduler.step()
    return torch.tensor(values)


def warm_cosine(optimiser):
    return lr_scheduler.SequentialLR(
        optimiser,
        [
            lr_scheduler.LinearLR(optimiser, start_factor=1 / WARMUP, total_iters=WARMUP - 1),
            lr_scheduler.CosineAnnealingLR(optimiser, T_max=TOTAL - WARMUP, eta_min=1e-3),
        ],
        milestones=[WARMUP],
    )


def main() -> None:
    out = {
        "adam": train(lambda p: torch.optim.Adam(p, lr=RATE)),
        "adam_decay": train(lambda p: torch.optim.Adam(p, lr=RATE, weight_decay=0.1, betas=(0.8, 0.99), eps=1e-4)),
        "adamw": train(lambda p: torch.optim.AdamW(p, lr=RATE, weight_decay=0.3)),
        "sgd": train(lambda p: torch.optim.SGD(p, lr=RATE, weight_decay=0.2)),
        "sgd_momentum": train(lambda p: torch.optim.SGD(p, lr=RATE, momentum=0.9, weight_decay=1e-3)),
        "sgd_clipped": train(lambda p: torch.optim.SGD(p, lr=RATE, momentum=0.9), max_norm=3.0),
        "average": average(),
        "constant": rates(lambda o: lr_scheduler.ConstantLR(o, factor=1.0), 1),
        "cosine": rates(lambda o: lr_scheduler.CosineAnnealingLR(o, T_max=TOTAL), 1),
        "cosine(0.001)": rates(lambda o: lr_scheduler.CosineAnnealingLR(o, T_max=TOTAL, eta_min=1e-3), 1),
        "step(0.95, 10)": rates(lambda o: lr_scheduler.StepLR(o, step_size=10, gamma=0.95), EPOCH),
        "exponential(0.9)": rates(lambda o: lr_scheduler.ExponentialLR(o, gamma=0.9), EPOCH),
        f"warmup({WARMUP}) + cosine(0.001)": rates(warm_cosine, 1),
    }
    path = Path(__file__).parent.parent / "fixtures" / "optim.safetensors"
    save_file({name: value.contiguous() for name, value in out.items()}, path)
    print(path, path.stat().st_size, "bytes; torch", torch.__version__)


if __name__ == "__main__":
    main()
