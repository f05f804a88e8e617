"""Entry points that the `pyproject.toml` of an editable plugin declares, and that were added after it was installed."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

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


def _all() -> Iterator[Declared]:
    chosen = chosen_plugins()
    for dist in distributions():
        folder = editable_folder(dist)
        owner = normal_name(dist.name or "") if folder is not None else ""
        if folder is None or not (chosen is None or owner in map(normal_name, chosen)):
            continue
        project = project_in(folder)
        if normal_name(str(project.get("name", ""))) != owner:
            continue
        installed = {(point.group, point.name, point.value) for point in dist.entry_points}
        tables = project.get("entry-points")
        for kind, row in KINDS.items():
            points = tables.get(row.group) if isinstance(tables, dict) else None
            for name, value in points.items() if isinstance(points, dict) else ():
                if (row.group, name, value) not in installed:
                    yield Declared(kind=kind, name=name, distribution=owner, folder=folder)
