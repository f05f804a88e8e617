"""Lengths of time: read `10min` as people type it, write `9 min 40 s` as they read it."""

import math
import re
from dataclasses import dataclass

UNITS = {"h": 3600.0, "min": 60.0, "s": 1.0}
LONGEST = 366 * 24 * 3600.0
_EPOCHS = re.compile(r"(\d{1,6}) ?epochs?")
_PARTS = re.compile(r"(\d+(?:\.\d+)?)(h|min|s)")


def seconds(text: str | float) -> float:
    """Return seconds from `90s`, `10min`, `2h`, `1h30min` or a number of seconds. Raises `ValueError`, also for 0."""
    length = _sum(text) if isinstance(text, str) else float(text)
    if not (math.isfinite(length) and 0 < length <= LONGEST):
        raise ValueError("should be more than 0 s and at most a year")
    return length


@dataclass(frozen=True, kw_only=True)
class Length:
    """How long to train: a number of epochs, or else seconds."""

    epochs: int = 0
    seconds: float = 0.0


def length(text: str) -> Length:
    """Return the length in `5epochs`, or in a time as `seconds` reads it. Raises `ValueError`, also for 0."""
    match = _EPOCHS.fullmatch(text.strip())
    if match is None:
        try:
            return Length(seconds=seconds(text))
        except ValueError:
            raise ValueError("should be epochs such as 5epochs, or a time such as 10min") from None
    if int(match[1]) < 1:
        raise ValueError("should be one epoch or more")
    return Length(epochs=int(match[1]))


def spoken(length: float) -> str:
    """Return the time as people read it: `3.1 s`, `1 min 38 s`, `2 h 05 min`."""
    if length < 60:
        return f"{length:.1f} s"
    minutes, rest = divmod(round(length), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def rough(length: float) -> str:
    """Return the time rounded as an estimate: `0.4 s`, `45 s`, `12 min`, `2 h 05 min`."""
    if length < 1:
        return f"{max(0.1, length):.1f} s"
    if length < 90:
        return f"{length:.0f} s"
    minutes = round(length / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def _sum(text: str) -> float:
    plain = text.replace(" ", "")
    parts = _PARTS.findall(plain)
    units = [unit for _, unit in parts]
    in_order = sorted(set(units), key=list(UNITS).index) == units
    if not parts or "".join(number + unit for number, unit in parts) != plain or not in_order:
        raise ValueError("should be a time such as 90s, 10min, 2h or 1h30min")
    return sum(float(number) * UNITS[unit] for number, unit in parts)
