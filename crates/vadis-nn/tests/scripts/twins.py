"""PyTorch twins of the networks in `src/networks` and of MLE's autoencoder, with the same names.

What the fixtures (`networks.py`) and the peer bench (`benches/peers.py`) are made with. Run as a
program it checks the published parameter counts. Written for torch 2.15.0.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SLOPE = 0.2


def scaled(channels: int, width: float) -> int:
    """Channels at a width multiplier, rounded half up, at least one."""
    return max(1, int(channels * width + 0.5))


def halves(size: int, strides: list[int]) -> list[int]:
    """An axis before and after each convolution of kernel 3 and padding 1."""
    sizes = [size]
    for stride in strides:
        sizes.append((sizes[-1] - 1) // stride + 1)
    return sizes


def extra(before: int, stride: int) -> int:
    """Output padding that brings an axis back to `before`."""
    return (before - 1) % stride


class Path(nn.Module):
    """Layers called `<kind>1`, `norm1`, `<kind>2` ...: convolution, batch norm, leaky ReLU."""

    def __init__(self, kind: str, layers: list[nn.Module], last_plain: bool = False) -> None:
        super().__init__()
        self.kind, self.depth, self.last_plain = kind, len(layers), last_plain
        for i, layer in enumerate(layers, 1):
            self.add_module(f"{kind}{i}", layer)
            if not (last_plain and i == len(layers)):
                self.add_module(f"norm{i}", nn.BatchNorm3d(layer.out_channels))

    def layer(self, i: int, x: Tensor) -> Tensor:
        x = getattr(self, f"{self.kind}{i}")(x)
        if self.last_plain and i == self.depth:
            return x
        return F.leaky_relu(getattr(self, f"norm{i}")(x), SLOPE)

    def forward(self, x: Tensor) -> Tensor:
        for i in range(1, self.depth + 1):
            x = self.layer(i, x)
        return x


class Ae3d(nn.Module):
    """MemAE's network without its memory (Gong et al., ICCV 2019): [n, c, t, h, w] in [-1, 1]."""

    STRIDES = [(1, 2, 2), (2, 2, 2), (2, 2, 2), (2, 2, 2)]

    def __init__(self, channels: int, size: tuple[int, int, int], width: float = 1.0) -> None:
        super().__init__()
        a, b, c = (scaled(n, width) for n in (96, 128, 256))
        widths = [channels, a, b, c, c]
        convs = [
            nn.Conv3d(widths[i], widths[i + 1], 3, stride, 1) for i, stride in enumerate(self.STRIDES)
        ]
        sizes = [halves(size[axis], [s[axis] for s in self.STRIDES]) for axis in range(3)]
        back = [c, c, b, a, channels]
        deconvs = []
        for i in range(4):
            stride = self.STRIDES[3 - i]
            padding = tuple(extra(sizes[axis][3 - i], stride[axis]) for axis in range(3))
            deconvs.append(nn.ConvTranspose3d(back[i], back[i + 1], 3, stride, 1, padding))
        self.encoder = Path("conv", convs)
        self.decoder = Path("deconv", deconvs, last_plain=True)

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.decoder(self.encoder(x)))


class Memory(nn.Module):
    """MemAE's addressing: softmax, hard shrinkage (its Eq. 7), L1 normalisation."""

    def __init__(self, slots: int, features: int, shrink: float) -> None:
        super().__init__()
        self.shrink = shrink
        self.weight = nn.Parameter(torch.empty(slots, features).uniform_(-1, 1) / features**0.5)

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        rows = z.movedim(1, -1)
        w = torch.softmax(rows @ self.weight.T, -1)
        w = F.relu(w - self.shrink) * w / ((w - self.shrink).abs() + 1e-12)
        w = F.normalize(w, p=1, dim=-1)
        entropy = -(w * torch.log(w + 1e-12)).sum(-1).mean()
        return (w @ self.weight).movedim(-1, 1), entropy


