"""Compare `finetune` and `train` without options with plain loops and timm's recipe, on small sets of real images.

    RESNETCTL_TEST_DATA=FOLDER python benchmarks/finetune.py [--sets cells60 ...] [--ways ours ...] [--quick]

Every way starts from the same weights, or from none, and gets the same images, augmentation, epochs and seeds. All
train on the train split without val, which only ours uses; the loops keep the last epoch. Accuracy is counted on the
test part.
Results are appended to `WORK/results.jsonl`, one line a run; a run that is there is not repeated. Needs timm,
scikit-learn, Debian's `dataset-fashion-mnist` and the archives of `photo_sets.py`.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import statistics
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from machine import hardware, versions
from photo_sets import PhotoSet, archive, blood, cifar, digits, fashion, garments, write
from torch import nn

import resnetctl as rc
from resnetctl import registry, rng
from resnetctl.data.loader import Feed, batch_rows, epoch_order, steps_per_epoch
from resnetctl.data.policies import augmentation
from resnetctl.data.preprocess import normalise
from resnetctl.data.splits import eval_batches, open_eval_set, open_sets
from resnetctl.data.store import Store, open_store
from resnetctl.engine.metrics import measure
from resnetctl.engine.predictors import torch_predictor
from resnetctl.models.resnet import build
from resnetctl.models.surgery import adapt_input, swap_head
from resnetctl.spec import ImageSpec

CPU = torch.device("cpu")
ARCH = "resnet20"
BATCH = 32  # of the loops
CIFAR_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


@dataclass(frozen=True, kw_only=True)
class Task:
    """A set, the weights that training starts from ("cifar", "fashion" or "none"), and the length of the training."""

    photos: PhotoSet
    weights: str
    epochs: int
    augment: str = "standard"

    @property
    def name(self) -> str:
        return self.photos.name if self.weights != "none" else f"{self.photos.name}-scratch"


BASE = PhotoSet(name="base", size=16, train=10000, test=500, images=fashion)
PETS = cifar("cat", "dog")
GARMENTS = garments("garment 0", "garment 6")
SMALL = (  # two kinds of garments, kinds of blood cells, digits; a tenth of train is val
    (PhotoSet(name="garments245", size=32, train=272, test=400, images=GARMENTS), 10, "standard"),
    (PhotoSet(name="cells70", size=64, train=78, test=210, images=blood), 8, "standard"),
    (PhotoSet(name="digits300", size=32, train=333, test=400, images=digits), 6, "shift"),
)
TASKS = (
    Task(
        photos=PhotoSet(name="cells60", size=16, train=66, test=210, images=blood),
        weights="fashion",
        epochs=20,
    ),
    Task(
        photos=PhotoSet(name="pets80", size=32, train=90, test=300, images=PETS),
        weights="cifar",
        epochs=20,
    ),
    Task(
        photos=PhotoSet(name="digits400", size=16, train=444, test=590, images=digits),
        weights="fashion",
        epochs=10,
        augment="shift",
    ),
    Task(
        photos=PhotoSet(name="garments1000", size=16, train=1110, test=1000, images=fashion),
        weights="cifar",
        epochs=5,
    ),
    *(
        Task(photos=photos, weights=weights, epochs=epochs, augment=augment)
        for weights in ("cifar", "none")
        for photos, epochs, augment in SMALL
    ),
)
Loop = Callable[[nn.Module, int, int], tuple[torch.optim.Optimizer, Callable[[int, int], None]]]


def sgd(model: nn.Module, epochs: int, steps: int) -> tuple[torch.optim.Optimizer, Callable[[int, int], None]]:
    """SGD: momentum .9, learning rate .01, cosine, weight decay 5e-4."""
    return _cosine(torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4), epochs * steps)


def adamw(model: nn.Module, epochs: int, steps: int) -> tuple[torch.optim.Optimizer, Callable[[int, int], None]]:
    """AdamW: learning rate .001, cosine, weight decay .05."""
    return _cosine(torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.05), epochs * steps)


def timm(model: nn.Module, epochs: int, steps: int) -> tuple[torch.optim.Optimizer, Callable[[int, int], None]]:
    """timm's `train.py`: SGD, learning rate .1 for 256 images, weight decay 2e-5, cosine, 5 epochs of warm-up."""
    from timm.optim import create_optimizer_v2
    from timm.scheduler import CosineLRScheduler

    rate = 0.1 * BATCH / 256
    optimizer = create_optimizer_v2(model, opt="sgd", lr=rate, momentum=0.9, weight_decay=2e-5)
    warmup = min(5, epochs // 4)
    schedule = CosineLRScheduler(optimizer, t_initial=epochs, warmup_t=warmup, warmup_lr_init=1e-5)

    def after(step: int, epoch: int) -> None:
        if step % steps == 0:
            schedule.step(epoch)

    return optimizer, after


def _cosine(optimizer: torch.optim.Optimizer, steps: int) -> tuple[torch.optim.Optimizer, Callable[[int, int], None]]:
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    return optimizer, lambda step, epoch: schedule.step()


LOOPS: dict[str, Loop] = {"sgd": sgd, "adamw": adamw, "timm": timm}


def ours(task: Task, weights: Path | None, seed: int) -> float:
    """Return the test accuracy of `finetune`, or `train`, without options but those of the comparison."""
    options: dict[str, Any] = {"data": task.photos.name, "epochs": task.epochs, "augment": task.augment}
    options |= {"size": task.photos.size, "seed": seed, "threads": 1, "progress": False}
    run = rc.train(arch=ARCH, **options) if weights is None else rc.finetune(weights, **options)
    return float(rc.evaluate(run).to_json()["top1"])


def loop(task: Task, weights: Path | None, seed: int, *, recipe: Loop) -> float:
    """Return the test accuracy of a plain loop."""
    store = open_store(Path(os.environ["RESNETCTL_DATA_DIR"]), task.photos.name)
    classes = store.card.classes
    model, image = network(weights, store, task=task, seed=seed)
    train, _, _ = open_sets(store, val_fraction=0.1, seed=seed)
    steps = steps_per_epoch(len(train), BATCH)
    optimizer, after = recipe(model, task.epochs, steps)
    feed = Feed(train, image, CPU)
    augment = augmentation(task.augment, image, num_classes=len(classes), mirror=True)
    model.train()
    for step in range(task.epochs * steps):
        epoch, place = divmod(step, steps)
        rows = batch_rows(epoch_order(len(train), seed, epoch=epoch), place, batch_size=BATCH)
        torch.manual_seed(rng.derive(seed, "step", step, 0))
        batch = augment(feed.batch(rows, epoch=epoch, step=step))
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(normalise(batch.images, image)), batch.targets).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        after(step + 1, (step + 1) // steps)
    predict = torch_predictor(model.eval(), image, device=CPU, precision="fp32")
    test = open_eval_set(store, "test", val_split=None)
    return measure(predict, eval_batches(test, image), classes=classes).top1


def network(weights: Path | None, store: Store, *, task: Task, seed: int) -> tuple[nn.Module, ImageSpec]:
    """Return the network that a loop starts from, and its preprocessing."""
    torch.manual_seed(rng.derive(seed, "head"))
    if weights is None:
        image = dataclasses.replace(store.card.image, size=task.photos.size)
        model: Any = build(registry.get("arch", ARCH), classes=len(store.card.classes), image=image)
    else:
        model, card = rc.load(weights)
        image = spec(card.image, channels=store.card.image.channels, size=task.photos.size)
        swap_head(model, old=card.classes, new=store.card.classes)
        adapt_input(model, image.channels)
    return model.requires_grad_(True).to(memory_format=torch.channels_last), image


def spec(image: ImageSpec, *, channels: int, size: int) -> ImageSpec:
    """Return the preprocessing of the weights at another size; the mean over channels replaces other channels."""
    mean, std = image.mean, image.std
    if channels != image.channels:
        mean, std = ((sum(mean) / len(mean),) * channels, (sum(std) / len(std),) * channels)
    return ImageSpec(size=size, channels=channels, mean=mean, std=std, interpolation=image.interpolation, fit=image.fit)


def prepare(work: Path, tasks: Collection[Task]) -> dict[str, Path | None]:
    """Build the sets that are missing in `work`, and the weights; return the files of the weights by name."""
    wanted = {task.weights for task in tasks}
    for photos in (*([BASE] if "fashion" in wanted else []), *(task.photos for task in tasks)):
        if not (work / "store" / photos.name).exists():
            write(photos, work / "sets" / photos.name)
            command("data", "add", str(work / "sets" / photos.name), "--size", str(photos.size))
    cifar_file, fashion_file = work / "cifar.safetensors", work / "runs" / "base" / "model.safetensors"
    if "cifar" in wanted and not cifar_file.exists():
        (work / "classes.txt").write_text("\n".join(CIFAR_CLASSES))
        command("weights", "import", str(archive("resnet20-12fca82f.th")), "--arch", ARCH, "--size", "32",
                "--classes", str(work / "classes.txt"), "--mean", "0.485,0.456,0.406", "--std", "0.229,0.224,0.225",
                "--out", str(cifar_file))  # fmt: skip
    if "fashion" in wanted and not fashion_file.exists():
        rc.train(data="base", recipe="fast", epochs=3, threads=1, name="base", progress=False)
    return {"cifar": cifar_file, "fashion": fashion_file, "none": None}


def command(*words: str) -> None:
    """Run a command of the program in this process. Raises `RuntimeError` when it fails."""
    from typer.testing import CliRunner

    from resnetctl.cli.app import app

    result = CliRunner().invoke(app, list(words))
    if result.exit_code:
        raise RuntimeError(result.output)


def table(results: list[dict[str, Any]]) -> str:
    """Return mean and standard deviation by set and way, as a Markdown table."""
    ways = ["ours", *LOOPS]
    lines = ["| set | " + " | ".join(ways) + " |", "|---|" + "---:|" * len(ways)]
    for name in dict.fromkeys(item["set"] for item in results):
        cells = []
        for way in ways:
            values = [100 * item["top1"] for item in results if (item["set"], item["way"]) == (name, way)]
            spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
            cells.append(f"{statistics.mean(values):.1f}{spread} ({len(values)})" if values else "")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Run what is missing in the results, then print the table."""
    parser = argparse.ArgumentParser(description="finetune against plain loops and timm")
    parser.add_argument("--work", type=Path, default=Path("finetune-work"))
    parser.add_argument("--sets", nargs="*", default=[task.name for task in TASKS])
    parser.add_argument("--ways", nargs="*", default=["ours", *LOOPS])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="the smallest set, one seed")
    args = parser.parse_args()
    names, seeds = (["cells60"], 1) if args.quick else (args.sets, args.seeds)
    tasks = [task for task in TASKS if task.name in names]
    work = args.work.resolve()
    os.environ |= {"RESNETCTL_DATA_DIR": str(work / "store"), "RESNETCTL_RUNS_DIR": str(work / "runs")}
    torch.set_num_threads(1)
    weights, log = prepare(work, tasks), work / "results.jsonl"
    ways = {"ours": ours} | {name: partial(loop, recipe=recipe) for name, recipe in LOOPS.items()}
    for seed in range(seeds):
        for task in tasks:
            for way in args.ways:
                key = {"set": task.name, "way": way, "seed": seed}
                if not any(key.items() <= item.items() for item in read(log)):
                    top1 = ways[way](task, weights[task.weights], seed)
                    with log.open("a") as file:
                        file.write(json.dumps(key | {"top1": top1}) + "\n")
                    print(key, f"{top1:.4f}", flush=True)
    print(f"{hardware()}; {versions('resnetctl', 'torch', 'timm')}; one thread; mean ± sd in % (n seeds)")
    print(table(read(log)))


def read(log: Path) -> list[dict[str, Any]]:
    """Return the results so far."""
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


if __name__ == "__main__":
    main()
