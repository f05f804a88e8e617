"""Baselines for `bench`: matrix multiply, memory copy, start-up of a process."""

import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial

import torch

from resnetctl.engine.stopwatch import Spread, Way, interleave, spread

SIDE = 1024  # rows and columns of a matrix: 2.1 GFLOP a product, three matrices of 4 MB
COPIED = 64 * 2**20  # bytes: more than the caches hold
START_UP: Mapping[str, tuple[str, ...]] = {
    "python": ("-c", "pass"),
    "resnetctl --version": ("-m", "resnetctl", "--version"),
    "resnetctl --help": ("-m", "resnetctl", "--help"),
    "import torch": ("-c", "import torch"),
}


def repeated(work: Callable[[], float], *, seconds: float) -> float:
    """Call `work` for about `seconds`; return its total per second. `work` returns the amount of one call."""
    began, done = time.perf_counter(), 0.0
    while time.perf_counter() - began < seconds or not done:
        done += work()
    return done / (time.perf_counter() - began)


def sgemm(device: torch.device) -> Callable[[], float]:
    """Return a function that multiplies two float32 matrices and returns the GFLOP of the product."""
    left, right = (torch.rand(SIDE, SIDE, device=device) for _ in range(2))

    def work() -> float:
        (left @ right)[0, 0].item()  # wait for the device
        return 2 * SIDE**3 / 1e9

    return work


def copy(device: torch.device) -> Callable[[], float]:
    """Return a function that copies memory and returns the GB that it read and wrote."""
    source = torch.ones(COPIED // 4, device=device)
    target = torch.empty_like(source)

    def work() -> float:
        target.copy_(source)[0].item()
        return 2 * COPIED / 1e9

    return work


def start_up(*, seconds: float, rounds: int) -> dict[str, Spread]:
    """Return wall seconds of commands, each in its own process, in turns.

    Leaves out a command that has no time for three rounds, see `interleave`.
    """
    ways: dict[str, Way] = {name: partial(_process, arguments) for name, arguments in START_UP.items()}
    return {name: spread(values) for name, values in interleave(ways, seconds=seconds, rounds=rounds).items()}


def _process(arguments: tuple[str, ...]) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
    return time.perf_counter() - began
