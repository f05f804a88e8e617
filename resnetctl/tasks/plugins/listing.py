"""List and describe the entries of the registry, for `plugins list` and `plugins show`."""

import dataclasses
from typing import Any

from resnetctl import registry
from resnetctl.errors import UsageError
from resnetctl.hints import Call, suggest
from resnetctl.registry import KINDS, Entry, Kind
from resnetctl.registry.probe import probe


def listing(kind: Kind | None = None, *, check: bool = False) -> list[dict[str, Any]]:
    """Return one row for each entry, by kind. `check` imports each in another process and marks the broken ones."""
    entries = registry.all_entries() if kind is None else registry.entries(kind)
    probes = probe([entry for entry in entries if entry.status in ("available", "clash")]) if check else {}
    return [_row(entry, probes[entry].error if entry in probes else "") for entry in entries]


def describe(name: str, kind: Kind | None = None) -> dict[str, Any]:
    """Import one object and return its facts.

    Raises:
        UsageError: there is no such name, or several kinds have it.
        PluginError: the object cannot be used.
    """
    kind = kind or _only_kind(name)
    entry = registry.find(kind, name)
    value: Any = registry.get(kind, name)
    facts = {key: value for key, value in dataclasses.asdict(entry).items() if key not in ("value", "status", "reason")}
    details = KINDS[kind].details
    return facts | {"object": entry.value} | (registry.resolve(details)(value) if details else {})


def _row(entry: Entry, error: str) -> dict[str, Any]:
    row = dataclasses.asdict(entry)
    row["object"] = row.pop("value")
    return row | {"status": "broken", "reason": error} if error else row


def _only_kind(name: str) -> Kind:
    bare = name.rpartition(":")[2]
    kinds = list(dict.fromkeys(entry.kind for entry in registry.all_entries() if entry.name == bare))
    if not kinds:
        known = {known for kind in KINDS for known in registry.names(kind)}
        waiting = [one.hint for one in registry.not_installed(name) if one.name == bare]
        hints = waiting or [suggest(name, known)]
        raise UsageError(f"no plugin is called '{name}'", hint=[*hints, Call("plugins list")])
    if len(kinds) > 1:
        raise UsageError(
            f"'{name}' is the name of several kinds: {', '.join(kinds)}",
            hint=Call("plugins show", (name,), {"kind": kinds[0]}),
        )
    return kinds[0]
