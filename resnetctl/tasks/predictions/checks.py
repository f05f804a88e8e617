"""Refuse options of `predict` that do not suit the network."""

from pathlib import Path

from resnetctl.errors import InputError, UsageError
from resnetctl.hints import Call, Setting
from resnetctl.spec import WeightsCard
from resnetctl.tasks.targets import Target
from resnetctl.trust.fitting import ENOUGH


def require_no_folder(out: object) -> None:
    """Raise `UsageError` for the folder of drawn pictures, for a classifier."""
    if out is not None:
        raise UsageError("this network is a classifier, which draws nothing", where=Setting("out"))


def require_no_set(level: float | None) -> None:
    """Raise `UsageError` for the level of prediction sets, for a network with a head."""
    if level is not None:
        raise UsageError(
            "this network has a head, and prediction sets are for networks without one", where=Setting("set")
        )


def require_no_score(least: float | None) -> None:
    """Raise `UsageError` for the smallest score, for a classifier."""
    if least is not None:
        raise UsageError("a classifier lists its likeliest classes", where=Setting("min_score"), hint=Setting("top", 3))


def no_single_class(target: Target) -> UsageError:
    """Return the error for a network whose results have no single class, where one is needed."""
    return UsageError(
        "this network gives no single class for an image, so there is no table of classes, and no file can move",
        where=str(target.path),
        hint=Setting("jsonl", note="prints a line for each image"),
    )


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
            f"the weights have no prediction sets: no val split of {ENOUGH} images or more has calibrated them",
            where=str(where),
            hint=_calibrating(where),
        )
    for known, threshold in card.calibration.sets.items():
        if float(known) == level:
            return threshold
    others = [Setting("set", float(item)) for item in card.calibration.sets]
    raise UsageError(f"the weights have no prediction sets of level {level:g}", where=Setting("set"), hint=others)


def _calibrating(where: Path) -> Call:
    """Return the command that gives the weights prediction sets; those of an ONNX file get them before the export."""
    is_onnx = where.suffix.lower() == ".onnx"
    note = f"NAME: a dataset with the same classes and {ENOUGH} val images"
    if is_onnx:
        note += "; WEIGHTS: the run or file that was exported; then export NEW.safetensors"
    settings = {"data": "NAME", "calibrate": "NEW.safetensors"}
    return Call("report", ("WEIGHTS" if is_onnx else where,), settings, note=note)
