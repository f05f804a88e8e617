"""bfloat16 beside float32 on a CPU, for `bf16.md`: the time of a training step and of predictions, and val accuracy.

    python benchmarks/bf16.py cifar10-jpeg --steps resnet20:fast resnet56:fast :speedrun
    python benchmarks/bf16.py cifar10-jpeg --predict resnet20:32 resnet56:32 resnet18:224 resnet50:224
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
import numpy as np
import torch
from training import job_of, train

from resnetctl import registry
from resnetctl.data.store import open_store
from resnetctl.engine.loop import fit
from resnetctl.engine.predictors import shipped_predictor
from resnetctl.models.resnet import build
from resnetctl.spec import ImageSpec
from resnetctl.system import settings
from resnetctl.system.signals import Stop
from resnetctl.training.job import Job, fresh_model, fresh_state
from resnetctl.training.plan import make_plan

BOTH = ("fp32", "bf16")
WARM, TIMED, ROUNDS = 3, 4, 9


def main() -> None:
    """Print one line for each network, or for each pair."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data")
    parser.add_argument("--steps", nargs="*", default=[], metavar="ARCH:RECIPE")
    parser.add_argument("--pairs", nargs="*", default=[], metavar="ARCH:RECIPE")
    parser.add_argument("--predict", nargs="*", default=[], metavar="ARCH:SIZE")
    parser.add_argument("--size", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    store = open_store(settings.load().data_dir, options.data)
    size = [f"size={options.size}"] if options.size else []
    print(f"{machine.hardware()}, one thread; {machine.versions('torch')}")
    for name in options.predict:
        print(f"{name}: prediction {ratio(prediction_times(name))}")
    for name in options.steps:
        jobs = {way: job_of(store, name, sets=[*size, f"precision={way}", "epochs=1"]) for way in BOTH}
        times = step_times(jobs)
        print(f"{name}: {ratio(times)}")
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


def prediction_times(name: str) -> dict[str, list[float]]:
    """Return the CPU seconds for an image in each round, for each way, in batches of about 2**18 pixels."""
    arch, _, size = name.partition(":")
    image = ImageSpec(size=int(size))
    count = max(1, 2**18 // image.size**2)
    images = np.random.default_rng(0).integers(0, 256, (count, image.size, image.size, 3), np.uint8)
    torch.set_num_threads(1)
    net = build(registry.get("arch", arch), classes=10, image=image)
    ways = {way: shipped_predictor(net, image, device=torch.device("cpu"), precision=way) for way in BOTH}
    times: dict[str, list[float]] = {way: [] for way in ways}
    for number in range(ROUNDS + 1):  # the first one warms up
        for way in BOTH if number % 2 else reversed(BOTH):
            begun = time.process_time()
            for _ in range(TIMED):
                ways[way](images)
            times[way].append((time.process_time() - begun) / TIMED / count)
    return {way: took[1:] for way, took in times.items()}


def ratio(times: dict[str, list[float]]) -> str:
    """Return the medians of both ways, and the median, smallest and largest ratio within a round."""
    ratios = sorted(one / other for one, other in zip(*times.values(), strict=True))
    medians = " ".join(f"{way} {statistics.median(took):.5f} s" for way, took in times.items())
    return f"{medians}, {statistics.median(ratios):.2f} ({ratios[0]:.2f}-{ratios[-1]:.2f})"


if __name__ == "__main__":
    main()
