"""The file of a sweep.

::

    method = "grid"            # every combination; "random" draws `runs` of them; "list" takes the tables [[items]];
                               # "optuna" chooses each of `runs` from the results before it
    seeds = 3                  # each combination with three seeds
    halving = 3                # optional: at each rung, only the best third goes on
    [config]                   # what all runs share, any config key
    data = "digits"
    [vary]                     # values of each key; random also draws from { low = 0.01, high = 1.0, log = true }
    lr = [0.05, 0.1]
"""

import json
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, PrivateAttr, ValidationError

from resnetctl.config.layers import flatten, nearest_place, places, tables
from resnetctl.config.options import complaint, key_meant
from resnetctl.config.schema import Frozen, TrainConfig
from resnetctl.errors import ConfigError, InputError
from resnetctl.hints import Setting, in_file, nearest
from resnetctl.system import storage

MAX_FILE = 2**18  # bytes
MAX_RUNS = 10_000


class SweepFile(Frozen):
    """The keys of a sweep's TOML file."""

    name: str = ""
    method: Literal["grid", "random", "list", "optuna"] = "grid"
    runs: int = Field(8, ge=1, le=MAX_RUNS)
    seeds: int = Field(1, ge=1, le=MAX_RUNS)
    seed: int = Field(0, ge=0)  # of the draws of "random" and "optuna"
    halving: int = Field(0, ge=0)
    recipe: str = ""
    config: dict[str, Any] = Field({})
    vary: dict[str, Any] = Field({})
    items: list[dict[str, Any]] = Field([])
    _places: Mapping[str, str] = PrivateAttr(default_factory=dict)  # `file:line` of `vary.lr`, `items.0.lr`

    def places_in(self, table: str) -> dict[str, str]:
        """Return `file:line` of the keys of a table, such as `vary`; nothing when no file was read."""
        start = f"{table}."
        return {key.removeprefix(start): place for key, place in self._places.items() if key.startswith(start)}

    def place(self, key: str) -> str | None:
        """Return `file:line` of a key, such as `vary.lr`, or of its table; None when no file was read."""
        return nearest_place(key, self._places) or None

    def places_of(self, point: Mapping[str, Any]) -> dict[str, str]:
        """Return `file:line` of the keys of a run."""
        if self.method != "list":
            return self.places_in("vary")
        own = {key: value for key, value in point.items() if key != "seed" or self.seeds == 1}
        return self.places_in(f"items.{self._numbers.get(_text(own), 0)}")

    @cached_property
    def _numbers(self) -> dict[str, int]:
        """The number of the first item with these values."""
        last_first = reversed(list(enumerate(self.items)))
        return {_text(flatten(item)): number for number, item in last_first}


def read_sweep(path: Path) -> SweepFile:
    """Return the content of a sweep's file.

    Raises:
        InputError: there is no such file.
        ConfigError: it is not TOML, or a key is wrong; all are listed.
    """
    text = storage.read_capped(path, MAX_FILE, error=InputError).decode(errors="replace")
    lines = places(text, str(path))
    try:
        values = tables(text, str(path), what="sweep")
        sweep = SweepFile.model_validate(values)
    except ValidationError as error:
        wrong = {".".join(map(str, item["loc"])): item for item in error.errors()}
        unknown = [key for key, item in wrong.items() if item["type"] == "extra_forbidden"]
        raise ConfigError(
            "the sweep has wrong keys",
            where=str(path),
            problems=[
                f"{key}: {'unknown key' if key in unknown else complaint(item)} ({nearest_place(key, lines) or path})"
                for key, item in wrong.items()
            ],
            hint=list(_advice({key: values.get(key) for key in unknown})),
        ) from None
    sweep._places = lines
    return sweep


def _advice(unknown: Mapping[str, Any]) -> Iterator[str]:
    """Yield where each unknown key of a sweep belongs, if it is like a config key or a key of a sweep."""
    for key, value in sorted(unknown.items()):
        meant = key_meant(key, TrainConfig)
        own = nearest(key, SweepFile.model_fields)
        if own and meant != key:
            yield f"{key}: did you mean '{own}'?"
        elif meant:
            yield _line(key, meant, value)


def _line(key: str, meant: str, value: Any) -> str:
    """Return the line, or the header of the table, that gives a config key to all runs, and the one that varies it."""
    if isinstance(value, dict):
        return f"[config.{key}] for all runs, or [vary.{key}] with lists of values"
    if isinstance(value, list):
        return f"{in_file(Setting(meant, value))}    under [vary]"
    line = in_file(Setting(meant, value))
    return f"{line}    under [config], for all runs; or under [vary] as {line.replace('= ', '= [')}, ..]"


def _text(point: Mapping[str, Any]) -> str:
    return json.dumps(point, default=str)
