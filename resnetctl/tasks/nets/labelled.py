"""Rank the classes of pictures with a network that has a head and gives each image one label, such as `fuse`."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from resnetctl.data.reading.decode import BadImage, Pixels
from resnetctl.engine.meters.multilabel import require_finite
from resnetctl.tasks.nets.answers import Answering
from resnetctl.tasks.predictions.ranking import Picture, Prediction, Ranking

Vector = NDArray[np.float32]
Numbered = tuple[Picture, Vector | None]  # a picture with its numbers; None for a network that reads none


def labelled(net: Answering, pictures: Iterable[Numbered], *, ranking: Ranking) -> Iterator[Prediction]:
    """Yield the likeliest classes of each picture `(S, S, C)`, or its problem, in order."""
    remaining = iter(pictures)
    while batch := list(islice(remaining, ranking.batch)):
        good = [(pixels, vector) for (_, pixels), vector in batch if not isinstance(pixels, BadImage)]
        rows = iter(_probabilities(net, good) if good else ())
        for (file, pixels), _ in batch:
            if isinstance(pixels, BadImage):
                yield Prediction(file=file, problem=pixels)
            else:
                yield Prediction(file=file, guesses=likeliest(next(rows), net.card.classes, top=ranking.top))


def likeliest(shares: NDArray[np.float32], classes: Sequence[str], *, top: int) -> tuple[tuple[str, float], ...]:
    """Return the `top` likeliest classes with their probabilities, best first; the first class wins a tie."""
    order = np.argsort(-shares, kind="stable")[:top].tolist()
    return tuple((classes[label], float(shares[label])) for label in order)


def _probabilities(net: Answering, good: Sequence[tuple[Pixels, Vector | None]]) -> NDArray[np.float32]:
    """Return the probabilities `(N, classes)` of prepared pictures. Raises `WorkFailed` if one is not finite."""
    numbers = [vector for _, vector in good if vector is not None]
    shares: NDArray[np.float32] = net.answer(
        np.stack([pixels for pixels, _ in good]), *([np.stack(numbers)] if numbers else [])
    )[-1]
    require_finite(shares)
    return shares
