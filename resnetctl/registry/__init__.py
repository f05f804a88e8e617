"""Names to objects, over entry points. Nothing else in the package reads entry points.

Listing and validation read metadata only; `get` imports exactly one object, checks its shape, and turns any failure
into one `PluginError` that names distribution and version. The core's own entries come through the same door. A
name in two distributions is a clash that `dist:name` settles, except that a built-in is never shadowed.
"""

import contextlib
import os
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Literal, overload

from resnetctl.errors import PluginError, ResnetctlError, UsageError, own_line, suggest
from resnetctl.hints import Call
from resnetctl.spec import Arch, Dataset, Policy
from resnetctl.system.settings import chosen_plugins

Kind = Literal["arch", "block", "policy", "dataset"]
Status = Literal["available", "clash", "disabled", "stale", "broken"]
GROUPS: dict[Kind, str] = {
    "arch": "resnetctl.archs",
    "block": "resnetctl.blocks",
    "policy": "resnetctl.policies",
    "dataset": "resnetctl.datasets",
}
CORE = "resnetctl"
NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.+-]{0,98}[A-Za-z0-9_+-])?")  # what can be typed, and name a folder anywhere


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One registered name, known without importing it. `value` is `module:object`.

    `reason` says why it is stale or broken.
    """

    kind: Kind
    name: str
    value: str
    distribution: str
    version: str
    status: Status = "available"
    reason: str = ""


_overlays: dict[tuple[Kind, str], Any] = {}  # objects that tests put in front of the metadata


def disable_plugins() -> None:
    """Leave every plugin out, for this process and its children (`--no-plugins`)."""
    os.environ["RESNETCTL_PLUGINS"] = "none"


@contextlib.contextmanager
def overlay(kind: Kind, **objects: Any) -> Iterator[None]:
    """Register objects for the length of a `with` block. For tests."""
    before = dict(_overlays)
    _overlays.update({(kind, name): found for name, found in objects.items()})
    try:
        yield
    finally:
        _overlays.clear()
        _overlays.update(before)


def entries(kind: Kind) -> tuple[Entry, ...]:
    """Every entry of a kind, by name then distribution, with its status. Imports no plugin."""
    return _entries(kind, chosen_plugins())


@cache
def _entries(kind: Kind, chosen: tuple[str, ...] | None) -> tuple[Entry, ...]:
    from importlib.metadata import entry_points

    points = entry_points(group=GROUPS[kind])
    alone = {_entry(kind, point, dist=point.dist, chosen=chosen) for point in points if point.dist is not None}
    # a stale or disabled namesake cannot be meant, so it makes no clash
    usable = {(entry.name, entry.distribution) for entry in alone if entry.status == "available"}
    owners = Counter(name for name, _ in usable)
    found = [
        replace(entry, status="clash")
        if entry.status == "available" and entry.distribution != CORE and owners[entry.name] > 1
        else entry
        for entry in alone
    ]
    return tuple(sorted(found, key=lambda entry: (_natural(entry.name), entry.distribution)))


def strangers() -> list[str]:
    """What `RESNETCTL_PLUGINS` names and no installed distribution with entries is called."""
    known = {entry.distribution for kind in GROUPS for entry in entries(kind)}
    return [name for name in chosen_plugins() or () if _normal(name) not in known]


def names(kind: Kind) -> list[str]:
    """Names that can be used, in natural order. A clashing one is listed as `dist:name`."""
    listed = {name for overlaid, name in _overlays if overlaid == kind}
    for entry in entries(kind):
        if entry.status == "available":
            listed.add(entry.name)
        elif entry.status == "clash":
            listed.add(f"{entry.distribution}:{entry.name}")
    return sorted(listed, key=_natural)


def find(kind: Kind, name: str) -> Entry:
    """The entry behind `name` or `dist:name`.

    Raises:
        UsageError: no such name; the error lists close ones.
        PluginError: the name is ambiguous, disabled or stale.
    """
    distribution, _, bare = name.rpartition(":")
    matches = [
        entry for entry in entries(kind) if entry.name == bare and _normal(distribution) in ("", entry.distribution)
    ]
    if not matches:
        raise UsageError(
            f"no {kind} is called '{name}'", hint=[suggest(name, names(kind)), f"resnetctl {_listing(kind)}"]
        )
    usable = [entry for entry in matches if entry.status == "available"]
    if usable:
        for other in matches:
            if other.status == "clash":
                notice(
                    f"{kind} '{bare}' is the built-in; that of {other.distribution} {other.version} "
                    f"is '{other.distribution}:{bare}'"
                )
        return usable[0]
    if distribution and matches[0].status == "clash":
        return matches[0]
    raise _unusable(matches)


@overload
def get(kind: Literal["arch"], name: str) -> Arch: ...
@overload
def get(kind: Literal["policy"], name: str) -> Policy: ...
@overload
def get(kind: Literal["dataset"], name: str) -> Dataset: ...
@overload
def get(kind: Kind, name: str) -> Any: ...
def get(kind: Kind, name: str) -> Any:
    """Import and check the one object behind `name`. Raises as `find`, and `PluginError` when it is broken."""
    if (kind, name) in _overlays:
        return _overlays[kind, name]
    entry = find(kind, name)
    found = _load(entry)
    return owned(found, [entry.distribution]) if isinstance(found, Arch) else found


def owned(arch: Arch, owners: Iterable[str]) -> Arch:
    """The arch, with its block written as `dist:name` where others have that name too and one of `owners` is meant."""
    namesakes = [entry for entry in entries("block") if entry.name == arch.block]
    if (("block", arch.block) in _overlays) or any(entry.status == "available" for entry in namesakes):
        return arch
    meant = [entry for entry in namesakes if entry.status == "clash" and entry.distribution in map(_normal, owners)]
    return replace(arch, block=f"{meant[0].distribution}:{arch.block}") if len(meant) == 1 else arch


def distribution_of(kind: Kind, name: str) -> dict[str, str]:
    """`{distribution: version}` behind a name; empty for the core's own, which the card's version covers."""
    if (kind, name) in _overlays:
        return {}
    entry = find(kind, name)
    return {} if entry.distribution == CORE else {entry.distribution: entry.version}


@contextlib.contextmanager
def guarded(kind: Kind, name: str) -> Iterator[None]:
    """Re-raise what a plugin raises as a `PluginError` that names the plugin and the line in its own code.

    Errors of resnetctl and out-of-memory errors pass through, and so does everything from the core's own objects.
    """
    if not distribution_of(kind, name):
        yield
        return
    out_of_memory = getattr(sys.modules.get("torch"), "OutOfMemoryError", MemoryError)  # torch stays unloaded here
    try:
        yield
    except (ResnetctlError, MemoryError, out_of_memory):
        raise
    except Exception as error:
        text = (str(error).strip() or "no message").splitlines()[0]
        raise fault(kind, name, f"{type(error).__name__}: {text}", line=own_line(error)) from error


def fault(kind: Kind, name: str, problem: str, *, line: str = "") -> PluginError:
    """Return the error that blames the plugin behind `name`; `line` is the place in its code, e.g. `blocks.py:57`."""
    entry = find(kind, name)
    return PluginError(
        f"{kind} '{entry.name}' of {entry.distribution} {entry.version}: {problem}",
        where=line or entry.value,
        hint=Call("plugins check", (f"{entry.distribution}:{entry.name}",)),
    )


@cache
def _load(entry: Entry) -> Any:
    import importlib

    module, _, attribute = entry.value.partition(":")
    try:
        with contextlib.redirect_stdout(sys.stderr):  # stdout belongs to results
            found: Any = importlib.import_module(module)
            for part in attribute.split("."):
                found = getattr(found, part)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit too, and what else a module may think of
        raise PluginError(
            f"{entry.kind} '{entry.name}' of {entry.distribution} {entry.version} cannot be imported: "
            f"{type(error).__name__}: {error}",
            where=entry.value,
            hint=[_mend(entry, error), f"RESNETCTL_PLUGINS=none runs without {entry.distribution}"],
        ) from error
    complaint = _CHECKS[entry.kind](found)
    if complaint:
        raise PluginError(
            f"{entry.kind} '{entry.name}' of {entry.distribution} {entry.version} {complaint}",
            where=entry.value,
            hint=f"resnetctl plugins check {entry.distribution}",
        )
    return found


def _mend(entry: Entry, error: BaseException) -> str:
    """What helps against an error of importing."""
    own = entry.value.partition(":")[0]
    missing = error.name if isinstance(error, ModuleNotFoundError) and error.name else ""
    if missing and not f"{own}.".startswith(f"{missing}."):
        return f"{entry.distribution} needs the module '{missing}': pip install what has it"
    if missing or isinstance(error, AttributeError):
        return f"its entry point names {entry.value}: is it spelt so, and in the distribution?"
    return f"pip install --upgrade {entry.distribution}"


def _check_arch(found: Any) -> str:
    return "" if isinstance(found, Arch) else f"must be a resnetctl.spec.Arch, not {type(found).__name__}"


def _check_block(found: Any) -> str:
    if not isinstance(found, type):
        return f"must be a class, not {type(found).__name__}"
    return "" if isinstance(getattr(found, "expansion", None), int) else "needs a class attribute 'expansion: int'"


def _check_policy(found: Any) -> str:
    return "" if isinstance(found, Policy) else f"must be a resnetctl.spec.Policy, not {type(found).__name__}"


def _check_dataset(found: Any) -> str:
    missing = [name for name in ("card", "fetch", "read") if not hasattr(found, name)]
    return f"lacks {', '.join(missing)}" if missing else ""


_CHECKS: dict[Kind, Callable[[Any], str]] = {
    "arch": _check_arch,
    "block": _check_block,
    "policy": _check_policy,
    "dataset": _check_dataset,
}


def _entry(kind: Kind, point: Any, *, dist: Any, chosen: tuple[str, ...] | None) -> Entry:
    """What an entry point is by itself, whoever else has its name."""
    owner = _normal(dist.name)
    entry = Entry(kind=kind, name=point.name, value=point.value, distribution=owner, version=dist.version or "?")
    if owner == CORE:
        return entry
    if chosen is not None and owner not in map(_normal, chosen):
        return replace(entry, status="disabled")
    if not NAME.fullmatch(point.name):
        return replace(entry, status="broken", reason="a name has letters, digits, _ . + and - only")
    stale = _staleness(point.value, dist)
    return replace(entry, status="stale", reason=stale) if stale else entry


def _staleness(value: str, dist: Any) -> str:
    """That the module is gone, or that the distribution's own requirement excludes this version of resnetctl."""
    from importlib.util import find_spec

    from resnetctl import __version__

    module = value.partition(":")[0].partition(".")[0]
    try:
        there = find_spec(module) is not None
    except (ImportError, ValueError):
        there = False
    if not there:
        return f"there is no module '{module}'"
    wanted = [text for text in dist.requires or () if _requirement_name(text) == CORE]
    refused = [text for text in wanted if not _admits(text, __version__)]
    return f"it requires {refused[0]}, and this is {__version__}" if refused else ""


def _admits(requirement: str, version: str) -> bool:
    """Whether `resnetctl>=1,<2` (a `Requires-Dist` line) admits `version`."""
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        return Requirement(requirement).specifier.contains(version, prereleases=True)
    except InvalidRequirement:
        return False


def _requirement_name(text: str) -> str:
    match = re.match(r"[A-Za-z0-9._-]+", text)
    return _normal(match.group()) if match else ""


@cache
def notice(text: str) -> None:
    """Tell a person, once a process, on stderr unless the program logs elsewhere. It cannot steer a terminal."""
    import logging

    logging.getLogger(CORE).warning("notice: " + "".join(one if one.isprintable() else "?" for one in text))


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
            f"{first.kind} '{first.name}' is in {owner}, which RESNETCTL_PLUGINS or --no-plugins leaves out",
            hint=[f"RESNETCTL_PLUGINS={first.distribution}", "without --no-plugins"],
        )
    return PluginError(
        f"{first.kind} '{first.name}' of {owner} is {first.status}: {first.reason}",
        where=first.value,
        hint=f"pip install --upgrade {first.distribution}",
    )


def _listing(kind: Kind) -> str:
    return "data list" if kind == "dataset" else f"plugins list --kind {kind}"


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]
