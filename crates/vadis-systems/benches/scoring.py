"""PyTorch's side of `examples/bench_scoring`: one trained system, which scores a stream of frames.

    python scoring.py '{"model": "model.safetensors", "frames": "frames.raw", "count": 40, "push": 40, ...}'

Reads the model file that vadis wrote, and frames as bytes; scores as the system in `src` does, with the networks of
`vadis-nn/tests/scripts/twins.py`: batch norms folded into convolutions, the flows' 1×1 matrices multiplied out,
windows in batches. Takes the fastest of default and channels-last layout, eager and compiled, then of several windows at a
time (`variant` names one to take instead), and answers as `vadis-peers/python/side.py`, and `scores` with a row for each of the
first frames: score, indicators, mean heat; `flow_error` with how far OpenCV's flow is from ours. Needs what `scripts/bench-peers` installs.
"""

import json
import math
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from safetensors import safe_open
from side import answer, fastest, form_of, variants
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import fuse_conv_bn_eval

sys.path.insert(0, str(Path(__file__).parents[2] / "vadis-nn" / "tests" / "scripts"))
import twins  # noqa: E402

SHRINK = 4  # a picture's sides by those of `itae`'s features
LEAST = 1e-10  # squared errors below this are as good as none
BATCHES = (2, 4, 8)


class ModelFile:
    """A model that vadis wrote: its settings, its format, its arrays."""

    def __init__(self, path: str) -> None:
        with safe_open(path, "pt") as file:
            said = json.loads(file.metadata()["vadis"])
            self.tensors = {name: file.get_tensor(name) for name in file.keys()}
        self.system = said["system"]
        self.config = json.loads(said["config"])
        self.format = json.loads(said["input"])  # channels, height, width
        self.statistics = {c["name"]: c for c in json.loads(said["statistics"])["columns"]}
        assert self.tensors["reference.counts"].min() > 0, "every pixel must count"

    @property
    def clip(self) -> tuple[int, int, int]:
        return self.config["clip"], *self.format[1:]

    def load(self, network: nn.Module, part: str = "") -> nn.Module:
        """The network with the arrays whose names begin with `part`."""
        network.load_state_dict({name: self.tensors[part + name] for name in network.state_dict()})
        return network.eval()

    def standardised(self, column: str, value: float) -> float:
        known = self.statistics[column]
        return (value - known["mean"]) / (known["std"] or 1.0)


def fold(network: nn.Module) -> nn.Module:
    """Folds the batch norms of its paths into the convolutions."""
    for path in [m for m in network.modules() if isinstance(m, twins.Path)]:
        for i in range(1, path.depth + 1):
            conv, norm = getattr(path, f"{path.kind}{i}"), getattr(path, f"norm{i}", None)
            if norm is not None:
                transposed = isinstance(conv, nn.ConvTranspose3d)
                setattr(path, f"{path.kind}{i}", fuse_conv_bn_eval(conv, norm, transposed))
                setattr(path, f"norm{i}", nn.Identity())
    return network


class Constant(nn.Module):
    """An invertible 1×1 convolution whose matrix is multiplied out."""

    def __init__(self, learnt: twins.Invertible) -> None:
        super().__init__()
        channels = len(learnt.sign)
        x = torch.eye(channels)[:, :, None, None]
        with torch.no_grad():
            columns, log_det = learnt(x)
        self.register_buffer("weight", columns[:, :, 0, 0].T[:, :, None, None].contiguous())
        self.register_buffer("log_det", log_det)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return F.conv2d(x, self.weight), self.log_det * x.shape[2] * x.shape[3]


def constant(glow: twins.Glow) -> twins.Glow:
    for step in [m for m in glow.modules() if isinstance(m, twins.GlowStep)]:
        step.permutation = Constant(step.permutation)
    return glow


def nll(glow: twins.Glow, x: Tensor) -> Tensor:
    """Negative log-likelihoods in nats per dimension."""
    latents, log_det = glow.latents(x)
    prior = sum(-0.5 * (z.square() + math.log(2 * math.pi)).sum((1, 2, 3)) for z in latents)
    return -(prior + log_det) / x[0].numel()


def worst_patch(error: Tensor, side: int) -> Tensor:
    """Largest mean over a patch of each of [n, t, h, w]."""
    h, w = (min(side, n) for n in error.shape[2:])
    return F.avg_pool2d(F.avg_pool2d(error, (h, 1), 1), (1, w), 1).amax((2, 3))


def blurred(error: Tensor, side: int) -> Tensor:
    """Mean of the neighbourhood, cut off at the border."""
    r = side // 2
    rows = F.avg_pool2d(error, (2 * r + 1, 1), 1, (r, 0), count_include_pad=False)
    return F.avg_pool2d(rows, (1, 2 * r + 1), 1, (0, r), count_include_pad=False)


