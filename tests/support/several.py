"""Runs of several real processes, as a user starts them."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from support.certification import Bench

PROGRAM = (sys.executable, "-m", "resnetctl")
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--nproc-per-node")
SHARDS = ("shards=4", "threads=1", "batch_size=16")


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code, its output, and the seconds since its signal."""

    code: int
    output: str
    seconds: float


def environment(bench: Bench) -> dict[str, str]:
    """Return the environment of the bench's own commands."""
    return {**os.environ, **bench.shop.environment}


def start(bench: Bench, cwd: Path, words: list[str], program: tuple[str, ...] = PROGRAM) -> "subprocess.Popen[bytes]":
    """Start `PROGRAM WORDS` in `cwd`, with its output in a file."""
    with (cwd / "output.txt").open("wb") as output:
        return subprocess.Popen([*program, *words], cwd=cwd, env=environment(bench), stdout=output, stderr=output)


def run(bench: Bench, cwd: Path, words: list[str], program: tuple[str, ...] = PROGRAM) -> Ended:
    return wait(start(bench, cwd, words, program), cwd)


def wait(process: "subprocess.Popen[bytes]", cwd: Path) -> Ended:
    began = time.monotonic()
    code = process.wait(timeout=240)
    return Ended(code, (cwd / "output.txt").read_text(errors="replace"), time.monotonic() - began)


def words(bench: Bench, cwd: Path, processes: int, sets: tuple[str, ...]) -> list[str]:
    """Return the command line that starts the run, or resumes it if it exists."""
    exists = (cwd / "runs" / "r" / "config.toml").exists()
    begin = ["train", "--resume", "r"] if exists else bench.start(sets)
    return [*begin, *(["--processes", str(processes)] if processes > 1 else [])]


def until(condition: Callable[[], bool], seconds: float = 180) -> None:
    """Wait until the condition holds. Raises `AssertionError` if it takes too long."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it takes too long"
        time.sleep(0.01)


def lines(cwd: Path) -> int:
    """Return how many epochs the run has logged."""
    log = cwd / "runs" / "r" / "metrics.jsonl"
    return log.read_bytes().count(b"\n") if log.exists() else 0


def children(pid: int) -> list[int]:
    """Return the child processes, oldest first."""
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(word) for word in text.split()]


def is_alive(pid: int) -> bool:
    """Return whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def kill(pid: int, name: str) -> None:
    os.kill(pid, getattr(signal, name))
