"""Val accuracy that recipes reach in the same CPU time, as rows of `accuracy_for_time.md`.

    pip install -r benchmarks/requirements.txt
    python benchmarks/accuracy_for_time.py cifar10-jpeg --seconds 100 resnet20:sprint :speedrun torchvision timm

A contestant is ARCH:RECIPE; without ARCH it is that of the recipe. `torchvision` and `timm` train ResNet-20 by their
own published recipes (`programs.recipes`). Steps of each are timed at each side of its images, on one thread, and its
schedule covers as many as fit into `--seconds`. Val is measured once, after the last step.
"""

import argparse
import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import machine
import torch
from programs import recipes
from training import job_of, train

from resnetctl.data.store import Store, open_store
from resnetctl.engine.loop import fit
from resnetctl.engine.schedule import lengths
from resnetctl.system import settings
from resnetctl.system.signals import Stop
from resnetctl.training.job import Job, fresh_model, fresh_state
from resnetctl.training.plan import make_plan

TIMED, WARM = 4, 2  # steps at each side, and steps before them that are not counted
PEER_ARCH = "resnet20"
GUESS = 1000  # steps of the schedule whose stretches are timed; other schedules have the same shares


@dataclass(frozen=True, kw_only=True)
class Row:
    """What a contestant reached. `seconds`: CPU time of its steps."""

    name: str
    seed: int
    steps: int
    epochs: float
    seconds: float
    loss: float
    top1: float


def main() -> None:
    """Print a row for each contestant and seed as it comes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data")
    parser.add_argument("contestants", nargs="+", metavar="ARCH:RECIPE")
    parser.add_argument("--seconds", type=float, default=100.0, help="CPU seconds of the steps of each run")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--set", action="append", default=[], help="KEY=VALUE for every contestant")
    options = parser.parse_args()
    store = open_store(settings.load().data_dir, options.data)
    print(f"{machine.hardware()}, one thread; {machine.versions('torch')}; {options.seconds:.0f} CPU s a run")
    print("\n| network and recipe | seed | steps | epochs | CPU s | val loss | val accuracy |")
    print("|---|--:|--:|--:|--:|--:|--:|")
    for row in measure(store, options.contestants, seconds=options.seconds, seeds=options.seeds, sets=options.set):
        print(
            f"| {row.name} | {row.seed} | {row.steps:,} | {row.epochs:.2f} | {row.seconds:.0f} | {row.loss:.3f} "
            f"| {row.top1:.1%} |",
            flush=True,
        )


def measure(store: Store, contestants: list[str], *, seconds: float, seeds: int, sets: list[str]) -> Iterator[Row]:
    """Train every contestant with every seed, in turns; yield the rows."""
    ours = [name for name in contestants if name not in recipes.RECIPES]
    steps = {name: steps_within(seconds, job_of(store, name, sets=_length(GUESS, seed=0) + sets)) for name in ours}
    for seed, name in itertools.product(range(seeds), contestants):
        if name in steps:
            yield train_ours(job_of(store, name, sets=_length(steps[name], seed=seed) + sets), name)
        else:
            yield train_peer(store, name, seconds=seconds, seed=seed)


def _length(steps: int, *, seed: int) -> list[str]:
    return [f"steps={steps}", "epochs=0", f"seed={seed}"]


def steps_within(seconds: float, job: Job) -> int:
    """Return how many steps of this job's schedule take `seconds` of CPU time."""
    state, plan = fresh_state(job, fresh_model(job)), make_plan(job, Stop())
    whole = 0.0
    for count, side in lengths(job.sides, start=0, stop=job.steps):
        facts = fit(state, replace(plan, side=lambda _, side=side: side, evaluate=None))
        list(itertools.islice(facts, WARM))
        begun = time.process_time()
        list(itertools.islice(facts, TIMED))
        whole += count * (time.process_time() - begun) / TIMED
    return max(1, round(job.steps * seconds / whole))


def train_ours(job: Job, name: str) -> Row:
    """Take all steps of the job, then measure its val split."""
    report, seconds = train(job)
    title = f"`{job.arch.name}`, `{name.partition(':')[2]}`"
    epochs = job.steps / job.steps_per_epoch
    return Row(
        name=title, seed=job.config.seed, steps=job.steps, epochs=epochs, seconds=seconds, loss=report.loss,
        top1=report.top1,
    )  # fmt: skip


def train_peer(store: Store, name: str, *, seconds: float, seed: int) -> Row:
    """Train ResNet-20 on the same pictures by another program's recipe, then measure the same val split."""
    job = job_of(store, f"{PEER_ARCH}:fast", sets=_length(1, seed=seed))
    assert job.val is not None
    torch.set_num_threads(1)
    train, val = (
        recipes.Pictures(
            images=part.images[part.index], labels=part.labels[part.index], mean=job.image.mean, std=job.image.std
        )
        for part in (job.train, job.val)
    )
    done = recipes.trained(name, train, depth=20, seconds=seconds, seed=seed)
    loss, top1 = recipes.judged(done.model, val)
    title = f"`{PEER_ARCH}`, {name}'s"
    return Row(name=title, seed=seed, steps=done.steps, epochs=done.epochs, seconds=done.seconds, loss=loss, top1=top1)


if __name__ == "__main__":
    main()
