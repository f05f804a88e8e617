"""Measure the cost per image as datasets and networks grow: the tables of `growth.md`.

    resnetctl data add cifar10-jpeg.tar.xz --name cifar10-jpeg
    python benchmarks/growth.py

(10 minutes on two quiet cores, 3.5 GB of disk that are given back). The pictures of the data set are repeated into
stores of 10^3 to 10^6; then all of them take turns. So do the archs, each round beside a matrix product. Costs of data
are CPU seconds of the process, which waiting for a core does not touch.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from resnetctl.__main__ import OPENMP

os.environ["OMP_WAIT_POLICY"] = OPENMP["OMP_WAIT_POLICY"]  # as the command does; it is read when torch is loaded
os.environ["GOMP_SPINCOUNT"] = OPENMP["GOMP_SPINCOUNT"]
import compare
import machine
import report
from programs import ours
from programs.task import Array, Task

from resnetctl.engine.loop import StepResult, fit
from resnetctl.system.signals import Stop
from resnetctl.training.job import Job, fresh_model, fresh_state
from resnetctl.training.plan import make_plan

HERE = Path(__file__).parent
SIZES = (1_000, 10_000, 100_000, 1_000_000)
ARCHS = ("resnet20", "resnet56", "wrn16_4", "wrn28_10")
BATCHES, STEPS = 50, 2  # of the input pipeline and of training, in one round
SECONDS = 2.0  # of one arch in one round, at least; never less than a step


@dataclass
class Growth:
    """One size: microseconds of CPU an image to write and verify, then a value a round for inputs and for training."""

    pictures: int
    written: float
    opened: float  # milliseconds of CPU for the whole store
    verified: float
    inputs: list[float] = field(default_factory=list)
    steps: list[float] = field(default_factory=list)


def main() -> None:
    """Measure and write."""
    options = _options()
    with tempfile.TemporaryDirectory(prefix="resnetctl-growth-") as folder:
        task = Task(
            program="resnetctl", variant="", arch="resnet20", data_dir=str(options.data_dir), data=options.data,
            weights="", runs=folder, batch=options.batch, threads=options.threads,
        )  # fmt: skip
        sizes = data_sets(task, Path(folder), options=options)
        speeds = archs(task, options)
    text = page(sizes, speeds, options)
    options.out.write_text(text, encoding="utf-8")
    print(text)


def data_sets(task: Task, folder: Path, *, options: argparse.Namespace) -> list[Growth]:
    """Write stores of all sizes, then measure them in turn."""
    images, labels = task.pictures()
    warm = ours.Program(task).job().train
    warm.check(warm.index[: options.batch])  # what is loaded and made once is nobody's cost
    found, turns = [], []
    for size in options.sizes:
        written = _cpu(lambda size=size: repeat(folder, size, images=images, labels=labels)) / size * 1e6
        program = ours.Program(Task(**vars(task) | {"data_dir": str(folder), "data": f"growth-{size}"}))
        jobs: list[Job] = []
        opened = _cpu(lambda: jobs.append(program.job())) * 1e3  # noqa: B023  it is called at once
        verified = _cpu(lambda: jobs[0].train.check(jobs[0].train.index)) / size * 1e6  # noqa: B023
        found.append(Growth(size, written, opened, verified))
        turns.append(_turns(jobs[0]))
        compare.log(f"{size:,} pictures: {found[-1]}")
    for number in range(options.rounds):
        for growth, turn in zip(found, turns, strict=True):
            inputs, steps = next(turn)
            growth.inputs.append(inputs)
            growth.steps.append(steps)
        compare.log(f"round {number + 1}")
    return found


def repeat(folder: Path, size: int, *, images: Array, labels: Array) -> None:
    """Write a store of `size` pictures by repeating the given ones."""
    places = (place % len(labels) for place in range(size))
    pairs = ((images[place], labels[place]) for place in places)
    compare.store_pictures(folder, f"growth-{size}", pairs, classes=int(labels.max()) + 1)


def archs(task: Task, options: argparse.Namespace) -> dict[str, list[dict[str, float]]]:
    """Return images/s and GFLOP/s of each arch and round, and the matrix product's GFLOP/s just before."""
    nets = {name: _Net(Task(**vars(task) | {"arch": name, "batch": options.arch_batch})) for name in options.archs}
    found: dict[str, list[dict[str, float]]] = {name: [] for name in nets}
    for number in range(options.rounds):
        for name, net in nets.items():
            peak, rate = machine.sgemm(), net.images_per_second(SECONDS)
            found[name].append({"images": rate, "gflops": rate * net.flops / 1e9, "sgemm": peak})
            compare.log(f"{name} round {number + 1}: {found[name][-1]}")
    return found


