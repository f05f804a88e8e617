"""What a machine can do at best, and what a process costs: the measures that speeds are read beside."""

import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial

import torch

from resnetctl.engine.stopwatch import Spread, Way, interleave, spread

SIDE = 1024  # of the matrices: 2.1 GFLOP a product, three of 4 MB
COPIED = 64 * 2**20  # bytes: more than a cache holds
START_UP: Mapping[str, tuple[str, ...]] = {
    "python": ("-c", "pass"),
    "resnetctl --version": ("-m", "resnetctl", "--version"),
    "resnetctl --help": ("-m", "resnetctl", "--help"),
    "import torch": ("-c", "import torch"),
}


def repeated(work: Callable[[], float], *, seconds: float) -> float:
    """Work a second over about `seconds`: `work` returns how much one call does."""
    began, done = time.perf_counter(), 0.0
    while time.perf_counter() - began < seconds or not done:
        done += work()
    return done / (time.perf_counter() - began)


def sgemm(device: torch.device) -> Callable[[], float]:
    """A product of float32 matrices that returns its GFLOP: what the peak is measured with."""
    left, right = (torch.rand(SIDE, SIDE, device=device) for _ in range(2))

    def work() -> float:
        (left @ right)[0, 0].item()  # waits for the device
        return 2 * SIDE**3 / 1e9

    return work


def copy(device: torch.device) -> Callable[[], float]:
    """A copy in memory that returns the GB it read and wrote."""
    source = torch.ones(COPIED // 4, device=device)
    target = torch.empty_like(source)

    def work() -> float:
        target.copy_(source)[0].item()
        return 2 * COPIED / 1e9

    return work


def start_up(*, seconds: float, rounds: int) -> dict[str, Spread]:
    """Wall seconds of commands in processes of their own, in turns; the slowest are left out when time is short."""
    ways: dict[str, Way] = {name: partial(_process, arguments) for name, arguments in START_UP.items()}
    return {name: spread(values) for name, values in interleave(ways, seconds=seconds, rounds=rounds).items()}


def _process(arguments: tuple[str, ...]) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
    return time.perf_counter() - began
