"""PyTorch's side of `examples/mle_step.rs`: one training step for each line read on stdin.

Prints the seconds of each step. The faster of the default and the channels-last layout is found
first and kept. Needs torch 2.15.0.
"""

import sys
import time

import torch
from torch import nn


def autoencoder(channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, 16, 3, 2, 1), nn.ReLU(),
        nn.Conv2d(16, 32, 3, 2, 1), nn.ReLU(),
        nn.Conv2d(32, 64, 3, 2, 1), nn.ReLU(),
        nn.Flatten(), nn.Linear(64 * 8 * 16, 256),
        nn.Linear(256, 64 * 8 * 16), nn.ReLU(), nn.Unflatten(1, (64, 8, 16)),
        nn.ConvTranspose2d(64, 32, 3, 2, 1, 1), nn.ReLU(),
        nn.ConvTranspose2d(32, 16, 3, 2, 1, 1), nn.ReLU(),
        nn.ConvTranspose2d(16, channels, 3, 2, 1, 1), nn.Sigmoid(),
    )


class Trainer:
    def __init__(self, channels: int, layout: torch.memory_format) -> None:
        self.net = autoencoder(channels).to(memory_format=layout)
        self.x = torch.rand(256, channels, 64, 128).to(memory_format=layout)
        self.adam = torch.optim.Adam(self.net.parameters(), lr=5e-4)

    def step(self) -> float:
        start = time.perf_counter()
        self.adam.zero_grad()
        nn.functional.mse_loss(self.net(self.x), self.x).backward()
        self.adam.step()
        return time.perf_counter() - start


def main() -> None:
    channels = int(sys.argv[1])
    trainers = [Trainer(channels, layout) for layout in (torch.contiguous_format, torch.channels_last)]
    for trainer in trainers:
        trainer.step()
    best = min(trainers, key=lambda trainer: min(trainer.step() for _ in range(3)))
    for _ in sys.stdin:
        print(best.step(), flush=True)


if __name__ == "__main__":
    main()
