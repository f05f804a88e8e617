"""Calibration: do the probabilities say how often the model is right?

Shapes: N images, K classes. Logits are (N, K), labels (N,) int64. All sums are float64.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from resnetctl.engine.metrics import probabilities
from resnetctl.spec import Card

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]

BINS = 15  # as in Guo et al. 2017
NULL_DRAWS = 400  # simulated sets of labels for the expected error of a perfectly calibrated network


@dataclass(frozen=True, kw_only=True)
class Bin(Card):
    """The images whose confidence is in `low` to `high`; `confidence` and `accuracy` are means, None without images."""

    low: float
    high: float
    count: int
    confidence: float | None
    accuracy: float | None


@dataclass(frozen=True, kw_only=True)
class Calibration(Card):
    """How good the probabilities `softmax(logits / temperature)` are on `n` images.

    Attributes:
        temperature: 1 if none was fitted.
        fitted_on: the split that the temperature was fitted on; None if none was fitted.
        nll: mean negative log-likelihood, in nats.
        brier: mean squared distance to the one-hot label, summed over classes, 0..2.
        ece, ece_mass: expected calibration error with bins of equal width and of equal count, 0..1.
        ece_null, ece_null_95: mean and 95th percentile of `ece` for a perfectly calibrated network of the same
            confidences: with few images it is far from 0.
    """

    temperature: float
    fitted_on: str | None
    n: int
    nll: float
    brier: float
    ece: float
    ece_mass: float
    ece_null: float
    ece_null_95: float
    bins: tuple[Bin, ...]


def calibration(
    logits: Floats, labels: Labels, *, temperature: float = 1.0, fitted_on: str | None = None
) -> Calibration:
    """Measure the probabilities at `temperature`. `logits` must be finite, with at least one image."""
    shares = probabilities(logits, temperature=temperature)
    confidence, correct = shares.max(axis=1), shares.argmax(axis=1) == labels
    null = ece_null(confidence)
    return Calibration(
        temperature=temperature,
        fitted_on=fitted_on,
        n=len(labels),
        nll=nll(logits / temperature, labels),
        brier=brier(shares, labels),
        ece=ece(confidence, correct),
        ece_mass=ece_mass(confidence, correct),
        ece_null=float(null.mean()),
        ece_null_95=float(np.quantile(null, 0.95)),
        bins=tuple(bins(confidence, correct)),
    )


def nll(logits: Floats, labels: Labels) -> float:
    """Return the mean negative log-likelihood in nats."""
    wide = logits.astype(np.float64)
    wide = wide - wide.max(axis=1, keepdims=True)
    return float((np.log(np.exp(wide).sum(axis=1)) - wide[np.arange(len(labels)), labels]).mean())


def brier(shares: Floats, labels: Labels) -> float:
    """Return the mean squared distance of the probabilities (N, K) to the one-hot labels (Brier 1950)."""
    true = shares[np.arange(len(labels)), labels]
    return float(((shares**2).sum(axis=1) - 2 * true + 1).mean())


def ece(confidence: Floats, correct: NDArray[np.bool_], *, count: int = BINS) -> float:
    """Return the expected calibration error: mean |accuracy - confidence| over bins of equal width.

    The bins are [low, high), and the last one includes 1.
    """
    return float(_gaps(_places(confidence, count), confidence[None], correct[None], count)[0])


def ece_mass(confidence: Floats, correct: NDArray[np.bool_], *, count: int = BINS) -> float:
    """Return the expected calibration error over bins that hold an equal number of images, least confident first."""
    places = np.empty(len(confidence), np.int64)
    for place, rows in enumerate(np.array_split(np.argsort(confidence, kind="stable"), count)):
        places[rows] = place
    return float(_gaps(places, confidence[None], correct[None], count)[0])


def ece_null(confidence: Floats, *, count: int = BINS, draws: int = NULL_DRAWS, seed: int = 0) -> Floats:
    """Return `ece` of `draws` simulated models that are right exactly as often as they say: (draws,)."""
    generator = np.random.Generator(np.random.PCG64(seed))
    places = _places(confidence, count)
    rows = max(1, 4_000_000 // max(1, len(confidence)))  # simulations at once: 32 MB
    parts = []
    for start in range(0, draws, rows):
        correct = generator.random((min(rows, draws - start), len(confidence))) < confidence
        parts.append(_gaps(places, confidence[None], correct, count))
    return np.concatenate(parts)


def bins(confidence: Floats, correct: NDArray[np.bool_], *, count: int = BINS) -> list[Bin]:
    """Return the bins of equal width of a reliability diagram."""
    places = _places(confidence, count)
    found = []
    for place in range(count):
        inside = places == place
        has_any = bool(inside.any())
        found.append(
            Bin(
                low=place / count,
                high=(place + 1) / count,
                count=int(inside.sum()),
                confidence=float(confidence[inside].mean()) if has_any else None,
                accuracy=float(correct[inside].mean()) if has_any else None,
            )
        )
    return found


def _places(confidence: Floats, count: int) -> Labels:
    """Return the bin of each confidence."""
    edges = np.linspace(0, 1, count + 1)
    return np.clip(np.searchsorted(edges, confidence, side="right") - 1, 0, count - 1)


def _gaps(places: Labels, confidence: Floats, correct: NDArray[np.bool_], count: int) -> Floats:
    """Return sum over bins of |right - confidence| / N for each row of `correct`, (R, N)."""
    gap = np.zeros((len(correct), count))
    for place in range(count):
        inside = places == place
        gap[:, place] = (correct[:, inside] - confidence[:, inside]).sum(axis=1)
    result: Floats = np.abs(gap).sum(axis=1) / correct.shape[1]
    return result