def page(sizes: list[Growth], speeds: dict[str, list[dict[str, float]]], options: argparse.Namespace) -> str:
    """Markdown."""
    lines = [
        "# Growth",
        "",
        f"Made by `python benchmarks/growth.py` on {time.strftime('%Y-%m-%d', time.gmtime())}; do not edit.",
        "",
        f"{machine.hardware()}; {options.threads} threads. {machine.versions('torch', 'numpy', 'resnetctl')}. "
        f"n = {options.rounds} rounds, median (lower-upper quartile).",
        "",
        "## From 10^3 to 10^6 pictures",
        "",
        f"The pictures of `{options.data}`, repeated. Microseconds of CPU an image, but for opening: milliseconds in "
        "all. A store is written once, and each image verified once, in the first epoch; inputs are gather, augment "
        f"and normalise, training is the whole step of resnet20, batch {options.batch}.",
        "",
        "| pictures | write | open, ms | verify | inputs | training |",
        "| ---: | ---: | ---: | ---: | ---: | ---: |",
        *map(_size_line, sizes),
        "",
        "## From resnet20 to wrn28_10",
        "",
        f"Training steps of batch {options.arch_batch} beside a float32 matrix product of 2048 in the same round.",
        "",
        "| arch | MFLOP an image | images/s | GFLOP/s | of the matrix product |",
        "| --- | ---: | ---: | ---: | ---: |",
        *(_arch_line(name, rounds) for name, rounds in speeds.items()),
    ]
    return "\n".join(lines) + "\n"


class _Net:
    """Return a training step of an arch, and its FLOPs per image."""

    def __init__(self, task: Task) -> None:
        self.flops = ours.flops(task)
        job = ours.Program(task).job()
        self._facts = fit(fresh_state(job, fresh_model(job)), make_plan(job, Stop()))
        next(self._facts)

    def images_per_second(self, seconds: float) -> float:
        images, begun = 0, time.perf_counter()
        while (spent := time.perf_counter() - begun) < seconds:
            fact = next(self._facts)
            images += fact.images if isinstance(fact, StepResult) else 0
        return images / spent


def _turns(job: Job) -> Iterator[tuple[float, float]]:
    """Yield CPU microseconds per image for inputs and for training, one pair per request."""
    plan = make_plan(job, Stop())
    inputs, facts = ours.inputs(plan), fit(fresh_state(job, fresh_model(job)), plan)
    next(inputs)
    next(facts)
    while True:
        images = 0
        begun = time.process_time()
        for _ in range(BATCHES):
            images += len(next(inputs))
        middle, trained = time.process_time(), 0
        for _ in range(STEPS):
            fact = next(facts)
            trained += fact.images if isinstance(fact, StepResult) else 0
        yield (middle - begun) / images * 1e6, (time.process_time() - middle) / max(trained, 1) * 1e6


def _cpu(work: Callable[[], object]) -> float:
    begun = time.process_time()
    work()
    return time.process_time() - begun


def _size_line(growth: Growth) -> str:
    values = [f"{growth.pictures:,}", f"{growth.written:.1f}", f"{growth.opened:.0f}", f"{growth.verified:.1f}"]
    return "| " + " | ".join([*values, report.spread(growth.inputs, ".1f"), report.spread(growth.steps, ",.0f")]) + " |"


def _arch_line(name: str, rounds: list[dict[str, float]]) -> str:
    shares = [100 * values["gflops"] / values["sgemm"] for values in rounds]
    cost = statistics.median(values["gflops"] * 1e3 / values["images"] for values in rounds)
    rate, work = (report.spread([values[key] for values in rounds], ",.1f") for key in ("images", "gflops"))
    return f"| {name} | {cost:,.0f} | {rate} | {work} | {report.spread(shares, '.0f')} % |"


def _options() -> argparse.Namespace:
    from resnetctl.system import settings

    parser = argparse.ArgumentParser(description="cost of an image as data sets and networks grow")
    parser.add_argument("--data", default="cifar10-jpeg", help="stored dataset of 32x32 pictures")
    parser.add_argument("--data-dir", type=Path, default=settings.load().data_dir)
    parser.add_argument("--sizes", type=int, nargs="*", default=list(SIZES))
    parser.add_argument("--archs", nargs="*", default=list(ARCHS))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--batch", type=int, default=128, help="of the data sets (default: 128)")
    parser.add_argument("--arch-batch", type=int, default=32, help="of the archs (default: 32)")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--out", type=Path, default=HERE / "growth.md")
    return parser.parse_args()


if __name__ == "__main__":
    main()
