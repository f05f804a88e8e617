"""Read words of a command line that could not be parsed: the values of options, and arguments of plugins."""

import contextlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from resnetctl.errors import ResnetctlError
from resnetctl.hints import ARGUMENTS, Setting


def value_of(names: Collection[str], words: Sequence[str]) -> str:
    """Return the value of an option on a command line, "" without one."""
    return next(values_of(names, words), "")


def values_of(names: Collection[str], words: Sequence[str]) -> Iterator[str]:
    """Yield the value of each use of an option on a command line, "" for a use without one."""
    for place, word in enumerate(words):
        name, _, value = word.partition("=")
        if name in names:
            value = value or next(iter(words[place + 1 :]), "")
            yield "" if value.startswith("-") else value


def argument_meant(
    option: str, words: Sequence[str], *, forms: Sequence[Collection[str]], core: bool
) -> Setting | None:
    """Return the argument of a plugin that an unknown option means, as `model.block_args.kernel`; None without one.

    Only plugins that the command line names are imported: by a flag, by `--set`, or in its `--config`.

    Args:
        forms: the spellings of each known option.
        core: as in `argument_key`.
    """
    from resnetctl.config.arguments import argument_key
    from resnetctl.config.layers import short_key

    key = argument_key(option.lstrip("-").replace("-", "_"), _named(words, forms), core=core)
    return Setting(short_key(key), value_of([option], words) or "VALUE") if key else None


def _named(words: Sequence[str], forms: Sequence[Collection[str]]) -> Mapping[str, Any]:
    """Return what the command line says of the config, as far as it can be read."""
    from resnetctl.cli.parser.flag_layers import from_sets
    from resnetctl.config.layers import from_file

    spelt = {name: form for form in forms for name in form}
    values: dict[str, Any] = {}
    with contextlib.suppress(ResnetctlError):
        if path := value_of(spelt.get("--config", ()), words):
            values |= from_file(Path(path)).values
    with contextlib.suppress(ResnetctlError):
        values |= from_sets(values_of(spelt["--set"], words)).values
    naming = {**ARGUMENTS, "augment": "augment"}  # key -> argument; every flag that names a plugin has its name
    flags = {key: value_of(spelt.get(f"--{name}", ()), words) for key, name in naming.items()}
    return values | {key: value for key, value in flags.items() if value}
