"""Writes fixtures/autoencoder.safetensors: MLE's autoencoder in PyTorch at a small, odd size.

Weights under their names, `x`, the output `y` of the loss sum(y * dy), `dy`, and every gradient
as `grad.<name>` (`grad.x` for the input's). Run with torch 2.15.0, numpy and safetensors.
"""

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

C, H, W = 3, 9, 14


def extra(n: int) -> int:
    return 1 - n % 2


def main() -> None:
    torch.manual_seed(0)
    torch.use_deterministic_algorithms(True)
    h = [H, (H + 1) // 2, (H + 3) // 4, (H + 7) // 8]
    w = [W, (W + 1) // 2, (W + 3) // 4, (W + 7) // 8]
    features = 32 * h[3] * w[3]
    net = nn.ModuleDict(
        {
            "conv1": nn.Conv2d(C, 8, 3, 2, 1),
            "conv2": nn.Conv2d(8, 16, 3, 2, 1),
            "conv3": nn.Conv2d(16, 32, 3, 2, 1),
            "encode": nn.Linear(features, 12),
            "decode": nn.Linear(12, features),
            "deconv1": nn.ConvTranspose2d(32, 16, 3, 2, 1, (extra(h[2]), extra(w[2]))),
            "deconv2": nn.ConvTranspose2d(16, 8, 3, 2, 1, (extra(h[1]), extra(w[1]))),
            "deconv3": nn.ConvTranspose2d(8, C, 3, 2, 1, (extra(h[0]), extra(w[0]))),
        }
    )
    x = torch.rand(4, C, H, W, requires_grad=True)
    z = x
    for name in ("conv1", "conv2", "conv3"):
        z = torch.relu(net[name](z))
    z = net["encode"](z.flatten(1))
    z = torch.relu(net["decode"](z)).view(4, 32, h[3], w[3])
    z = torch.relu(net["deconv1"](z))
    z = torch.relu(net["deconv2"](z))
    y = torch.sigmoid(net["deconv3"](z))
    dy = torch.randn_like(y)
    (y * dy).sum().backward()

    tensors = {name: p.detach() for name, p in net.named_parameters()}
    tensors |= {f"grad.{name}": p.grad for name, p in net.named_parameters()}
    tensors |= {"x": x.detach(), "grad.x": x.grad, "y": y.detach(), "dy": dy}
    path = Path(__file__).parent.parent / "fixtures" / "autoencoder.safetensors"
    save_file({k: v.contiguous() for k, v in tensors.items()}, path)
    print(path, path.stat().st_size, "bytes; torch", torch.__version__)


if __name__ == "__main__":
    main()
