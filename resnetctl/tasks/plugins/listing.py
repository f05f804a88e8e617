"""List and describe the entries of the registry, for `plugins list` and `plugins show`."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from resnetctl import registry
from resnetctl.errors import ResnetctlError, UsageError
from resnetctl.hints import Call, suggest
from resnetctl.registry import CORE, KINDS, Entry, Kind
from resnetctl.registry.probe import probe


def listing(kind: Kind | None = None, *, check: bool = False) -> list[dict[str, Any]]:
    """Return one row for each entry, by kind. `check` imports each in another process and marks the broken ones.

    An arch is broken too when no block has the name of its block, or that block is broken.
    """
    entries = registry.all_entries() if kind is None else registry.entries(kind)
    problems = _problems(entries) if check else {}
    return [_row(entry, problems.get(entry, "")) for entry in entries]


def describe(name: str, kind: Kind | None = None) -> dict[str, Any]:
    """Import one object and return its facts.

    Raises:
        UsageError: there is no such name, or several kinds have it.
        PluginError: the object cannot be used, or its plugin is not installed.
    """
    kind = kind or _only_kind(name)
    entry = registry.find(kind, name)
    value: Any = registry.get(kind, name)
    facts = {key: value for key, value in dataclasses.asdict(entry).items() if key not in ("value", "status", "reason")}
    details = KINDS[kind].details
    return facts | {"object": entry.value} | (registry.resolve(details)(value) if details else {})


def _problems(entries: Sequence[Entry]) -> dict[Entry, str]:
    """Import entries, and the blocks of archs, in other processes. Return why each cannot be used, "" if it can."""
    probes = probe([entry for entry in entries if entry.status in ("available", "clash")])
    problems = {entry: one.error for entry, one in probes.items()}
    blocks = {}
    for entry, one in probes.items():
        try:
            blocks[entry] = registry.find("block", one.block) if one.block else None
        except ResnetctlError as error:
            problems[entry] = error.headline
    others = {block for block in blocks.values() if block and block not in probes and block.distribution != CORE}
    of_blocks = problems | {block: one.error for block, one in probe([*others]).items()}
    for entry, block in blocks.items():
        if block and of_blocks.get(block):
            problems[entry] = f"its block '{block.name}' is broken: {of_blocks[block]}"
    return problems


def _row(entry: Entry, error: str) -> dict[str, Any]:
    row = dataclasses.asdict(entry)
    row["object"] = row.pop("value")
    return row | {"status": "broken", "reason": error} if error else row


def _only_kind(name: str) -> Kind:
    bare = name.rpartition(":")[2]
    kinds = list(dict.fromkeys(entry.kind for entry in registry.all_entries() if entry.name == bare))
    if not kinds:
        registry.require_installed(name)
        known = {known for kind in KINDS for known in registry.names(kind)}
        raise UsageError(f"no plugin is called '{name}'", hint=[suggest(name, known), Call("plugins list")])
    if len(kinds) > 1:
        raise UsageError(
            f"'{name}' is the name of several kinds: {', '.join(kinds)}",
            hint=Call("plugins show", (name,), {"kind": kinds[0]}),
        )
    return kinds[0]
