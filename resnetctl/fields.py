"""Read JSON texts, and check values against the annotated fields of a data class: the class is the schema.

A file may lie: nested 100,000 deep, with numbers of 5,000 digits, text where a number belongs, or 100,000 unknown keys.
Each is one error that names the key.
"""

import dataclasses
import json
import math
import os
from collections.abc import Mapping
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

MAX_NUMBER = 2**64  # no seed or count in a card is larger
MAX_FLOAT = 3.5e38  # the loss of a run that diverged is a float32
MAX_TEXT = 2**16  # characters of one value
_WORDS = {bool: "true or false", int: "an integer", float: "a number", str: "text", NoneType: "null"}


def read_json(text: str | bytes) -> dict[str, Any]:
    """Return the object in a JSON text. Raises `ValueError` for anything else, and for what no card of ours holds."""
    try:
        values = json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError("its values are nested too deep") from None
    except ValueError as error:
        raise ValueError("a number is too long" if "digits" in str(error) else str(error)) from None
    if not isinstance(values, dict):
        raise ValueError("it is not a table of keys and values")
    return values


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        raise ValueError("a key occurs twice")
    return values


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number")


def check(kind: type, values: Mapping[str, Any], *, at: str = "") -> None:
    """Raise `TypeError` or `ValueError`, naming the key, unless `values` suit the fields of data class `kind`.

    Args:
        at: prefix of the keys in errors, such as `image.`.
    """
    if not isinstance(values, Mapping):
        raise TypeError(f"{_named(at.rstrip('.'))} must be a table, not {_shown(values)}")
    kinds = _kinds(kind)
    unknown = [key for key in values if key not in kinds]
    if unknown:
        more = f" and {len(unknown) - 1:,} more" if len(unknown) > 1 else ""
        raise TypeError(f"{_named(at + str(unknown[0]))} is an unknown key{more}")
    missing = [key for key in _required(kind) if key not in values]
    if missing:
        raise TypeError(f"{_named(at + missing[0])} is missing")
    for key, value in values.items():
        _check(value, kinds[key], at + key)


def _check(value: Any, kind: Any, key: str) -> None:
    base, inner = get_origin(kind), get_args(kind)
    if base in (UnionType, Union):
        _check_either(value, inner, key)
    elif base is Literal:
        _require(value in inner if isinstance(value, str) else False, value, key, " or ".join(map(str, inner)))
    elif base is tuple:
        _require(isinstance(value, list | tuple), value, key, "a list")
        for place, item in enumerate(value):
            _check(item, inner[0], f"{key}[{place}]")
    elif isinstance(base, type) and issubclass(base, Mapping):
        _require(isinstance(value, Mapping), value, key, "a table")
        for name, item in value.items():
            _check(name, str, key)
            _check(item, inner[1], f"{key}.{name}")
    elif dataclasses.is_dataclass(kind):
        if not isinstance(value, kind):  # type: ignore[arg-type]  # it is a class
            check(kind, value, at=f"{key}.")  # type: ignore[arg-type]
    elif kind is not Any:
        _require(_is(value, kind), value, key, _WORDS[kind])


def _check_either(value: Any, kinds: tuple[Any, ...], key: str) -> None:
    others = [kind for kind in kinds if kind is not NoneType]
    if value is None and len(others) < len(kinds):
        return
    if len(others) == 1:
        _check(value, others[0], key)
    else:
        is_right = any(_is(value, kind) for kind in others)
        _require(is_right, value, key, " or ".join(_WORDS[kind] for kind in others))


def _is(value: Any, kind: Any) -> bool:
    if kind is float:
        return _is(value, int) or (isinstance(value, float) and math.isfinite(value) and abs(value) < MAX_FLOAT)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool) and abs(value) < MAX_NUMBER
    if kind is str:
        return isinstance(value, str) and len(value) <= MAX_TEXT
    return isinstance(value, kind)


def _require(is_right: bool, value: Any, key: str, expected: str) -> None:
    if not is_right:
        raise ValueError(f"{_named(key)} must be {expected}, not {_shown(value)}")


@cache
def _kinds(kind: type) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {item.name: hints[item.name] for item in dataclasses.fields(kind)}


@cache
def _required(kind: type) -> tuple[str, ...]:
    unset = dataclasses.MISSING
    return tuple(item.name for item in dataclasses.fields(kind) if item.default is unset is item.default_factory)


def _named(key: str) -> str:
    return f"'{key[:80]}'"


def _shown(value: Any) -> str:
    """Return a short form of the value, for an error."""
    if isinstance(value, Mapping | list | tuple):
        return "a table" if isinstance(value, Mapping) else "a list"
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= MAX_NUMBER:
        return "a number of this size"
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}..."


def plain(value: Any) -> Any:
    """Return the value in JSON types: dataclasses become dicts, tuples become lists, paths become text."""
    if dataclasses.is_dataclass(value):
        return {item.name: plain(getattr(value, item.name)) for item in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    return [plain(inner) for inner in value] if isinstance(value, tuple | list) else value


def frozen(value: Any) -> Any:
    """Return the value with tuples for lists."""
    return tuple(frozen(inner) for inner in value) if isinstance(value, list) else value
