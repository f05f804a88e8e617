"""What `compress` is asked for, checked before any work."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypedDict, Unpack

from resnetctl.compress.depths import Depths, require_depths
from resnetctl.compress.speed_plan import even_depths
from resnetctl.config.duration import Length, length
from resnetctl.errors import InputError, UsageError
from resnetctl.hints import Setting
from resnetctl.spec import Card, WeightsCard


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

    data: str | None
    keep_blocks: Sequence[int] | None
    channels: float | None
    speedup: float | None
    finetune: str | None
    set: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Order(Card):
    """What a run of `compress` is asked for. It is stored, so the same command goes on after a kill.

    Attributes:
        target: the weights to compress; "" for those of the newest run.
        sha256: digest of that file.
        data: the dataset to choose, measure and train on; "" for that of the training.
        keep_blocks, channels, speedup: the cut.
        finetune: how long to train afterwards, such as `5epochs` or `10min`; "" for not at all.
        set: config keys of this training.
    """

    target: str = ""
    sha256: str = ""
    data: str = ""
    keep_blocks: Depths | None = None
    channels: float | None = None
    speedup: float | None = None
    finetune: str = ""
    set: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._freeze(tables=("set",))

    @classmethod
    def of(cls, target: str | None, **options: Unpack[OrderOptions]) -> Order:
        """Return the order that these arguments give; those that are None are left open."""
        values: dict[str, Any] = {key: value for key, value in options.items() if value is not None}
        if "keep_blocks" in values:
            values["keep_blocks"] = tuple(values["keep_blocks"])
        return cls(target=target or "", **values)

    @property
    def cut(self) -> Cut:
        """What to remove."""
        return Cut(keep_blocks=self.keep_blocks, channels=self.channels, speedup=self.speedup)

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
        for key, value in (("name", name), ("finetune", self.finetune), ("set", self.set)):
            if value:
                raise UsageError(
                    f"{key} makes a run, and out writes a file without training: give one of them", where=Setting(key)
                )

    def require_training(self) -> None:
        """Raise `UsageError` for a length that is none, and for config keys without a training."""
        if self.length is None and self.set:
            hint = Setting("finetune", "5epochs")
            raise UsageError("config keys are for a training, and none is asked for", where=Setting("set"), hint=hint)

    def require_same(self, stored: Order, *, name: str) -> None:
        """Raise `UsageError` when this order asks for something else than the stored one of the run `name`."""
        asked = {key: value for key, value in self.to_json().items() if value not in ("", None, {})}
        was = stored.to_json()
        others = [key for key, value in asked.items() if was[key] != value]
        if others:
            key = others[0]
            raise UsageError(
                f"the run '{name}' was begun with another value of {key}: {was[key] or 'none'}",
                where=Setting(key),
                hint=[Setting("name", name, note="alone goes on with it"), Setting("name", "OTHER")],
            )

    def settled(self, **values: Any) -> Order:
        """Return the order with the values that it left open."""
        return dataclasses.replace(self, **values)


def require_cut(cut: Cut, card: WeightsCard) -> None:
    """Raise `UsageError` unless `cut` names one way to make this network smaller that is possible."""
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
        _require(0 < cut.channels < 1, f"the share of the channels is above 0 and below 1, not {cut.channels:g}",
                 at="channels")  # fmt: skip
    elif cut.speedup is not None:
        _require(1 < cut.speedup < math.inf, f"a speed-up is more than 1, not {cut.speedup:g}", at="speedup")
        if not even_depths(card.arch.depths):
            raise UsageError("every stage of the network has one block, so none can be removed")


def _require(holds: bool, otherwise: str, *, at: str) -> None:
    if not holds:
        raise UsageError(otherwise, where=Setting(at))


def dataset_of(card: WeightsCard, data: str | None) -> str:
    """Return the dataset to measure on: the named one, or that of the training. Raises `InputError` without any."""
    name = data or card.trained_on.get("name", "")
    if not name:
        raise InputError("the weights name no dataset to measure on", hint=Setting("data", "NAME"))
    return name
