"""`predict` with a head: boxes in pixels of the pictures, listed and drawn; masks as PNG in the pictures' size."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import repeat
from os import PathLike
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from resnetctl.data.dense.drawing import colour, draw_boxes
from resnetctl.data.dense.geometry import placement
from resnetctl.data.image_files import Listed, Picture, listed, skipped
from resnetctl.data.images import prepare_array
from resnetctl.data.reading.decode import BadImage, Pixels
from resnetctl.data.reading.files import image_items
from resnetctl.data.reading.source import Ignored
from resnetctl.data.splits import Inputs
from resnetctl.engine.meters.multilabel import require_finite
from resnetctl.errors import UsageError
from resnetctl.facts import Notice
from resnetctl.hints import Setting
from resnetctl.report.outcomes import PerPicture
from resnetctl.spec import MAX_PIXELS, TruthKind, WeightsCard
from resnetctl.spec.dense import SHOWN_PROBABILITY, SHOWN_SCORE
from resnetctl.system import storage
from resnetctl.tasks.nets.answers import Answering, boxes_in_pictures, masks_in_pictures
from resnetctl.tasks.nets.labelled import likeliest
from resnetctl.tasks.nets.numbers import numbers_of, require_numbers
from resnetctl.tasks.targets import Target


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a network found in one picture, or the picture's problem.

    Attributes:
        size: (width, height) of the picture.
        boxes: for detection: (class, score, (x1, y1, x2, y2) in pixels of the picture), the best first.
        shares: for segmentation: (class, share of the pixels), the largest first.
        mask: for segmentation: the class of each pixel, uint8 (H, W).
        labels: for one label or several: (class, probability), the likeliest first.
        outputs: for every other task: the outputs of the network for this picture, by name.
        written: the picture with boxes, or the mask; None if nothing was written.
    """

    file: Path | None
    size: tuple[int, int] = (0, 0)
    boxes: tuple[tuple[str, float, tuple[float, ...]], ...] = ()
    shares: tuple[tuple[str, float], ...] = ()
    mask: Pixels | None = field(default=None, repr=False, compare=False)
    labels: tuple[tuple[str, float], ...] = ()
    outputs: Mapping[str, NDArray[Any]] = field(default_factory=dict, compare=False)
    written: Path | None = None
    problem: BadImage | None = None

    def to_json(self, form: TruthKind | None) -> dict[str, Any]:
        """Return the JSON form; `form` is that of the network.

        It has `boxes`, `classes`, `labels`, `predictions` as for a classifier, or `outputs`.
        """
        own: dict[str, Any] = {"outputs": {name: values.tolist() for name, values in self.outputs.items()}}
        if form == "boxes":
            own = {"boxes": [{"class": name, "score": score, "box": list(box)} for name, score, box in self.boxes]}
        if form == "masks":
            own = {"classes": [{"class": name, "share": share} for name, share in self.shares]}
        if form in ("tags", "labels"):
            key = "labels" if form == "tags" else "predictions"
            own = {key: [{"class": name, "probability": share} for name, share in self.labels]}
        return {
            "file": self.file and str(self.file),
            "size": list(self.size),
            **own,
            "written": self.written and str(self.written),
            "problem": self.problem and self.problem.message,
        }


