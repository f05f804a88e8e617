"""The int8 form of `export`: the checked float32 file, quantised, compared on val and timed (see `compress.int8`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from resnetctl.data.splits import eval_batches
from resnetctl.data.store import Store, open_store
from resnetctl.deploy.onnx_card import OnnxCard, to_properties
from resnetctl.errors import InputError, UsageError
from resnetctl.hints import Call, Setting
from resnetctl.spec import WeightsCard
from resnetctl.system.settings import Settings
from resnetctl.system.signals import stop_later
from resnetctl.weights.file import Header

if TYPE_CHECKING:
    from resnetctl.compress.int8 import Int8Report

CALIBRATE = 256  # images


class Int8Settings(TypedDict, total=False):
    """The settings of int8: images to calibrate on, and limits (see `Limits`)."""

    calibrate: int
    max_drop: float
    allow_slower: bool


class Int8Options(Int8Settings, total=False):
    """The settings, and whether to write int8 at all."""

    int8: bool


def asked(**options: Unpack[Int8Options]) -> Int8Settings | None:
    """Return the settings if int8 is asked for, else None.

    Raises:
        TypeError: an option is unknown.
        UsageError: a setting lacks `int8`.
    """
    given: dict[str, Any] = dict(options)
    for name in given:
        if name not in Int8Options.__annotations__:
            raise TypeError(f"export() got an unexpected keyword argument '{name}'")
    wanted = given.pop("int8", False)
    if given and not wanted:
        raise UsageError(f"{next(iter(given))} needs int8", hint=Setting("int8", True))
    return Int8Settings(**given) if wanted else None  # type: ignore[typeddict-item]


def require_possible(settings: Int8Settings, *, input: str, to: str | None, gate: str) -> None:
    """Raise `UsageError` for what int8 cannot be combined with, before the work."""
    if input != "float" or to is not None:
        raise UsageError(
            "int8 is for ONNX files with float input only",
            where=Setting("input", input) if to is None else Setting("to", to),
            hint=Call("export", settings={"onnx": True, "input": "float", "int8": True}),
        )
    if gate != "real":
        raise UsageError("int8 is checked on real images only", where=Setting("gate"), hint=Setting("gate", "real"))
    if settings.get("calibrate", CALIBRATE) < 1:
        raise UsageError("int8 needs images", where=Setting("calibrate"), hint=Setting("calibrate", CALIBRATE))


def open_dataset(card: WeightsCard, settings: Settings) -> Store:
    """Return the dataset of the training, to calibrate and check on. Raises as `open_store`."""
    name = card.trained_on.get("name", "")
    if not name:
        raise InputError("the weights name no dataset to calibrate and check on", hint=Setting("data", "NAME"))
    return open_store(settings.data_dir, name)


def quantised(
    data: bytes, header: Header, *, store: Store, about: Mapping[str, Any], settings: Int8Settings
) -> tuple[bytes, Int8Report]:
    """Return the int8 file of a float32 file, and its report. Raises as `compress.int8.quantise`.

    Args:
        about: the images on which the float32 file was compared with torch.
    """
    from resnetctl.compress import calibration
    from resnetctl.compress.int8 import Limits, quantise

    card = header.card
    limits = {key: value for key, value in settings.items() if key in ("max_drop", "allow_slower")}
    train, val = calibration.sets(store, card)
    order = calibration.class_order(store.card.classes, card.classes, name=store.card.name)
    images = calibration.choose(train, card.image, count=settings.get("calibrate", CALIBRATE))
    batches = [(pixels, order[labels]) for pixels, labels in eval_batches(val, card.image)]
    ranges, report = quantise(data, images, val=batches, limits=Limits(**limits))  # type: ignore[arg-type]
    gate = {**about, "int8": {**report.recorded(), "data": store.card.name}}
    properties = to_properties(OnnxCard(weights=card, weights_sha256=header.sha256, gate=gate))
    with stop_later():
        return ranges.quantised(floats=report.float_layers, metadata=properties), report


def notices(report: Int8Report, *, store: Store, card: WeightsCard) -> Iterator[str]:
    """Yield what int8 does not gain on this machine, which layers it does not use, and what is wrong with val."""
    from resnetctl.compress import calibration
    from resnetctl.compress.int8 import slow_lines

    yield from slow_lines(report)
    if report.float_layers:
        yield f"these layers stayed float32: {', '.join(report.float_layers)}"
    yield from calibration.val_notices(store, card)
