"""Folders of plugins that may not be installed yet: the `pyproject.toml` in a folder names its distribution."""

import os
import shlex
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, distribution, version
from itertools import chain, islice
from pathlib import Path
from typing import Any

from resnetctl.registry.first_party import OWN
from resnetctl.registry.metadata import editable_folder, normal_name

PROJECT = "pyproject.toml"
MAX_BYTES = 1 << 20  # of a pyproject.toml
NEARBY = 500  # folders to look into, at most


def distribution_in(folder: Path) -> str | None:
    """Return the name of the distribution whose source is in `folder`, None when it has no readable pyproject."""
    name = project_in(folder).get("name")
    return name if isinstance(name, str) else None


def project_in(folder: Path) -> dict[str, Any]:
    """Return the table `[project]` of the pyproject in `folder`; {} when there is none that can be read."""
    file = folder / PROJECT
    try:
        if not file.is_file() or file.stat().st_size > MAX_BYTES:
            return {}
        project = tomllib.loads(file.read_text(encoding="utf-8"))["project"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return {}
    return project if isinstance(project, dict) else {}


def folder_of(distribution: str) -> Path | None:
    """Return the folder here that has the source of a distribution: `.`, `NAME` or `plugins/NAME`; None without one."""
    wanted = normal_name(distribution)
    names = {distribution, wanted, wanted.replace("-", "_")}
    for folder in (Path(), *map(Path, sorted(names)), *(Path("plugins", name) for name in sorted(names))):
        if normal_name(distribution_in(folder) or "") == wanted:
            return folder
    return None


def wheel_of(distribution: str, wanted: str) -> Path | None:
    """Return the wheel of this version of a distribution, in `.` or in `dist` here; None without one."""
    start = f"{normal_name(distribution).replace('-', '_')}-{wanted}-"
    for place in (Path(), Path("dist")):
        try:
            files = [file for file in islice(place.iterdir(), NEARBY) if file.name.lower().startswith(start)]
        except OSError:
            continue
        if wheels := sorted(file for file in files if file.suffix == ".whl" and file.is_file()):
            return wheels[0]
    return None


def projects_here() -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield each folder here that has a readable pyproject, and its table `[project]`: `.`, `*` and `plugins/*`."""
    inner = chain.from_iterable(folders_in(place) for place in (Path(), Path("plugins")))
    for folder in (Path(), *inner):
        if project := project_in(folder):
            yield folder, project


def folders_in(place: Path) -> list[Path]:
    """Return the folders in a folder, by name; none when it cannot be read. At most `NEARBY` files are looked at."""
    try:
        return sorted(folder for folder in islice(place.iterdir(), NEARBY) if folder.is_dir())
    except OSError:
        return []


def install_line(folder: Path) -> str:
    """Return the shell line that installs the plugin in `folder`, such as `pip install -e ./my-block`."""
    text = str(folder) if folder.is_absolute() or folder == Path() else os.path.join(".", folder)
    return f"pip install -e {shlex.quote(text)}"


def install_hints(versions: Mapping[str, str]) -> list[str]:
    """Return how to install distributions (name -> version). Only a folder or wheel that exists is a line to paste.

    A plugin may be on no package index, and a stranger may have taken its name on one.
    """
    hints = []
    for name, wanted in versions.items():
        folder = folder_of(name)
        if folder is not None:
            hints.append(install_line(folder))
        elif wheel := wheel_of(name, wanted):
            hints.append(f"pip install {shlex.quote(os.path.join('.', wheel))}")
        elif normal_name(name) in OWN:
            hints.append(f"pip install ./plugins/{normal_name(name)}    in a clone of resnetctl")
        else:
            hints.append(f"install {name} {wanted} from the folder, wheel or index that has it: pip install ./FOLDER")
    return hints


def version_hints(versions: Mapping[str, str]) -> list[str]:
    """Return how to install other versions of distributions than those that are installed.

    A folder with the source of an editable install, or one here, is a line to paste only if it has that version.
    """
    hints = []
    for name, wanted in versions.items():
        try:
            folder = editable_folder(distribution(name)) or folder_of(name)
        except (PackageNotFoundError, ValueError):
            folder = folder_of(name)
        if folder is None or not folder.is_dir() or project_in(folder).get("version") == wanted:
            hints += [install_line(folder)] if folder is not None and folder.is_dir() else install_hints({name: wanted})
        else:
            hints.append(f"check out the code of {wanted} in {folder}, then {install_line(folder)}")
    return hints


def installed(distributions: Iterable[str]) -> dict[str, str]:
    """Return the versions of the distributions that are installed."""
    versions = {}
    for name in distributions:
        try:
            versions[name] = version(name)
        except (PackageNotFoundError, ValueError):
            continue
    return versions