@dataclass(frozen=True, kw_only=True)
class FoundOutcome(PerPicture):
    """What was found in each picture, in order; `form` is that of the network's outputs (`Answering.form`)."""

    done: ClassVar[str] = "searched"
    task: str
    form: TruthKind | None
    results: tuple[Found, ...]

    def body(self) -> dict[str, Any]:
        """Return the results, the problems and the notices."""
        results = [item.to_json(self.form) for item in self.results]
        rest = {"problems": list(self.problems), "notices": list(self.notices)}
        return {"task": self.task, "results": results, **rest}


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is asked of a network with a head.

    Attributes:
        out: folder for the pictures with boxes, or for the masks: PNG with the class of each pixel as palette index.
        min_score: the smallest score of a box, or probability of one of several labels; None: 0.3, or the threshold of
            each class that val chose, or 0.5.
        top: number of classes to list where a picture has one label.
        max_pixels: pictures with more pixels get a problem.
        vectors: the numbers of the pictures: a CSV or .npy file, or an array (N, D); None: there are none.
    """

    out: Path | None = None
    min_score: float | None = None
    top: int = 1
    max_pixels: int = MAX_PIXELS
    vectors: Any = None

    def require(self, net: Answering) -> None:
        """Raise `UsageError` for what does not suit the network."""
        self.require_form(net)
        require_numbers(net.card.vector, self.vectors)

    def require_form(self, net: Answering) -> None:
        """Raise `UsageError` for what does not suit the form of the answers."""
        if self.out is not None and net.form not in ("boxes", "masks"):
            raise UsageError("this network gives no boxes and no mask: there is nothing to draw", where=Setting("out"))
        if self.top != 1 and net.form != "labels":
            raise UsageError("this network is no classifier, so it has no list of classes", where=Setting("top"))
        if self.min_score is not None and net.form not in ("boxes", "tags"):
            raise UsageError("this network has no scores to leave out", where=Setting("min_score"))

    def least_score(self) -> float:
        """Return the smallest score of a box to list."""
        return SHOWN_SCORE if self.min_score is None else self.min_score

    def least_shares(self, card: WeightsCard) -> Sequence[float]:
        """Return the smallest probability of each class to list, where a picture may have several."""
        chosen = card.thresholds if self.min_score is None else ()
        return chosen or [SHOWN_PROBABILITY if self.min_score is None else self.min_score] * len(card.classes)


def predict_net(net: Answering, images: Iterable[Picture], *, wanted: Wanted) -> FoundOutcome:
    """Return what `finding` yields."""
    facts = [*finding(net, images, wanted=wanted)]
    return FoundOutcome(
        task=net.card.task,
        form=net.form,
        results=tuple(fact for fact in facts if isinstance(fact, Found)),
        notices=tuple(fact.text for fact in facts if isinstance(fact, Notice)),
    )


def finding(net: Answering, images: Iterable[Picture], *, wanted: Wanted) -> Iterator[Found | Notice]:
    """Yield what the network finds in each picture, and notices; a folder stands for all images in it, sorted.

    Raises:
        UsageError: `out` cannot be written, something does not suit the network, or it reads numbers and gets none.
        DataError: a picture has no numbers, or they cannot be used.
    """
    wanted.require(net)
    out, ignored = wanted.out, Ignored()
    if out is not None:
        storage.make_folder(out)
    pictures = [*images]
    paths = [] if out is None else [Path(picture) for picture in pictures if isinstance(picture, str | PathLike)]
    names = _Names(out, [Path(item.name) for item in image_items(paths, ignored=Counter())])
    each: Iterable[Listed] = listed(pictures, ignored=ignored)
    numbers: Iterable[Inputs] = repeat(())
    if net.card.vector is not None:
        each = [*each]
        numbers = [(vector[None],) for vector in numbers_of(each, wanted.vectors, vector=net.card.vector)]
    for picture, own in zip(each, numbers, strict=False):
        yield _found(net, picture, names=names, wanted=wanted, numbers=own)
    yield from (Notice(text) for text in filter(None, [skipped(ignored)]))


@dataclass(frozen=True, kw_only=True)
class Search:
    """A loaded network with a head, and the images that it will search one by one."""

    target: Target
    net: Answering
    images: Sequence[str | Path]
    wanted: Wanted

    def facts(self) -> Iterator[Notice | Found]:
        """Yield what is found in each image, in order, and notices."""
        yield from (Notice(text) for text in self.target.notices)
        yield from finding(self.net, self.images, wanted=self.wanted)

    def told(self) -> Iterator[Notice]:
        """Yield nothing: no file moves by what a head finds."""
        return iter(())

    def line(self, item: Found) -> dict[str, Any]:
        """Return the JSON form of what was found."""
        return item.to_json(self.net.form)


def _found(net: Answering, picture: Listed, *, names: _Names, wanted: Wanted, numbers: Inputs) -> Found:
    image = net.card.image
    pixels = picture.decoded(image.channels, max_pixels=wanted.max_pixels)
    if isinstance(pixels, BadImage):
        return Found(file=picture.file, problem=pixels)
    height, width = pixels.shape[:2]
    place = placement(width, height, side=image.resize, fit=image.fit)
    prediction = net.answer(prepare_array(pixels, image)[None], *numbers)
    found = Found(file=picture.file, size=(width, height))
    if net.form == "boxes":
        boxes, scores, labels = (part[0] for part in boxes_in_pictures(prediction, [place]))
        order = np.argsort(-scores, kind="stable")
        kept = order[(scores[order] >= wanted.least_score()) & (labels[order] >= 0)]
        return _with_boxes(found, net, pixels, boxes=(boxes[kept], scores[kept], labels[kept]), names=names)
    if net.form in ("tags", "labels"):
        shares = prediction[-1][0]
        require_finite(shares)
        if net.form == "labels":
            return replace(found, labels=likeliest(shares, net.card.classes, top=wanted.top))
        ranked = likeliest(shares, net.card.classes, top=len(shares))
        least = dict(zip(net.card.classes, wanted.least_shares(net.card), strict=True))
        return replace(found, labels=tuple((name, share) for name, share in ranked if share >= least[name]))
    if net.form == "masks":
        (mask,) = masks_in_pictures(prediction, [place])
        return _with_mask(found, net, mask, names=names)
    outputs = zip(net.task.outputs, prediction, strict=True)
    return replace(found, outputs={output.name: values[0] for output, values in outputs})


def _with_boxes(found: Found, net: Answering, pixels: Pixels, *, boxes: Any, names: _Names) -> Found:
    corners, scores, labels = boxes
    classes = [net.card.classes[label] for label in labels]
    rows = zip(classes, scores.tolist(), corners.tolist(), strict=True)
    found = replace(found, boxes=tuple((name, score, tuple(box)) for name, score, box in rows))
    path = names.next(found.file)
    if path is None:
        return found
    texts = [f"{name} {score:.2f}" for name, score in zip(classes, scores, strict=True)]
    picture = Image.fromarray(pixels if pixels.shape[2] == 3 else pixels[..., 0])
    _write(path, draw_boxes(picture, corners, labels=labels, texts=texts))
    return replace(found, written=path)


def _with_mask(found: Found, net: Answering, mask: Pixels, *, names: _Names) -> Found:
    counts = np.bincount(mask.ravel(), minlength=len(net.card.classes))
    order = [label for label in np.argsort(-counts, kind="stable").tolist() if counts[label]]
    shares = tuple((net.card.classes[label], int(counts[label]) / mask.size) for label in order)
    found = replace(found, shares=shares, mask=mask)
    path = names.next(found.file)
    if path is None:
        return found
    picture = Image.frombytes("P", mask.shape[::-1], mask.tobytes())
    picture.putpalette([level for label in range(256) for level in colour(label)])
    _write(path, picture)
    return replace(found, written=path)


class _Names:
    """Names of the files to write: that of the picture, with `.png`; a number tells equal names apart.

    A picture that is read is never written over.
    """

    def __init__(self, folder: Path | None, pictures: Sequence[Path]) -> None:
        self._folder = folder
        self._used: Counter[str] = Counter()
        self._taken = {path for picture in pictures for path in (picture.absolute(), picture.resolve())}

    def next(self, file: Path | None) -> Path | None:
        """Return the path for what was found in a picture; None without a folder."""
        if self._folder is None:
            return None
        stem = "image" if file is None else file.stem
        while True:
            self._used[stem] += 1
            number = self._used[stem]
            path = self._folder / (f"{stem}.png" if number == 1 else f"{stem}-{number}.png")
            if self._taken.isdisjoint((path.absolute(), path.resolve())):
                self._taken.add(path.absolute())
                return path


def _write(path: Path, picture: Image.Image) -> None:
    content = io.BytesIO()
    picture.save(content, "PNG")
    storage.write(path, content.getvalue())
