"""What `compress` is asked for, checked before any work."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike, fspath
from pathlib import Path
from typing import Any, TypedDict, TypeVar, Unpack

from resnetctl.compress.depths import Depths, require_depths
from resnetctl.config.duration import Length, length, seconds
from resnetctl.config.sizes import byte_count
from resnetctl.errors import InputError, UsageError
from resnetctl.hints import Setting
from resnetctl.spec import Card, WeightsCard

Stored = TypeVar("Stored", bound=Card)
GOALS = ("target_ms", "size", "int8", "max_drop", "budget")  # each makes the result a checked file


@dataclass(frozen=True, kw_only=True)
class Cut:
    """What to remove. One of the three is set.

    Attributes:
        keep_blocks: the blocks that each stage keeps.
        channels: the share of inner channels that stays.
        speedup: how much faster the network must become.
    """

    keep_blocks: Depths | None = None
    channels: float | None = None
    speedup: float | None = None


class OrderOptions(TypedDict, total=False):
    """The arguments of `Order`, as Python's `compress` takes them."""

    data: str | PathLike[str] | None
    keep_blocks: Sequence[int] | str | None
    channels: float | None
    speedup: float | None
    student: str | PathLike[str] | None
    finetune: str | None
    set: Mapping[str, Any]
    target_ms: float | None
    size: str | None
    int8: bool
    max_drop: float | None
    budget: str | float | None


@dataclass(frozen=True, kw_only=True)
class Order(Card):
    """What a run of `compress` is asked for. It is stored, so the same command goes on after a kill.

    Attributes:
        target: the weights to compress; "" for those of the newest run.
        sha256: digest of that file.
        data: the dataset to choose, measure and train on; "" for that of the training.
        keep_blocks, channels, speedup: the cut.
        student: the weights file or the arch of a network that competes with the cut one; "" for none.
        student_sha256: digest of that file.
        finetune: how long to train afterwards, such as `5epochs` or `10min`; "" for not at all.
        set: config keys of this training.
        target_ms: the largest time of a single image on this machine, in milliseconds.
        size: the largest ONNX file, such as `500kB`.
        int8: whether the file is quantised.
        max_drop: the largest fall of the accuracy on val, in percent points.
        budget: the wall time for everything, over all calls, such as `30min`.
    """

    target: str = ""
    sha256: str = ""
    data: str = ""
    keep_blocks: Depths | None = None
    channels: float | None = None
    speedup: float | None = None
    student: str = ""
    student_sha256: str = ""
    finetune: str = ""
    set: Mapping[str, Any] = field(default_factory=dict)
    target_ms: float | None = None
    size: str = ""
    int8: bool = False
    max_drop: float | None = None
    budget: str = ""

    def __post_init__(self) -> None:
        self._freeze(tables=("set",))

    @classmethod
    def of(cls, target: str | None, **options: Unpack[OrderOptions]) -> Order:
        """Return the order that these arguments give; those that are None are left open."""
        values: dict[str, Any] = {key: value for key, value in options.items() if value is not None}
        values |= {key: fspath(values[key]) for key in values.keys() & {"data", "student"}}
        if "keep_blocks" in values:
            values["keep_blocks"] = _depths(values["keep_blocks"])
        if "budget" in values:
            values["budget"] = str(values["budget"]) + ("s" if isinstance(values["budget"], int | float) else "")
        return cls(target=target or "", **values)

    @property
    def cut(self) -> Cut:
        """What to remove."""
        return Cut(keep_blocks=self.keep_blocks, channels=self.channels, speedup=self.speedup)

    @property
    def names_shape(self) -> bool:
        """Whether the cut says what is left, and not how fast or small the result must be."""
        return self.keep_blocks is not None or self.channels is not None

    @property
    def has_goal(self) -> bool:
        """Whether the result is a checked file that keeps limits, and not only a smaller network."""
        return not self._asked.keys().isdisjoint(GOALS)

    @property
    def _asked(self) -> dict[str, Any]:
        """The values that are not left open. A limit of 0 is not left open: it is wrong, or no point may be lost."""
        nothing = Order().to_json()
        return {key: value for key, value in self.to_json().items() if value != nothing[key]}

    @property
    def size_bytes(self) -> int:
        """The largest file in bytes; 0: any. Raises `UsageError` for text that is no size."""
        try:
            return byte_count(self.size) if self.size else 0
        except ValueError as error:
            raise UsageError(f"size {error}", where=Setting("size")) from None

    @property
    def budget_seconds(self) -> float:
        """The wall time in seconds; 0: any. Raises `UsageError` for text that is no time."""
        try:
            return seconds(self.budget) if self.budget else 0.0
        except ValueError as error:
            raise UsageError(f"budget {error}", where=Setting("budget")) from None

    def require_goal(self, card: WeightsCard) -> None:
        """Raise `UsageError` unless the limits are numbers above zero, and the network can be cut."""
        cuts = [key for key in ("keep_blocks", "channels", "speedup", "target_ms") if getattr(self, key) is not None]
        if len(cuts) > 1 or not (cuts or self.size):
            raise UsageError(
                "give one of these: a time, a speed-up, a size, the blocks to keep, or the share of the channels",
                hint=[Setting("target_ms", 0.8), Setting("speedup", 3), Setting("size", "500kB")],
            )
        if self.target_ms is not None:
            _require(
                0 < self.target_ms < math.inf,
                f"the time must be above 0 ms, not {self.target_ms:g}",
                example=Setting("target_ms", 0.8),
            )
        if self.max_drop is not None:
            _require(
                0 <= self.max_drop <= 100,
                f"the drop must be 0 to 100 points, not {self.max_drop:g}",
                example=Setting("max_drop", 1),
            )
        if self.keep_blocks is not None or self.channels is not None or self.speedup is not None:
            require_cut(self.cut, card, is_alone=False)
        _ = self.size_bytes, self.budget_seconds  # raise for text that is no size and no time

    @property
    def length(self) -> Length | None:
        """How long to train; None for not at all. Raises `UsageError` for text that says neither epochs nor a time."""
        try:
            return length(self.finetune) if self.finetune else None
        except ValueError as error:
            raise UsageError(
                f"finetune {error}", where=Setting("finetune"), hint=Setting("finetune", "5epochs")
            ) from None

    def require_file(self, name: str | None) -> None:
        """Raise `UsageError` when the order, or a `name`, is for a run, where only a file is to be written."""
        asked = self._asked | ({"name": name} if name else {})
        for key in ("name", "student", "finetune", "set", *GOALS):
            if key in asked:
                raise UsageError(
                    f"{key} makes a run, and out writes a file without training: give one of them", where=Setting(key)
                )

    def require_training(self) -> None:
        """Raise `UsageError` for a length that is none, and for config keys or a student without a training."""
        if self.length is None and self.student and not self.has_goal:
            hint = Setting("finetune", "5epochs")
            raise UsageError("a student needs a training", where=Setting("student"), hint=hint)
        if self.length is None and self.set and not self.has_goal:
            hint = Setting("finetune", "5epochs")
            raise UsageError("config keys are for a training, and none is asked for", where=Setting("set"), hint=hint)

    def require_same(self, stored: Order, *, name: str) -> None:
        """Raise `UsageError` when this order asks for something else than the stored one of the run `name`.

        Only a budget may change.
        """
        was = stored._asked
        free = ("budget",) if stored.budget else ()
        others = [key for key, value in self._asked.items() if was.get(key) != value and key not in free]
        if others:
            key = others[0]
            raise UsageError(
                f"the run '{name}' was begun with another value of {key}: {was.get(key, 'none')}",
                where=Setting(key),
                hint=[Setting("name", name, note="alone goes on with it"), Setting("name", "OTHER")],
            )

    def settled(self, **values: Any) -> Order:
        """Return the order with the values that it left open."""
        return dataclasses.replace(self, **values)


