"""What plugins implement for a task: the head of a network, and the task that says what it is worth.

Imports no torch. Shapes: N images, C channels, S pixels a side, K detections.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from resnetctl.spec.cards import ImageSpec
from resnetctl.spec.truth import Truth, TruthKind

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn

    Arrays = Sequence[np.ndarray[Any, Any]]

SHOWN_SCORE = 0.3  # smallest score of a box that is listed, drawn, and counted in the numbers of an image
SHOWN_PROBABILITY = 0.5  # from which one of several labels is an answer, where val has too few images to choose one


class Head(Protocol):
    """A head: an instance that builds a whole network on a backbone.

    Without a head, the classifier of the arch learns from labels.
    `build` gets a backbone of any arch with all its stages: a module from images `(N, C, S, S)` to a dict of features,
    with `channels` and `reductions` by name. `backbone.select(names, output_stride=16)` gives one with other outputs.
    Keyword arguments besides these have defaults; the config sets them, e.g. `--set model.head_args.levels=3`. It
    raises `ValueError` for values, or a backbone, that do not suit it.

    An optional member `fit_anchors(boxes, labels, image) -> dict` chooses arguments of `build` from all boxes `(M, 4)`
    float32 of train, in pixels of the network's input. They are stored in the card of the weights.

    An optional member `reads_vector = True` asks for the numbers that come with each image: `build` then also gets
    `vector`, a `VectorSpec` with their names, and the network gets them as its last argument.

    An optional member `is_first_choice = True` puts a head before the others of its task where heads are proposed.
    """

    name: str
    task: str
    summary: str

    def build(self, backbone: Any, *, classes: int, image: ImageSpec, **args: Any) -> nn.Module: ...


@runtime_checkable
class Net(Protocol):
    """What `Head.build` returns: an `nn.Module` with a loss for training and a decoder for prediction.

    Images are normalised float32 `(N, C, S, S)`. `decode(forward(images))` is exported, so it uses fixed shapes and no
    control flow that depends on values. Detection gives boxes `(N, K, 4)` float32 in input pixels, scores `(N, K)`
    float32, and labels `(N, K)` int64, padded with score 0 and label -1. Segmentation gives classes `(N, S, S)`, and
    `multilabel` probabilities `(N, classes)`. `classify` gives logits and probabilities, both `(N, classes)`.

    A head with `reads_vector` gives a network with one more argument, the standardised numbers of each image, float32
    `(N, D)`: `loss(images, truth, vectors)` and `forward(images, vectors)`.
    """

    def loss(self, images: Tensor, truth: Any) -> Mapping[str, Tensor]: ...
    def forward(self, images: Tensor) -> Any: ...
    def decode(self, raw: Any) -> tuple[Tensor, ...]: ...


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One number with its 95 % interval, None where there is none."""

    name: str
    value: float
    interval: tuple[float, float] | None = None


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A line of a chart: `name` of the class, the names of x and y, and the points, by rising x; all in 0..1.

    All curves of one `Measured` have the same axes and the same x.
    """

    name: str
    axes: tuple[str, str]
    points: tuple[tuple[float, float], ...]


def class_numbers(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the names of the numbers of the classes, from `Measured.per_class`; the first one has limits."""
    return [key for key in (rows[0] if rows else ()) if key not in ("name", "count", "interval")]


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What a meter found on one split.

    Attributes:
        primary: the number that chooses the best epoch; higher is better.
        count: images.
        figures: all numbers, by their JSON key: fractions in 0..1, and `loss`.
        per_class: the numbers of each class, each with its `name` and its `count` in `unit`. A limit on every class
            (`--min-per-class`) holds for the first number. `interval` is the 95 % interval of this number, None without
            one.
        curves: what the numbers come from, such as precision by recall, for the page of `report`.
        per_image: the numbers of each image, in the order of `Meter.add`; the first one ranks the images, higher is
            better, None if the image has no such number. () if the task has no numbers of single images.
        unit: what the `count` of a class counts.
    """

    FIGURES = ("primary", "figures")
    primary: Figure
    count: int
    figures: Mapping[str, float | None]
    per_class: tuple[Mapping[str, Any], ...] = ()
    curves: tuple[Curve, ...] = ()
    per_image: tuple[Mapping[str, float | None], ...] = ()
    unit: str = "images"


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How two predictions of the same images agree: `same` of `total` detections, pixels or images.

    `largest` is the largest difference between two that agree; `problems` names images that do not.
    """

    same: int
    total: int
    largest: float = 0.0
    problems: tuple[str, ...] = ()

    @property
    def share(self) -> float:
        """The share that agrees; 1 if there is nothing to compare."""
        return self.same / self.total if self.total else 1.0


class Meter(Protocol):
    """Sums up predictions.

    An optional method `thresholds()` returns the probability from which each class is an answer, as the images so far
    choose it. After training it is asked about val. The card of the weights carries the numbers, `predict` uses them,
    and `Task.meter(classes, thresholds=...)` gets them.
    """

    def add(self, prediction: Arrays, truth: Truth) -> None:
        """Add a batch: arrays as the task's outputs, and the truth in the same pixels, on the CPU."""
        ...

    def report(self) -> Measured:
        """Return the numbers of all images so far."""
        ...


@dataclass(frozen=True, kw_only=True)
class Output:
    """One output of an exported network: its ONNX name, and names of its dimensions; the first is the batch."""

    name: str
    shape: tuple[str, ...]


@runtime_checkable
class Task(Protocol):
    """What a network answers: an instance.

    `truth` is the kind of truth that it learns from, `outputs` what `decode` returns, in order, `primary` the JSON key
    of the number that chooses the best epoch. Outputs may have another form than `Net` says for this truth: then `eval`
    gives them to the meter as they are, with the truth in pixels of the network, and `predict` lists their numbers.
    """

    name: str
    summary: str
    truth: TruthKind
    outputs: tuple[Output, ...]
    primary: str

    def meter(self, classes: Sequence[str]) -> Meter:
        """Return a meter that has seen no image."""
        ...

    def agree(self, a: Arrays, b: Arrays) -> Agreement:
        """Compare two predictions of the same images; the order of detections does not count."""
        ...
