"""Measure the CPU time of an image in two processes of one thread, and in one process of two threads.

    python benchmarks/scale.py

writes `benchmarks/scale.md` (10 minutes on two cores). The ways take turns. The time of starting Python and of the
files of a run is taken away: it is that of a short run, and a longer one does more steps only.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import machine

from resnetctl.engine.stopwatch import ratios, spread

WAYS = {
    "one process, two threads": ("--threads", "2"),
    "one process, one thread": ("--threads", "1"),
    "two processes, one thread each": ("--threads", "1", "--processes", "2"),
}
BASE = "one process, two threads"
RUN = (
    "train --data digits --size 32 --arch resnet20 --batch-size 128 --shards 2 --val-fraction 0 --set keep=last --steps"
)
SHORT, LONG = 4, 28  # steps; 4 of them fill the caches
PAGE = """# CPU time of several processes

    python benchmarks/scale.py

resnet20 on images of 32 px, batch 128 in two shards, {rounds} rounds; the ways took turns. CPU seconds of all processes
for 1,000 images, and the ratio to one process of two threads in the same round: median (quartiles). Starting Python is
not counted. Other programs kept {foreign:.1f} cores busy on average.

| | CPU s for 1,000 images | ratio |
| --- | ---: | ---: |
{rows}

{machine}; {date}.
"""


def main() -> None:
    """Measure in turns, write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("scale.md"))
    options = parser.parse_args()
    costs: dict[str, list[float]] = {name: [] for name in WAYS}
    before = machine.read()
    for number in range(options.rounds):
        for name in [*WAYS][:: -1 if number % 2 else 1]:
            costs[name].append(cost(WAYS[name]))
            print(f"round {number + 1}, {name}: {costs[name][-1]:.3f} CPU s for 1,000 images", flush=True)
    foreign = machine.read().since(before)["foreign"]
    rows = [row(name, values, costs[BASE]) for name, values in costs.items()]
    text = PAGE.format(
        rounds=options.rounds,
        foreign=foreign,
        rows="\n".join(rows),
        machine=f"{machine.hardware()}; {machine.versions('torch', 'resnetctl')}",
        date=time.strftime("%Y-%m-%d"),
    )
    options.out.write_text(text, encoding="utf-8")


def cost(way: tuple[str, ...]) -> float:
    """Return the CPU seconds of 1,000 images: those of a long run less those of a short one."""
    return 1000 * (seconds(way, LONG) - seconds(way, SHORT)) / (128 * (LONG - SHORT))


def seconds(way: tuple[str, ...], steps: int) -> float:
    """Return the CPU seconds of a run and all its processes."""
    with tempfile.TemporaryDirectory(prefix="resnetctl-scale-") as folder:
        words = [sys.executable, "-m", "resnetctl", *RUN.split(), str(steps), *way, "--out", folder]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=dict(os.environ))
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def row(name: str, values: list[float], base: list[float]) -> str:
    """Return the line of a way in the table."""
    own, ratio = spread(values), ratios(values, base)
    return (
        f"| {name} | {own.median:.2f} ({own.low:.2f}-{own.high:.2f}) "
        f"| {ratio.median:.2f} ({ratio.low:.2f}-{ratio.high:.2f}) |"
    )


if __name__ == "__main__":
    main()