class ItaeNet(nn.Module):
    """What `itae-nf` makes of clips: worst patches [n, t], error maps [n, t, h, w], likelihoods of both paths [n, t/4], [n, t]."""

    def __init__(self, model: ModelFile) -> None:
        super().__init__()
        config = model.config
        assert config["flow_patch"] == 0, "the likelihood of whole frames only"
        self.patch = config["patch"]
        self.itae = fold(model.load(twins.Itae(model.format[0], config["width"])))
        flow = [config[f"flow_{name}"] for name in ("steps", "levels", "hidden")]
        self.flows = nn.ModuleList(
            constant(model.load(twins.Glow(maps, *flow), part))
            for maps, part in ((3, "static_flow."), (2, "dynamic_flow."))
        )
        self.register_buffer("scales", model.tensors["maps.scales"])

    def standardised(self, maps: Tensor, first: int) -> Tensor:
        """Of [n, t, maps, h, w] as images."""
        mean, deviation = self.scales[first : first + maps.shape[2], :, None, None].unbind(1)
        return ((maps - mean) / deviation).flatten(0, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        s, d = self.itae.encode(x)
        y = torch.tanh(self.itae.decoder(torch.cat([s, self.itae.fusion(d)], 1)))
        error = (x - y).abs().mean(1) / 2
        grey = F.avg_pool2d(x[:, :, :: twins.Itae.TAU].mean(1), SHRINK)
        appearance = self.standardised(torch.stack([s.amax(1), s.mean(1), grey], 2), 0)
        motion = self.standardised(torch.stack([d.amax(1), d.mean(1)], 2), 3)
        likelihoods = [
            nll(flow, maps).unflatten(0, (len(x), -1))
            for flow, maps in zip(self.flows, (appearance, motion))
        ]
        return worst_patch(error, self.patch), blurred(error, self.patch), *likelihoods


class MiddleNet(nn.Module):
    """What an `ae3d` makes of the frame in the middle: negative PSNR of frame and worst patch [n], error maps [n, h, w]."""

    def __init__(self, model: ModelFile, channels: int, part: str = "") -> None:
        super().__init__()
        self.middle, self.patch = model.config["clip"] // 2, model.config["patch"]
        self.ae3d = fold(model.load(twins.Ae3d(channels, model.clip, model.config["width"]), part))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        y = self.ae3d(x)[:, :, self.middle]
        error = (x[:, :, self.middle] - y).square().mean(1, keepdim=True) / 4
        means = error.mean((1, 2, 3)), worst_patch(error, self.patch)[:, 0]
        return *(10 * torch.log10(m.clamp_min(LEAST)) for m in means), blurred(error, self.patch)[:, 0]


class Windows:
    """A network on windows that slide over a stream, some at a time."""

    def __init__(self, network: nn.Module, length: int, stride: int, variant: str) -> None:
        self.form, self.batch = form_of(variant, 5), int(variant.split(", ")[2].split()[0])
        for weight in [p for p in network.parameters() if p.dim() in (4, 5)]:
            weight.data = weight.data.contiguous(memory_format=form_of(variant, weight.dim()))
        self.network = torch.compile(network, dynamic=False) if "compiled" in variant else network
        self.length, self.stride = length, stride
        self.recent: Tensor | None = None
        self.next = 0  # where the next window begins in `recent`

    def push(self, pictures: Tensor) -> Iterator[list[Tensor]]:
        """Takes pictures [channels, n, h, w]; gives the network's outputs for each window that is whole now."""
        recent = pictures if self.recent is None else torch.cat([self.recent, pictures], 1)
        starts = list(range(self.next, recent.shape[1] - self.length + 1, self.stride))
        self.next += len(starts) * self.stride
        dropped = min(self.next, recent.shape[1])
        self.recent, self.next = recent[:, dropped:], self.next - dropped
        for first in range(0, len(starts), self.batch):
            some = starts[first : first + self.batch]
            # A batch that is not full would be compiled anew.
            full = some + [some[-1]] * (self.batch - len(some))
            clips = torch.stack([recent[:, s : s + self.length] for s in full])
            outputs = self.network(clips.contiguous(memory_format=self.form))
            yield from ([out[i] for out in outputs] for i in range(len(some)))


class ItaeNf:
    """`itae-nf`, Eqs. 12 to 14."""

    def __init__(self, model: ModelFile, variant: str, flows: "Flows | None") -> None:
        self.model = model
        self.length, self.stride = model.config["clip"], model.config["score_stride"]
        self.windows = Windows(ItaeNet(model), self.length, self.stride, variant)
        # Sums over the clips so far of the frames that are not told yet; columns without a value are those of frames
        # that the static path skips.
        self.sums, self.counts = np.zeros((self.length, 3)), np.zeros((self.length, 3))
        self.heat, self.clips = np.zeros(model.clip, np.float32), np.zeros(self.length)
        self.said: list[tuple[int, float] | None] = [None] * 3

    def push(self, pictures: Tensor, frames: list[np.ndarray]) -> list[list[float]]:
        rows = []
        for worst, heat, appearance, motion in self.windows.push(pictures):
            self.sums[:, 0] += worst.numpy()
            self.sums[:: twins.Itae.TAU, 1] += appearance.numpy()
            self.sums[:, 2] += motion.numpy()
            self.counts[:, [0, 2]] += 1
            self.counts[:: twins.Itae.TAU, 1] += 1
            self.heat += heat.numpy()
            self.clips += 1
            rows += [self.tell(i) for i in range(self.stride)]
            for array in (self.sums, self.counts, self.heat, self.clips):
                array[: -self.stride] = array[self.stride :]
                array[-self.stride :] = 0
        return rows

    def tell(self, i: int) -> list[float]:
        values = [self.nearest(i, column) for column in range(3)]
        for column in range(3):
            if self.counts[i, column]:
                self.said[column] = (1, self.sums[i, column] / self.counts[i, column])
            elif self.said[column]:
                ago, value = self.said[column]
                self.said[column] = (ago + 1, value)
        error, appearance, motion = values
        likelihood = appearance + motion
        standard = self.model.standardised
        parts = (("likelihood", likelihood), ("likelihood_static", appearance), ("likelihood_dynamic", motion))
        score, *ablations = (standard("reconstruction", error) + standard(*part) for part in parts)
        heat = float((self.heat[i] / self.clips[i]).mean())
        return [score, error, likelihood, appearance, motion, *ablations, heat]

    def nearest(self, i: int, column: int) -> float:
        """The mean over the clips, or that of the nearest frame that has one."""
        there = np.flatnonzero(self.counts[i:, column])
        ahead, said = (there[0] if len(there) else None), self.said[column]
        if ahead is not None and (said is None or ahead < said[0]):
            return self.sums[i + ahead, column] / self.counts[i + ahead, column]
        return said[1] if said else 0.0


class Ae3d:
    """`ae3d`: the ninth of sixteen frames."""

    def __init__(self, model: ModelFile, variant: str, flows: "Flows | None") -> None:
        self.column = 1 if model.config["score"] == "patch" else 0
        self.windows = Windows(MiddleNet(model, model.format[0]), model.config["clip"], 1, variant)
        self.edges = model.config["clip"] // 2

    def push(self, pictures: Tensor, frames: list[np.ndarray]) -> list[list[float]]:
        rows = []
        for whole, worst, heat in self.windows.push(pictures):
            columns = [whole.item(), worst.item()]
            rows += [[columns[self.column], *columns, heat.mean().item()]] * (1 + self.edges)
            self.edges = 0
        return rows


class Pseudo:
    """`pseudo` without a discriminator: a frame and its flow, Eq. 6."""

    def __init__(self, model: ModelFile, variant: str, flows: "Flows") -> None:
        self.model, self.flows, config = model, flows, model.config
        assert not config["features"], "without a discriminator"
        self.edges = config["clip"] // 2
        self.first = 2 if config["score"] == "patch" else 0
        self.appearance, self.motion = (
            Windows(MiddleNet(model, channels, part), config["clip"], 1, variant)
            for channels, part in ((model.format[0], "appearance."), (3, "motion."))
        )
        self.waiting: deque[list[Tensor]] = deque()

    def push(self, pictures: Tensor, frames: list[np.ndarray]) -> list[list[float]]:
        self.waiting.extend(self.appearance.push(pictures))
        flows = self.flows.push(frames, self.model.config["flow_limit"])
        return [row for outputs in self.motion.push(flows) for row in self.told(outputs)]

    def told(self, motion: list[Tensor]) -> list[list[float]]:
        frames, patches, heats = zip(self.waiting.popleft(), motion)
        columns = [value.item() for value in (*frames, *patches)]
        chosen = columns[self.first : self.first + 2]
        named = zip(("appearance", "motion"), chosen)
        score = sum(self.model.config[f"{n}_weight"] * self.model.standardised(n, v) for n, v in named)
        heat = (heats[0] + heats[1]).mean().item()
        rows = [[score, *chosen, *columns, heat]] * (1 + self.edges)
        self.edges = 0
        return rows


def grey(frame: np.ndarray) -> np.ndarray:
    return frame[:, :, 0] if frame.shape[2] == 1 else cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)