class MemAe(Ae3d):
    """`Ae3d` with 2000 memory items between encoder and decoder; gives the addressing's entropy too."""

    ENTROPY_WEIGHT = 2e-4

    def __init__(self, channels, size, width=1.0, slots=2000, shrink=0.0025) -> None:
        super().__init__(channels, size, width)
        self.memory = Memory(slots, scaled(256, width), shrink)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        z, entropy = self.memory(self.encoder(x))
        return torch.tanh(self.decoder(z)), entropy


class Itae(nn.Module):
    """ITAE (paper 003, Table 1): every fourth frame into a wide path, every frame into a thin one.

    The published 7.74 M and 5.76 M parameters come out when the two laterals have a bias and no
    batch norm. `two_path=False` leaves the static path and the decoder.
    """

    TAU = 4

    def __init__(self, channels: int, width: float = 1.0, two_path: bool = True) -> None:
        super().__init__()
        a, b, c = (scaled(n, width) for n in (96, 128, 256))
        d, e, f = (scaled(n, width) for n in (12, 16, 32))
        joined = 2 if two_path else 1
        flat, half = (1, 2, 2), dict(stride=2, padding=1, output_padding=1)
        self.static = Path(
            "conv",
            [
                nn.Conv3d(channels, a, (1, 3, 3), flat, (0, 1, 1)),
                nn.Conv3d(joined * a, b, (1, 3, 3), flat, (0, 1, 1)),
                nn.Conv3d(b, c, 3, 1, 1),
                nn.Conv3d(c, c, 3, 1, 1),
            ],
        )
        if two_path:
            self.dynamic = Path(
                "conv",
                [
                    nn.Conv3d(channels, d, (5, 3, 3), flat, (2, 1, 1)),
                    nn.Conv3d(d, e, 3, flat, 1),
                    nn.Conv3d(e, f, 3, 1, 1),
                    nn.Conv3d(f, f, 3, 1, 1),
                ],
            )
            lateral = dict(kernel_size=(5, 1, 1), stride=(self.TAU, 1, 1), padding=(2, 0, 0))
            self.lateral = nn.Conv3d(d, a, **lateral)
            self.fusion = nn.Conv3d(f, c, **lateral)
        self.two_path = two_path
        # A transposed convolution of stride 1 is a convolution; PyTorch is faster with it as one.
        self.decoder = Path(
            "deconv",
            [
                nn.Conv3d(joined * c, c, 3, 1, 1),
                nn.ConvTranspose3d(c, b, 3, **half),
                nn.ConvTranspose3d(b, a, 3, **half),
                nn.Conv3d(a, channels, 3, 1, 1),
            ],
            last_plain=True,
        )

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Features of the static path (before the fusion) and of the dynamic path."""
        s = self.static.layer(1, x[:, :, :: self.TAU])
        d = None
        if self.two_path:
            d = self.dynamic.layer(1, x)
            s = torch.cat([s, self.lateral(d)], 1)
            for i in (2, 3, 4):
                d = self.dynamic.layer(i, d)
        for i in (2, 3, 4):
            s = self.static.layer(i, s)
        return s, d

    def forward(self, x: Tensor) -> Tensor:
        s, d = self.encode(x)
        if d is not None:
            s = torch.cat([s, self.fusion(d)], 1)
        return torch.tanh(self.decoder(s))


class Cae(nn.Module):
    """The standard autoencoder of paper 004, Table 1: [n, c, h, w] in [0, 1], sides divisible by 8."""

    def __init__(self, channels: int = 1, width: float = 1.0) -> None:
        super().__init__()
        a, b, c = (scaled(n, width) for n in (32, 64, 128))
        encoder = [(channels, a), (a, b), (b, c)]
        decoder = [(c, c), (c, b), (b, a), (a, channels)]
        self.encoder, self.decoder = (
            nn.ModuleDict({f"conv{i}": nn.Conv2d(*pair, 3, 1, 1) for i, pair in enumerate(pairs, 1)})
            for pairs in (encoder, decoder)
        )

    def forward(self, x: Tensor) -> Tensor:
        for conv in self.encoder.values():
            x = F.max_pool2d(F.relu(conv(x)), 2)
        for i in (1, 2, 3):
            x = F.interpolate(F.relu(self.decoder[f"conv{i}"](x)), scale_factor=2, mode="nearest")
        return torch.sigmoid(self.decoder["conv4"](x))


class PatchDiscriminator(nn.Module):
    """The discriminator of patches of `gan`: [n, c, h, w], to one channel at an eighth of the sides."""

    def __init__(self, channels: int = 1, width: float = 1.0) -> None:
        super().__init__()
        a, b, c = (scaled(n, width) for n in (32, 64, 128))
        self.conv1 = nn.Conv2d(channels, a, 3, 2, 1)
        self.conv2 = nn.Conv2d(a, b, 3, 2, 1)
        self.conv3 = nn.Conv2d(b, c, 3, 2, 1)
        self.conv4 = nn.Conv2d(c, 1, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        for conv in (self.conv1, self.conv2, self.conv3):
            x = F.leaky_relu(conv(x), 0.2)
        return self.conv4(x)


class Mle(nn.Module):
    """MLE's autoencoder (`vadis-systems/src/mle/network.rs`): [n, c, h, w] in [0, 1].

    Gives latents and reconstruction.
    """

    def __init__(self, channels: int, size: tuple[int, int], widths=(16, 32, 64), latent=256) -> None:
        super().__init__()
        h, w = (halves(n, [2, 2, 2]) for n in size)
        a, b, c = widths
        self.shape = (c, h[3], w[3])
        features = c * h[3] * w[3]

        def up(cin: int, cout: int, level: int) -> nn.Module:
            padding = (extra(h[level], 2), extra(w[level], 2))
            return nn.ConvTranspose2d(cin, cout, 3, 2, 1, padding)

        self.encoder = nn.ModuleDict(
            {
                "conv1": nn.Conv2d(channels, a, 3, 2, 1),
                "conv2": nn.Conv2d(a, b, 3, 2, 1),
                "conv3": nn.Conv2d(b, c, 3, 2, 1),
                "fc": nn.Linear(features, latent),
            }
        )
        self.decoder = nn.ModuleDict(
            {
                "fc": nn.Linear(latent, features),
                "deconv1": up(c, b, 2),
                "deconv2": up(b, a, 1),
                "deconv3": up(a, channels, 0),
            }
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        for name in ("conv1", "conv2", "conv3"):
            x = F.relu(self.encoder[name](x))
        z = self.encoder["fc"](x.flatten(1))
        y = F.relu(self.decoder["fc"](z)).unflatten(1, self.shape)
        for name in ("deconv1", "deconv2"):
            y = F.relu(self.decoder[name](y))
        return z, torch.sigmoid(self.decoder["deconv3"](y))


class ActNorm(nn.Module):
    """Glow, Section 3.1: exp(log_scale) * (x + bias), set by data."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels))
        self.log_scale = nn.Parameter(torch.zeros(channels))

    @torch.no_grad()
    def initialise(self, x: Tensor) -> None:
        self.bias.copy_(-x.mean((0, 2, 3)))
        self.log_scale.copy_(-torch.log(x.std((0, 2, 3), correction=0) + 1e-6))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = (x + self.bias.view(1, -1, 1, 1)) * self.log_scale.exp().view(1, -1, 1, 1)
        return y, self.log_scale.sum() * x.shape[2] * x.shape[3]


