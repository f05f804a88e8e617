"""What `bench` found, and what follows from it. Advice says only what was measured."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from resnetctl.engine.stopwatch import Spread
from resnetctl.report.base import Report
from resnetctl.spec import Card

WORTH = 1.05  # a ratio below is not worth a sentence, nor is one whose lower quartile is below 1
MUCH_INPUT = 0.1  # share of a step
BUSY_CORES = 0.15


@dataclass(frozen=True, kw_only=True)
class Subject(Card):
    """What was timed: a training run as `train` would settle it."""

    arch: str
    data: str
    image_size: int
    params: int
    batch_size: int
    device: str
    threads: int
    precision: str
    train_images: int
    val_images: int
    steps: int


@dataclass(frozen=True, kw_only=True)
class Machine(Card):
    """The machine in the same minutes, with as many threads as the run; `foreign_cores` were busy with other things."""

    processor: str
    cores: int
    torch: str
    sgemm_gflops: Spread
    copy_gb_per_second: Spread
    foreign_cores: float | None


@dataclass(frozen=True, kw_only=True)
class Part(Card):
    """A part of a training step: median seconds, and share of the sum."""

    seconds: float
    share: float


@dataclass(frozen=True, kw_only=True)
class Training(Card):
    """Training steps.

    Attributes:
        images_per_second: of the steps alone.
        flops_per_image: of forward and backward as torch counts them, 2 for a multiplication with its addition.
        share_of_sgemm: of the rate at which the same threads multiply matrices, round by round.
        epoch_seconds: steps, a look at val and a checkpoint; `run_seconds` the whole run of the config.
        parts: of a step, empty on accelerators, which do not take them one after the other.
    """

    images_per_second: Spread
    flops_per_image: float
    share_of_sgemm: Spread
    epoch_seconds: float
    run_seconds: float
    parts: Mapping[str, Part]


@dataclass(frozen=True, kw_only=True)
class Tried(Card):
    """Another way to train: how fast, against the run's own in the same rounds, and how one asks for it."""

    what: str
    option: str
    images_per_second: Spread
    ratio: Spread


@dataclass(frozen=True, kw_only=True)
class BenchReport(Report):
    """Everything, with `left_out` naming what there was no time for or what failed.

    Attributes:
        prediction: images a second of decoded images, by runtime and batch: `torch batch 128`.
        onnx_ratio: onnxruntime against torch in the same rounds, by batch.
        start_up: wall seconds of commands.
        memory: bytes: `training` more than before the first step, `process` in all; mapped files not counted.
    """

    schema: ClassVar[str] = "resnetctl.bench/1"
    subject: Subject
    machine: Machine
    training: Training
    prediction: Mapping[str, Spread]
    onnx_ratio: Mapping[str, Spread]
    tried: tuple[Tried, ...]
    start_up: Mapping[str, Spread]
    memory: Mapping[str, int]
    left_out: tuple[str, ...]
    seconds: float

    def advice(self) -> list[str]:
        """Sentences on what would be faster here, or that nothing would."""
        found = [*self._faster(), *self._input(), *self._deployed()]
        return [*(found or ["nothing that was tried is faster than this"]), *self._caution()]

    def body(self) -> dict[str, Any]:
        """Return every field, and the advice."""
        return {**super().body(), "advice": self.advice()}

    def _faster(self) -> Iterator[str]:
        for item in sorted(self.tried, key=lambda item: -item.ratio.median):
            if worth(item.ratio):
                yield f"{item.what} trains {times(item.ratio)} as fast: {item.option}"

    def _input(self) -> Iterator[str]:
        parts = self.training.parts
        share = sum(parts[name].share for name in ("gather", "augment", "normalise")) if parts else 0.0
        if share > MUCH_INPUT:
            most = max(("gather", "augment", "normalise"), key=lambda name: parts[name].share)
            yield f"the input takes {100 * share:.0f} % of a step, most of it {most}: a lighter --augment is faster"

    def _deployed(self) -> Iterator[str]:
        for batch, ratio in self.onnx_ratio.items():
            if worth(ratio):
                yield f"onnxruntime predicts {times(ratio)} as fast as torch, {batch}: resnetctl export --onnx"

    def _caution(self) -> Iterator[str]:
        foreign = self.machine.foreign_cores
        if foreign is not None and foreign > BUSY_CORES:
            yield (
                f"other processes used {foreign:.1f} of {self.machine.cores} cores meanwhile: "
                "rates are lower than on a quiet machine, ratios less certain"
            )


def worth(ratio: Spread) -> bool:
    """Whether it is clearly more than 1."""
    return ratio.median >= WORTH and ratio.low > 1


def times(ratio: Spread) -> str:
    """`1.23x (1.10-1.31, n=7)`"""
    return f"{ratio.median:.2f}x ({ratio.low:.2f}-{ratio.high:.2f}, n={ratio.n})"
