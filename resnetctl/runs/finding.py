"""Find runs in a folder by path or name, list them, and remove one."""

import os
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from resnetctl.errors import InputError, UsageError
from resnetctl.hints import Call, closest, suggest
from resnetctl.runs.folder import CONFIG, LAST, PLAN, RunDir, is_group
from resnetctl.system import locks, storage
from resnetctl.system.plain_files import expanded, is_path


def remove(run: RunDir) -> None:
    """Delete the folder of a run or a group. If `last` pointed at it, `last` then points at the newest run left.

    Raises:
        UsageError: a process works on it, or the folder was made by another program.
    """
    path = run.path.resolve()
    is_run = (path / "config.sources.json").is_file()  # any folder may have a config.toml
    if not (is_run or is_group(path) or _is_staged(path)):
        raise UsageError("this folder is not a run, so it is not removed", where=str(path))
    for each in (RunDir(path), *runs_in(path), *runs_in(path / "stages")):
        with each.locked():
            pass  # nobody works on it; Windows cannot remove a folder with a locked file
    for lock in path.glob("queue/*.lock"):  # a worker holds it before the run of a group exists
        with locks.lock(lock, owner=f"the run {lock.stem}"):
            pass
    storage.remove(path)
    link = path.parent / LAST
    if link.is_symlink() and not link.exists():
        left = runs_in(path.parent)
        storage.point(link, left[-1].path.name) if left else storage.remove(link)


def find_folder(text: str | Path, folder: Path) -> RunDir:
    """Return what `remove` may delete: a run, one in stages that is not finished, or a group. Raises as `find`."""
    for path in _places(text, folder):
        if is_group(path) or _is_staged(path):
            return RunDir(path)
    return find(text, folder)


def find(text: str | Path, folder: Path) -> RunDir:
    """Return the run at path `text`, or the run named `text` in `folder`. `last` is the newest run outside of groups.

    Raises:
        InputError: there is no such run, and the hint has a close name; or it is a group of runs.
    """
    for path in _places(text, folder):
        if (path / CONFIG).is_file():
            return RunDir(path)
        if is_group(path):
            raise InputError(
                f"'{text}' is a group of runs, not a run",
                where=str(path),
                hint=[
                    Call("sweep show", (path,)),
                    Call("sweep work", (path,), note="goes on with its runs"),
                    *(f"or name one run in it, such as {run.name}" for run in runs_in(path)[:1]),
                ],
            )
        if _is_staged(path):
            raise InputError(
                f"the run '{text}' is not finished",
                where=str(path),
                hint=Call("compress", settings={"name": path.name}),
            )
    alone = runs_in(folder)
    is_last = str(text) == LAST or os.path.abspath(text) == os.path.abspath(folder / LAST)
    if is_last and alone:  # the run behind the link was removed, or the folder was moved without its links
        return alone[-1]
    names = [run.name for run in all_runs(folder)]
    members = _members(text, folder)
    hint = (
        suggest(str(text), members or names)
        if names
        else Call("train", settings={"data": "digits"}, note="trains a first run")
    )
    if is_last:
        message = "'last' is the newest run outside of groups, and there is none" if names else "there is no run yet"
        raise InputError(message, where=str(folder), hint=hint)
    if is_path(text) and not is_group(folder / Path(text).parts[0]):
        exists = expanded(text).exists()
        close = suggest(str(text), members) if members else closest(Path(text).name, names)
        raise InputError(
            "this is not a run" if exists else "no such file or folder",
            where=str(text),
            hint=[*([close] if close else []), Call("runs list")],
        )
    raise InputError(f"there is no run '{text}'", where=str(folder), hint=hint)


def _members(text: str | Path, folder: Path) -> list[str]:
    """Return what could stand for `text`: the runs in the group that it names, spelled as it spells the group."""
    groups = [place.parent for place in _places(text, folder) if is_group(place.parent)]
    return [str(Path(text).parent / run.path.name) for group in groups[:1] for run in runs_in(group)]


def all_runs(folder: Path) -> list[RunDir]:
    """Return every run in `folder` and in its groups, oldest first. Runs without a start time come first, by name."""
    groups = [path for path in _folders(folder) if is_group(path)]
    return sorted([run for path in (folder, *groups) for run in runs_in(path)], key=_age)


def newest_in_groups(folder: Path) -> RunDir | None:
    """Return the run that started last of those in the groups of `folder`; None without one."""
    runs = [run for path in _folders(folder) if is_group(path) for run in runs_in(path)[-1:]]
    return max(runs, key=_age, default=None)


def runs_in(folder: Path) -> list[RunDir]:
    """Return the runs that lie in `folder` itself, in the order of `all_runs`: those of a group, or those of none."""
    return sorted([RunDir(path) for path in _folders(folder) if (path / CONFIG).is_file()], key=_age)


def is_pattern(text: str, folder: Path) -> bool:
    """Return whether `text` is a pattern such as `lr-*`, and not the name of a folder with such a sign."""
    return any(sign in text for sign in "*?[") and not any(path.is_dir() for path in _places(text, folder))


def matching(pattern: str, folder: Path) -> list[RunDir]:
    """Return what has a name like `pattern` in `folder`, oldest first.

    `lr-*` stands for runs and groups, `five/*` for the runs of the group `five`. Runs in stages may be unfinished.
    Raises `InputError` when nothing matches.
    """
    path = Path(pattern)
    parts = (path.relative_to(folder) if path.is_relative_to(folder) else path).parts
    top = [RunDir(path) for path in _folders(folder) if is_group(path) or _is_staged(path) or (path / CONFIG).is_file()]
    candidates = all_runs(folder) if len(parts) > 1 else sorted(top, key=_age)
    names = [run.name.split("/") for run in candidates]
    runs = [run for run, name in zip(candidates, names, strict=True) if len(name) == len(parts) and _like(name, parts)]
    if not runs:
        raise InputError(f"no run has a name like '{pattern}'", where=str(folder), hint=Call("runs list"))
    return runs


def _like(name: Sequence[str], parts: Sequence[str]) -> bool:
    return all(fnmatchcase(word, part) for word, part in zip(name, parts, strict=True))


def _places(text: str | Path, folder: Path) -> list[Path]:
    """Return where a run or a group named `text` may lie. Names in a group begin with that of the group."""
    return [expanded(text), folder / text, *([folder.parent / text] if is_group(folder) else [])]


def _folders(folder: Path) -> list[Path]:
    """Return what may be a run or a group: no link such as `last`, and no hidden name."""
    paths = folder.iterdir() if folder.is_dir() else ()
    return [path for path in paths if not path.is_symlink() and not path.name.startswith(".")]


def _age(run: RunDir) -> tuple[str, str]:
    return run.created(), run.name


def _is_staged(folder: Path) -> bool:
    return (folder / PLAN).is_file() and (folder / "stages").is_dir()
