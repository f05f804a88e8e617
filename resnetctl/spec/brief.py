"""The `repr` of cards and reports: one short line with the figures. Tables, matrices and long texts are left out."""

import dataclasses
import os
from collections.abc import Mapping, Sequence, Set
from typing import Any

LONGEST = 240  # characters of the whole line
NESTED = 150  # characters of a figure that is a data class itself: what is beside it has room, too
LONGEST_VALUE = 48  # characters of a text, a path, or a list of scalars


class Brief:
    """Gives the data classes below it a short `repr`, which `@dataclass` would write out in full.

    A class may name the fields that come first in `FIGURES`.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "__repr__" not in vars(cls):
            cls.__repr__ = brief  # type: ignore[method-assign]  # `@dataclass` leaves a method of the class as it is


def brief(value: object) -> str:
    """Return a data class as one line: `FIGURES`, numbers and words, what is nested, then paths, as far as they fit.

    Fields that are empty or at their default are left out. `<10x10>` stands for a matrix of 10 rows of 10, `...` for
    the rest.
    """
    return _shown(value, LONGEST)


def _shown(value: Any, room: int) -> str:
    """Return the value in at most `room` characters, or in a few where nothing fits."""
    if room < 0:
        return "..."
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        figures = getattr(type(value), "FIGURES", ())
        return _items(_fields(value), f"{type(value).__name__}({{}})", room, between="=", figures=figures)
    if isinstance(value, Mapping):
        return _items({repr(key): inner for key, inner in value.items()}, "{{{}}}", room, between=": ")
    if isinstance(value, float):
        figures = f"{value:.4g}" if abs(value) < 1000 else f"{value:.1f}"
        return f"{figures}.0" if figures.lstrip("-").isdigit() else figures  # a float is no int
    if isinstance(value, os.PathLike):
        text = os.fspath(value)
        return repr(text if len(text) <= LONGEST_VALUE else f"...{text[-LONGEST_VALUE:]}")
    if hasattr(value, "shape"):
        return f"<{'x'.join(map(str, value.shape))}>"
    if isinstance(value, Sequence | Set) and not isinstance(value, str | bytes):
        return _listed(value)
    text = value[: LONGEST_VALUE + 1] if isinstance(value, str | bytes) else value
    text = repr(text)
    return text if len(text) <= LONGEST_VALUE + 2 else f"{text[:LONGEST_VALUE]}..."


def _fields(value: Any) -> dict[str, Any]:
    """Return the fields that are not at their default, those of the class itself before those of its bases."""
    bases = filter(dataclasses.is_dataclass, type(value).__bases__)
    inherited = {item.name for base in bases for item in dataclasses.fields(base)}
    own_first = sorted(dataclasses.fields(value), key=lambda item: item.name in inherited)
    named = {item.name: (getattr(value, item.name), item.default) for item in own_first}
    return {name: inner for name, (inner, default) in named.items() if _is_nested(inner) or inner != default}


def _items(values: Mapping[str, Any], form: str, room: int, *, between: str, figures: Sequence[str] = ()) -> str:
    filled = {name: value for name, value in values.items() if not _is_empty(value)}
    first = {name: filled[name] for name in figures if name in filled}
    rest = sorted((item for item in filled.items() if item[0] not in first), key=lambda item: _rank(item[1]))
    parts: list[str] = []
    room -= len(form) + len(", ...")
    for name, value in [*first.items(), *rest]:
        wide = min(room, NESTED) if name in first else room
        part = f"{name}{between}{_shown(value, wide - len(name) - len(between))}"
        if len(part) <= room:
            parts.append(part)
            room -= len(part) + len(", ")
    return form.format(", ".join([*parts, *["..."] * (len(parts) < len(filled))]))


def _listed(values: Any) -> str:
    """Return a short list of scalars as it is, another one as its lengths: `<10>`, or `<10x10>` for equal rows."""
    items = list(values)
    if not any(_is_nested(item) for item in items):
        text = f"({', '.join(_shown(item, LONGEST_VALUE) for item in items)}{',' * (len(items) == 1)})"
        if len(text) <= LONGEST_VALUE:
            return text
    widths = {len(item) if isinstance(item, Sequence) and not isinstance(item, str) else 0 for item in items}
    return f"<{len(items)}x{widths.pop()}>" if len(widths) == 1 and widths != {0} else f"<{len(items)}>"


def _is_empty(value: Any) -> bool:
    if dataclasses.is_dataclass(value):
        return all(map(_is_empty, _fields(value).values()))
    return value is None or (isinstance(value, str | Sequence | Mapping | Set) and not value)


def _is_nested(value: Any) -> bool:
    return dataclasses.is_dataclass(value) or hasattr(value, "shape") or isinstance(value, list | tuple | Mapping | Set)


def _rank(value: Any) -> int:
    """Return the place of a value in the line: scalars, nested ones, lists, paths and long texts such as digests."""
    if isinstance(value, os.PathLike) or (isinstance(value, str) and len(value) > LONGEST_VALUE):
        return 3
    if isinstance(value, Mapping) or dataclasses.is_dataclass(value):
        return 1
    return 2 if _is_nested(value) else 0