class Invertible(nn.Module):
    """Glow, Eqs. 10 and 11: a 1x1 convolution by P L (U + diag(sign exp(log_s))), at first a rotation."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        p, lower, upper = torch.linalg.lu(torch.linalg.qr(torch.randn(channels, channels))[0])
        s = upper.diagonal()
        self.register_buffer("p", p)
        self.register_buffer("sign", s.sign())
        self.lower = nn.Parameter(lower.tril(-1))
        self.upper = nn.Parameter(upper.triu(1))
        self.log_s = nn.Parameter(s.abs().log())

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        one = torch.eye(len(self.sign), dtype=x.dtype)
        upper = self.upper.triu(1) + torch.diag(self.sign * self.log_s.exp())
        w = self.p @ (self.lower.tril(-1) + one) @ upper
        return F.conv2d(x, w[:, :, None, None]), self.log_s.sum() * x.shape[2] * x.shape[3]


class Coupling(nn.Module):
    """The affine coupling; its hidden convolutions have neither bias nor norm."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels // 2, hidden, 3, 1, 1, bias=False)
        self.conv2 = nn.Conv2d(hidden, hidden, 1, bias=False)
        self.conv3 = nn.Conv2d(hidden, channels, 3, 1, 1)
        nn.init.zeros_(self.conv3.weight)
        nn.init.zeros_(self.conv3.bias)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        a, b = x.chunk(2, 1)
        raw, shift = self.conv3(F.relu(self.conv2(F.relu(self.conv1(a))))).chunk(2, 1)
        y = torch.cat([a, (b + shift) * torch.sigmoid(raw + 2)], 1)
        return y, F.logsigmoid(raw + 2).sum((1, 2, 3))


