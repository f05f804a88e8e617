"""`data remove`: delete a dataset from the store."""

from collections.abc import Iterator
from pathlib import Path

from resnetctl.data.cards import missing, store_names
from resnetctl.errors import InputError
from resnetctl.runs import RunDir, all_runs
from resnetctl.system import storage
from resnetctl.system.settings import Settings
from resnetctl.tasks.data.reports import RemoveReport
from resnetctl.wording import counted

SHOWN = 5  # runs in a sentence


def stored(name: str, settings: Settings) -> Path:
    """Return the folder of a dataset in the store. Raises `DataError` when it is missing."""
    if name not in store_names(settings.data_dir):
        raise missing(settings.data_dir, name)
    return settings.data_dir / name


def of_runs(name: str, settings: Settings) -> Iterator[str]:
    """Yield sentences on the runs that were trained on a dataset: which they are, and which cannot go on without it."""
    runs = [run for run in all_runs(settings.runs_dir) if _data(run) == name]
    if runs:
        yield f"{counted(len(runs), 'run')} trained on '{name}': {_listed(runs)}"
    if unfinished := [run for run in runs if _is_unfinished(run)]:
        yield f"not finished, and a resume needs the dataset: {_listed(unfinished)}"


def _data(run: RunDir) -> object:
    data = run.environment().get("data")
    return data.get("name") if isinstance(data, dict) else None


def _is_unfinished(run: RunDir) -> bool:
    try:
        return run.summary() is None
    except InputError:  # a damaged summary
        return False


def _listed(runs: list[RunDir]) -> str:
    rest = f" and {len(runs) - SHOWN:,} more" if len(runs) > SHOWN else ""
    return ", ".join(run.name for run in runs[:SHOWN]) + rest


def remove(name: str, settings: Settings) -> RemoveReport:
    """Delete a dataset from the store, even if its card is damaged. Raises `DataError` when it is missing."""
    path = stored(name, settings)
    storage.remove(path)
    return RemoveReport(name=name, path=path, card=None)
