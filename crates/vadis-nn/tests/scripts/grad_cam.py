"""The fixture of Grad-CAM: maps of each layer of the twin of `cae`, by PyTorch's autograd.

    python grad_cam.py  writes ../fixtures/grad_cam.safetensors

Weights and input are those of `cae.state.safetensors` and `cae.safetensors`, two inputs that count as the passes of one
network. The score is a weighted sum of the squared errors against 1 - x; `weights` are its weights, and
`<layer>` is ReLU(sum over inputs and channels of the gradient's mean over space times the activation), enlarged to the
frame (Selvaraju et al., ICCV 2017, Eqs. 1 and 2). In double precision; run with torch 2.15.0 and safetensors.
"""

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F

import twins

FIXTURES = Path(__file__).parent.parent / "fixtures"
LAYERS = [f"{part}.conv{i}" for part in ("encoder", "decoder") for i in (1, 2, 3)]


def activations(network: twins.Cae, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """The output, and the values after each layer's ReLU, whose gradients are kept."""
    seen = {}

    def layer(name: str, conv: torch.nn.Module, x: Tensor) -> Tensor:
        seen[name] = F.relu(conv(x))
        seen[name].retain_grad()
        return seen[name]

    for i in (1, 2, 3):
        x = F.max_pool2d(layer(f"encoder.conv{i}", network.encoder[f"conv{i}"], x), 2)
    for i in (1, 2, 3):
        x = layer(f"decoder.conv{i}", network.decoder[f"conv{i}"], x)
        x = F.interpolate(x, scale_factor=2, mode="nearest")
    return torch.sigmoid(network.decoder["conv4"](x)), seen


def main() -> None:
    network = twins.Cae(1, width=1 / 4)
    network.load_state_dict(load_file(FIXTURES / "cae.state.safetensors"), strict=True)
    network.double()
    x = load_file(FIXTURES / "cae.safetensors")["x"].double()
    weights = torch.zeros_like(x)
    weights[:, :, 3:9, 8:16] = torch.linspace(0.5, 1.5, 2 * 6 * 8, dtype=x.dtype).view(2, 1, 6, 8)
    y, seen = activations(network, x)
    assert torch.equal(y, network(x))
    (weights * (y - (1 - x)).square()).sum().backward()
    maps = {"weights": weights}
    for name in LAYERS:
        values, gradient = seen[name].detach(), seen[name].grad
        map = F.relu((gradient.mean((2, 3), keepdim=True) * values).sum((0, 1), keepdim=True))
        maps[name] = F.interpolate(map, size=x.shape[2:], mode="bilinear", align_corners=False)[0, 0]
    save_file({n: t.float().contiguous() for n, t in maps.items()}, FIXTURES / "grad_cam.safetensors")
    print({n: (float(t.min()), float(t.max())) for n, t in maps.items()}, "torch", torch.__version__)


if __name__ == "__main__":
    main()