class GlowStep(nn.Module):
    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.actnorm = ActNorm(channels)
        self.permutation = Invertible(channels)
        self.coupling = Coupling(channels, hidden)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x, first = self.actnorm(x)
        x, second = self.permutation(x)
        x, third = self.coupling(x)
        return x, first + second + third


class Glow(nn.Module):
    """The flow of paper 003: [n, c, h, w] to negative log-likelihoods [n] in nats per dimension."""

    def __init__(self, channels: int, steps: int = 32, levels: int = 1, hidden: int = 512) -> None:
        super().__init__()
        self.levels = nn.ModuleList()
        for level in range(levels):
            width = channels * 2 ** (level + 2)
            self.levels.append(nn.ModuleList(GlowStep(width, hidden) for _ in range(steps)))

    @torch.no_grad()
    def initialise(self, x: Tensor) -> None:
        for index, level in enumerate(self.levels):
            x = F.pixel_unshuffle(x, 2)
            for step in level:
                step.actnorm.initialise(x)
                x, _ = step(x)
            x = x.chunk(2, 1)[0]

    def latents(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
        latents, log_det = [], x.new_zeros(len(x))
        for index, level in enumerate(self.levels):
            x = F.pixel_unshuffle(x, 2)
            for step in level:
                x, added = step(x)
                log_det = log_det + added
            if index + 1 < len(self.levels):
                x, z = x.chunk(2, 1)
                latents.append(z)
        return [*latents, x], log_det

    def forward(self, x: Tensor) -> Tensor:
        latents, log_det = self.latents(x)
        prior = sum(torch.distributions.Normal(0.0, 1.0).log_prob(z).sum((1, 2, 3)) for z in latents)
        return -(prior + log_det) / x[0].numel()


def renyi_entropy(z: Tensor) -> Tensor:
    """Order-2 Renyi entropy of latents [n, d]; sigma^2 is half the median squared distance."""
    squares = z.square().sum(1)
    distances = (squares[:, None] + squares[None, :] - 2 * z @ z.T).clamp_min(0)
    pairs = distances.detach()[*torch.triu_indices(len(z), len(z), 1)]
    sigma2 = (pairs.median() / 2).clamp_min(1e-8)
    a = -distances / (4 * sigma2)
    return 2 * torch.log(torch.tensor(float(len(z)))) - torch.logsumexp(a.flatten(), 0)


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def main() -> None:
    clip = (16, 256, 256)
    for network, count in [
        (Ae3d(3, clip), 5_991_171),
        (Ae3d(1, clip), 5_980_801),
        (MemAe(1, clip), 5_980_801 + 2000 * 256),
        (Itae(3), 7_740_491),
        (Itae(1), 7_732_497),
        (Itae(3, two_path=False), 5_764_803),
        (Itae(1, two_path=False), 5_757_889),
        (Cae(), 332_801),
        (Mle(1, (64, 64)), 2_148_033),
        (Glow(2), 10_163_200),
        (Glow(3), 11_053_568),
    ]:
        assert parameters(network) == count, (type(network).__name__, parameters(network), count)
    x = torch.randn(1, 3, 16, 64, 64)
    with torch.no_grad():
        for network in (Ae3d(3, (16, 64, 64)), Itae(3), Itae(3, two_path=False)):
            assert network(x).shape == x.shape
    print("parameter counts and shapes are as published; torch", torch.__version__)


if __name__ == "__main__":
    main()
