"""Where the CPU time of a training step goes, in resnetctl and in timm: a table of `speed.md`.

    pip install -r benchmarks/requirements.txt
    python benchmarks/step_profile.py

The programs of `compare.py`, on one thread, in fp32. They take turns; each turn profiles a few steps. torch's profiler
counts wall seconds: the CPU seconds of a step are divided by their shares, as other programs delay all parts alike.
"""

import argparse
import contextlib
import importlib
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import machine
import torch
from compare import BATCH, first_weights
from programs.task import Task
from torch.profiler import ProfilerActivity, profile
from worker import MODULES

PROGRAMS = ("resnetctl", "timm")
WARM = 2  # steps before those that are profiled
KINDS = {  # of operators, by a part of their name
    "convolutions": ("convolution", "mkldnn"),
    "norms": ("batch_norm",),
    "activations and sums": ("relu", "threshold", "clamp_min", "aten::add", "aten::add_"),
}
ALL = "whole step"


class Enough(Exception):
    """Raised within a program's loop after the last step that is needed."""


def main() -> None:
    """Print the table."""
    options = _options()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="resnetctl-profile-") as folder:
        tasks = [_task(name, options, Path(folder)) for name in PROGRAMS]
        first_weights(tasks[0])
        rounds = [[profiled(task, options.steps) for task in tasks] for _ in range(options.rounds)]
    print(f"{machine.hardware()}, one thread; {machine.versions('torch', 'timm')}; {options.arch}, n={len(rounds)}\n")
    print("| CPU seconds of a step | " + " | ".join(PROGRAMS) + " | ratio in a round |")
    print("| --- |" + " ---: |" * (len(PROGRAMS) + 1))
    for part in (*KINDS, "the rest", ALL):
        ours, its = ([pair[place][part] for pair in rounds] for place in (0, 1))
        ratios = [other / own for own, other in zip(ours, its, strict=True)]
        print(f"| {part} | {_spread(ours)} | {_spread(its)} | {_spread(ratios)} |")
    for parts in (["convolutions"], list(KINDS)):
        bound = [its[ALL] / sum(ours[part] for part in parts) for ours, its in rounds]
        print(f"\ntimm's step to our {', '.join(parts)} alone: {_spread(bound)}")


def profiled(task: Task, steps: int) -> dict[str, float]:
    """Return the CPU seconds of a step and of its parts, the mean of `steps` after a warm-up."""
    watch = profile(activities=[ProfilerActivity.CPU])
    clocks: list[tuple[float, float]] = []
    done = 0

    def step(_: int) -> None:
        nonlocal done
        done += 1
        if done == WARM:
            watch.start()
            clocks.append((time.perf_counter(), time.process_time()))
        elif done == WARM + steps:
            clocks.append((time.perf_counter(), time.process_time()))
            watch.stop()
            raise Enough

    program: Any = importlib.import_module(f"programs.{MODULES[task.program]}").Program(task)
    with contextlib.suppress(Enough):
        program.train(step, epochs=1)
    wall, spent = (after - before for before, after in zip(*clocks, strict=True))
    parts = dict.fromkeys(KINDS, 0.0)
    for operator in watch.key_averages():
        kind = next((kind for kind, names in KINDS.items() if any(name in operator.key for name in names)), "")
        if kind:
            parts[kind] += operator.self_cpu_time_total / 1e6 / wall * spent / steps
    return parts | {"the rest": spent / steps - sum(parts.values()), ALL: spent / steps}


def _spread(values: list[float]) -> str:
    return f"{statistics.median(values):.3f} ({min(values):.3f}-{max(values):.3f})"


def _task(name: str, options: argparse.Namespace, folder: Path) -> Task:
    return Task(
        program=name, variant="" if name == "resnetctl" else "0 workers", arch=options.arch,
        data_dir=str(options.data_dir), data=options.data, weights=str(folder / "first.safetensors"),
        runs=str(folder / f"runs-{time.monotonic_ns()}"), batch=BATCH, threads=1,
    )  # fmt: skip


def _options() -> argparse.Namespace:
    from resnetctl.system import settings

    parser = argparse.ArgumentParser(description="where the CPU time of a step goes")
    parser.add_argument("--data", default="cifar10-jpeg", help="stored dataset of 32x32 pictures")
    parser.add_argument("--data-dir", type=Path, default=settings.load().data_dir)
    parser.add_argument("--arch", default="resnet56")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=3)
    return parser.parse_args()


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
