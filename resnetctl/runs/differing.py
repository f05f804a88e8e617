"""In which config keys runs or groups of runs differ, and which runs of a group trained longer than the others."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from resnetctl.config.layers import from_file, short_key
from resnetctl.runs.folder import RunDir
from resnetctl.wording import counted

SWITCHES = {  # start of keys -> the key that switches them on, and its value that does not
    "distill.": ("distill.teacher", ""),
    "progressive.": ("progressive.initial_scale", 1.0),
    "augment_after": ("augment_until", 0),
}
FREE = ("seed", "device", "threads")  # may differ between the runs of a group


def differing(columns: Mapping[str, tuple[Any, ...]]) -> dict[str, tuple[Any, ...]]:
    """Return the columns whose values are not all equal."""
    return {key: values for key, values in columns.items() if any(value != values[0] for value in values)}


def is_off(key: str, columns: Mapping[str, tuple[Any, ...]]) -> bool:
    """Return whether no run uses a key, because what it belongs to is off in all of them."""
    for start, (switch, off) in SWITCHES.items():
        if key.startswith(start) and key != switch:
            return all(value in (None, off) for value in columns.get(switch, ()))
    return False


def keys_between(runs: Sequence[RunDir], others: Sequence[RunDir]) -> tuple[str, ...]:
    """Return the config keys in which two recipes differ, each with runs that differ in their seed.

    The most frequent value of a key is that of the recipe: a resume may have made one run longer.
    """
    one, two = _recipe(runs), _recipe(others)
    columns = {key: (one.get(key), two.get(key)) for key in dict.fromkeys([*one, *two]) if key not in FREE}
    return tuple(short_key(key) for key in differing(columns) if not is_off(key, columns))


def unequal_lengths(runs: Sequence[RunDir]) -> str:
    """Return a sentence if some of the runs, which differ in their seed, trained longer than the others; else ""."""
    lengths: dict[str, list[str]] = {}
    for run in runs:
        config = run.read_config()
        length = counted(config.steps, "step") if config.steps else counted(config.epochs, "epoch")
        lengths.setdefault(length, []).append(run.name)
    if len(lengths) < 2:
        return ""
    usual = max(reversed(lengths), key=lambda length: len(lengths[length]))
    others = [f"{', '.join(names)} trained for {length}" for length, names in lengths.items() if length != usual]
    return f"{'; '.join(others)}, the other {'seed' if len(lengths[usual]) == 1 else 'seeds'} for {usual}"


def _recipe(runs: Sequence[RunDir]) -> dict[str, Any]:
    """Return the most frequent value of each config key."""
    values: dict[str, list[Any]] = {}
    for run in runs:
        for key, value in from_file(run.config).values.items():
            values.setdefault(key, []).append(value)
    return {key: _most_frequent(items) for key, items in values.items()}


def _most_frequent(items: Sequence[Any]) -> Any:
    """Return the most frequent item; lists, which have no hash, are compared by their text."""
    usual, _ = Counter(map(repr, items)).most_common(1)[0]
    return next(item for item in items if repr(item) == usual)
