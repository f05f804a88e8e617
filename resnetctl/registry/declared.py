"""What a `pyproject.toml` of an editable plugin, or of a folder here, declares and is not installed."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resnetctl.registry.folders import PROJECT, install_line, project_in, projects_here
from resnetctl.registry.kinds import KINDS, Kind
from resnetctl.registry.metadata import distributions, editable_folder, normal_name
from resnetctl.system.settings import chosen_plugins


@dataclass(frozen=True, kw_only=True)
class Declared:
    """An entry point that is not installed, of the distribution whose source is in `folder`."""

    kind: Kind
    name: str
    distribution: str
    folder: Path

    @property
    def hint(self) -> str:
        """The shell line that installs it, with a note."""
        return f"{install_line(self.folder)}    {self.kind} '{self.name}' is in {self._file}, but not installed"

    def __str__(self) -> str:
        return f"{self.kind} '{self.name}' is declared in {self._file}, but not installed: {install_line(self.folder)}"

    @property
    def _file(self) -> Path:
        return self.folder / PROJECT


@dataclass(frozen=True, kw_only=True)
class Source:
    """The entry points of a distribution, group -> name -> value, as its metadata or its pyproject has them.

    Attributes:
        folder: where its pyproject is; None for a distribution that has no readable one.
        installed: group, name and value of the entry points in its metadata.
    """

    distribution: str
    folder: Path | None
    groups: Mapping[str, Mapping[str, Any]]
    installed: frozenset[tuple[str, str, str]] = frozenset()


def not_installed(name: str = "", kind: Kind | None = None, *, here: bool = False) -> list[Declared]:
    """Return the declared entry points that are not installed, or with another object: all, of a name, or of a kind.

    Reads metadata only. `name` is the name of an entry, of a distribution, or `dist:name`; `here` looks into the
    folders of the current one too.
    """
    sources = [*installed_sources(), *(sources_here() if here else ())]
    return [
        Declared(kind=one, name=point, distribution=source.distribution, folder=source.folder)
        for source in sources
        if source.folder is not None
        for one, row in KINDS.items()
        for point, value in source.groups.get(row.group, {}).items()
        if (row.group, point, value) not in source.installed
        and kind in (None, one)
        and is_named(name, point, distribution=source.distribution)
    ]


@dataclass(frozen=True, kw_only=True)
class Outdated:
    """An editable install whose pyproject has another version: weights would record the `installed` one."""

    distribution: str
    folder: Path
    declared: str
    installed: str

    def __str__(self) -> str:
        return (
            f"{self.distribution}: {self.folder / PROJECT} says {self.declared}, installed is {self.installed}: "
            f"{install_line(self.folder)}"
        )


def other_versions(name: str = "") -> list[Outdated]:
    """Return the editable plugins whose pyproject has another version than is installed: all, or that of a name.

    `name` as in `not_installed`. Reads metadata only.
    """
    owner, _, bare = name.rpartition(":")
    return [
        Outdated(distribution=own, folder=folder, declared=version, installed=str(dist.version))
        for dist, own, folder, project in _used()
        if folder is not None
        and isinstance(version := project.get("version"), str)
        and _release(version) != _release(str(dist.version))
        and (normal_name(owner or bare) in ("", own) or (not owner and bare in _entries(dist)))
    ]


def _entries(dist: Any) -> set[str]:
    groups = {row.group for row in KINDS.values()}
    return {point.name for point in dist.entry_points if point.group in groups}


def _release(version: str) -> Any:
    """Return a version as it is compared: `1.0` is `1.0.0`."""
    from packaging.version import InvalidVersion, Version

    try:
        return Version(version)
    except InvalidVersion:
        return version


def is_named(name: str, point: str, *, distribution: str) -> bool:
    """Return whether `name` (of an entry, of a distribution, or `dist:name`, "" for any) names an entry point."""
    owner, _, bare = name.rpartition(":")
    if normal_name(owner) not in ("", distribution):
        return False
    return bare in ("", point) or (not owner and normal_name(bare) == distribution)


def installed_sources() -> Iterator[Source]:
    """Yield the distributions that may be used; an editable one has the entry points of its pyproject."""
    for dist, owner, folder, project in _used():
        installed = frozenset((point.group, point.name, point.value) for point in dist.entry_points)
        if folder is not None:
            yield Source(distribution=owner, folder=folder, groups=_groups(project), installed=installed)
        else:
            groups: dict[str, dict[str, str]] = {}
            for group, name, value in sorted(installed):
                groups.setdefault(group, {})[name] = value
            yield Source(distribution=owner, folder=None, groups=groups, installed=installed)


def _used() -> Iterator[tuple[Any, str, Path | None, dict[str, Any]]]:
    """Yield each distribution that is not switched off: its name, and the folder and table `[project]` if editable."""
    chosen = chosen_plugins()
    for dist in distributions():
        owner = normal_name(dist.name or "")
        if chosen is None or owner in map(normal_name, chosen):
            folder = editable_folder(dist)
            project = project_in(folder) if folder is not None else {}
            is_own = normal_name(str(project.get("name", ""))) == owner
            yield dist, owner, folder if is_own else None, project


def sources_here() -> Iterator[Source]:
    """Yield the plugins in folders here that are not installed; none when a choice of plugins leaves them out."""
    chosen = chosen_plugins()
    known = {normal_name(dist.name or "") for dist in distributions()}
    for folder, project in projects_here():
        owner = normal_name(str(project.get("name", "")))
        if owner and owner not in known and (chosen is None or owner in map(normal_name, chosen)):
            yield Source(distribution=owner, folder=folder, groups=_groups(project))


def _groups(project: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    tables = project.get("entry-points")
    return {
        group: points
        for group, points in (tables if isinstance(tables, dict) else {}).items()
        if isinstance(points, dict)
    }
