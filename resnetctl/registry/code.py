"""Digests of the code of plugins: while somebody writes one, its code changes and its version stays."""

import hashlib
import importlib.util
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

MAX_FILES = 2000
MAX_BYTES = 1 << 22  # of one file
HEX = 16


def code_digests(distributions: Iterable[str]) -> dict[str, str]:
    """Return a digest of all Python files of each distribution's packages; those without such files are left out.

    No module is imported.
    """
    found = {name: _digest(name) for name in distributions}
    return {name: digest for name, digest in found.items() if digest}


def edited(recorded: Mapping[str, str]) -> list[str]:
    """Return the distributions that are installed with other code than `code_digests` recorded."""
    now = code_digests(recorded)
    return [name for name, digest in recorded.items() if name in now and now[name] != digest]


def _digest(name: str) -> str:
    files = sorted(_files(name))
    if not files or len(files) > MAX_FILES:
        return ""
    total = hashlib.sha256()
    for label, path in files:
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
            files.add((root, Path(spec.origin)))
    return files
