"""The report of `bench`, and its advice, which follows from the measured figures only."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from resnetctl.engine.stopwatch import Spread
from resnetctl.hints import Call, Hint, in_python, in_shell
from resnetctl.report.base import Report
from resnetctl.spec import Card

EXPORT = Call("export", (), {"onnx": True})
WORTH = 1.05  # no advice for a lower ratio, or for one whose lower quartile is below 1
MUCH_INPUT = 0.1  # share of a step, above which the input gets advice
BUSY_CORES = 0.15  # cores used by other processes, above which the report warns


@dataclass(frozen=True, kw_only=True)
class Subject(Card):
    """The training run that was timed, with the settings that `train` would use."""

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
    """The machine, measured at the same time with the run's threads. Other processes used `foreign_cores` cores."""

    processor: str
    cores: int
    torch: str
    sgemm_gflops: Spread
    copy_gb_per_second: Spread
    foreign_cores: float | None


@dataclass(frozen=True, kw_only=True)
class Part(Card):
    """A part of a training step: median seconds, and its share of the step."""

    seconds: float
    share: float


@dataclass(frozen=True, kw_only=True)
class Training(Card):
    """Training steps.

    Attributes:
        images_per_second: speed of the steps alone.
        flops_per_image: forward and backward as torch counts them; a multiplication with its addition counts 2.
        share_of_sgemm: FLOP rate of training as a share of the same threads' matrix multiply rate, round by round.
        epoch_seconds: time of the steps, the evaluation on val and the checkpoint of an epoch.
        run_seconds: time of the whole run.
        parts: the parts of a step; empty on accelerators, which overlap them.
    """

    images_per_second: Spread
    flops_per_image: float
    share_of_sgemm: Spread
    epoch_seconds: float
    run_seconds: float
    parts: Mapping[str, Part]


@dataclass(frozen=True, kw_only=True)
class Tried(Card):
    """Other settings for training: their speed, the ratio to the run's own in the same rounds, how to choose them."""

    what: str
    option: Hint
    images_per_second: Spread
    ratio: Spread


@dataclass(frozen=True, kw_only=True)
class BenchReport(Report):
    """All figures of `bench`.

    Attributes:
        prediction: decoded images per second by runtime and batch, e.g. `torch batch 128`.
        onnx_ratio: speed of onnxruntime divided by that of torch in the same rounds, by batch.
        tried: other settings for training.
        start_up: wall seconds of commands.
        memory: bytes without mapped files: `training` is the growth by the first steps, `process` the maximum.
        left_out: measurements that failed or had no time.
        seconds: wall time of the whole command.
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

    def advice(self, write: Callable[[Hint], str] = in_python) -> list[str]:
        """Return sentences on what would be faster on this machine, or that nothing would. `write` formats a hint."""
        sentences = [*self._faster(write), *self._input(), *self._deployed(write)]
        return [*(sentences or ["nothing that was tried is faster than this"]), *self._caution()]

    def body(self) -> dict[str, Any]:
        """Return every field, and the advice."""
        values = super().body()
        for row, item in zip(values["tried"], self.tried, strict=True):
            row["option"] = in_shell(item.option)
        return {**values, "advice": self.advice(in_shell)}

    def _faster(self, write: Callable[[Hint], str]) -> Iterator[str]:
        for item in sorted(self.tried, key=lambda item: -item.ratio.median):
            if is_faster(item.ratio):
                yield f"{item.what} trains {times(item.ratio)} as fast: {write(item.option)}"

    def _input(self) -> Iterator[str]:
        parts = self.training.parts
        share = sum(parts[name].share for name in ("gather", "augment", "normalise")) if parts else 0.0
        if share > MUCH_INPUT:
            most = max(("gather", "augment", "normalise"), key=lambda name: parts[name].share)
            yield f"the input takes {100 * share:.0f} % of a step, most of it {most}: a lighter augmentation is faster"

    def _deployed(self, write: Callable[[Hint], str]) -> Iterator[str]:
        for batch, ratio in self.onnx_ratio.items():
            if is_faster(ratio):
                yield f"onnxruntime predicts {times(ratio)} as fast as torch, {batch}: {write(EXPORT)}"

    def _caution(self) -> Iterator[str]:
        foreign = self.machine.foreign_cores
        if foreign is not None and foreign > BUSY_CORES:
            yield (
                f"other processes used {foreign:.1f} of {self.machine.cores} cores meanwhile: "
                "rates are lower than on a quiet machine, ratios less certain"
            )


def is_faster(ratio: Spread) -> bool:
    """Return whether the ratio is clearly more than 1."""
    return ratio.median >= WORTH and ratio.low > 1


def times(ratio: Spread) -> str:
    """Return the ratio as text: `1.23x (1.10-1.31, n=7)`."""
    return f"{ratio.median:.2f}x ({ratio.low:.2f}-{ratio.high:.2f}, n={ratio.n})"
