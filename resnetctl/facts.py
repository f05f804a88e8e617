"""Facts: frozen objects that tasks yield while they work. Their consumers save, log or draw them."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from resnetctl.engine.schedule import work
from resnetctl.hints import Hint
from resnetctl.spec import Arch
from resnetctl.spec.brief import Brief, brief

if TYPE_CHECKING:
    from resnetctl.config.schema import TrainConfig
    from resnetctl.engine.loop import EpochResult as EpochResult
    from resnetctl.engine.loop import StepResult as StepResult

Result = TypeVar("Result")


def __getattr__(name: str) -> Any:
    """Return the classes of steps and epochs, which load torch."""
    if name in ("EpochResult", "StepResult"):
        return getattr(import_module("resnetctl.engine.loop"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def kept_epoch(summary: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the line of the epoch whose weights a run kept, from its `summary.json`; {} without one."""
    line = summary.get(str(summary.get("kept")))
    return line if isinstance(line, Mapping) else {}


def kept_figures(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Return the figures on val of the epoch that a run kept, by their key in `summary.json`; the loss comes last."""
    kept = kept_epoch(summary)
    names = sorted((name for name in kept if name.startswith("val_")), key=lambda name: name == "val_loss")
    return {name: kept[name] for name in names if isinstance(kept[name], float)}


def result_of(work: Generator[Any, None, Result]) -> Result:
    """Run a task to its end without a display, and return its result."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            result: Result = end.value
            return result


@dataclass(frozen=True)
class Notice:
    """One line for the user, and hints what to do about it."""

    text: str
    hint: tuple[Hint, ...] = ()


@dataclass(frozen=True)
class Doing(Notice):
    """A notice that only says what begins now. A screen shows it; nobody needs to know it afterwards."""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Progress of work other than training: bytes of a download, images of an import. `total` None: unknown."""

    what: str
    done: int
    total: int | None
    unit: str  # "B", "images", "plugins" or "kinds"


@dataclass(frozen=True, kw_only=True)
class Started(Brief):
    """A run starts or resumes. `run` is None in a dry run; `origins` has the origin of each config value."""

    run: Path | None
    config: TrainConfig
    origins: Mapping[str, str]
    arch: Arch
    block: str  # empty: the block of the arch
    params: int
    image_size: int
    train_images: int
    val_images: int
    start_step: int  # 0, or the step of the checkpoint that a resume starts from
    best: float | None  # best val accuracy so far, in a resumed run
    steps: int
    steps_per_epoch: int
    teacher: str = ""  # the arch of the teacher, empty without one
    head: str = ""  # empty: the classifier of the arch
    primary: str = "top1"  # the number that chooses the best epoch
    sides: tuple[tuple[int, int], ...]  # (first step, pixels) for each size of the training images

    def side(self, step: int) -> int:
        """Return the side of the training images at `step` (from 0), in pixels."""
        return max((first, side) for first, side in self.sides if first <= step)[1]

    def left(self, step: int) -> float:
        """Return the pixels still to train after `step` steps, divided by the pixels trained since `start_step`."""
        return work(self.sides, start=step, stop=self.steps) / work(self.sides, start=self.start_step, stop=step)


@dataclass(frozen=True, kw_only=True)
class EpochTimed(Brief):
    """The result of an epoch and its time. `images_per_second` counts training only."""

    FIGURES = ("result",)
    result: EpochResult
    seconds: float
    images_per_second: float


@dataclass(frozen=True, kw_only=True)
class Finished(Brief):
    """The run has finished. `summary` is the content of `summary.json`."""

    run: Path
    summary: Mapping[str, Any]

    def __repr__(self) -> str:
        return brief(replace(self, summary={**kept_figures(self.summary), **self.summary}))


TrainFact = Notice | Progress | Started | EpochTimed | Finished
