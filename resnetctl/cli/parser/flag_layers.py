"""The layers of a config that flags and `--set` give."""

import re
import tomllib
from collections.abc import Iterable, Mapping
from typing import Any

from resnetctl.config.layers import Layer, flatten
from resnetctl.errors import UsageError
from resnetctl.hints import Setting


def from_flags(values: Mapping[str, Any], names: Mapping[str, str]) -> Layer:
    """Return the layer of flags, from values such as `{"seed": 1}` and names such as `{"seed": "--seed"}`."""
    return Layer(dict(values), {key: f"flag {names[key]}" for key in values})


POINT = re.compile(r"[+-]?(\d+\.|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)  # numbers that TOML does not know


def from_sets(pairs: Iterable[str]) -> Layer:
    """Return the layer of `a.b=v` texts; v is a TOML value, `.5` or `5.`, else a string.

    Raises `UsageError` if `=` is missing.
    """
    values: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key.strip():
            raise UsageError(f"'{pair}' is not KEY=VALUE", where=Setting("set"), hint=Setting("optim.nesterov", False))
        try:
            value = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            value = float(text) if POINT.fullmatch(text.strip()) else text
        values.update(flatten({key.strip(): value}))
    return Layer(values, dict.fromkeys(values, "--set"))