def require_cut(cut: Cut, card: WeightsCard, *, is_alone: bool = True) -> None:
    """Raise `UsageError` unless `cut` names one way to make this network smaller that is possible.

    Args:
        is_alone: whether nothing else makes the network faster, as int8 does.
    """
    if sum(value is not None for value in (cut.keep_blocks, cut.channels, cut.speedup)) != 1:
        raise UsageError(
            "give one of these: the blocks to keep, the share of the channels, or a speed-up",
            hint=[
                Setting("keep_blocks", ",".join("1" for _ in card.arch.depths)),
                Setting("channels", 0.5),
                Setting("speedup", 2),
            ],
        )
    if cut.keep_blocks is not None:
        require_depths(card.arch, cut.keep_blocks)
    elif cut.channels is not None:
        _require(
            0 < cut.channels < 1,
            f"the share of the channels must be above 0 and below 1, not {cut.channels:g}",
            example=Setting("channels", 0.5),
        )
    elif cut.speedup is not None:
        _require(
            1 < cut.speedup < math.inf,
            f"the speed-up must be above 1, not {cut.speedup:g}",
            example=Setting("speedup", 2),
        )
        if is_alone and max(card.arch.depths) == 1:
            raise UsageError("every stage of the network has one block, so none can be removed")


def _require(holds: bool, otherwise: str, *, example: Setting) -> None:
    if not holds:
        raise UsageError(otherwise, where=Setting(example.name), hint=example)


def read_back(kind: type[Stored], values: Mapping[str, Any], *, where: Path) -> Stored:
    """Return the card that the run `where` keeps. Raises `InputError` for wrong values."""
    try:
        return kind.from_json(values)
    except (TypeError, ValueError) as error:
        raise InputError(f"the run cannot be read: {error}", where=str(where)) from None


def dataset_of(card: WeightsCard, data: str | None) -> str:
    """Return the dataset to measure on: the named one, or that of the training. Raises `InputError` without any."""
    name = data or card.trained_on.get("name", "")
    if not name:
        raise InputError("the weights name no dataset to measure on", hint=Setting("data", "NAME"))
    return name


def _depths(blocks: Sequence[int] | str) -> Depths:
    """Return the numbers of a list, or of text such as `5,5,5`. Raises `UsageError` for anything else."""
    try:
        return tuple(int(part) for part in (blocks.split(",") if isinstance(blocks, str) else blocks))
    except (TypeError, ValueError):
        raise UsageError(
            f"{blocks!r} is not a list of numbers",
            where=Setting("keep_blocks"),
            hint=Setting("keep_blocks", "5,5,5", note="one for each stage"),
        ) from None
