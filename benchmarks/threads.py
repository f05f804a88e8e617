"""Measure how idle threads should wait: sleep, spin briefly or spin, alone and with another busy process.

    resnetctl data add cifar10-jpeg.tar.xz --name cifar10-jpeg
    python benchmarks/threads.py

writes `benchmarks/threads.md` (5 minutes on two cores). The ways take turns, each in a process of its own.
"""

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import machine
from compare import BATCH, Running, first_weights
from programs.task import Task

from resnetctl.engine.stopwatch import Spread, ratios, spread
from resnetctl.system import settings

PROGRAM, SPINNING = "resnetctl", "resnetctl with spinning threads"
ONE, OURS = "one thread", "all cores, a short spin (resnetctl)"
NEIGHBOUR = "while True: pass"
PAGE = """# How idle threads wait

    python benchmarks/threads.py

{about}; the ways took turns. Images a second and ratio to one
thread of the same round: median (quartiles). The neighbour is one other process that never waits.

| | alone | ratio | beside a neighbour | ratio |
|---|---:|---:|---:|---:|
{rows}

Each thread gets an equal share of the work, so beside a neighbour that takes half of a core two threads can be as fast
as one that has a core for itself, and no faster; what they lose against it is the waiting for each other. Spinning
threads lose more: they keep the core from whoever has work. `OMP_WAIT_POLICY` set by the user wins.

{machine}; {date}.
"""


def main() -> None:
    """Measure without and with a neighbour, write the page."""
    options = _options()
    with tempfile.TemporaryDirectory(prefix="resnetctl-threads-") as folder, contextlib.ExitStack() as stack:
        task = Task(
            program=PROGRAM, variant="", arch=options.arch, data_dir=str(settings.load().data_dir), data=options.data,
            weights=str(Path(folder, "first.safetensors")), runs=str(Path(folder, "runs")), batch=BATCH,
            threads=options.cores,
        )  # fmt: skip
        first_weights(task)
        programs = {name: stack.enter_context(started(task, *way)) for name, way in ways(options.cores).items()}
        alone = measured(programs, options)
        busy = subprocess.Popen([sys.executable, "-c", NEIGHBOUR])
        stack.callback(busy.kill)
        beside = measured(programs, options)
    text = page(alone, beside, options)
    options.out.write_text(text, encoding="utf-8")
    print(text)


def ways(cores: int) -> dict[str, tuple[str, int, Mapping[str, str]]]:
    """Return program, threads and environment of each way."""
    return {
        ONE: (PROGRAM, 1, {}),
        "all cores, asleep at once": (PROGRAM, cores, {"OMP_WAIT_POLICY": "PASSIVE"}),
        OURS: (PROGRAM, cores, {}),
        "all cores, spinning (torch's default)": (SPINNING, cores, {}),
    }


@contextlib.contextmanager
def started(task: Task, program: str, threads: int, environment: Mapping[str, str]) -> Iterator[Running]:
    """Start a process that trains one sample per request."""
    before = dict(os.environ)
    os.environ.pop("OMP_WAIT_POLICY", None)
    os.environ.update(environment)
    running = Running(Task(**{**vars(task), "program": program, "threads": threads}))
    os.environ.clear()
    os.environ.update(before)
    try:
        yield running.ready()
    finally:
        running.close()


def measured(programs: Mapping[str, Running], options: argparse.Namespace) -> dict[str, list[float]]:
    """Return the images per second of each way, one per round."""
    found: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(options.rounds):
        for name, program in programs.items():
            sample = program.sample(options.seconds)
            found[name].append(sample.images / sample.seconds)
    return found


def page(alone: Mapping[str, list[float]], beside: Mapping[str, list[float]], options: argparse.Namespace) -> str:
    """Return the page as Markdown."""
    lines = [
        f"| {name} | {_rate(spread(alone[name]))} | {_ratio(ratios(alone[name], alone[ONE]))} "
        f"| {_rate(spread(beside[name]))} | {_ratio(ratios(beside[name], beside[ONE]))} |"
        for name in alone
    ]
    return PAGE.format(
        about=f"{options.arch}, batch {BATCH}, {options.cores} cores, {options.rounds} rounds of {options.seconds:g} s",
        rows="\n".join(lines),
        machine=f"{machine.hardware()}; {machine.versions('torch', 'resnetctl')}",
        date=time.strftime("%Y-%m-%d", time.gmtime()),
    )


def _rate(found: Spread) -> str:
    return f"{found.median:.0f} ({found.low:.0f}-{found.high:.0f})"


def _ratio(found: Spread) -> str:
    return f"{found.median:.2f} ({found.low:.2f}-{found.high:.2f})"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="how idle threads should wait")
    parser.add_argument("--arch", default="resnet20")
    parser.add_argument("--data", default="cifar10-jpeg", help="stored dataset of 32x32 pictures")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--cores", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("threads.md"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
