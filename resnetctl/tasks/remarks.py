"""What a user should know of a run whose weights are used: not finished, made by other code, or not the newest."""

from collections.abc import Iterator
from pathlib import Path

import resnetctl.runs as runs
from resnetctl.registry.code import edited
from resnetctl.runs import RunDir


def on_weights(run: RunDir) -> Iterator[str]:
    """Yield a sentence if the weights are not the final ones, and one if plugins of the run have other code now."""
    if run.is_running():
        yield f"{run.path} is still running: using its weights so far"
    elif run.failure() is not None:
        yield f"{run.path} failed after epoch {len(run.metrics())}: using the last good weights"
    elif run.summary() is None:
        yield f"{run.path} is not finished: using its weights so far; resume the run to finish it"
    if names := edited(run.code()):
        several = len(run.used_plugins()) > 1
        trained = f"epoch {run.kept_epoch()} of {run.path}, whose weights are kept," if several else str(run.path)
        yield f"the code of {' and '.join(names)} was changed since {trained} was trained: its network may differ"


def on_last(run: RunDir, folder: Path) -> Iterator[str]:
    """Yield that a run in a group is newer than `run`, which was taken as the last one."""
    newest = runs.newest_in_groups(folder)
    if newest is not None and newest.created() > run.created():
        yield f"{run.name} is the last run outside of groups; {newest.name} is newer: name it to use it"
