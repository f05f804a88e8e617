"""Near-duplicates of `cifar10-jpeg`, against those that ciFAIR lists, as rows of `trust.md`.

    python benchmarks/near.py DATA PAIRS.csv

PAIRS.csv has the columns test, train and judgment: the names of two images, 1 for the same shot, 2 for a similar one.
Planted copies are 200 images of train, changed in one way; they are searched in all of train.
"""

import argparse
import csv
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from resnetctl.data.splits import open_eval_set
from resnetctl.data.store import Store, open_store
from resnetctl.system import settings
from resnetctl.tasks.near import row_names
from resnetctl.trust.pictures.near import FOUND, SHIFT, pairs, thumbnails

PLANTED = 200
LEVELS = (0.8, 0.85, 0.9)
SHIFTS = ((1, 0), (2, 0), (2, 2), (3, -1), (4, 0), (4, 4))


def main(data: str, listed: Path) -> None:
    """Print the tables."""
    store = open_store(settings.load().data_dir, data)
    train, test = (
        thumbnails(np.asarray(open_eval_set(store, split, val_split=None).images)) for split in ("train", "test")
    )
    started = time.process_time()
    scores = {(pair.row, pair.other): pair.score for _, new in pairs(test, train) for pair in new}
    seconds = time.process_time() - started
    print("| score at least | pairs | of the same shots | of the similar ones | labels equal |")
    print("|---:|---:|---:|---:|---:|")
    for row in levels(store, scores, listed):
        print("| " + " | ".join(row) + " |")
    products = seconds / product_seconds(len(test), len(train))
    print(f"\n{seconds:.0f} s of processor time, {products:.1f} products of matrices")
    print("\n| 200 planted copies | found |\n|---|---:|")
    for name, share in planted(train):
        print(f"| {name} | {share:.3f} |")


def levels(store: Store, scores: dict[tuple[int, int], float], listed: Path) -> Iterator[tuple[str, ...]]:
    """Yield a row for each score from which on a pair counts."""
    sets = {split: open_eval_set(store, split, val_split=None) for split in ("test", "train")}
    places = {
        split: {name: row for row, name in enumerate(row_names(store, images, rows=np.arange(len(images))))}
        for split, images in sets.items()
    }
    known = [
        (places["test"][row["test"]], places["train"][row["train"]], row["judgment"])
        for row in csv.DictReader(listed.open(encoding="utf-8"))
    ]
    for level in LEVELS:
        hits = [pair for pair, score in scores.items() if score >= level]
        same = np.mean([sets["test"].labels[row] == sets["train"].labels[other] for row, other in hits])
        found = [sum((row, other) in set(hits) for row, other, judged in known if judged == kind) for kind in "12"]
        total = [sum(judged == kind for *_, judged in known) for kind in "12"]
        shares = [f"{count} of {every}" for count, every in zip(found, total, strict=True)]
        yield f"{level:g}", str(len(hits)), *shares, f"{100 * same:.1f} %"


def planted(train: np.ndarray) -> Iterator[tuple[str, float]]:
    """Yield the share of planted copies that are found, for each change."""
    rows = np.random.default_rng(0).choice(len(train), PLANTED, replace=False)
    changes: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        f"shifted by {down}, {right} px": lambda greys, by=(down, right): moved(greys, *by) for down, right in SHIFTS
    }
    changes["mirrored and shifted by 2, 2 px"] = lambda greys: moved(greys, 2, 2)[:, :, ::-1]
    changes["mirrored"] = lambda greys: greys[:, :, ::-1]
    for name, change in changes.items():
        hits = {
            (pair.row, pair.other)
            for _, new in pairs(change(train[rows]), train)
            for pair in new
            if pair.score >= FOUND
        }
        yield name, float(np.mean([(place, row) in hits for place, row in enumerate(rows.tolist())]))


def moved(greys: np.ndarray, down: int, right: int) -> np.ndarray:
    """Return thumbnails moved by some pixels; the border is repeated."""
    wide = np.pad(greys, ((0, 0), (SHIFT, SHIFT), (SHIFT, SHIFT)), mode="edge")
    side = greys.shape[1]
    return wide[:, SHIFT - down : SHIFT - down + side, SHIFT - right : SHIFT - right + side]


def product_seconds(count: int, others: int) -> float:
    """Return the processor time of one product (count, 256) x (256, others) in float32, in parts of 512 rows."""
    generator = np.random.default_rng(0)
    one, other = (generator.random((rows, 256), np.float32) for rows in (512, others))
    times = []
    for _ in range(5):
        started = time.process_time()
        one @ other.T
        times.append(time.process_time() - started)
    return float(np.median(times)) * count / len(one)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="near-duplicates of a dataset, against a list")
    parser.add_argument("data", help="dataset of the store")
    parser.add_argument("pairs", type=Path, help="CSV with the columns test, train and judgment")
    options = parser.parse_args()
    main(options.data, options.pairs)
