"""The peer's side of a comparison: the search for the fastest variant, and the answers to what is asked."""

import json
import os
import resource
import sys
from collections.abc import Callable, Iterable
from typing import Protocol

import torch


class Runner(Protocol):
    """What is timed."""

    variant: str

    def run(self) -> tuple[float, float]:
        """Elapsed and processors' seconds of a run."""


def variants(compile: bool) -> list[str]:
    """Layouts and modes."""
    modes = ["eager", "compiled"] if compile else ["eager"]
    return [f"{layout}, {mode}" for mode in modes for layout in ("default", "channels-last")]


def form_of(variant: str, dimensions: int) -> torch.memory_format:
    """The layout that a variant names, for images or clips."""
    if not variant.startswith("channels-last"):
        return torch.contiguous_format
    return torch.channels_last if dimensions == 4 else torch.channels_last_3d


def fastest(names: Iterable[str], make: Callable[[str], Runner], label: str) -> str:
    """The variant with the shortest of two runs after a first one."""
    times = {}
    for name in names:
        try:
            runner = make(name)
            runner.run()
            times[name] = min(runner.run()[0] for _ in range(2))
            del runner
        except Exception as error:  # torch.compile refuses in many ways
            print(f"{name} does not work: {type(error).__name__}: {error}", file=sys.stderr)
    for name, seconds in times.items():
        print(f"  peer {label}, {name}: {seconds:.4f} s", file=sys.stderr)
    return min(times, key=times.__getitem__)


def answer(make: Callable[[], Runner], others: dict[str, Callable[[Runner], object]] | None = None) -> None:
    """Greets with a runner's variant and answers each line on stdin with one of JSON on stdout."""
    # Standard output is the protocol's: what libraries print goes to standard error.
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    say = lambda value: print(json.dumps(value), file=out, flush=True)
    runner = make()
    say({"variant": runner.variant, "torch": torch.__version__})
    for line in sys.stdin:
        match line.strip():
            case "run":
                say(runner.run())
            case "peak":
                say(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
            case other:
                say((others or {})[other](runner))
