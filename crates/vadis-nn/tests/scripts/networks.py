"""Fixtures of the networks: weights, one training step and the inference after it, by PyTorch.

    python networks.py               writes ../fixtures/<network>.safetensors and <network>.state.safetensors
    python networks.py --check DIR   loads what the Rust test `networks` saved to DIR into the twins

`<network>.state.safetensors` is the module's `state_dict`. The other file has, computed in double
precision from those weights: `x`, `y`, `loss` (the target is 1 - x), the running statistics after the step as
`after.<name>`, the gradients as `grad.<name>` (`grad.x` for the input's), and `inference`, the output
in evaluation mode after the step. Run with torch 2.15.0, numpy and safetensors.
"""

import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

import twins

FIXTURES = Path(__file__).parent.parent / "fixtures"
ODD = (8, 17, 22)  # 17 and 22 pixels become 9, 5, 3, 2 and 11, 6, 3, 2
EVEN = (8, 12, 16)

# network, input shape
CASES = {
    "ae3d": (lambda: twins.Ae3d(3, ODD, width=1 / 12), (2, 3, *ODD)),
    "memae": (lambda: twins.MemAe(1, ODD, width=1 / 16, slots=50, shrink=0.02), (2, 1, *ODD)),
    "itae": (lambda: twins.Itae(3, width=1 / 16), (2, 3, *EVEN)),
    "one_path": (lambda: twins.Itae(1, width=1 / 16, two_path=False), (2, 1, *EVEN)),
    "cae": (lambda: twins.Cae(1, width=1 / 4), (2, 1, 16, 24)),
    "mle": (lambda: twins.Mle(3, (9, 14), (8, 16, 32), latent=12), (4, 3, 9, 14)),
}


def step(network: nn.Module, x: Tensor, target: Tensor) -> dict[str, Tensor]:
    """Outputs and a loss in which every output has a gradient of its own."""
    given = network(x)
    if isinstance(network, twins.MemAe):
        y, entropy = given
        return {"y": y, "entropy": entropy, "loss": F.mse_loss(y, target) + 0.05 * entropy}
    if isinstance(network, twins.Mle):
        z, y = given
        weights = torch.linspace(-1, 1, z.numel(), dtype=z.dtype).view_as(z)
        return {"y": y, "z": z, "loss": F.mse_loss(y, target) + 0.01 * (weights * z).sum()}
    return {"y": given, "loss": F.mse_loss(given, target)}


def randomise_norms(network: nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, nn.BatchNorm3d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.5, 0.5)
            nn.init.uniform_(module.running_mean, -0.5, 0.5)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            module.num_batches_tracked.fill_(3)


def write(name: str) -> int:
    torch.manual_seed(0)
    build, shape = CASES[name]
    network = build()
    randomise_norms(network)
    x = torch.rand(shape)
    state = FIXTURES / f"{name}.state.safetensors"
    save_file(network.state_dict(), state)
    network.double()
    input = x.double().requires_grad_()
    given = step(network, input, 1 - x.double())
    given["loss"].backward()
    tensors = {"x": x, "grad.x": input.grad} | given
    tensors |= {f"grad.{n}": p.grad for n, p in network.named_parameters()}
    tensors |= {f"after.{n}": b for n, b in network.named_buffers()}
    with torch.no_grad():
        tensors["inference"] = step(network.eval(), x.double(), x.double())["y"]
    path = FIXTURES / f"{name}.safetensors"
    save_file({n: t.detach().float().contiguous() for n, t in tensors.items()}, path)
    return state.stat().st_size + path.stat().st_size


def check(folder: Path) -> None:
    for name, (build, _) in CASES.items():
        network = build()
        network.load_state_dict(load_file(folder / f"{name}.safetensors"), strict=True)
        expected = load_file(FIXTURES / f"{name}.state.safetensors")
        for key, value in network.state_dict().items():
            assert value.dtype == expected[key].dtype and torch.equal(value, expected[key]), (name, key)
        print(name, "loads, and is what it was")


def main() -> None:
    if sys.argv[1:2] == ["--check"]:
        check(Path(sys.argv[2]))
        return
    sizes = {name: write(name) for name in CASES}
    print(sizes, sum(sizes.values()), "bytes; torch", torch.__version__)


if __name__ == "__main__":
    main()
