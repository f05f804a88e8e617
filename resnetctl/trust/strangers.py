"""Strangers: does a score tell images of another kind from the test images? A stranger is the positive case."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from resnetctl.spec import Card
from resnetctl.trust.evidence import Evidence
from resnetctl.trust.scores import auroc, energy, fpr95, knn, msp

BANK = 5000  # images of train that the nearest neighbours are taken from
NOISE = ("gauss", "blobs", "tiles")
NOISE_COUNT = 500  # images of each noise
TILES = 4  # a side of the image has so many tiles

Images = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class Strangers(Card):
    """How well a score tells the images of a set from the test images.

    Attributes:
        set: a dataset, or `noise:gauss` and so on.
        n: strange images.
        score: `msp`, `energy` or `knn`.
        auroc: probability that a strange image has a larger score than a test image; .5 is chance.
        fpr95: share of test images that are called strange when 95 % of the strange ones are.
        positive: `strange`, the case that a large score stands for.
    """

    set: str
    n: int
    score: str
    auroc: float
    fpr95: float
    positive: str = "strange"


def strangers(known: Evidence, others: Mapping[str, Evidence], *, bank: Evidence | None) -> Iterator[Strangers]:
    """Yield one entry for each set and score. Without `bank`, images of train, or without features, KNN is left out."""
    for name, other in others.items():
        for score, (strange, familiar) in _scores(known, other, bank).items():
            yield Strangers(
                set=name, n=len(other), score=score, auroc=auroc(strange, familiar), fpr95=fpr95(strange, familiar)
            )


def noise(kind: str, images: Images, *, seed: int = 0) -> Images:
    """Return strange images made from `images` (N, S, S, C): each depends on its index only.

    `gauss` is noise around grey, `blobs` is smoothed noise with full contrast, `tiles` shuffles 4 x 4 tiles.
    """
    make = {"gauss": _gauss, "blobs": _blobs, "tiles": _shuffled}[kind]
    made = [
        make(image, np.random.Generator(np.random.PCG64([seed, NOISE.index(kind), index])))
        for index, image in enumerate(images)
    ]
    return np.stack(made)


def _scores(
    known: Evidence, other: Evidence, bank: Evidence | None
) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
    found = {
        "msp": (msp(other.logits), msp(known.logits)),
        "energy": (energy(other.logits), energy(known.logits)),
    }
    if bank is not None and bank.features is not None and known.features is not None and other.features is not None:
        found["knn"] = (knn(other.features, bank.features), knn(known.features, bank.features))
    return found


def _gauss(image: Images, generator: np.random.Generator) -> Images:
    return np.clip(generator.normal(127.5, 63.75, image.shape).round(), 0, 255).astype(np.uint8)


def _blobs(image: Images, generator: np.random.Generator) -> Images:
    """Average noise over a quarter of the side, around the borders, three times: close to a Gaussian."""
    field = generator.random(image.shape)
    width = max(2, image.shape[0] // 8)
    for axis in (0, 1):
        for _ in range(3):
            field = sum((np.roll(field, shift, axis) for shift in range(1, width)), field)
    low, high = field.min(), field.max()
    scaled: Images = ((field - low) / max(high - low, 1e-12) * 255).round().astype(np.uint8)
    return scaled


def _shuffled(image: Images, generator: np.random.Generator) -> Images:
    edges = [round(image.shape[0] * place / TILES) for place in range(TILES + 1)]
    side = min(after - before for before, after in pairwise(edges))
    if side < 1:  # the image is smaller than the grid: shuffle its pixels
        flat = image.reshape(-1, image.shape[2])
        return flat[generator.permutation(len(flat))].reshape(image.shape)
    result = image.copy()
    places = [(y, x) for y in edges[:-1] for x in edges[:-1]]
    for (y, x), source in zip(places, generator.permutation(len(places)).tolist(), strict=True):
        from_y, from_x = places[source]
        result[y : y + side, x : x + side] = image[from_y : from_y + side, from_x : from_x + side]
    return result
