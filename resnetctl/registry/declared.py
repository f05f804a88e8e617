"""What the `pyproject.toml` of an editable plugin declares, and is not installed: entry points and a version."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resnetctl.registry.folders import PROJECT, install_line, project_in
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


def not_installed(name: str = "", kind: Kind | None = None) -> list[Declared]:
    """Return the declared entry points that are not installed, or with another object: all, of a name, or of a kind.

    Reads metadata only. `name` is the name of an entry, of a distribution, or `dist:name`.
    """
    distribution, _, bare = name.rpartition(":")
    return [
        one
        for one in _all()
        if kind in (None, one.kind)
        and normal_name(distribution) in ("", one.distribution)
        and (bare in ("", one.name) or (not distribution and normal_name(bare) == one.distribution))
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
        for dist, own, folder, project in _editable()
        if isinstance(version := project.get("version"), str) and _release(version) != _release(str(dist.version))
        if normal_name(owner or bare) in ("", own) or (not owner and bare in _entries(dist))
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


def _all() -> Iterator[Declared]:
    for dist, owner, folder, project in _editable():
        installed = {(point.group, point.name, point.value) for point in dist.entry_points}
        tables = project.get("entry-points")
        for kind, row in KINDS.items():
            points = tables.get(row.group) if isinstance(tables, dict) else None
            for name, value in points.items() if isinstance(points, dict) else ():
                if (row.group, name, value) not in installed:
                    yield Declared(kind=kind, name=name, distribution=owner, folder=folder)


def _editable() -> Iterator[tuple[Any, str, Path, dict[str, Any]]]:
    """Yield each editable plugin that is not switched off, with its name, its folder and its table `[project]`."""
    chosen = chosen_plugins()
    for dist in distributions():
        folder = editable_folder(dist)
        owner = normal_name(dist.name or "") if folder is not None else ""
        if folder is None or not (chosen is None or owner in map(normal_name, chosen)):
            continue
        project = project_in(folder)
        if normal_name(str(project.get("name", ""))) == owner:
            yield dist, owner, folder, project
