"""Calibration and prediction sets of one network over random halves of a test split, as rows of `trust.md`.

    python benchmarks/trust.py WEIGHTS DATA

One half of the images chooses temperature and thresholds, the other half measures them; 20 times, with seeds 0 to 19.
Then 100 labels are changed, and the suspects among all images are ranked; 20 times, too.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from resnetctl.data.splits import open_eval_set
from resnetctl.data.store import open_store
from resnetctl.engine.metrics import probabilities
from resnetctl.engine.predictors import feature_predictor
from resnetctl.system import settings
from resnetctl.tasks.held_out import class_order, relabelled_batches
from resnetctl.trust.assessment import Assessment, assess
from resnetctl.trust.evidence import Evidence, collect
from resnetctl.trust.suspects import suspects
from resnetctl.weights.file import load_model

SPLITS = 20
FLIPPED = 100  # labels
ROWS = {
    "temperature": lambda judged: judged.calibration.temperature,
    "NLL, raw": lambda judged: judged.uncalibrated.nll,
    "NLL": lambda judged: judged.calibration.nll,
    "Brier, raw": lambda judged: judged.uncalibrated.brier,
    "Brier": lambda judged: judged.calibration.brier,
    "ECE, raw": lambda judged: judged.uncalibrated.ece,
    "ECE": lambda judged: judged.calibration.ece,
    "ECE, equal count": lambda judged: judged.calibration.ece_mass,
    "ECE of a perfect model": lambda judged: judged.calibration.ece_null,
    "coverage of 90 % sets": lambda judged: judged.conformal[0].coverage,
    "classes in a 90 % set": lambda judged: judged.conformal[0].size,
    "coverage of 95 % sets": lambda judged: judged.conformal[1].coverage,
    "classes in a 95 % set": lambda judged: judged.conformal[1].size,
    "risk-coverage area": lambda judged: judged.aurc,
    "accuracy, 95 % wanted": lambda judged: judged.abstain[1].accuracy,
    "answered, 95 % wanted": lambda judged: judged.abstain[1].coverage,
}


def main(weights: Path, data: str) -> None:
    """Print the table."""
    evidence = outputs(weights, data)
    judged = list(halves(evidence))
    print("| | mean | standard deviation | lowest | highest |\n|---|---:|---:|---:|---:|")
    for name, value in ROWS.items():
        values = np.array([value(item) for item in judged])
        print(f"| {name} | {values.mean():.4f} | {values.std(ddof=1):.4f} | {values.min():.4f} | {values.max():.4f} |")

    print("\n| temperature | ranked by | mean | standard deviation |\n|---:|---|---:|---:|")
    for temperature in (1.0, float(np.mean([item.calibration.temperature for item in judged]))):
        for ranking in ("probabilities", "logits"):
            shares = list(wrong_labels(evidence, temperature=temperature, ranking=ranking))
            print(f"| {temperature:.2f} | {ranking} | {np.mean(shares):.3f} | {np.std(shares, ddof=1):.3f} |")


def wrong_labels(evidence: Evidence, *, temperature: float, ranking: str) -> Iterator[float]:
    """Yield the share of planted wrong labels among the first 100 suspects, for each seed."""
    shares = probabilities(evidence.logits, temperature=temperature)
    for seed in range(SPLITS):
        draw = np.random.default_rng(seed)
        rows = draw.choice(len(evidence), FLIPPED, replace=False)
        labels = evidence.labels.copy()
        labels[rows] = (labels[rows] + draw.integers(1, shares.shape[1], FLIPPED)) % shares.shape[1]
        found = suspects(shares, labels, logits=evidence.logits if ranking == "logits" else shares)
        yield float(np.isin([place for place, _ in found[:FLIPPED]], rows).mean())


def outputs(weights: Path, data: str) -> Evidence:
    """Return the outputs of the network on the test split of a stored dataset."""
    store = open_store(settings.load().data_dir, data)
    net, card = load_model(weights)
    order = class_order(store.card.classes, card.classes, name=data)
    images = open_eval_set(store, "test", val_split=card.split)
    predict = feature_predictor(net, card.image, device=torch.device("cpu"))
    return collect(predict, relabelled_batches(images, card, order=order))


def halves(evidence: Evidence) -> Iterator[Assessment]:
    """Yield the assessment of one half with the choices of the other, for each seed."""
    for seed in range(SPLITS):
        rows = np.random.default_rng(seed).permutation(len(evidence))
        first, second = np.array_split(rows, 2)
        yield assess(_part(evidence, first), _part(evidence, second))


def _part(evidence: Evidence, rows: np.ndarray) -> Evidence:
    return Evidence(logits=evidence.logits[rows], labels=evidence.labels[rows])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="calibration and prediction sets over random halves of a test split")
    parser.add_argument("weights", type=Path)
    parser.add_argument("data", help="dataset of the store")
    options = parser.parse_args()
    main(options.weights, options.data)
