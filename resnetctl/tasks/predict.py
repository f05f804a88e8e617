"""`predict`: class names and probabilities for pictures. With an ONNX file no torch is loaded."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar, TypedDict, Unpack

import numpy as np

from resnetctl.data.image_files import BATCH, Listed, listed, skipped
from resnetctl.data.reading.decode import BadImage, Pixels
from resnetctl.data.reading.source import why_ignored
from resnetctl.engine.metrics import Logits, probabilities
from resnetctl.errors import InputError, UsageError
from resnetctl.hints import Call, Setting
from resnetctl.report.outcomes import PerPicture
from resnetctl.spec import MAX_PIXELS, WeightsCard
from resnetctl.system.settings import Settings
from resnetctl.tasks.nets.answers import open_net
from resnetctl.tasks.nets.predicted import FoundOutcome, predict_net
from resnetctl.tasks.targets import Opened, Target, has_head, open_target, resolve
from resnetctl.trust.strangers import distances

Guesses = tuple[tuple[str, float], ...]


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """The likeliest classes of one picture with their probabilities, best first; or its problem.

    Attributes:
        file: None for a picture in memory.
        classes: the prediction set, the likeliest class first; None without a level.
        is_strange: whether the picture is unlike anything in training; None where the file cannot say.
        distance: of its features to those of the nearest class.
    """

    file: Path | None
    guesses: Guesses = ()
    classes: tuple[str, ...] | None = None
    problem: BadImage | None = None
    is_strange: bool | None = None
    distance: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return `{"file": ..., "predictions": [{"class": ..., "probability": ...}], "problem": ...}`.

        With a level, `"set"` has the classes of the prediction set. Where the file can say it, `"strange"` is true for
        a picture unlike anything in training, and `"distance"` is what it follows from.
        """
        guesses = [{"class": name, "probability": probability} for name, probability in self.guesses]
        file, problem = self.file and str(self.file), self.problem and self.problem.message
        document: dict[str, Any] = {"file": file, "predictions": guesses, "problem": problem}
        document |= {} if self.classes is None else {"set": list(self.classes)}
        return document | ({} if self.distance is None else {"strange": self.is_strange, "distance": self.distance})


@dataclass(frozen=True, kw_only=True)
class PredictOutcome(PerPicture):
    """The classes of each picture, in order."""

    done: ClassVar[str] = "classified"
    results: tuple[Prediction, ...]

    def body(self) -> dict[str, Any]:
        """Return the results, the problems and the notices."""
        results = [item.to_json() for item in self.results]
        return {"results": results, "problems": list(self.problems), "notices": list(self.notices)}


class Options(TypedDict, total=False):
    """The other arguments of `predict`."""

    top: int
    level: float | None
    max_pixels: int
    out: str | Path | None
    min_score: float | None


def predict(
    target: str | Path | None,
    images: Sequence[str | Path],
    *,
    settings: Settings,
    **options: Unpack[Options],
) -> PredictOutcome | FoundOutcome:
    """Classify image files; a folder stands for all images in it and below, sorted.

    A file that cannot be read does not stop the others; its result has the problem.

    Args:
        options: `top`: classes to list, 1 by default; `max_pixels`: larger pictures are refused; `level`: also return
            the prediction set of this level, such as 0.9, for each picture. For networks with a head: `out`, the folder
            for pictures with boxes, or for masks; `min_score`, the smallest score of a box.

    Raises:
        UsageError: there is no image, the target is an image, `top` is below 1, or an argument does not suit the
            network.
        InputError: the target is missing or unusable, or its card has no prediction sets of this level.
    """
    top, level, out = options.get("top", 1), options.get("level"), options.get("out")
    max_pixels = options.get("max_pixels", MAX_PIXELS)
    if not images:
        raise UsageError("there is no image to classify", hint=Call("predict", ("TARGET", "IMAGE...")))
    check_top(top)
    try:
        resolved = resolve(target, settings)
    except InputError:
        if target is None or not _is_image(target):
            raise
        raise _no_target(target, images) from None
    if has_head(resolved):
        return _found(resolved, images, settings=settings, options=options)
    require_no_folder(out)
    opened, ignored = open_target(resolved, settings), Counter[str]()
    threshold = None if level is None else set_threshold(opened.card, level, where=resolved.path)
    pictures = listed(images, ignored=ignored)
    results = tuple(classified(opened, pictures, top=top, threshold=threshold, max_pixels=max_pixels))
    notices = (*resolved.notices, *filter(None, [skipped(ignored)]))
    return PredictOutcome(results=results, notices=notices)


