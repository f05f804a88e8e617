"""Groups of runs: a folder with the config of each run that is to be trained, and the runs beside them.

::

    GROUP/  sweep.json          keys that vary, and the plan of the group
            queue/NAME.toml     the config of one run, with the keys that were asked for
            queue/NAME.lock     held by the worker that trains the run
            NAME/               the run, once a worker has begun it

The folder is the queue: a run is free while its lock is free and it has no summary. A lock dies with its process.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resnetctl.errors import InputError, UsageError
from resnetctl.facts import kept_epoch
from resnetctl.hints import Call, Hint, Setting
from resnetctl.runs.folder import GROUP, RunDir, free_path
from resnetctl.runs.log import to_document, val_key
from resnetctl.system import locks, storage
from resnetctl.system.plain_files import expanded, is_path

SCHEMA = "resnetctl.sweep/1"
PLAN_WAIT = 60.0  # seconds: another worker loads Optuna and chooses its run meanwhile


@dataclass(frozen=True)
class Group:
    """A group on disk: `path` is its folder."""

    path: Path

    def plan(self) -> dict[str, Any]:
        """Return the plan: `keys` that vary, `points` by run, `halving`. Raises `InputError` if it cannot be read."""
        plan = storage.read_json(self.path / GROUP, error=InputError)
        if plan.get("schema") != SCHEMA or not _is_plan(**plan):
            raise InputError("this is no group of runs", where=str(self.path / GROUP))
        return plan

    def names(self) -> list[str]:
        """Return the names of the runs, in the order of the queue."""
        return sorted((path.stem for path in (self.path / "queue").glob("*.toml")), key=_place)

    def is_by_flags(self) -> bool:
        """Return whether flags gave the config of all runs, which differ in their seed: it may get more seeds."""
        return bool(self.plan().get("by_flags"))

    def method(self) -> str:
        """Return the method of a search, "" for other groups."""
        return str(self.plan().get("search", {}).get("method", ""))

    def finished(self) -> int:
        """Return how many runs have finished."""
        runs = [self.run(name) for name in self.names()]
        return sum(run.config.is_file() and run.summary() is not None for run in runs)

    def total(self) -> int:
        """Return how many runs the group has; of a search, how many it will have."""
        return int(self.plan().get("search", {}).get("runs", len(self.names())))

    def config(self, name: str) -> Path:
        """Return the file with the config of a run."""
        return self.path / "queue" / f"{name}.toml"

    def value(self, name: str) -> float | None:
        """Return the deciding number on val of a finished run; None if it is not finished or has no val split."""
        run = self.run(name)
        summary = run.summary() if run.config.is_file() else None
        kept = kept_epoch(summary or {})
        return float(kept[val_key(kept)]) if val_key(kept) else None

    @contextmanager
    def growing(self) -> Iterator[dict[str, Any]]:
        """Hold the lock of the plan while runs are added; yield the plan. Waits for another worker that adds one."""
        with locks.lock(self.path / "queue" / "plan.lock", owner="the plan of the group", wait=PLAN_WAIT):
            yield self.plan()

    def write_plan(self, plan: Mapping[str, Any]) -> None:
        """Replace the plan, inside `growing`."""
        storage.write(self.path / GROUP, to_document(plan))

    def queue(self, name: str, config: str) -> None:
        """Let workers train a run of the plan."""
        storage.write(self.config(name), config.encode())

    def run(self, name: str) -> RunDir:
        """Return the run, which may not have begun."""
        return RunDir(self.path / name)

    @contextmanager
    def taken(self, name: str) -> Iterator[bool]:
        """Hold the lock of a run; yield False if another worker holds it."""
        try:
            lock = locks.lock(self.path / "queue" / f"{name}.lock", owner=f"the run {name}", wait=0)
            lock.__enter__()
        except UsageError:
            yield False
            return
        try:
            yield True
        finally:
            lock.__exit__(None, None, None)


def _is_plan(*, points: Any = None, keys: Any = None, halving: Any = 0, **_: Any) -> bool:
    """Return whether the values of a plan have the right types."""
    has_points = isinstance(points, dict) and bool(points) and all(isinstance(each, dict) for each in points.values())
    return has_points and isinstance(keys, list) and isinstance(halving, int)


def _place(name: str) -> tuple[int, str]:
    """Return the key that sorts the names of runs by their leading number: a group may have grown past 9."""
    number = name.partition("-")[0]
    return int(number) if number.isascii() and number.isdigit() else 0, name


def group_in(folder: Path, name: str) -> Group | None:
    """Return the group `name` in a folder, None if there is none."""
    return Group(folder / name) if (folder / name / GROUP).is_file() else None


def create_group(folder: Path, name: str, *, plan: Mapping[str, Any], configs: Mapping[str, str]) -> Group:
    """Create `folder/name` by one rename, with the config of each run. Raises `UsageError` if it exists."""
    path = folder / name
    if group_in(folder, name) is not None:
        hint: list[Hint] = [Call("sweep work", (path,)), Setting("name", "OTHER", note="uses another name")]
        raise UsageError(f"the group '{name}' exists", where=str(path), hint=hint)
    free_path(folder, name)
    with storage.staged_folder(path) as draft:
        (draft / "queue").mkdir()
        for run, config in configs.items():
            storage.write(draft / "queue" / f"{run}.toml", config.encode())
        storage.write(draft / GROUP, to_document({"schema": SCHEMA, **plan}))
    return Group(path)


def find_group(text: str | Path, folder: Path) -> Group:
    """Return the group at path `text`, or the one named `text` in `folder`. Raises `InputError` if there is none."""
    for path in (expanded(text), folder / text):
        if (path / GROUP).is_file():
            return Group(path)
    if is_path(text):
        exists = expanded(text).exists()
        reason = "this is not a group of runs" if exists else "no such file or folder"
        raise InputError(reason, where=str(text), hint=Call("runs list"))
    raise InputError(
        f"there is no group '{text}'",
        where=str(folder),
        hint=Call("train", settings={"data": "digits", "seeds": 3, "name": "first"}, note="makes one"),
    )
