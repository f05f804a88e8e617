"""The folders of a run in which trackers keep their files: `RUN/trackers/NAME`."""

from pathlib import Path
from urllib.parse import quote, unquote

from resnetctl.runs.folder import RunDir
from resnetctl.system import storage


def folder_for(run: RunDir, name: str) -> Path:
    """Create and return the folder of a tracker. A name such as `dist:name` is quoted."""
    folder = run.path / "trackers" / quote(name, safe="")
    storage.make_folder(folder, parents=True)
    return folder


def trackers_of(run: RunDir) -> tuple[str, ...]:
    """Return the names of the trackers that a run had."""
    return tuple(sorted(unquote(path.name) for path in (run.path / "trackers").glob("*") if path.is_dir()))
