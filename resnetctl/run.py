"""Runs as Python gets them: their summary, their epochs, and a table in a notebook."""

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from os import PathLike
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from resnetctl.config.calls import checked
from resnetctl.errors import InputError, ResnetctlError, UsageError
from resnetctl.facts import kept_epoch, kept_figures
from resnetctl.hints import Call, in_python
from resnetctl.report.base import lines
from resnetctl.report.outcomes import TrainReport
from resnetctl.runs import RunDir, all_runs
from resnetctl.system import settings as machine

if TYPE_CHECKING:
    from resnetctl.report.curves import Curves

SHOWN = ("epoch", "val_top1", "val_loss", "train_top1", "train_loss")  # of the kept epoch, in a notebook


@dataclass(frozen=True, kw_only=True)
class Run(TrainReport):
    """A run: its folder, and the content of `summary.json`, which is empty while the run is not finished."""

    path: Path

    @property
    def history(self) -> "History":
        """One dict for each epoch: `epoch`, `lr`, `train_loss`, `val_top1`, ...; `.to_pandas()` gives a DataFrame."""
        return History(RunDir(self.path).metrics())

    @property
    def name(self) -> str:
        """The name by which every function finds the run; that of a run in a group is `GROUP/MEMBER`."""
        return RunDir(self.path).name

    @property
    def caption(self) -> str:
        """The run's name, the heading of its table in a notebook."""
        return f"run {self.name}"

    def rows(self) -> Iterator[tuple[str, str]]:
        """Yield the lines of the summary, and those of the kept epoch; of an unfinished run its state."""
        yield from super().rows()
        if not self.summary:
            yield from self._unfinished()
            return
        kept = kept_epoch(self.summary)
        name = f"{self.summary.get('kept')} epoch"
        yield from lines(
            {name if key == "epoch" else f"{key} of the {name}": kept[key] for key in SHOWN if key in kept}
        )

    def _unfinished(self) -> Iterator[tuple[str, str]]:
        """Yield the state of a run without a summary, its last epoch, and what goes on with it."""
        run, epochs = RunDir(self.path), self.history
        planned, failure = "?", run.failure()
        with contextlib.suppress(ResnetctlError):
            config = run.read_config()
            planned = f"{config.epochs:g}"
            yield from lines({"arch": config.model.arch, "data": config.data})
        yield "status", "running" if run.is_running() else "unfinished" if failure is None else f"failed: {failure}"
        yield "epochs", f"{len(epochs)} of {planned}"
        yield from lines(
            {f"{key} of the last epoch": epochs[-1][key] for key in SHOWN[1:] if epochs and key in epochs[-1]}
        )
        if not run.is_running():
            yield "to go on", in_python(Call("train", settings={"resume": self.path}))

    def plot(self) -> "Curves":
        """Return the curves of loss, accuracy, learning rate and speed, which a notebook draws.

        Raises:
            UsageError: the run has fewer than two epochs.
        """
        from resnetctl.report.curves import curves_of

        return curves_of(RunDir(self.path))

    def __hash__(self) -> int:
        return hash(self.path)  # equal runs have equal paths; a summary is a dict and has no hash

    def __fspath__(self) -> str:
        return str(self.path)

    def __repr__(self) -> str:
        if not self.summary:
            return f"Run('{self.path}', unfinished)"
        shown = [f"{name}={value:.4g}" for name, value in kept_figures(self.summary).items()]
        shown.append(f"epochs={self.summary.get('epochs')}")
        return f"Run({', '.join([repr(str(self.path)), *shown])})"


class History(list[dict[str, Any]]):
    """The epochs of a run, one dict each."""

    def to_pandas(self) -> Any:
        """Return a `pandas.DataFrame` with one row for each epoch. Raises `UsageError` without pandas."""
        if find_spec("pandas") is None:
            raise UsageError("the package pandas is not installed", hint="pip install pandas")
        return import_module("pandas").DataFrame(list(self))


@checked()
def runs(folder: str | PathLike[str] | None = None) -> list[Run]:
    """Return all runs in a folder and in its groups, oldest first, the unfinished ones too.

    Args:
        folder: holds the folders of runs and groups; None: `RESNETCTL_RUNS_DIR`, by default `runs`.

    Raises:
        InputError: the folder that is named does not exist.
    """
    place = machine.load().runs_dir if folder is None else Path(folder)
    if folder is not None and not place.is_dir():
        raise InputError("there is no such folder", where=str(folder), hint=Call("runs list"))
    return [Run(path=run.path, summary=run.summary() or {}) for run in all_runs(place)]


class _CallableRuns(ModuleType):
    """The module `resnetctl.runs` hides the function of that name, so the module can be called, too."""

    def __call__(self, folder: str | PathLike[str] | None = None) -> list[Run]:
        return runs(folder)


sys.modules["resnetctl.runs"].__class__ = _CallableRuns
