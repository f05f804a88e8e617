"""Write weights again, with what val says in their card. The first file stays as it is."""

import dataclasses
from pathlib import Path

from resnetctl.errors import InputError, UsageError
from resnetctl.hints import Setting
from resnetctl.system import storage
from resnetctl.tasks.targets import Target
from resnetctl.trust.assessment import is_enough
from resnetctl.trust.evidence import Evidence
from resnetctl.trust.fitting import ENOUGH, fit_card
from resnetctl.weights.file import load, save
from resnetctl.wording import counted


def require_new(target: Target, out: Path) -> None:
    """Raise `UsageError`, before any work, unless `out` can become a new weights file of `target`."""
    if target.kind == "onnx":
        raise UsageError(
            "an ONNX file cannot be calibrated",
            where=str(target.path),
            hint="calibrate the run or the weights file, and export again",
        )
    if out.exists() or out.is_symlink():
        raise UsageError(
            "the output exists", where=str(out), hint=[Setting("calibrate", "OTHER"), "or remove the file"]
        )
    storage.require_writable(out.parent, hint=Setting("calibrate", "FILE"))


def require_enough(target: Target, val: Evidence | None) -> None:
    """Raise `InputError`, before the passes over other images, unless val has enough images."""
    if val is None or not is_enough(val):
        have = "there is no val split" if val is None else f"val has {counted(len(val), 'image')}"
        raise InputError(
            f"{have}, and a temperature needs {ENOUGH} images that training did not see; nothing was written",
            where=str(target.path),
            hint=Setting("data", "NAME", note="a dataset with a val split"),
        )


def write_calibrated(target: Target, val: Evidence | None, *, out: Path) -> Path:
    """Write the weights of `target` with a calibration that `val`, as `require_enough` wants it, chooses."""
    assert val is not None
    fitted = fit_card(val.logits, val.labels, features=val.features)
    weights = load(target.header)
    save(out, dataclasses.replace(weights, card=dataclasses.replace(weights.card, calibration=fitted)))
    return out
