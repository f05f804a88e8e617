"""Training in bfloat16 beside float32 on a CPU, for `bf16.md`: the time of a step, and val accuracy.

    python benchmarks/bf16.py cifar10-jpeg --steps resnet20:fast resnet56:fast :speedrun
    python benchmarks/bf16.py cifar10-jpeg --pairs resnet20:fast --size 16 --epochs 6 --seeds 3

A contestant is ARCH:RECIPE; without ARCH it is that of the recipe. Steps of both take turns, on one thread, and their
CPU time is compared within each round. Pairs have the same seed, so the same first weights and the same batches.
"""

import argparse
import itertools
import statistics
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import machine
from training import job_of, train

from resnetctl.data.store import open_store
from resnetctl.engine.loop import fit
from resnetctl.system import settings
from resnetctl.system.signals import Stop
from resnetctl.training.job import Job, fresh_model, fresh_state, make_plan

BOTH = ("fp32", "bf16")
WARM, TIMED, ROUNDS = 3, 4, 9


def main() -> None:
    """Print one line for each network, or for each pair."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data")
    parser.add_argument("--steps", nargs="*", default=[], metavar="ARCH:RECIPE")
    parser.add_argument("--pairs", nargs="*", default=[], metavar="ARCH:RECIPE")
    parser.add_argument("--size", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    store = open_store(settings.load().data_dir, options.data)
    size = [f"size={options.size}"] if options.size else []
    print(f"{machine.hardware()}, one thread; {machine.versions('torch')}")
    for name in options.steps:
        jobs = {way: job_of(store, name, sets=[*size, f"precision={way}", "epochs=1"]) for way in BOTH}
        times = step_times(jobs)
        ratios = sorted(one / other for one, other in zip(*times.values(), strict=True))
        spread = f"{statistics.median(ratios):.2f} ({ratios[0]:.2f}-{ratios[-1]:.2f})"
        print(f"{name}: {' '.join(f'{way} {statistics.median(took):.4f} s' for way, took in times.items())}, {spread}")
    for name, seed in itertools.product(options.pairs, range(options.seeds)):
        for way in BOTH:
            sets = [*size, f"precision={way}", f"epochs={options.epochs}", f"seed={seed}"]
            report, seconds = train(job_of(store, name, sets=sets))
            print(f"{name}, seed {seed}, {way}: {report.top1:.2%} after {seconds:.0f} CPU s", flush=True)


def step_times(jobs: dict[str, Job]) -> dict[str, list[float]]:
    """Return the CPU seconds of a step in each round, for each way."""
    running: dict[str, Iterator[Any]] = {}
    for way, job in jobs.items():
        running[way] = fit(fresh_state(job, fresh_model(job)), replace(make_plan(job, Stop()), evaluate=None))
        list(itertools.islice(running[way], WARM))
    times: dict[str, list[float]] = {way: [] for way in jobs}
    for number in range(ROUNDS):
        for way in BOTH if number % 2 else reversed(BOTH):
            begun = time.process_time()
            list(itertools.islice(running[way], TIMED))
            times[way].append((time.process_time() - begun) / TIMED)
    return times


if __name__ == "__main__":
    main()
