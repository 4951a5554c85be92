"""Writes fixtures/losses.safetensors: values and gradients of the losses by PyTorch, in 64 bits.

The frames are made by the same arithmetic in tests/losses.rs, so that only results are stored; of
gradients, every 7th element. MS-SSIM is PyPI's `pytorch-msssim`: its public function where it takes
five scales, and its own single-scale function in a loop where frames are too small for that. Run with
torch 2.15.0, pytorch-msssim 1.0.0, numpy and safetensors.
"""

from pathlib import Path

import numpy as np
import pytorch_msssim
import torch
from pytorch_msssim.ssim import _fspecial_gauss_1d, _ssim
from safetensors.torch import save_file
from torch import nn

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
# Shape (batch, channels, time, height, width), range, scales.
CASES = {
    "five": ((1, 1, 2, 163, 170), 2.0, 5),
    "three": ((1, 2, 2, 45, 52), 1.0, 3),
    "one": ((2, 1, 1, 11, 13), 2.0, 1),
}


def frames(shape: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A ramp with noise, another blend of them, and weights: in [-1, 1], [-1, 1] and [0, 1]."""
    i = np.arange(np.prod(shape), dtype=np.uint64)
    noise = lambda seed: ((i + seed) * 2654435761 % 2**32).astype(np.float64) / 2**31 - 1
    row, column = i // shape[-1], i % shape[-1]
    ramp = (row * 3 + column * 5 & 63).astype(np.float64) / 32 - 1
    as_tensor = lambda v: torch.from_numpy(v.astype(np.float32)).double().view(shape)
    return (
        as_tensor(0.7 * ramp + 0.3 * noise(0)),
        as_tensor(0.6 * ramp + 0.4 * noise(1000)),
        as_tensor(noise(77) * 0.5 + 0.5),
    )


def ms_ssim(x: torch.Tensor, y: torch.Tensor, data_range: float, scales: int) -> torch.Tensor:
    x, y = (t.transpose(1, 2).flatten(0, 1) for t in (x, y))
    if scales == 5:
        return pytorch_msssim.ms_ssim(x, y, data_range=data_range)
    window = _fspecial_gauss_1d(11, 1.5).repeat(x.shape[1], 1, 1, 1).double()
    weights = torch.tensor(WEIGHTS[:scales], dtype=torch.float64)
    weights /= weights.sum()
    terms = []
    for scale in range(scales):
        ssim, cs = _ssim(x, y, data_range=data_range, win=window, size_average=False)
        terms.append(torch.relu(cs if scale < scales - 1 else ssim))
        padding = [s % 2 for s in x.shape[2:]]
        x, y = (nn.functional.avg_pool2d(t, 2, padding=padding) for t in (x, y))
    return torch.prod(torch.stack(terms) ** weights.view(-1, 1, 1), dim=0).mean()


def gradient_loss(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return sum((x.diff(dim=d).abs() - y.diff(dim=d).abs()).abs().mean() for d in (-1, -2))


def renyi(z: torch.Tensor, sigma2: torch.Tensor) -> torch.Tensor:
    a = -(z[:, None] - z[None]).square().sum(-1) / (4 * sigma2)
    return 2 * np.log(len(z)) - torch.logsumexp(a.flatten(), 0)


def main() -> None:
    out: dict[str, torch.Tensor] = {}

    def keep(name: str, x: torch.Tensor, loss: torch.Tensor) -> None:
        (gradient,) = torch.autograd.grad(loss, x)
        out[name] = loss.detach().float().view(1)
        out[f"{name}.gradient"] = gradient.flatten()[::7].float().contiguous()

    for name, (shape, data_range, scales) in CASES.items():
        x, y, w = frames(shape)
        x.requires_grad_()
        similar = 1 - ms_ssim(x, y, data_range, scales)
        keep(f"{name}.ms_ssim", x, similar)
        if name == "three":
            squared = (x - y).square().mean()
            keep("three.mse", x, squared)
            keep("three.weighted_mse", x, (w * (x - y).square()).mean())
            keep("three.gradient_loss", x, gradient_loss(x, y))
            similar = 1 - ms_ssim(x, y, data_range, scales)
            keep("three.sum", x, 0.5 * (x - y).square().mean() + 2 * similar + 3 * gradient_loss(x, y))

    z = frames((1, 1, 1, 48, 40))[0].view(48, 40).requires_grad_()
    distance2 = (z[:, None] - z[None]).square().sum(-1)
    pairs = distance2[tuple(torch.triu_indices(48, 48, 1))]
    median = pairs.sort().values[len(pairs) // 2].detach()
    keep("renyi.median", z, renyi(z, median / 2))
    keep("renyi.mean", z, renyi(z, (z[:, None] - z[None]).square().sum() / (48 * 47) / 2))
    keep("renyi.fixed", z, renyi(z, torch.tensor(1.5**2)))

    path = Path(__file__).parent.parent / "fixtures" / "losses.safetensors"
    save_file(out, path)
    print(path, path.stat().st_size, "bytes; torch", torch.__version__)
    for name, value in out.items():
        if not name.endswith("gradient"):
            print(name, value.item())


if __name__ == "__main__":
    main()
