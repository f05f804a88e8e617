"""Run folders: their files, names and order. Only this module writes the files of a run.

::

    RUN/  config.toml + config.sources.json   the config, and the origin of each value
          env.json                            start time, versions and machine; plugins that changed before a resume
          metrics.jsonl                       one line per epoch, deterministic values only
          timings.jsonl                       one line per epoch, all measured times
          checkpoints/step-000001234.safetensors   the newest two
          model.safetensors                   the final weights
          eval/DATA-SPLIT.json  export/model.onnx  export/model-raw.onnx  export/model-int8.onnx
          report/WEIGHTS-SPLIT.safetensors    logits, features and labels of one pass, by digests
          trackers/NAME/                      files of a tracker
          summary.json                        the results, written last
          failure.json                        why the run failed, if it would fail again
    runs/last -> the run that started last
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resnetctl.errors import ConfigError, InputError, UsageError
from resnetctl.hints import Call, Setting
from resnetctl.registry.code import Digests
from resnetctl.runs.checkpoints import KEPT, Checkpoints
from resnetctl.runs.log import kept_line, read_lines, to_document, to_line
from resnetctl.runs.summary import checked
from resnetctl.runs.used_plugins import UsedPlugins, of_epoch, of_step, used_plugins, with_resume
from resnetctl.system import locks, storage

if TYPE_CHECKING:
    from resnetctl.config.schema import TrainConfig

LAST, LOCK = "last", ".lock"
CONFIG = "config.toml"
GROUP = "sweep.json"  # the plan of a group of runs
PLAN = "compress.json"  # the plan of a run in stages


@dataclass(frozen=True)
class RunDir:
    """One run on disk: `path` is its folder."""

    path: Path

    @property
    def name(self) -> str:
        """Its name, by which commands find it: that of its folder, or `GROUP/FOLDER` in a group of runs."""
        path = self.path.resolve()  # of the run that `last` points to
        return f"{path.parent.name}/{path.name}" if is_group(path.parent) else path.name

    @property
    def config(self) -> Path:
        return self.path / CONFIG

    @property
    def weights(self) -> Path:
        return self.path / "model.safetensors"

    @property
    def onnx(self) -> Path:
        return self.path / "export" / "model.onnx"

    @property
    def raw_onnx(self) -> Path:
        return self.path / "export" / "model-raw.onnx"

    @property
    def int8_onnx(self) -> Path:
        return self.path / "export" / "model-int8.onnx"

    @property
    def checkpoints(self) -> Checkpoints:
        return Checkpoints(self.path / "checkpoints")

    def read_config(self) -> TrainConfig:
        """Return the run's config: a `FinetuneConfig` if the run starts from weights. Raises `ConfigError`."""
        from resnetctl.config.layers import from_file, resolve
        from resnetctl.config.schema import FinetuneConfig, TrainConfig

        try:
            stored = from_file(self.config)
            kind = FinetuneConfig if "weights" in stored.values else TrainConfig
            return resolve(kind, [stored]).config
        except ConfigError as error:
            problems = error.problems or (error.message,)
            raise ConfigError("the run's config cannot be read", where=str(self.config), problems=problems) from None

    def code(self) -> Mapping[str, Digests]:
        """Return the digests of the code of each plugin that trained the kept weights; {} if they were not recorded."""
        return self._used().code

    def plugins(self) -> Mapping[str, str]:
        """Return the version of each plugin that trained the kept weights; {} if they were not recorded."""
        return self._used().plugins

    def used_plugins(self) -> list[UsedPlugins]:
        """Return what trained the run, in order: more than one item if a plugin changed before a resume."""
        return used_plugins(self.environment())

    def plugins_at(self, step: int) -> UsedPlugins:
        """Return what trained a step of the run; 0: what began it."""
        return of_step(self.environment(), step)

    def kept_epoch(self) -> int | None:
        """Return the epoch whose weights are kept, by the log; None before the first one, or if it cannot be read."""
        from resnetctl.config.layers import from_file

        with contextlib.suppress(InputError, ConfigError):
            epoch = kept_line(self.metrics(), keep=from_file(self.config).values.get("keep")).get("epoch")
            return epoch if isinstance(epoch, int) else None
        return None

    def _used(self) -> UsedPlugins:
        items = self.used_plugins()
        return items[0] if len(items) == 1 else of_epoch(items, self.kept_epoch() or items[-1].epoch)

    def sources(self) -> dict[str, str]:
        """Return the origin of each config value, by dotted key."""
        return {str(key): str(value) for key, value in self._json("config.sources.json").items()}

    def environment(self) -> dict[str, Any]:
        """Return versions, machine and data of the run, from `env.json`; {} when it cannot be read."""
        with contextlib.suppress(InputError):
            return self._json("env.json")
        return {}

    def summary(self, *, whole: bool = False) -> dict[str, Any] | None:
        """Return the summary of a finished run; None while it is unfinished.

        Raises `InputError` for wrong values, and with `whole` for missing ones.
        """
        path = self.path / "summary.json"
        if not path.exists():
            return None
        return checked(self._json(path.name), where=str(path), whole=whole)

    def metrics(self) -> list[dict[str, Any]]:
        """Return the lines of metrics.jsonl, without the half-written last line that a killed process leaves."""
        return read_lines(self.path / "metrics.jsonl")

    def timings(self) -> list[dict[str, Any]]:
        """Return the lines of timings.jsonl, without a half-written last line."""
        return read_lines(self.path / "timings.jsonl")

    def failure(self) -> str | None:
        """Return why the run failed and would fail again; None if it did not fail or has finished since."""
        if not (self.path / "failure.json").exists() or (self.path / "summary.json").exists():
            return None
        with contextlib.suppress(InputError):
            return str(self._json("failure.json").get("message", ""))
        return ""

    def created(self) -> str:
        """Return when the run started, such as `2026-11-25T23:08:38.042Z`; "" if the time is unknown."""
        with contextlib.suppress(TypeError, ValueError):
            written = self.environment().get("created", "")
            datetime.fromisoformat(written)
            return str(written)
        return ""

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the run and remove leftovers of killed processes. Raises `UsageError` if another process holds it."""
        with locks.lock(self.path / LOCK, owner=f"the run {self.path.name}"):
            storage.sweep(self.path)
            storage.sweep(self.path / "checkpoints")
            yield

    def is_running(self) -> bool:
        """Return whether a process works on the run."""
        return locks.is_locked(self.path / LOCK)

    def require_space(self, checkpoint: int) -> None:
        """Raise `WorkFailed` unless the disk has room for the run's files, at `checkpoint` bytes per checkpoint."""
        # one more checkpoint while it is written, and the old and the new weights
        storage.require_space(self.path, (KEPT + 2) * checkpoint)

    def log(self, metrics: Mapping[str, Any], timings: Mapping[str, Any]) -> None:
        """Append the line of one epoch to both logs."""
        storage.append(self.path / "metrics.jsonl", to_line(metrics))
        storage.append(self.path / "timings.jsonl", to_line(timings))

    def truncate(self, epochs: int) -> None:
        """Keep the first `epochs` lines of both logs, so that they match a checkpoint."""
        for name in ("metrics.jsonl", "timings.jsonl"):
            storage.truncate_lines(self.path / name, epochs)

    def save_weights(self, data: bytes) -> None:
        storage.write(self.weights, data)

    def save_config(self, config: str, sources: Mapping[str, str]) -> None:
        """Replace the config, for a resume that extends the run."""
        storage.write(self.config, config.encode())
        storage.write(self.path / "config.sources.json", to_document(sources))

    def save_summary(self, summary: Mapping[str, Any]) -> None:
        storage.write(self.path / "summary.json", to_document(summary))

    def save_failure(self, message: str, problems: Sequence[str] = ()) -> None:
        failure = {"schema": "resnetctl.failure/1", "message": message, "problems": list(problems)}
        storage.write(self.path / "failure.json", to_document(failure))

    def save_plugins(self, now: UsedPlugins | None, *, step: int) -> None:
        """Record which plugins train after `step` steps; None: those that trained before. Writes only a change."""
        before = self.environment()
        after = with_resume(before, now, step=step)
        if before and after != before:
            storage.write(self.path / "env.json", to_document(after))

    def reopen(self) -> None:
        """Delete the summary and the failure, because the run resumes."""
        for name in ("summary.json", "failure.json"):
            if (self.path / name).exists():
                storage.remove(self.path / name)

    def evals(self) -> dict[str, dict[str, Any]]:
        """Return the reports in `eval/` by their name, such as `digits-test`. Unreadable ones are left out."""
        reports = {}
        for path in sorted((self.path / "eval").glob("*.json")):
            with contextlib.suppress(InputError):
                reports[path.stem] = self._json(f"eval/{path.name}")
        return reports

    def write_eval(self, name: str, document: Mapping[str, Any]) -> Path:
        """Write `eval/NAME.json` and return its path. Raises `InputError` when `name` is not a plain file name."""
        if not name or "/" in name or "\\" in name or "\0" in name or name.startswith("."):
            raise InputError(f"{name[:80]!r} cannot name an evaluation", where=str(self.path))
        path = self.path / "eval" / f"{name}.json"
        storage.make_folder(path.parent)
        storage.write(path, to_document(document))
        return path

    def pass_file(self, name: str) -> Path:
        """Return the path of the stored outputs of one pass over a split."""
        return self.path / "report" / f"{name}.safetensors"

    def write_pass(self, name: str, data: bytes) -> None:
        """Write the outputs of one pass over a split."""
        storage.make_folder(self.pass_file(name).parent)
        storage.write(self.pass_file(name), data)

    def write_onnx(self, data: bytes, *, raw: bool = False, int8: bool = False) -> Path:
        """Write `export/model.onnx`, or the file that takes pictures of any size, or that of int8; return its path."""
        path = self.raw_onnx if raw else self.int8_onnx if int8 else self.onnx
        storage.make_folder(path.parent)
        storage.write(path, data)
        return path

    def _json(self, name: str) -> dict[str, Any]:
        try:
            return storage.read_json(self.path / name, error=InputError)
        except InputError as error:
            raise InputError(f"the run cannot be read: {error.message}", where=error.where) from None


