"""Digests of the code of plugins: while somebody writes one, its code changes and its version stays."""

import hashlib
import importlib.util
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

MAX_FILES = 2000
MAX_BYTES = 1 << 22  # of one file
HEX = 16
SHOWN = 3  # names of files
OTHER_CODE = "other-code"  # ends the name of a report of `eval` whose plugins had other code than trained the weights
Digests = Mapping[str, str] | str  # by file; runs of an earlier version have one of all files together


def code_digests(distributions: Iterable[str]) -> dict[str, dict[str, str]]:
    """Return a digest of each Python file that matters, by distribution; those without such files are left out.

    The files that matter are the modules that this process has imported; all files, if it has imported none. A file
    that is edited later keeps its digest in this process, which does not import it again. No module is imported.
    """
    found = {name: _of_imported(name) for name in distributions}
    return {name: digests for name, digests in found.items() if digests}


def edited(recorded: Mapping[str, Digests], *, by_process: bool = False) -> list[str]:
    """Return the distributions that are installed with other code than `code_digests` recorded.

    A text such as `mine (mine/blocks.py)` names the changed files, where they are known.

    Args:
        by_process: compare with the code that this process uses, where a file was edited after its import.
    """
    digest = _first_digest if by_process else _of_file
    changes = {name: _changed_files(name, then, digest=digest) for name, then in recorded.items()}
    return [named_files(name, files) for name, files in changes.items() if files is not None]


def named_files(distribution: str, files: Iterable[str]) -> str:
    """Return a distribution with some of its files in brackets: `mine (mine/blocks.py)`."""
    names = sorted(files)
    more = [f"{len(names) - SHOWN} more"] if len(names) > SHOWN else []
    return f"{distribution} ({', '.join([*names[:SHOWN], *more])})" if names else distribution


def forget_code() -> None:
    """Forget the digests of this process, because modules may be imported again."""
    _first_digest.cache_clear()


def _changed_files(name: str, then: Digests, *, digest: Callable[[Path], str]) -> list[str] | None:
    """Return the files that are not as they were; [] if they are not known, None if the code is the same."""
    files = dict(_files(name))
    if not files:
        return None
    if isinstance(then, str):
        total = _of_all(files)
        return [] if total and total != then else None
    now = {label: digest(files[label]) if label in files else "" for label in then}
    return [label for label, recorded in then.items() if now[label] != recorded] or None


def _of_imported(name: str) -> dict[str, str]:
    files = dict(_files(name))
    roots = {label.partition("/")[0].removesuffix(".py") for label in files}
    modules = [module for key, module in [*sys.modules.items()] if key.partition(".")[0] in roots]
    loaded = {Path(file).resolve() for module in modules if (file := getattr(module, "__file__", None))}
    own = {label: path for label, path in files.items() if path.resolve() in loaded} or files
    if len(own) > MAX_FILES:
        return {}
    digests = {label: _first_digest(path) for label, path in sorted(own.items())}
    return digests if all(digests.values()) else {}


def _of_file(path: Path) -> str:
    """Return the digest of a file, "" if it cannot be read."""
    try:
        if path.stat().st_size > MAX_BYTES:
            return ""
        return hashlib.sha256(path.read_bytes()).hexdigest()[:HEX]
    except OSError:
        return ""


@cache
def _first_digest(path: Path) -> str:
    """Return the digest that a file had when this process first asked for it."""
    return _of_file(path)


def _of_all(files: Mapping[str, Path]) -> str:
    """Return one digest of all files, as earlier versions recorded it; "" if a file cannot be read."""
    if len(files) > MAX_FILES:
        return ""
    total = hashlib.sha256()
    labels = {(label if "/" in label else label.removesuffix(".py")): path for label, path in files.items()}
    for label, path in sorted(labels.items()):
        try:
            if path.stat().st_size > MAX_BYTES:
                return ""
            total.update(f"{label}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
        except OSError:
            return ""
    return total.hexdigest()[:HEX]


def _files(name: str) -> set[tuple[str, Path]]:
    """Return the Python files of the packages that have the entry points of a distribution, each with its label."""
    try:
        roots = {point.module.partition(".")[0] for point in distribution(name).entry_points}
    except PackageNotFoundError:
        return set()
    files = set()
    for root in roots:
        try:
            spec = importlib.util.find_spec(root)
        except (ImportError, ValueError):
            continue
        if spec is None:
            continue
        for folder in map(Path, spec.submodule_search_locations or ()):
            files |= {(f"{root}/{path.relative_to(folder).as_posix()}", path) for path in folder.rglob("*.py")}
        if not spec.submodule_search_locations and spec.origin:
            files.add((f"{root}.py", Path(spec.origin)))
    return files
