"""Runs that are made in stages: a plan, a run for each stage, and in the end the files of the last stage.

::

    RUN/  compress.json     what was asked for, written first
          stages/NAME/      the run of a stage; cut.json or student.json has what was measured
          compressed.json   the report; with a goal, pareto.svg
          config.toml ...   the files of the last stage: from here on RUN is a run like any other
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resnetctl.errors import InputError
from resnetctl.runs.folder import LAST, PLAN, RunDir, free_path
from resnetctl.runs.log import to_document
from resnetctl.system import storage

REPORT = "compressed.json"
PLOT = "pareto.svg"
COPIED = (  # config.toml is copied last
    "model.safetensors", "metrics.jsonl", "timings.jsonl", "config.sources.json", "env.json", "summary.json",
)  # fmt: skip


@dataclass(frozen=True)
class StagedRun:
    """A run in stages on disk: `path` is its folder."""

    path: Path

    @property
    def stages(self) -> Path:
        """The folder with the runs of the stages."""
        return self.path / "stages"

    @property
    def has_stages(self) -> bool:
        """Whether a stage has begun."""
        return any(self.stages.iterdir())

    def plan(self) -> dict[str, Any]:
        """Return what was asked for. Raises `InputError` if it cannot be read."""
        return storage.read_json(self.path / PLAN, error=InputError)

    def save_plan(self, plan: Mapping[str, Any]) -> None:
        """Write what was asked for, if it is not the same."""
        if plan != self.plan():
            storage.write(self.path / PLAN, to_document(plan))

    def seconds(self) -> float:
        """Return the seconds of all stages: those that finished, and the epochs of one that did not."""
        return sum(_seconds(RunDir(path)) for path in self.stages.iterdir() if not path.is_symlink())

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the run and remove leftovers of killed processes. Raises `UsageError` if another process holds it."""
        with RunDir(self.path).locked():
            storage.sweep(self.stages)
            yield

    def stage(self, name: str) -> RunDir:
        """Return the run of a stage, which may not have begun."""
        return RunDir(self.stages / name)

    def drop(self, name: str) -> None:
        """Remove a stage that was not finished, if it exists."""
        if (self.stages / name).exists():
            storage.remove(self.stages / name)

    def discard_if_empty(self) -> None:
        """Remove the run if no stage has begun and no process works on it: its name is free again."""
        if not RunDir(self.path).is_running() and not self.has_stages:
            storage.remove(self.path)

    def facts(self, name: str) -> dict[str, Any]:
        """Return what was measured of the network of a stage before its training."""
        return storage.read_json(self._facts(name), error=InputError)

    def save_facts(self, name: str, facts: Mapping[str, Any]) -> None:
        """Write what was measured of the network of a stage before its training."""
        storage.write(self._facts(name), to_document(facts))

    def _facts(self, name: str) -> Path:
        return self.stages / name / f"{name.rpartition('-')[2]}.json"  # 1-cut has cut.json

    def publish(self, last: RunDir, report: Mapping[str, Any], *, plot: bytes = b"") -> RunDir:
        """Copy the files of the last stage, so that the folder is a run, and point `last` at it.

        Args:
            plot: the SVG file of the stages.
        """
        run = RunDir(self.path)
        for source in (last.onnx, last.int8_onnx):
            if source.exists():
                run.write_onnx(source.read_bytes(), int8=source == last.int8_onnx)
        if plot:
            storage.write(self.path / PLOT, plot)
        storage.make_folder(self.path / "checkpoints")
        for source in last.checkpoints.paths()[:1]:
            storage.write(self.path / "checkpoints" / source.name, source.read_bytes())
        for name in COPIED:
            if (last.path / name).exists():
                storage.write(self.path / name, (last.path / name).read_bytes())
        storage.write(self.path / REPORT, to_document(report))
        storage.write(run.config, last.config.read_bytes())
        storage.point(self.path.parent / LAST, self.path.name)
        return run


def _seconds(stage: RunDir) -> float:
    summary = stage.summary()
    return float(sum(line["seconds"] for line in stage.timings()) if summary is None else summary["seconds"])


def made_by(run: RunDir) -> dict[str, Any]:
    """Return the report of the stages that a run was made in; {} for a run without. Raises `InputError`."""
    path = run.path / REPORT
    return storage.read_json(path, error=InputError) if path.is_file() else {}


def is_begun(folder: Path, name: str) -> bool:
    """Return whether `folder/name` is a run in stages that is not finished."""
    path = folder / name
    return (path / PLAN).is_file() and not RunDir(path).config.is_file()


def begin(folder: Path, name: str, *, plan: Mapping[str, Any]) -> StagedRun:
    """Create `folder/name` by one rename, with its plan. Raises `UsageError` if it exists or cannot be written."""
    path = free_path(folder, name)
    with storage.staged_folder(path) as draft:
        (draft / "stages").mkdir()
        storage.write(draft / PLAN, to_document(plan))
    return StagedRun(path)