def create(
    folder: Path,
    name: str | Iterator[str],
    *,
    config: str,
    sources: Mapping[str, str],
    env: Mapping[str, Any],
    first: bytes = b"",
) -> RunDir:
    """Create `folder/name` by one rename, with its config inside, and point `folder/last` at it.

    Args:
        name: the name of the run, or names to try in turn: processes that start at once take different ones.
        first: the checkpoint of step 0, for a run that cannot start from its config alone.

    Raises:
        UsageError: the run exists, or the folder cannot be written.
    """
    documents = {
        CONFIG: config.encode(),
        "config.sources.json": to_document(sources),
        "env.json": to_document({"created": _now(), **env}),
    }
    path = folder / (name if isinstance(name, str) else next(name))
    while not _place(path, documents, first, refuse=isinstance(name, str)):
        path = folder / next(name)  # type: ignore[arg-type]
    storage.point(folder / LAST, path.name)
    return RunDir(path)


def _place(path: Path, documents: Mapping[str, bytes], first: bytes, *, refuse: bool) -> bool:
    """Create the folder of a run, and return False when its name is taken. With `refuse`, raise `UsageError` then."""
    if refuse:
        free_path(path.parent, path.name)
    try:
        with storage.staged_folder(path) as draft:
            for name, content in documents.items():
                storage.write(draft / name, content)
            (draft / "checkpoints").mkdir()
            if first:
                RunDir(draft).checkpoints.save(0, first)
    except UsageError:
        if refuse:
            free_path(path.parent, path.name)  # raises the clearer error if another process was faster
        if refuse or not path.exists():
            raise
        return False
    return True


