"""Find runs in a folder by path or name, list them, and remove one."""

import os
from pathlib import Path

from resnetctl.errors import InputError, UsageError
from resnetctl.hints import Call, closest, suggest
from resnetctl.runs.folder import CONFIG, GROUP, LAST, PLAN, RunDir
from resnetctl.system import storage
from resnetctl.system.plain_files import expanded, is_path


def remove(run: RunDir) -> None:
    """Delete the folder of a run or a group. If `last` pointed at it, `last` then points at the newest run left.

    Raises:
        UsageError: a process works on it, or the folder was made by another program.
    """
    path = run.path.resolve()
    is_run = (path / "config.sources.json").is_file()  # any folder may have a config.toml
    if not (is_run or _is_group(path) or _is_staged(path)):
        raise UsageError("this folder is not a run, so it is not removed", where=str(path))
    for each in (RunDir(path), *all_runs(path), *all_runs(path / "stages")):
        with each.locked():
            pass  # nobody works on it; Windows cannot remove a folder with a locked file
    for lock in path.glob("queue/*.lock"):  # a worker holds it before the run of a group exists
        with storage.lock(lock, owner=f"the run {lock.stem}"):
            pass
    storage.remove(path)
    link = path.parent / LAST
    if link.is_symlink() and not link.exists():
        left = all_runs(path.parent)
        storage.point(link, left[-1].path.name) if left else storage.remove(link)


def find_folder(text: str | Path, folder: Path) -> RunDir:
    """Return what `remove` may delete: a run, one in stages that is not finished, or a group. Raises as `find`."""
    for path in (expanded(text), folder / text):
        if _is_group(path) or _is_staged(path):
            return RunDir(path)
    return find(text, folder)


def find(text: str | Path, folder: Path) -> RunDir:
    """Return the run at path `text`, or the run named `text` in `folder`. `last` is the newest run that exists.

    Raises:
        InputError: there is no such run, and the hint has a close name; or it is a group of runs.
    """
    for path in (expanded(text), folder / text):
        if (path / CONFIG).is_file():
            return RunDir(path)
        if _is_group(path):
            raise InputError(
                f"'{text}' is a group of runs, not a run",
                where=str(path),
                hint=[Call("sweep show", (path,)), "or name one run in it"],
            )
        if _is_staged(path):
            raise InputError(
                f"the run '{text}' is not finished",
                where=str(path),
                hint=Call("compress", settings={"name": path.name}),
            )
    existing = all_runs(folder)
    is_last = str(text) == LAST or os.path.abspath(text) == os.path.abspath(folder / LAST)
    if is_last and existing:  # the run behind the link was removed, or the folder was moved without its links
        return existing[-1]
    names = [run.path.name for run in existing]
    hint = suggest(str(text), names) if names else Call("train", settings={"data": "digits"}, note="trains a first run")
    if is_last:
        raise InputError("there is no run yet", where=str(folder), hint=hint)
    if is_path(text):
        exists = expanded(text).exists()
        close = closest(Path(text).name, names)
        raise InputError(
            "this is not a run" if exists else "no such file or folder",
            where=str(text),
            hint=[*([close] if close else []), Call("runs list")],
        )
    raise InputError(f"there is no run '{text}'", where=str(folder), hint=hint)


def all_runs(folder: Path) -> list[RunDir]:
    """Return every run in `folder`, oldest first. Runs without a start time come first, by name."""
    if not folder.is_dir():
        return []
    existing = [
        RunDir(path)
        for path in folder.iterdir()
        if not path.is_symlink() and not path.name.startswith(".") and (path / CONFIG).is_file()
    ]
    return sorted(existing, key=lambda run: (run.created(), run.path.name))


def _is_group(folder: Path) -> bool:
    return (folder / GROUP).is_file() and (folder / "queue").is_dir()  # other programs have a sweep.json, too


def _is_staged(folder: Path) -> bool:
    return (folder / PLAN).is_file() and (folder / "stages").is_dir()
