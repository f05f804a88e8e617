"""Strangers: does a score tell images of another kind from the test images? A stranger is the positive case.

The bank of the nearest neighbours is too large for the card of the weights. The card has one mean direction for each
class instead: the features of a known image lie near one of them.
"""

import base64
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from resnetctl.spec import Card, Familiar
from resnetctl.trust.evidence import Evidence
from resnetctl.trust.scores import auroc, energy, fpr95, knn, msp, unit

BANK = 5000  # images of train that the nearest neighbours are taken from
NOISE = ("gauss", "blobs", "tiles")
NOISE_COUNT = 500  # images of each noise
TILES = 4  # a side of the image has so many tiles
LEVEL = 0.99  # share of known images that the card calls familiar: a warning at every twentieth image would be ignored
MOST = 1 << 18  # numbers of all means together: 350 kB of the card, whose limit is 1 MB
ROUNDS = 20  # of k-means
DIGITS = 6  # of the limit in the card
STEPS = 127  # of an int8 number, from 0

Images = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class Strangers(Card):
    """How well a score tells the images of a set from the test images.

    Attributes:
        set: a dataset, or `noise:gauss` and so on.
        n: strange images.
        score: `msp`, `energy`, `knn`, or `means`: the distance that `predict` judges by.
        auroc: probability that a strange image has a larger score than a test image; .5 is chance.
        fpr95: share of test images that are called strange when 95 % of the strange ones are.
        positive: `strange`, the case that a large score stands for.
        flagged, alarms: shares of the strange and of the test images beyond the limit of the card; None for a score
            that the card has no limit for.
    """

    set: str
    n: int
    score: str
    auroc: float
    fpr95: float
    positive: str = "strange"
    flagged: float | None = None
    alarms: float | None = None


def strangers(
    known: Evidence, others: Mapping[str, Evidence], *, bank: Evidence | None, familiar: Familiar | None = None
) -> Iterator[Strangers]:
    """Yield one entry for each set and score.

    Without `bank`, images of train, or without features, KNN is left out. `familiar` is what the card says, or would.
    """
    for name, other in others.items():
        for score, (strange, usual) in _scores(known, other, bank=bank, familiar=familiar).items():
            limit = familiar.limit if familiar is not None and score == "means" else None
            yield Strangers(
                set=name,
                n=len(other),
                score=score,
                auroc=auroc(strange, usual),
                fpr95=fpr95(strange, usual),
                flagged=None if limit is None else float((strange > limit).mean()),
                alarms=None if limit is None else float((usual > limit).mean()),
            )


def fit_familiar(features: NDArray[np.floating], labels: NDArray[np.int64], *, level: float = LEVEL) -> Familiar | None:
    """Return the mean direction of each class of val, and the distance that `level` of its images stay within.

    Classes with near means share one when all means together would have more than `MOST` numbers.

    An image is measured against the mean of its class without itself: otherwise a small val would set the limit too
    low. The limit is a conformal quantile, so a new image of the same source passes it in at most 1 - `level` of the
    cases. None for more than `MOST` features.

    Args:
        features: (N, D) of val, at least two images.
        labels: (N,); classes without an image have no mean.
    """
    present, places = np.unique(labels, return_inverse=True)
    room = MOST // features.shape[1]
    if not room:
        return None
    directions = unit(features)
    sums = _sums(directions, places, len(present))
    if len(present) > room:
        _, places = np.unique(_groups(unit(sums), count=room)[places], return_inverse=True)
        sums = _sums(directions, places, int(places.max()) + 1)
    rounded = _int8(sums)
    near = directions @ unit(rounded.astype(np.float64)).T
    near[np.arange(len(labels)), places] = (unit(sums[places] - directions) * directions).sum(axis=1)
    ranked = np.sort(_chord(near.max(axis=1)))
    rank = min(math.ceil((len(labels) + 1) * level), len(labels))
    limit = math.ceil(ranked[rank - 1] * 10**DIGITS) / 10**DIGITS
    means = tuple(base64.b64encode(row.tobytes()).decode("ascii") for row in rounded)
    return Familiar(means=means, limit=min(limit, 2.0), level=level)


def distances(features: NDArray[np.floating], familiar: Familiar) -> NDArray[np.float64]:
    """Return the distance of each image to the nearest mean, (N,). Raises `ValueError` for features of another size."""
    return _chord((unit(features) @ _directions(familiar).T).max(axis=1))


def _sums(directions: NDArray[np.float64], places: NDArray[np.int64], count: int) -> NDArray[np.float64]:
    """Return the sum of the directions (N, D) at each of `count` places, (count, D)."""
    return np.stack([directions[places == place].sum(axis=0) for place in range(count)])


def _groups(means: NDArray[np.float64], *, count: int) -> NDArray[np.int64]:
    """Return the group of each mean (K, D) of length 1, (K,): spherical k-means from evenly spaced means.

    Source: Dhillon and Modha 2001, Machine Learning 42, p. 143.
    """
    centres = means[np.linspace(0, len(means) - 1, count).round().astype(np.int64)]
    groups: NDArray[np.int64] = (means @ centres.T).argmax(axis=1)
    for _ in range(ROUNDS):
        sums = _sums(means, groups, count)
        has_members = np.abs(sums).sum(axis=1, keepdims=True) > 0
        centres = np.where(has_members, unit(sums), centres)
        groups = (means @ centres.T).argmax(axis=1)
    return groups


@lru_cache(maxsize=4)  # networks: `predict` asks again for each batch
def _directions(familiar: Familiar) -> NDArray[np.float64]:
    """Return the means with length 1, one a row."""
    return unit(np.stack([np.frombuffer(base64.b64decode(mean), np.int8) for mean in familiar.means]))


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
    known: Evidence, other: Evidence, *, bank: Evidence | None, familiar: Familiar | None
) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Return the scores of the other and of the known images, by name."""
    found = {
        "msp": (msp(other.logits), msp(known.logits)),
        "energy": (energy(other.logits), energy(known.logits)),
    }
    if known.features is None or other.features is None:
        return found
    if bank is not None and bank.features is not None:
        found["knn"] = (knn(other.features, bank.features), knn(known.features, bank.features))
    if familiar is not None:
        found["means"] = (distances(other.features, familiar), distances(known.features, familiar))
    return found


def _int8(directions: NDArray[np.float64]) -> NDArray[np.int8]:
    """Return each row with its largest number at 127; all zeros stay zeros."""
    largest = np.abs(directions).max(axis=1, keepdims=True)
    scaled: NDArray[np.int8] = np.rint(directions / np.maximum(largest, 1e-12) * STEPS).astype(np.int8)
    return scaled


def _chord(cosine: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the distance between two points of the unit sphere."""
    result: NDArray[np.float64] = np.sqrt(np.maximum(0, 2 - 2 * cosine))
    return result


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
