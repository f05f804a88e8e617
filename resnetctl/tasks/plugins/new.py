"""A new plugin: a distribution with one working entry and a test, to be changed."""

import keyword
import re
from dataclasses import dataclass
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from string import Template
from typing import ClassVar

from resnetctl import __version__, registry
from resnetctl.errors import UsageError
from resnetctl.registry import GROUPS, Kind
from resnetctl.report.base import Report
from resnetctl.system import storage

NAME = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*")
TEMPLATES = "templates"
SUMMARIES: dict[Kind, str] = {
    "block": "A residual block for resnetctl.",
    "arch": "A network for resnetctl.",
    "policy": "An augmentation policy for resnetctl.",
    "dataset": "A dataset for resnetctl.",
}
USES: dict[Kind, str] = {
    "block": "resnetctl train --arch resnet20 --block $name --data digits --epochs 1",
    "arch": "resnetctl train --arch $name --data digits --epochs 1",
    "policy": "resnetctl train --augment $name --data digits --epochs 1",
    "dataset": "resnetctl train --data $name --arch resnet20",
}


@dataclass(frozen=True, kw_only=True)
class Scaffold(Report):
    """What was written: the distribution's folder, its files, and the name to type."""

    schema: ClassVar[str] = "resnetctl.plugins.new/1"
    folder: Path
    files: tuple[Path, ...]
    distribution: str
    name: str
    kind: Kind


def create(name: str, kind: Kind, *, parent: Path) -> Scaffold:
    """Write `parent/NAME/` with pyproject, package, test and README; it appears whole or not at all.

    Args:
        name: of the distribution; the entry is called so too, with `_` for `-` and without the prefix `resnetctl-`.

    Raises:
        UsageError: the name cannot be one, is a built-in's or an importable package's, or the folder exists.
    """
    values = _values(name, kind)
    folder = parent / name
    if folder.exists():
        raise UsageError("the folder exists", where=str(folder), hint="choose another NAME, or --out DIR")
    contents = _contents(kind, values)
    parent.mkdir(parents=True, exist_ok=True)
    with storage.staged_folder(folder) as staged:
        for path, text in contents.items():
            (staged / path).parent.mkdir(parents=True, exist_ok=True)
            (staged / path).write_text(text, encoding="utf-8")
    files = tuple(folder / path for path in contents)
    return Scaffold(folder=folder, files=files, distribution=name, name=values["name"], kind=kind)


def _values(name: str, kind: Kind) -> dict[str, str]:
    entry = name.removeprefix("resnetctl-").replace("-", "_")
    package = name.replace("-", "_")
    taken = keyword.iskeyword(package) or package == "tests" or entry[:1].isdigit()
    if not NAME.fullmatch(name) or taken or name == registry.CORE:
        raise UsageError(
            f"'{name}' cannot be the name of a distribution and of its package",
            hint="small letters, then digits and single - or _ too, e.g. my-block",
        )
    if any(found.name == entry and found.distribution == registry.CORE for found in registry.entries(kind)):
        raise UsageError(f"'{entry}' is a built-in {kind}, which no plugin can shadow", hint="choose another NAME")
    if getattr(find_spec(package), "origin", None):  # a folder here that holds no module has none
        raise UsageError(f"a package '{package}' can be imported here already", hint="choose another NAME")
    thing = entry
    if kind == "block":
        thing = "".join(part.capitalize() for part in entry.removesuffix("_block").split("_")) + "Block"
    return {
        "distribution": name,
        "package": package,
        "name": entry,
        "object": thing if thing.isidentifier() and not keyword.iskeyword(thing) else f"{kind}_{thing}",
        "group": GROUPS[kind],
        "summary": SUMMARIES[kind],
        "version": __version__,
        "use": Template(USES[kind]).substitute(name=entry),
    }


def _contents(kind: Kind, values: dict[str, str]) -> dict[str, str]:
    """Text by path."""
    package, module = values["package"], f"{kind}s" if kind != "policy" else "policies"
    values = values | {"entries": f'{values["name"]} = "{package}.{module}:{values["object"]}"'}
    return {
        "pyproject.toml": _filled("pyproject.toml.txt", values),
        "README.md": _filled("README.md.txt", values),
        f"{package}/__init__.py": f'"""{values["summary"]}"""\n',
        f"{package}/{module}.py": _filled(f"{kind}.py.txt", values),
        f"{package}/py.typed": "",
        f"tests/test_{package}.py": _filled("test_plugin.py.txt", values),
    }


def _filled(template: str, values: dict[str, str]) -> str:
    text = resources.files("resnetctl").joinpath(TEMPLATES, template).read_text(encoding="utf-8")
    return Template(text).substitute(values)
