"""`predict`: class names and probabilities for image files. With an ONNX file no torch is loaded."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from resnetctl.data.image_files import prepared_batches
from resnetctl.data.reading.source import why_ignored
from resnetctl.engine.metrics import Images, grouped, probabilities
from resnetctl.errors import DataError, InputError, UsageError
from resnetctl.hints import Call, Setting
from resnetctl.report.base import Report
from resnetctl.system.settings import Settings
from resnetctl.tasks.targets import Opened, open_target, resolve
from resnetctl.wording import counted


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """One file's likeliest classes with their probabilities, best first."""

    file: Path
    guesses: tuple[tuple[str, float], ...]

    def to_json(self) -> dict[str, Any]:
        """Return `{"file": ..., "predictions": [{"class": ..., "probability": ...}]}`."""
        guesses = [{"class": name, "probability": probability} for name, probability in self.guesses]
        return {"file": str(self.file), "predictions": guesses}


@dataclass(frozen=True, kw_only=True)
class PredictOutcome(Report):
    """Predictions for all readable files, in order, and one line for each file that cannot be read."""

    schema: ClassVar[str] = "resnetctl.predict/1"
    results: tuple[Prediction, ...]
    problems: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()

    def require(self) -> None:
        """Raise `DataError` that lists the bad files. Call it after showing the results."""
        if self.problems:
            count = len(self.problems)
            raise DataError(
                f"{counted(count, 'image')} cannot be read" + ("; the others are classified" if self.results else ""),
                problems=self.problems,
            )

    def body(self) -> dict[str, Any]:
        """Return the results and the problems."""
        return {"results": [item.to_json() for item in self.results], "problems": list(self.problems)}


def predict(
    target: str | Path | None, images: Sequence[str | Path], *, settings: Settings, top: int = 1
) -> PredictOutcome:
    """Classify image files; a folder stands for all images in it and below, sorted.

    A file that cannot be read does not stop the others; `problems` lists it.

    Raises:
        UsageError: there is no image, the target is an image, or `top` is below 1.
        InputError: the target is missing or unusable.
    """
    if not images:
        raise UsageError("there is no image to classify", hint=Call("predict", ("TARGET", "IMAGE...")))
    if top < 1:
        raise UsageError(f"{top} classes cannot be listed", where=Setting("top"), hint=Setting("top", 1))
    try:
        resolved = resolve(target, settings)
    except InputError:
        if target is None or not _is_image(target):
            raise
        raise _no_target(target, images) from None
    opened = open_target(resolved, settings)
    problems: list[str] = []
    results = tuple(classified(opened, prepared_batches(images, opened.card.image, problems=problems), top=top))
    return PredictOutcome(results=results, problems=tuple(problems), notices=resolved.notices)


def _no_target(target: str | Path, images: Sequence[str | Path]) -> UsageError:
    """Return the error for images without a target."""
    words = tuple(str(word) for word in (target, *images))
    dashes = ("--",) if any(word.startswith("-") for word in words) else ()
    return UsageError(
        "the first argument must be a run, a weights file or an ONNX file",
        where=str(target),
        hint=Call("predict", ("last", *dashes, *words[:2], *(("...",) if len(words) > 2 else ()))),
    )


def _is_image(target: str | Path) -> bool:
    return not why_ignored((Path(target).name,)) and not Path(target).is_dir()


def classified(opened: Opened, batches: Iterable[tuple[Images, list[Path]]], *, top: int) -> Iterator[Prediction]:
    """Yield the `top` likeliest classes of each prepared image (B, S, S, C). Raises as `probabilities`."""
    names = opened.card.classes
    for logits, paths in grouped(opened.predict, batches):
        shares = probabilities(logits)
        best = np.argsort(-shares, axis=1, kind="stable")[:, :top]  # stable: the first class wins a tie
        rows = zip(chain(*paths), best.tolist(), np.take_along_axis(shares, best, axis=1).tolist(), strict=True)
        for path, order, row in rows:
            yield Prediction(file=path, guesses=tuple(zip((names[i] for i in order), row, strict=True)))
