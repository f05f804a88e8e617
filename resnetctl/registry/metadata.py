"""One entry point, described by its distribution's metadata, with its status."""

import contextlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from resnetctl.registry.kinds import KINDS, Kind, resolve

Status = Literal["available", "clash", "disabled", "stale", "broken"]
CORE = "resnetctl"
NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.+-]{0,98}[A-Za-z0-9_+-])?")  # easy to type, a valid folder name everywhere


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One registered name, known without importing it.

    Attributes:
        value: `module:object`.
        reason: the cause of the status `stale` or `broken`, else "".
    """

    kind: Kind
    name: str
    value: str
    distribution: str
    version: str
    status: Status = "available"
    reason: str = ""


def read_entry(kind: Kind, point: Any, *, chosen: tuple[str, ...] | None) -> Entry:
    """Return the entry of one entry point, without a check for clashes with other distributions.

    Args:
        chosen: the distributions that may be used; None: all.
    """
    owner, version = _identity(point.dist)
    entry = Entry(kind=kind, name=point.name, value=point.value, distribution=owner, version=version)
    if owner == CORE:
        return entry
    if chosen is not None and owner not in map(normal_name, chosen):
        return replace(entry, status="disabled")
    if not NAME.fullmatch(point.name):
        return replace(entry, status="broken", reason="a name has letters, digits, _ . + and - only")
    if ":" not in point.value:
        return replace(entry, status="broken", reason=f"{point.value} has no colon between module and object")
    reserved = KINDS[kind].reserved
    if reserved and point.name in resolve(reserved)():
        return replace(entry, status="broken", reason="this is the name of a built-in")
    stale = _staleness(point.value, point.dist)
    return replace(entry, status="stale", reason=stale) if stale else entry


def entry_points(group: str) -> Iterator[Any]:
    """Yield the entry points of a group.

    `importlib.metadata.entry_points` fails for all distributions when one of them has no name.
    """
    for dist in distributions():
        with contextlib.suppress(Exception):  # a damaged distribution has no entries, and must not hide the others
            yield from [point for point in dist.entry_points if point.group == group]


def distributions() -> Iterator[Any]:
    """Yield the first distribution of each name on the path."""
    from importlib import metadata

    seen = set()
    for dist in metadata.distributions():
        with contextlib.suppress(Exception):  # as in `entry_points`
            name = _from_folder(dist)[0] or dist.name
            if name not in seen:
                seen.add(name)
                yield dist


def normal_name(name: str) -> str:
    """Return the normalised name of a distribution: `my-nets` for `My_Nets`."""
    return re.sub(r"[-_.]+", "-", name).lower()


def editable_folder(dist: Any) -> Path | None:
    """Return the folder of which a distribution is an editable install (`pip install -e`); None for any other."""
    from urllib.parse import urlsplit
    from urllib.request import url2pathname

    try:
        facts = json.loads(dist.read_text("direct_url.json") or "null")
        is_editable = facts["dir_info"]["editable"] is True
        url = urlsplit(facts["url"])
    except Exception:  # pip writes the file; a damaged one, or one of another tool, says nothing
        return None
    return Path(url2pathname(url.path)) if is_editable and url.scheme == "file" else None


def _identity(dist: Any) -> tuple[str, str]:
    """Return name and version of a distribution.

    If its METADATA is missing, as after a failed removal, they come from the name of its metadata folder.
    """
    if _has_metadata(dist):
        return normal_name(dist.name), dist.version or "?"
    name, version = _from_folder(dist)
    return name or "unknown", version or "?"


def _from_folder(dist: Any) -> tuple[str, str]:
    """Return name and version in the name of the metadata folder, e.g. `my_nets-1.2.dist-info`."""
    folder = Path(str(getattr(dist, "_path", ""))).name.removesuffix(".dist-info").removesuffix(".egg-info")
    return normal_name(folder.partition("-")[0]), folder.partition("-")[2]


def _has_metadata(dist: Any) -> bool:
    try:
        return bool(dist.name)
    except Exception:  # some versions of importlib.metadata raise where others return None
        return False


def _staleness(value: str, dist: Any) -> str:
    """Return why an entry cannot work, "" if it can.

    Causes: no metadata, no module, or a requirement that excludes this version of resnetctl.
    """
    from importlib.util import find_spec

    from resnetctl import __version__

    if not _has_metadata(dist):
        return "its metadata is missing: install it again"
    module = value.partition(":")[0].partition(".")[0]
    try:
        exists = find_spec(module) is not None
    except (ImportError, ValueError):
        exists = False
    if not exists:
        folder = editable_folder(dist)
        is_moved = folder is not None and not folder.exists()
        return f"it was installed from {folder}, which is gone" if is_moved else f"there is no module '{module}'"
    wanted = [text for text in dist.requires or () if _requirement_name(text) == CORE]
    refused = [text for text in wanted if not _admits(text, __version__)]
    return f"it requires {refused[0]}, and this is {__version__}" if refused else ""


def _admits(requirement: str, version: str) -> bool:
    """Return whether a `Requires-Dist` line such as `resnetctl>=1,<2` admits `version`, or is not for this machine."""
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        wanted = Requirement(requirement)
    except InvalidRequirement:
        return False
    is_for_others = wanted.marker is not None and not wanted.marker.evaluate({"extra": ""})
    return is_for_others or wanted.specifier.contains(version, prereleases=True)


def _requirement_name(text: str) -> str:
    match = re.match(r"[A-Za-z0-9._-]+", text)
    return normal_name(match.group()) if match else ""
