"""Create a new plugin: a distribution with one working entry and a test, for its author to change."""

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
from resnetctl.hints import Call, Setting, in_shell
from resnetctl.registry import KINDS, Kind
from resnetctl.registry.kinds import NAME as PLACEHOLDER
from resnetctl.registry.kinds import Scaffold
from resnetctl.registry.metadata import normal_name
from resnetctl.report.base import Report
from resnetctl.system import storage

NAME = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*")
TEMPLATES = "templates"


@dataclass(frozen=True, kw_only=True)
class NewPlugin(Report):
    """A new distribution: its folder, its files, and the name of its entry."""

    schema: ClassVar[str] = "resnetctl.plugins.new/1"
    folder: Path
    files: tuple[Path, ...]
    distribution: str
    name: str
    kind: Kind


def create(name: str, kind: Kind, *, parent: Path) -> NewPlugin:
    """Write `parent/NAME/` with pyproject, package, test and README. An error leaves no part of it.

    Args:
        name: name of the distribution; the entry has the same name, with `_` for `-` and without `resnetctl-`.
        kind: kind of the entry.
        parent: folder of the new folder; created if missing.

    Raises:
        UsageError: the name is not valid, or a built-in, another plugin or an importable package has it; the folder
            exists; the kind has no template.
    """
    scaffold = KINDS[kind].scaffold
    if scaffold is None:
        raise UsageError(f"there is no template for a {kind}", where=Setting("kind"))
    values = _values(name, kind, scaffold)
    folder = parent / name
    if folder.exists():
        raise UsageError("the folder exists", where=str(folder), hint=["choose another name", Setting("out")])
    contents = _contents(KINDS[kind].plural, scaffold.template, values)
    parent.mkdir(parents=True, exist_ok=True)
    with storage.staged_folder(folder) as staged:
        for path, text in contents.items():
            (staged / path).parent.mkdir(parents=True, exist_ok=True)
            (staged / path).write_text(text, encoding="utf-8")
    files = tuple(folder / path for path in contents)
    return NewPlugin(folder=folder, files=files, distribution=name, name=values["name"], kind=kind)


def _values(name: str, kind: Kind, scaffold: Scaffold) -> dict[str, str]:
    entry = name.removeprefix("resnetctl-").replace("-", "_")
    package = name.replace("-", "_")
    taken = keyword.iskeyword(package) or package == "tests" or entry[:1].isdigit()
    if not NAME.fullmatch(name) or taken or name == registry.CORE:
        raise UsageError(
            f"'{name}' cannot be the name of a distribution and of its package",
            hint="use small letters, digits and single - or _, with a letter first, e.g. my-block",
        )
    _require_free(entry, kind, distribution=name)
    if getattr(find_spec(package), "origin", None):  # a folder without a module has no origin
        raise UsageError(f"a package '{package}' can already be imported", hint="choose another name")
    suffix = scaffold.suffix
    words = entry.removesuffix(f"_{suffix.lower()}").split("_")
    value = "".join(word.capitalize() for word in words) + suffix if suffix else entry
    settings = {key: entry if item == PLACEHOLDER else item for key, item in scaffold.use.settings.items()}
    use = Call(scaffold.use.verb.replace(PLACEHOLDER, entry), settings=settings)
    return {
        "distribution": name,
        "package": package,
        "name": entry,
        "object": value if value.isidentifier() and not keyword.iskeyword(value) else f"{kind}_{value}",
        "group": KINDS[kind].group,
        "summary": scaffold.summary,
        "requirement": f"{registry.CORE}{requirement(__version__)}",
        "use": in_shell(use),
    }


def _require_free(entry: str, kind: Kind, *, distribution: str) -> None:
    """Raise `UsageError` when the core, or another installed plugin, has an entry of this kind and name."""
    owners = {other.distribution: other for other in registry.entries(kind) if other.name == entry}
    if registry.CORE in owners:
        raise UsageError(f"'{entry}' is a built-in {kind}, which no plugin can shadow", hint="choose another name")
    owners.pop(normal_name(distribution), None)
    for owner, other in owners.items():
        raise UsageError(
            f"{owner} {other.version}, which is installed, has the {kind} '{entry}': two of one name clash",
            hint="choose another name",
        )


def requirement(version: str) -> str:
    """Return the versions of resnetctl that suit a plugin written with `version`, e.g. `>=0.1,<0.2`.

    Before 1.0 a minor version may break things, then a major one.
    """
    from packaging.version import Version

    own = Version(version)
    least = version if own.is_prerelease else f"{own.major}.{own.minor}"
    return f">={least},<{own.major + 1}" if own.major else f">={least},<0.{own.minor + 1}"


def _contents(module: str, template: str, values: dict[str, str]) -> dict[str, str]:
    """Return the text of each file by path. `template` is the one for the entry's module."""
    package = values["package"]
    values = values | {"entries": f'{values["name"]} = "{package}.{module}:{values["object"]}"'}
    return {
        "pyproject.toml": _filled("pyproject.toml.txt", values),
        "README.md": _filled("README.md.txt", values),
        f"{package}/__init__.py": f'"""{values["summary"]}"""\n',
        f"{package}/{module}.py": _filled(template, values),
        f"{package}/py.typed": "",
        f"tests/test_{package}.py": _filled("test_plugin.py.txt", values),
    }


def _filled(template: str, values: dict[str, str]) -> str:
    text = resources.files("resnetctl").joinpath(TEMPLATES, template).read_text(encoding="utf-8")
    return Template(text).substitute(values)
