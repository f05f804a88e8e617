"""What tasks tell while they work: frozen facts. Who consumes them saves, logs or draws."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resnetctl.engine.schedule import work
from resnetctl.hints import Hint
from resnetctl.spec import Arch

if TYPE_CHECKING:
    from resnetctl.config.schema import TrainConfig
    from resnetctl.engine.loop import EpochResult


@dataclass(frozen=True)
class Notice:
    """One line that a person should read, and what to do about it."""

    text: str
    hint: tuple[Hint, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Countable work other than training: bytes of a download, images of an import. `total` None: unknown."""

    what: str
    done: int
    total: int | None
    unit: str  # "B", "images" or "plugins"


@dataclass(frozen=True, kw_only=True)
class Started:
    """A run begins or goes on. `run` is None in a dry run; `origins` tells where each config value came from."""

    run: Path | None
    config: TrainConfig
    origins: Mapping[str, str]
    arch: Arch
    block: str  # empty where it is the arch's own
    params: int
    image_size: int
    train_images: int
    val_images: int
    start_step: int  # 0, or where a resume begins
    best: float | None  # best val accuracy so far, for a resumed run
    steps: int
    steps_per_epoch: int
    sides: tuple[tuple[int, int], ...]  # (first step, pixels): where the size of the training images changes

    def side(self, step: int) -> int:
        """Return the side of the training images in `step` (0-based), in pixels."""
        return max((first, side) for first, side in self.sides if first <= step)[1]

    def left(self, step: int) -> float:
        """Return the work left after `step` steps as a multiple of the work since `start_step`, counted in pixels."""
        return work(self.sides, start=step, stop=self.steps) / work(self.sides, start=self.start_step, stop=step)


@dataclass(frozen=True, kw_only=True)
class EpochTimed:
    """An epoch's result with its clock. `images_per_second` counts training only."""

    result: EpochResult
    seconds: float
    images_per_second: float


@dataclass(frozen=True, kw_only=True)
class Finished:
    """The run is over. `summary` is what `summary.json` holds."""

    run: Path
    summary: Mapping[str, Any]


TrainFact = Notice | Progress | Started | EpochTimed | Finished
