"""Compare a fused network with each of its parts alone, on digits that are cut in half.

    python benchmarks/fuse.py WORK [--seeds 3] [--epochs 15]

The image shows the upper half of a digit, the lower half is black. The numbers are the mean brightness of the eight
columns of the lower half. So each part has information that the other lacks, and both are measured from the same
picture. The image alone is trained by the classifier of the same arch with the same optimizer, epochs and batches. The
numbers alone are judged by the better of two: the layers that the head gives to them, trained by the same optimizer for
as many steps, and logistic regression. Each seed draws other weights and orders; val and test stay the same.
"""

from __future__ import annotations

import argparse
import csv
import statistics
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import hardware, versions
from PIL import Image
from torch import nn
from torch.nn import functional as F

import resnetctl as rc
from resnetctl import registry
from resnetctl.data.store import open_store
from resnetctl.facts import result_of
from resnetctl.system import settings
from resnetctl.tasks.data.add import AddRequest, add

NAME, HALF = "half-digits", 4  # rows of a digit of 8
PARTS = ("train", "train", "train", "val", "test")  # of five digits in a row
BATCH, RATE = 32, 2e-3
COMMON = {"arch": "resnet20", "data": NAME, "batch_size": BATCH, "lr": RATE, "augment": "none", "progress": False}
ADAMW = {"optim.name": "adamw", "weight_decay": 0.05, "grad_clip": 5.0, "warmup": "5%"}


def digits() -> Iterator[tuple[np.ndarray[Any, Any], str]]:
    """Yield the digits that the package embeds, train before test."""
    dataset = registry.get("dataset", "digits")
    path = dataset.fetch(Path())
    for part in ("train", "test"):
        yield from dataset.read(path, part)


def write(folder: Path, count: int | None = None) -> None:
    """Write the upper halves, `labels.csv`, and `numbers.csv` with what is measured in the lower halves.

    `count` is the number of digits; None: all.
    """
    (folder / "img").mkdir(parents=True)
    with (folder / "labels.csv").open("w", newline="") as one, (folder / "numbers.csv").open("w", newline="") as two:
        labels, numbers = csv.writer(one), csv.writer(two)
        labels.writerow(("path", "label", "split"))
        numbers.writerow(("path", *(f"column{place}" for place in range(8))))
        for place, (pixels, label) in enumerate(islice(digits(), count)):
            name, whole = f"img/{place:04}.png", np.array(pixels).reshape(8, 8)
            numbers.writerow((name, *whole[HALF:].mean(0)))
            whole[HALF:] = 0
            Image.fromarray(whole).save(folder / name)
            labels.writerow((name, label, PARTS[place % len(PARTS)]))


def numbers_alone(epochs: int, seed: int) -> dict[str, dict[str, float]]:
    """Return the accuracy on val and test of the numbers alone, by both ways."""
    from sklearn.linear_model import LogisticRegression

    store, arrays = open_store(settings.load().data_dir, NAME), {}
    assert store.card.vector is not None
    for part in ("train", "val", "test"):
        split = store.split(part)  # type: ignore[arg-type]
        assert split.vectors is not None
        scaled = (split.vectors.values - np.array(store.card.vector.mean)) * np.array(store.card.vector.scale)
        arrays[part] = scaled.astype(np.float32), split.labels
    simple = LogisticRegression(max_iter=2000).fit(*arrays["train"])
    layers = trained(*(torch.from_numpy(one) for one in arrays["train"]), epochs=epochs, seed=seed)
    found: dict[str, dict[str, float]] = {"logistic": {}, "layers": {}}
    for part in ("val", "test"):
        inputs, labels = arrays[part]
        found["logistic"][part] = float(simple.score(inputs, labels))
        with torch.no_grad():
            answers = layers(torch.from_numpy(inputs)).argmax(1).numpy()
        found["layers"][part] = float((answers == labels).mean())
    return found


def trained(inputs: torch.Tensor, labels: torch.Tensor, *, epochs: int, seed: int) -> nn.Module:
    """Return the layers of the head for numbers, trained without an image."""
    torch.manual_seed(seed)
    width = 64
    net = nn.Sequential(
        nn.Linear(inputs.shape[1], width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 10)
    )
    optimizer = torch.optim.AdamW(net.parameters(), lr=RATE, weight_decay=0.05)
    steps = epochs * -(-len(inputs) // BATCH)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(epochs):
        for rows in torch.randperm(len(inputs)).split(BATCH):
            optimizer.zero_grad()
            F.cross_entropy(net(inputs[rows]), labels[rows]).backward()
            optimizer.step()
            schedule.step()
    return net.eval()


def networks(work: Path, epochs: int, seed: int) -> Iterator[tuple[str, dict[str, float]]]:
    """Train the classifier and both fused networks; yield way and accuracy on val and test."""
    ways: dict[str, dict[str, Any]] = {
        "image": {},
        "concat": {"model.head": "fuse", "model.head_args.how": "concat"},
        "gate": {"model.head": "fuse", "model.head_args.how": "gate"},
    }
    for way, own in ways.items():
        run = rc.train(
            **COMMON, name=f"{way}-{seed}", out=work / "runs", epochs=epochs, seed=seed, set={**ADAMW, **own}
        )
        found = {}
        for part in ("val", "test"):
            body = rc.evaluate(run.path, split=part).to_json()  # type: ignore[arg-type]
            found[part] = body["top1"]
        yield way, found


def table(results: list[dict[str, Any]]) -> str:
    """Return the accuracies in %, mean and standard deviation over the seeds."""
    lines = ["| way | val | test |", "|---|---:|---:|"]
    for way in dict.fromkeys(item["way"] for item in results):
        cells = []
        for part in ("val", "test"):
            values = [100 * item[part] for item in results if item["way"] == way]
            spread = statistics.stdev(values) if len(values) > 1 else 0.0
            cells.append(f"{statistics.mean(values):.1f} ± {spread:.1f} ({len(values)})")
        lines.append(f"| {way} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Write the data, train all ways with each seed, and print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("work", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=15)
    asked = parser.parse_args()
    source = asked.work / "source"
    write(source)
    request = AddRequest(path=source / "labels.csv", name=NAME, vectors=source / "numbers.csv")
    result_of(add(request, settings.load()))
    results = []
    for seed in range(asked.seeds):
        ways = {**numbers_alone(asked.epochs, seed), **dict(networks(asked.work, asked.epochs, seed))}
        results += [{"way": way, **found} for way, found in ways.items()]
        print(table(results), flush=True)
    print(f"\n{hardware()}; {versions('torch', 'scikit-learn', 'resnetctl')}")


if __name__ == "__main__":
    main()
