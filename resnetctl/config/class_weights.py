"""The weight of each class in the loss, from the config's text: `none`, `balanced`, numbers, or a JSON file."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from resnetctl.errors import ConfigError
from resnetctl.hints import Setting
from resnetctl.system.plain_files import expanded
from resnetctl.wording import counted

RULES = ("none", "balanced")
MOST_BYTES = 1 << 22  # of a file


def settled(text: str, classes: Sequence[str]) -> str:
    """Return `text` with a file replaced by its numbers, so that the config needs no other file.

    Raises `ConfigError` unless there is one number >= 0 for each class, and one that is more than 0.
    """
    if text in RULES:
        return text
    numbers = _numbers(text)
    if numbers is None:
        numbers = _in_order(_read(expanded(text)), classes, path=text)
    if len(numbers) != len(classes):
        raise _wrong(f"{counted(len(numbers), 'number')} for {counted(len(classes), 'class')}")
    if not all(0 <= number < math.inf for number in numbers) or not any(numbers):
        raise _wrong("a class weight must be a number >= 0, and one must be more than 0")
    return ",".join(map(repr, numbers))


def values(text: str, counts: Sequence[int]) -> tuple[float, ...]:
    """Return the weights of a settled text, () for `none`.

    `balanced` gives `images / (classes * images of the class)`, as scikit-learn's `compute_class_weight`: each class
    has the same share of the loss, and the mean weight over the images is 1. `counts` has the images of each class.
    """
    if text == "none":
        return ()
    if text == "balanced":
        present = sum(count > 0 for count in counts)
        return tuple(sum(counts) / (present * count) if count else 0.0 for count in counts)
    return tuple(map(float, text.split(",")))


def _numbers(text: str) -> list[float] | None:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        return None


def _read(path: Path) -> Mapping[str, Any]:
    """Return the JSON object in a file. Raises `ConfigError` for anything else."""
    if not path.is_file() or path.stat().st_size > MOST_BYTES:
        raise _wrong(f"'{path}' is neither none, balanced, numbers such as 1,2.5 nor a file of at most 4 MB")
    try:
        content = json.loads(path.read_text(encoding="utf-8"), parse_int=float)  # a huge integer: inf
    except (OSError, ValueError, RecursionError) as error:
        raise _wrong(f"'{path}' is not JSON: {type(error).__name__}") from None
    if not isinstance(content, dict):
        raise _wrong(f"'{path}' is not a JSON object of class names and numbers")
    return content


def _in_order(content: Mapping[str, Any], classes: Sequence[str], *, path: str) -> list[float]:
    odd = [name for name in classes if type(content.get(name)) is not float]
    odd += [name for name in content if name not in set(classes)]
    if odd:
        shown = ", ".join(map(repr, odd[:5]))
        raise _wrong(f"'{path}' must have a number for each class and no other name; wrong: {shown}")
    return [content[name] for name in classes]


def _wrong(message: str) -> ConfigError:
    return ConfigError(message, where=Setting("class_weights"), hint=Setting("class_weights", "balanced"))
