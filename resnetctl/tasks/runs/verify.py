"""`runs verify`: check a run's digests, its metrics against its config, and this machine against the run's."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from resnetctl.config.digest import config_sha256
from resnetctl.config.schema import TrainConfig
from resnetctl.data.store import open_store
from resnetctl.engine import checkpoint, schedule
from resnetctl.errors import CheckFailed, DataError, ResnetctlError
from resnetctl.fields import plain
from resnetctl.registry.code import edited
from resnetctl.registry.folders import installed
from resnetctl.report.base import Report
from resnetctl.runs import RunDir
from resnetctl.spec import Plugins
from resnetctl.system.safetensors import digest
from resnetctl.system.settings import Settings
from resnetctl.training.newest_checkpoint import Newest, card_of, differences, facts_then, newest
from resnetctl.weights import file as weights_file
from resnetctl.wording import counted

Lines = list[dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Check:
    """One check. `passed` is None if there was nothing to check."""

    name: str
    passed: bool | None
    detail: str


@dataclass(frozen=True, kw_only=True)
class VerifyReport(Report):
    """All checks of a run.

    Attributes:
        differences: changes of the machine that prevent a bit-identical resume.
        missing: plugins that the run needs and that are not installed, with their versions. Its files may be intact
            all the same, so this is no failed check.
        usable: whether `eval`, `predict` and `export` have the plugins that the weights need.
    """

    schema: ClassVar[str] = "resnetctl.runs.verify/1"
    run: Path
    checks: tuple[Check, ...]
    differences: tuple[str, ...]
    missing: Mapping[str, str]
    usable: bool

    @property
    def passed(self) -> bool:
        return all(check.passed is not False for check in self.checks)

    def require(self) -> None:
        """Raise `CheckFailed` when a check failed. Call it after showing the report."""
        failed = [f"{check.name}: {check.detail}" for check in self.checks if check.passed is False]
        if failed:
            raise CheckFailed("the files of the run contradict each other", where=str(self.run), problems=failed)

    def body(self) -> dict[str, Any]:
        """Return the verdict, every check, and the differences."""
        return {
            "run": str(self.run),
            "passed": self.passed,
            "checks": plain(self.checks),
            "differences": list(self.differences),
            "missing": dict(self.missing),
            "usable": self.usable,
        }


class Failed(Exception):
    """A check failed; the text says why."""


class Skipped(Exception):
    """There is nothing to check; the text says why."""


def verify(run: RunDir, settings: Settings) -> VerifyReport:
    """Check every file of a run. The report holds the failures; its `require` raises for them."""
    checker = _Checker(run, settings)
    checks = tuple(_outcome(name, check) for name, check in checker.all().items())
    missing = checker.missing()
    return VerifyReport(
        run=run.path,
        checks=checks,
        differences=tuple(checker.differences()),
        missing=missing,
        usable=not missing.keys() & checker.plugins().required.keys(),
    )


def _outcome(name: str, check: Callable[[], str]) -> Check:
    try:
        return Check(name=name, passed=True, detail=check())
    except Skipped as reason:
        return Check(name=name, passed=None, detail=str(reason))
    except Failed as finding:
        return Check(name=name, passed=False, detail=str(finding))
    except ResnetctlError as error:
        return Check(name=name, passed=False, detail="; ".join([error.message, *error.problems]))
    except KeyError as error:
        return Check(name=name, passed=False, detail=f"a value is missing: {error}")
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        return Check(name=name, passed=False, detail=f"cannot be read: {type(error).__name__}: {error}")


class _Checker:
    """The checks of one run. Each returns a detail for the report, or raises `Failed` or `Skipped`."""

    def __init__(self, run: RunDir, settings: Settings) -> None:
        self.run = run
        self.settings = settings
        self.newest: Newest = newest(run)

    @cached_property
    def header(self) -> weights_file.Header:
        """The header of the run's weights. Raises `WeightsError`."""
        return weights_file.read_header(self.run.weights)

    def all(self) -> dict[str, Callable[[], str]]:
        """Return the checks by name, in the order of the report."""
        return {
            "config": self.config,
            "checkpoints": self.checkpoints,
            "metrics": self.metrics,
            "summary": self.summary,
            "weights": self.weights,
            "onnx": self.onnx,
            "data": self.data,
        }

    def differences(self) -> list[str]:
        """Return what changed on this machine since the checkpoint. A resume sets the number of threads itself."""
        if self.newest.snapshot is None:
            return []
        then = facts_then(self.newest.snapshot)
        here = checkpoint.machine_facts(
            device="cuda" if "gpu" in then else "cpu", precision=str(then.get("precision", "fp32"))
        )
        now = {**installed(then), **here, "threads": then.get("threads")}
        missing = self.missing()
        changed = differences({key: value for key, value in then.items() if key not in missing}, now)
        return [
            *changed,
            *(
                f"the code of {name} was changed"
                for name in edited(self.run.plugins_at(self.newest.snapshot.step).code)
            ),
        ]

    def missing(self) -> dict[str, str]:
        """Return name and version of each plugin that the run used and that is not installed."""
        used = {**self.plugins().required, **self.plugins().used}
        present = installed(used)
        return {name: wanted for name, wanted in used.items() if name not in present}

    def plugins(self) -> Plugins:
        """Return the plugins that the newest checkpoint names, or the weights of a run without a checkpoint."""
        if self.newest.snapshot is not None:
            return card_of(self.newest.snapshot).plugins
        with contextlib.suppress(ResnetctlError):
            return self.header.card.plugins
        return Plugins()

    def config(self) -> str:
        config = self.run.read_config()
        return f"{config.model.arch} on {config.data}"

    def checkpoints(self) -> str:
        if self.newest.corrupt:
            raise Failed("; ".join(f"{name}: {reason}" for name, reason in self.newest.corrupt.items()))
        if self.newest.snapshot is None:
            raise Skipped("there is none")
        for path in self.run.checkpoints.paths()[1:]:
            checkpoint.from_bytes(path.read_bytes())
        return f"{len(self.run.checkpoints.paths())} whole, the newest after step {self.newest.snapshot.step}"

    def metrics(self) -> str:
        lines = self.run.metrics()
        if not lines:
            raise Skipped("no epoch is finished")
        numbers = [line["epoch"] for line in lines]
        _require(numbers == list(range(1, len(lines) + 1)), "epochs are missing or out of order")
        steps = [line["step"] for line in lines]
        _require(steps == sorted(set(steps)) and steps[0] > 0, "steps do not grow")
        bad = [line["epoch"] for line in lines for value in line.values() if not math.isfinite(value)]
        _require(not bad, f"epoch {bad[:1]} has a number that is not finite")
        best = [line["epoch"] for line in _improving(lines)]
        flagged = [line["epoch"] for line in lines if line.get("best")]
        _require(flagged in (best, []), f"best epochs are {best}, not {flagged}")
        if self.newest.snapshot is not None:
            _require(len(lines) >= self.newest.snapshot.epochs, "epochs of the checkpoint are missing")
        return f"{counted(len(lines), 'epoch')}, {counted(steps[-1], 'step')}"

    def summary(self) -> str:
        summary = self.run.summary(whole=True)
        if summary is None:
            raise Skipped("the run is not finished")
        config, lines = self.run.read_config(), self.run.metrics()
        if not summary["steps"]:  # the run of `compress` without training
            _require(not lines, "it counts no step, and the metrics have epochs")
            return "finished; nothing was trained"
        _require(
            summary["epochs"] == len(lines),
            f"it counts {counted(summary['epochs'], 'epoch')}, the metrics {len(lines)}",
        )
        _require(lines, "the metrics have no epoch")
        _require(summary["last"] == lines[-1], "its last epoch differs from that of the metrics")
        if not summary["stopped_early"]:
            done, expected = (summary["steps"], config.steps) if config.steps else (summary["epochs"], config.epochs)
            _require(
                done == expected, f"the config wants {expected} {'steps' if config.steps else 'epochs'}, not {done}"
            )
            _require(summary["steps"] == lines[-1]["step"], "its steps differ from those of the metrics")
            if len(lines) > 1 or not config.steps:  # else there is no whole epoch to count steps by
                _require(
                    _last_lr(config, lines) == lines[-1]["lr"],
                    "the last learning rate differs from that of the schedule",
                )
        return "finished, and agrees with the config and the metrics"

    def weights(self) -> str:
        if not self.run.weights.is_file():
            raise Skipped("there are none yet")
        loaded, summary = weights_file.load(self.header), self.run.summary()
        if summary is None or summary.get("steps") == 0:
            return "whole and finite"
        snapshot = self.newest.snapshot
        config, card = self.run.read_config(), loaded.card
        start = str(snapshot.card.get("weights_sha256", "")) if snapshot is not None else ""
        _require(snapshot is None or card.config_sha256 == config_sha256(config, start), "trained with another config")
        epoch, lines = int(card.metrics["epoch"]), self.run.metrics()
        _require(len(lines) >= epoch, f"they are of epoch {epoch}, the metrics end after {len(lines)}")
        line = lines[epoch - 1]
        same = all(line[name] == value for name, value in card.metrics.items())
        _require(same, "the accuracy in the card differs from that of the metrics")
        if snapshot is not None:
            kept = snapshot.shipped(last=config.keep == "last" or "best" not in line)
            same = digest(kept) == digest(loaded.state)
            _require(same, "the tensors differ from those of the checkpoint")
        return f"whole, finite, of epoch {epoch}"

    def onnx(self) -> str:
        files = [path for path in (self.run.onnx, self.run.raw_onnx, self.run.int8_onnx) if path.is_file()]
        if not files:
            raise Skipped("nothing is exported into the run")
        from resnetctl.deploy.onnx_checks import check
        from resnetctl.deploy.onnx_session import read_bytes

        for path in files:
            card = check(read_bytes(path), str(path))
            _require(card.weights_sha256 == self.header.sha256, "exported from other weights: export again")
        return "whole, and exported from these weights"

    def data(self) -> str:
        name = self.run.read_config().data
        try:
            store = open_store(self.settings.data_dir, name)
        except DataError:
            raise Skipped(f"'{name}' is not in the store here") from None
        if self.newest.snapshot is None:
            raise Skipped("no checkpoint names the data of the run")
        expected = self.newest.snapshot.card["trained_on"].get("digest")
        if expected in store.card.replaced:
            raise Skipped(f"'{name}' was replaced since the run was trained on it")
        _require(store.card.digests.get("train") == expected, f"'{name}' has changed since the run was trained on it")
        return f"'{name}' has not changed since the run was trained on it"


def _require(holds: object, otherwise: str) -> None:
    if not holds:
        raise Failed(otherwise)


def _improving(lines: Lines) -> Iterator[dict[str, Any]]:
    """Yield each epoch that was the best so far."""
    best = (-1.0, -math.inf)
    for line in lines:
        first = next((key for key in line if key.startswith("val_") and key != "val_loss"), "")
        if first and (line[first], -line.get("val_loss", 0.0)) > best:
            best = (line[first], -line.get("val_loss", 0.0))
            yield line


def _last_lr(config: TrainConfig, lines: Lines) -> float:
    steps = lines[-1]["step"]
    warmup = schedule.warmup_steps(config.warmup, steps=steps, steps_per_epoch=lines[0]["step"])
    factor = schedule.factors(config.schedule)
    return config.lr * schedule.scale(steps - 1, steps=steps, warmup=warmup, factor=factor)
