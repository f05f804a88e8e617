"""What a machine can do at best, and what a process costs: the measures that speeds are read beside."""

import contextlib
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

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
PROC = Path("/proc/self")


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


def processor() -> str:
    """The processor's name, as far as the system tells it."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


class Peak:
    """How far this process's memory grows at most, from its making on. Mapped files, such as the store, do not count.

    Linux only: elsewhere nothing tells mapped pages from others.
    """

    def __init__(self, proc: Path = PROC) -> None:
        self._proc = proc
        with contextlib.suppress(OSError):
            (proc / "clear_refs").write_text("5")  # makes the highest value so far the present one
        self._then = self._status()

    def grown(self) -> int | None:
        """Bytes more than in the beginning, at the highest."""
        then, now = self._then, self._status()
        if then is None or now is None:
            return None
        return max(0, now["VmHWM"] - then["VmRSS"] - max(0, now["RssFile"] - then["RssFile"]))

    def highest(self) -> int | None:
        """Bytes of the whole process at the highest, mapped files left out."""
        now = self._status()
        return None if now is None else max(0, now["VmHWM"] - now["RssFile"])

    def _status(self) -> dict[str, int] | None:
        try:
            lines = (line.split() for line in (self._proc / "status").read_text().splitlines())
            found = {words[0].rstrip(":"): int(words[1]) * 1024 for words in lines if words[-1:] == ["kB"]}
        except (OSError, ValueError):
            return None
        return found if {"VmHWM", "VmRSS", "RssFile"} <= found.keys() else None


def _process(arguments: tuple[str, ...]) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
    return time.perf_counter() - began
