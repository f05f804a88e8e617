"""The schema of `summary.json`, the results of a finished run."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from resnetctl import fields
from resnetctl.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Summary:
    """The types of the values in `summary.json`."""

    arch: str = ""
    data: str = ""
    epochs: int = 0
    steps: int = 0
    val_images: int = 0
    stopped_early: bool = False
    kept: Literal["best", "last"] = "last"
    best: Mapping[str, float | bool] | None = None
    last: Mapping[str, float | bool] | None = None
    seconds: float = 0.0


REQUIRED = ("epochs", "steps", "stopped_early", "kept", "last", "seconds")  # a resume and `runs verify` need them


def checked(values: dict[str, Any], *, where: str, whole: bool = False) -> dict[str, Any]:
    """Return the values of a summary. Raises `InputError` that names the file `where` and the key of a wrong value.

    Args:
        whole: raise for missing values, too.
    """
    missing = [f"'{key}'" for key in REQUIRED if whole and key not in values]
    if missing:
        raise InputError(f"the summary of the run is damaged: it has no {' and no '.join(missing)}", where=where)
    try:
        fields.check(Summary, {key: values[key] for key in Summary.__dataclass_fields__ if key in values})
    except (TypeError, ValueError) as error:
        raise InputError(f"the run cannot be read: {error}", where=where) from None
    return values