def _found(target: Target, images: Sequence[str | Path], *, settings: Settings, options: Options) -> FoundOutcome:
    """Return what a network with a head finds. Raises `UsageError` for options that only a classifier has."""
    require_no_list(top=options.get("top", 1), level=options.get("level"))
    out = options.get("out")
    found = predict_net(
        open_net(target, settings),
        images,
        out=None if out is None else Path(out),
        min_score=options.get("min_score"),
        max_pixels=options.get("max_pixels", MAX_PIXELS),
    )
    return replace(found, notices=(*target.notices, *found.notices))


def require_no_folder(out: object) -> None:
    """Raise `UsageError` for the folder of drawn pictures, for a classifier."""
    if out is not None:
        raise UsageError("this network is a classifier, which draws nothing", where=Setting("out"))


def require_no_list(*, top: int, level: float | None) -> None:
    """Raise `UsageError` for options of classifiers, for a network with a head."""
    for key, value, default in (("set", level, None), ("top", top, 1)):
        if value != default:
            raise UsageError("this network is no classifier, so it has no list of classes", where=Setting(key))


def check_top(top: int) -> None:
    """Raise `UsageError` when `top` is no number of classes to list."""
    if top < 1:
        raise UsageError(f"{top} classes cannot be listed", where=Setting("top"), hint=Setting("top", 1))


def set_threshold(card: WeightsCard, level: float, *, where: Path) -> float:
    """Return the smallest probability of a class in prediction sets of `level`.

    Raises:
        UsageError: `level` is not between 0 and 1, or the card has other levels.
        InputError: the card has no prediction sets.
    """
    if not 0 < level < 1:
        raise UsageError(f"a level is a fraction between 0 and 1, not {level:g}", where=Setting("set"))
    if card.calibration is None:
        raise InputError(
            "the weights have no prediction sets: no val split with at least 100 images has calibrated them",
            where=str(where),
            hint=Call("report", (where,), {"calibrate": "NEW.safetensors"}),
        )
    for known, threshold in card.calibration.sets.items():
        if float(known) == level:
            return threshold
    others = [Setting("set", float(item)) for item in card.calibration.sets]
    raise UsageError(f"the weights have no prediction sets of level {level:g}", where=Setting("set"), hint=others)


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


def classified(
    opened: Opened,
    pictures: Iterable[Listed],
    *,
    top: int,
    threshold: float | None = None,
    max_pixels: int = MAX_PIXELS,
) -> Iterator[Prediction]:
    """Yield the `top` likeliest classes of each picture, or its problem, in order. Raises as `probabilities`.

    With a `threshold`, the classes of at least this probability are its prediction set.

    Several threads may do this with one `opened`: nothing here changes it, and neither do torch and onnxruntime.
    """
    remaining, image = iter(pictures), opened.card.image
    while batch := list(
        islice(remaining, 1 if opened.takes_originals else BATCH)
    ):  # originals are large: one at a time
        if opened.takes_originals:
            read = [picture.decoded(image.channels, max_pixels=max_pixels) for picture in batch]
        else:
            read = [picture.pixels(image, max_pixels=max_pixels) for picture in batch]
        good = [pixels for pixels in read if not isinstance(pixels, BadImage)]
        results = _results(opened, good, top=top, threshold=threshold)
        for picture, pixels in zip(batch, read, strict=True):
            if isinstance(pixels, BadImage):
                yield Prediction(file=picture.file, problem=pixels)
            else:
                yield replace(next(results), file=picture.file)


def _results(opened: Opened, images: Sequence[Pixels], *, top: int, threshold: float | None) -> Iterator[Prediction]:
    """Yield the result of each image `(S, S, C)`, or of one original `(H, W, C)`, without its file."""
    if not images:
        return
    names = opened.card.classes
    logits, strange = _read(opened, np.stack(images))
    shares = probabilities(logits, temperature=opened.card.temperature)
    best = np.argsort(-shares, axis=1, kind="stable")  # stable: the first class wins a tie
    rows = np.take_along_axis(shares, best, axis=1)
    for order, row, (is_strange, distance) in zip(best.tolist(), rows.tolist(), strange, strict=True):
        ranked = tuple(zip((names[i] for i in order), row, strict=True))
        classes = None if threshold is None else tuple(name for name, share in ranked if share >= threshold)
        yield Prediction(file=None, guesses=ranked[:top], classes=classes, is_strange=is_strange, distance=distance)


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