class Flows:
    """OpenCV's TV-L1, a pair on each thread; or flows that are given, read from a file as the stream goes on."""

    def __init__(self, task: dict, shape: tuple[int, int]) -> None:
        self.last: np.ndarray | None = None
        self.given, self.at = np.fromfile(task["flows"], "<f4").reshape(-1, 2, *shape), 0
        self.takes_given = task["flow_given"]
        cv2.setNumThreads(1)
        self.pool, self.own = ThreadPoolExecutor(task["threads"]), threading.local()

    def error(self, frames: list[np.ndarray]) -> float:
        """Mean end-point error in pixels beside the given flows, of the pairs from the first frame on."""
        greys = [grey(frame) for frame in frames]
        own = np.stack([self.of_pair(pair) for pair in zip(greys, greys[1:])])
        return float(np.hypot(*(own - self.given[: len(own)]).swapaxes(0, 1)).mean())

    def of_pair(self, pair: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        if not hasattr(self.own, "tvl1"):
            self.own.tvl1 = cv2.optflow.DualTVL1OpticalFlow_create()
        return self.own.tvl1.calc(*pair, None).transpose(2, 0, 1)

    def push(self, frames: list[np.ndarray], limit: float) -> Tensor:
        """Takes frames [h, w, channels]; gives flows [3, n, h, w]: u, v and the length, in [-1, 1]."""
        if not self.takes_given:
            greys = [grey(frame) for frame in frames]
            greys = greys if self.last is None else [self.last, *greys]
            self.last = greys[-1]
            fields = np.stack(list(self.pool.map(self.of_pair, zip(greys, greys[1:]))), 1)
        else:
            count = len(frames) - (self.last is None)
            self.last = frames[-1]
            fields = np.stack([self.given[(self.at + i) % len(self.given)] for i in range(count)], 1)
            self.at += count
        both = torch.from_numpy(np.ascontiguousarray(fields))
        return torch.cat([both, torch.hypot(both[0], both[1])[None]]).div(limit).clamp(-1, 1)


class Runner:
    """A system in one variant over an endless stream: the frames forwards and backwards."""

    SYSTEMS = {"itae-nf": ItaeNf, "ae3d": Ae3d, "pseudo": Pseudo}

    def __init__(self, task: dict, model: ModelFile, variant: str) -> None:
        self.task, self.variant, self.model = task, variant, model
        channels, height, width = model.format
        frames = np.fromfile(task["frames"], np.uint8).reshape(-1, height, width, channels)
        self.frames = [*frames, *frames[-2:0:-1]]
        self.start()

    def start(self) -> None:
        self.at = 0
        flows = Flows(self.task, tuple(self.model.format[1:])) if self.model.system == "pseudo" else None
        self.system = self.SYSTEMS[self.model.system](self.model, self.variant, flows)

    @torch.inference_mode()
    def push(self, count: int) -> list[list[float]]:
        frames = [self.frames[(self.at + i) % len(self.frames)] for i in range(count)]
        self.at += count
        pictures = torch.from_numpy(np.stack(frames)).permute(3, 0, 1, 2).float() / 127.5 - 1
        return self.system.push(pictures, frames)

    def run(self) -> tuple[float, float]:
        """Seconds of a frame; the first run has the windows to fill before it."""
        if self.at == 0:
            self.push(self.task["warm"])
        start, count = (time.perf_counter(), time.process_time()), self.task["push"]
        self.push(count)
        return (time.perf_counter() - start[0]) / count, (time.process_time() - start[1]) / count

    def scores(self) -> list[list[float]]:
        self.start()
        return self.push(self.task["checked"])

    def flow_error(self) -> float:
        return self.system.flows.error(self.frames[: self.task["checked"]])


def search(task: dict, model: ModelFile) -> str:
    """The fastest variant, over a quarter of a run."""
    stride = model.config.get("score_stride", 1)
    windows = task["push"] // stride
    make = lambda some: partial(Runner, {**task, "push": some * stride}, model)
    some = max(1, windows // 4)
    best = fastest([f"{name}, 1 window" for name in variants(task["compile"])], make(some), model.system)
    batches = [n for n in BATCHES if windows % n == 0]
    together = [f"{best.rsplit(', ', 1)[0]}, {n} windows" for n in batches]
    return fastest([best, *together], make(max([some, *batches])), model.system)


def main() -> None:
    task = json.loads(sys.argv[1])
    torch.set_num_threads(task["threads"])
    model = ModelFile(task["model"])
    make = lambda: Runner(task, model, task.get("variant") or search(task, model))
    answer(make, {"scores": Runner.scores, "flow_error": Runner.flow_error})


if __name__ == "__main__":
    main()
