"""The likeliest classes of pictures, their prediction sets, and whether they are strange."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np

from resnetctl.data.image_files import BATCH
from resnetctl.data.reading.decode import BadImage, Pixels
from resnetctl.engine.metrics import Logits, probabilities
from resnetctl.errors import UsageError
from resnetctl.hints import Setting
from resnetctl.tasks.targets import Opened
from resnetctl.trust.strangers import distances

Guesses = tuple[tuple[str, float], ...]
Picture = tuple[Path | None, Pixels | BadImage]


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """The likeliest classes of one picture with their probabilities, best first; or its problem.

    Attributes:
        file: None for a picture in memory.
        classes: the prediction set, the likeliest class first; None without a level.
        is_strange: whether the picture is unlike anything in training; None where the file cannot say.
        distance: of its features to those of the nearest class.
        moved: the new place of a file that was moved.
    """

    file: Path | None
    guesses: Guesses = ()
    classes: tuple[str, ...] | None = None
    problem: BadImage | None = None
    is_strange: bool | None = None
    distance: float | None = None
    moved: Path | None = None

    def to_json(self) -> dict[str, Any]:
        """Return `{"file": ..., "predictions": [{"class": ..., "probability": ...}], "problem": ...}`.

        With a level, `"set"` has the classes of the prediction set. Where the file can say it, `"strange"` is true for
        a picture unlike anything in training, and `"distance"` is what it follows from. A file that was moved has
        `"moved"`.
        """
        guesses = [{"class": name, "probability": probability} for name, probability in self.guesses]
        file, problem = self.file and str(self.file), self.problem and self.problem.message
        document: dict[str, Any] = {"file": file, "predictions": guesses, "problem": problem}
        document |= {} if self.classes is None else {"set": list(self.classes)}
        document |= {} if self.distance is None else {"strange": self.is_strange, "distance": self.distance}
        return document | ({} if self.moved is None else {"moved": str(self.moved)})


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """What is asked about each picture: the `top` likeliest classes, and the prediction set above a `threshold`.

    `level` is the probability with which such a set holds the true class; tables name it.
    """

    top: int = 1
    threshold: float | None = None
    level: float | None = None
    batch: int = BATCH  # pictures that the network sees at once

    def __post_init__(self) -> None:
        if self.batch < 1:
            raise UsageError(f"a batch has at least one image, not {self.batch}", where=Setting("batch"))


def ranked(opened: Opened, pictures: Iterable[Picture], *, ranking: Ranking) -> Iterator[Prediction]:
    """Yield the prediction of each picture, whose pixels are `(S, S, C)`, or those of originals `(H, W, C)`, in order.

    `opened.callers` threads predict batches at once.
    """
    size = 1 if opened.takes_originals else ranking.batch  # originals are large, and have different sizes
    work = partial(_predicted, opened, ranking=ranking)
    if opened.callers == 1:
        yield from chain.from_iterable(map(work, _batches(pictures, size)))
        return
    pending: deque[Future[list[Prediction]]] = deque()
    with ThreadPoolExecutor(opened.callers, thread_name_prefix="resnetctl-predict") as threads:
        for batch in _batches(pictures, size):
            pending.append(threads.submit(work, batch))
            if len(pending) > opened.callers:
                yield from pending.popleft().result()
        while pending:
            yield from pending.popleft().result()


def _batches(pictures: Iterable[Picture], size: int) -> Iterator[list[Picture]]:
    remaining = iter(pictures)
    while batch := list(islice(remaining, size)):
        yield batch


def _predicted(opened: Opened, batch: Sequence[Picture], *, ranking: Ranking) -> list[Prediction]:
    good = [(file, pixels) for file, pixels in batch if not isinstance(pixels, BadImage)]
    results = _results(opened, good, ranking=ranking)
    return [
        Prediction(file=file, problem=pixels) if isinstance(pixels, BadImage) else next(results)
        for file, pixels in batch
    ]


def _results(
    opened: Opened, pictures: Sequence[tuple[Path | None, Pixels]], *, ranking: Ranking
) -> Iterator[Prediction]:
    """Yield the prediction of each picture `(S, S, C)`, or of one original `(H, W, C)`."""
    if not pictures:
        return
    names, threshold = opened.card.classes, ranking.threshold
    files, images = zip(*pictures, strict=True)
    logits, strange = _read(opened, np.stack(images))
    shares = probabilities(logits, temperature=opened.card.temperature)
    needed = ranking.top if threshold is None else len(names)
    best = np.argsort(-shares, axis=1, kind="stable")[:, :needed]  # stable: the first class wins a tie
    rows = np.take_along_axis(shares, best, axis=1)
    for file, order, row, (is_strange, distance) in zip(files, best.tolist(), rows.tolist(), strange, strict=True):
        ranked = tuple(zip((names[i] for i in order), row, strict=True))
        classes = None if threshold is None else tuple(name for name, share in ranked if share >= threshold)
        yield Prediction(
            file=file, guesses=ranked[: ranking.top], classes=classes, is_strange=is_strange, distance=distance
        )


def _read(opened: Opened, images: Pixels) -> tuple[Logits, list[tuple[bool | None, float | None]]]:
    """Return the logits, and for each image whether it is strange, and its distance; None where the file cannot say."""
    known = opened.card.calibration
    if opened.read is None or known is None or known.familiar is None:
        return opened.predict(images), [(None, None)] * len(images)
    logits, features = opened.read(images)
    if features is None:
        return logits, [(None, None)] * len(images)
    limit = known.familiar.limit
    return logits, [(away > limit, away) for away in distances(features, known.familiar).tolist()]