def free_path(folder: Path, name: str) -> Path:
    """Return `folder/name`. Raises `UsageError` when it exists or `name` is not a plain folder name."""
    if name in ("", LAST) or "/" in name or "\\" in name or name.startswith((".", "-")):
        raise UsageError(f"'{name}' cannot name a run", where=Setting("name"), hint="a plain name other than 'last'")
    path = folder / name
    if path.exists() or path.is_symlink():
        other = Setting("name", "OTHER", note="uses another name")
        if is_group(path):
            show_group = Call("sweep show", (path,))
            raise UsageError(f"'{name}' is a group of runs already", where=str(path), hint=[other, show_group])
        is_open = (path / CONFIG).exists() and not (path / "summary.json").exists()
        resume, show = Call("train", settings={"resume": path}, note="goes on with it"), Call("runs show", (name,))
        raise UsageError(
            f"the run '{name}' exists" + (", unfinished" if is_open else ""),
            where=str(path),
            hint=[other, resume if is_open else show],
        )
    return path


def automatic_names(folder: Path, *, arch: str, data: str) -> Iterator[str]:
    """Yield free names for a run: `<utc>-<arch>-<dataset>`, then the same with the numbers 2, 3, ..."""
    base = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{arch}-{data}"
    names = (f"{base}-{number}" if number > 1 else base for number in itertools.count(1))
    return (name for name in names if not (folder / name).exists())


def is_group(folder: Path) -> bool:
    """Return whether the folder holds a group of runs."""
    return (folder / GROUP).is_file() and (folder / "queue").is_dir()  # other programs have a sweep.json, too


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
