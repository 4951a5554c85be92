"""Writes fixtures/discriminator.safetensors: some updates of the semantic discriminator by PyTorch, in double precision.

Run with torch 2.15.0, numpy and safetensors.
"""

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

FEATURES, HIDDEN, FRAMES, BATCH = 12, 10, 70, 16


def state(network: nn.Module, name: str) -> dict[str, torch.Tensor]:
    tensors = {f"{name}.{n}": p.detach().clone() for n, p in network.named_parameters()}
    return tensors | {f"{name}.mean": torch.zeros(FEATURES), f"{name}.deviation": torch.ones(FEATURES)}


def main() -> None:
    torch.manual_seed(0)
    network = nn.Sequential()
    network.add_module("fc1", nn.Linear(FEATURES, HIDDEN))
    network.add_module("relu", nn.ReLU())
    network.add_module("fc2", nn.Linear(HIDDEN, 1))
    out = state(network, "before")
    network.double()
    y = torch.randint(0, 2, (FRAMES,)).double()
    x = (torch.randn(FRAMES, FEATURES) + 0.5 * y[:, None]).float().double()
    optimiser = torch.optim.SGD(network.parameters(), lr=0.02, momentum=0.9, weight_decay=1e-3)
    for start in range(0, FRAMES, BATCH):
        loss = nn.functional.binary_cross_entropy_with_logits(network(x[start : start + BATCH])[:, 0], y[start : start + BATCH])
        optimiser.zero_grad()
        loss.backward()
        if start == 0:
            out["loss"] = loss.detach().reshape(1)
            out["gradient"] = torch.cat([p.grad.flatten() for p in network.parameters()])
        optimiser.step()
    out |= state(network, "after") | {"x": x, "y": y}
    path = Path(__file__).parent.parent / "fixtures" / "discriminator.safetensors"
    save_file({name: value.float().contiguous() for name, value in out.items()}, path)
    print(path, path.stat().st_size, "bytes; torch", torch.__version__)


if __name__ == "__main__":
    main()
