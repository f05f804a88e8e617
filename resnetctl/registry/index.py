"""The entries behind names, read from metadata alone: nothing here imports a plugin."""

import contextlib
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cache
from typing import Any

from resnetctl.errors import PluginError, UsageError
from resnetctl.hints import Setting, suggest
from resnetctl.registry.first_party import owner_of
from resnetctl.registry.folders import install_hints, installed
from resnetctl.registry.kinds import KINDS, Kind
from resnetctl.registry.metadata import CORE, Entry, entry_points, normal_name, read_entry
from resnetctl.registry.remedies import remedy
from resnetctl.registry.unknown_groups import declared_hints
from resnetctl.spec import Arch
from resnetctl.system.settings import chosen_plugins

_overlays: dict[tuple[Kind, str], Any] = {}  # objects that tests put in front of the metadata


def disable_plugins() -> None:
    """Disable every plugin, for this process and its children."""
    os.environ["RESNETCTL_PLUGINS"] = "none"


@contextlib.contextmanager
def overlay(kind: Kind, **objects: Any) -> Iterator[None]:
    """Register objects within a `with` statement. For tests."""
    before = dict(_overlays)
    _overlays.update({(kind, name): value for name, value in objects.items()})
    try:
        yield
    finally:
        _overlays.clear()
        _overlays.update(before)


def overlaid(kind: Kind, name: str) -> Any:
    """Return the object that an `overlay` registers under a name, or None."""
    return _overlays.get((kind, name))


def entries(kind: Kind) -> tuple[Entry, ...]:
    """Return every entry of a kind with its status, by name, then distribution."""
    return read_entries(kind, chosen_plugins())


@cache
def read_entries(kind: Kind, chosen: tuple[str, ...] | None) -> tuple[Entry, ...]:
    """Return `entries` for a choice of plugins: `chosen` names the distributions that may be used (None: all)."""
    listed = {read_entry(kind, point, chosen=chosen) for point in entry_points(KINDS[kind].group)}
    # a stale or disabled entry cannot be used, so its name clashes with none
    usable = {(entry.name, entry.distribution) for entry in listed if entry.status == "available"}
    owners = Counter(name for name, _ in usable)
    marked = [
        replace(entry, status="clash")
        if entry.status == "available" and entry.distribution != CORE and owners[entry.name] > 1
        else entry
        for entry in listed
    ]
    return tuple(sorted(marked, key=lambda entry: (_natural(entry.name), entry.distribution)))


def all_entries() -> list[Entry]:
    """Return the entries of every kind, in the order of the table."""
    return [entry for kind in KINDS for entry in entries(kind)]


def unknown_plugins() -> list[str]:
    """Return the names in `RESNETCTL_PLUGINS` that are no installed distribution with entries."""
    known = {entry.distribution for entry in all_entries()}
    return [name for name in chosen_plugins() or () if normal_name(name) not in known]


def names(kind: Kind) -> list[str]:
    """Return the names that can be used, in natural order. A clashing one is listed as `dist:name`."""
    listed = {name for overlaid_kind, name in _overlays if overlaid_kind == kind}
    for entry in entries(kind):
        if entry.status == "available":
            listed.add(entry.name)
        elif entry.status == "clash":
            listed.add(f"{entry.distribution}:{entry.name}")
    return sorted(listed, key=_natural)


def find(kind: Kind, name: str) -> Entry:
    """Return the entry behind `name` or `dist:name`.

    Raises:
        UsageError: there is no such name; the error suggests a similar one.
        PluginError: the name is ambiguous, disabled or stale, or of a known plugin that is not installed.
    """
    distribution, _, bare = name.rpartition(":")
    matches = [
        entry for entry in entries(kind) if entry.name == bare and normal_name(distribution) in ("", entry.distribution)
    ]
    if not matches:
        require_installed(name, kind)
        similar = suggest(name, names(kind))
        raise UsageError(f"no {kind} is called '{name}'", hint=[similar, KINDS[kind].list_names()])
    usable = [entry for entry in matches if entry.status == "available"]
    if usable:
        for other in matches:
            if other.status == "clash":
                notice(
                    f"{kind} '{bare}' is the built-in; {other.distribution} {other.version} has another, "
                    f"'{other.distribution}:{bare}'"
                )
        return usable[0]
    if distribution and matches[0].status == "clash":
        return matches[0]
    raise _unusable(matches)


def require_installed(name: str, kind: Kind | None = None) -> None:
    """Raise `PluginError` if an unknown `name` is known to be of a plugin that is not installed.

    The plugins of the project are known, those in folders here, and what an installed one has in its `pyproject.toml`.
    """
    distribution, _, bare = name.rpartition(":")
    for one in KINDS if kind is None else [kind]:
        owner = owner_of(one, bare)
        if owner and normal_name(distribution) in ("", owner) and not installed([owner]):
            raise PluginError(f"the {one} '{bare}' needs the plugin {owner}", hint=install_hints({owner: ""}))
    if hints := declared_hints(name, kind):
        raise PluginError(f"the {kind or 'plugin'} '{name}' is not installed", hint=hints)


def owned(arch: Arch, owners: Iterable[str]) -> Arch:
    """Return the arch; if its block's name clashes, name it `dist:name` by the distribution in `owners` that has it."""
    namesakes = [entry for entry in entries("block") if entry.name == arch.block]
    if (("block", arch.block) in _overlays) or any(entry.status == "available" for entry in namesakes):
        return arch
    known = [*map(normal_name, owners)]
    owned_ones = [entry for entry in namesakes if entry.status == "clash" and entry.distribution in known]
    return replace(arch, block=f"{owned_ones[0].distribution}:{arch.block}") if len(owned_ones) == 1 else arch


def distribution_of(kind: Kind, name: str) -> dict[str, str]:
    """Return `{distribution: version}` of a name; empty for built-ins, because the card has the core's version."""
    if (kind, name) in _overlays:
        return {}
    entry = find(kind, name)
    return {} if entry.distribution == CORE else {entry.distribution: entry.version}


@cache
def notice(text: str) -> None:
    """Log a notice, once a process; it goes to stderr unless the program configures logging.

    Characters that could control a terminal become `?`.
    """
    import logging

    logging.getLogger(CORE).warning("notice: " + "".join(char if char.isprintable() else "?" for char in text))


def _unusable(matches: list[Entry]) -> PluginError:
    first = matches[0]
    owner = f"{first.distribution} {first.version}"
    if first.status == "clash":
        choices = [f"{entry.distribution}:{entry.name}" for entry in matches]
        owners = " and ".join(f"{entry.distribution} {entry.version}" for entry in matches)
        return PluginError(
            f"{first.kind} '{first.name}' is in {len(matches)} distributions: {owners}",
            hint="write " + " or ".join(choices),
        )
    if first.status == "disabled":
        return PluginError(
            f"{first.kind} '{first.name}' is in {owner}, which is switched off",
            hint=[
                Setting("no_plugins", note="switches plugins off: leave it out"),
                f"RESNETCTL_PLUGINS={first.distribution}",
            ],
        )
    return PluginError(
        f"{first.kind} '{first.name}' of {owner} is {first.status}: {first.reason}",
        where=first.value,
        hint=remedy(first),
    )


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]
