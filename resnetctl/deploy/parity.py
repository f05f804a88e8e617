"""Parity: compare onnxruntime with torch on the same images. Imports no torch.

Shapes: N images in a pool, B in a batch, S pixels a side, C channels, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnetctl import rng
from resnetctl.data.splits import Inputs
from resnetctl.deploy.onnx_session import OnnxModel
from resnetctl.engine.metrics import Images, Logits, Predictor, probabilities
from resnetctl.spec import Task, VectorSpec

Outputs = Callable[[Images], Sequence[Logits]]
BATCHES = (1, 2, 7, 64)  # one, even, odd, large: they reveal a batch size that is frozen into the graph
Answer = Callable[..., Sequence[NDArray[Any]]]
UNMATCHED = 1e-3  # share of detections or pixels without an equal
TOLERANCE = 1e-4  # times the largest absolute logit, or times 1 if that is larger


@dataclass(frozen=True, kw_only=True)
class Parity:
    """Agreement of onnxruntime with torch.

    Attributes:
        max_abs_diff: largest difference of a logit or a probability.
        tolerance: largest allowed difference, in the batch that came closest to it.
        agreement: share of images with the same top-1, among those whose margin exceeds the tolerance.
        problems: one line for each batch that differs; empty when the check holds.
    """

    max_abs_diff: float
    tolerance: float
    agreement: float
    problems: tuple[str, ...] = ()


def compare(reference: Predictor, model: OnnxModel, *, pool: Images) -> Parity:
    """Run both on batches of 1, 2, 7 and 64 images and compare the outputs.

    Args:
        reference: torch's predictor, images (B, S, S, C) uint8 to logits (B, K).
        pool: images (N, S, S, C) uint8; a pool of fewer than 74 is repeated.

    Raises:
        WorkFailed: onnxruntime fails.
    """
    temperature = model.card.weights.temperature
    return compare_batches(reference, model.outputs, batches=in_batches(pool), temperature=temperature)


def compare_batches(
    reference: Predictor, outputs: Outputs, *, batches: Iterable[tuple[Images, Images]], temperature: float = 1.0
) -> Parity:
    """As `compare`, for any runtime.

    Args:
        outputs: images (B, ...) to logits and probabilities, (B, K) each.
        batches: for each of `BATCHES`, the images that torch gets, and those that `outputs` gets.
        temperature: what divides the logits of these probabilities.
    """
    parts = [_compare_batch(reference(prepared), outputs(given), temperature) for prepared, given in batches]
    decided = sum(part.decided for part in parts)
    worst = max(parts, key=lambda part: part.diff / part.tolerance if np.isfinite(part.diff) else np.inf)
    same = sum(part.same for part in parts)
    problems = [part.problem(size) for part, size in zip(parts, BATCHES, strict=True) if not part.holds]
    return Parity(
        max_abs_diff=worst.diff,
        tolerance=worst.tolerance,
        agreement=same / decided if decided else 1.0,
        problems=tuple(problems),
    )


def compare_answers(reference: Answer, answer: Answer, *, batches: Iterable[Inputs], task: Task) -> Parity:
    """As `compare_batches`, for networks with a head: their answers agree as the task says, detections as sets.

    `batches` are the inputs of both, such as those of `inputs_in_batches`.

    Of 1,000 detections or pixels at most one may have no equal: near a tie, rounding decides.
    """
    parts = [task.agree(reference(*inputs), answer(*inputs)) for inputs in batches]
    same, total = sum(part.same for part in parts), sum(part.total for part in parts)
    problems = [
        f"batch of {size}: {line}"
        for size, part in zip(BATCHES, parts, strict=True)
        if part.same < part.total
        for line in part.problems[:3]
    ]
    share = same / total if total else 1.0
    return Parity(
        max_abs_diff=max(part.largest for part in parts),
        tolerance=UNMATCHED,
        agreement=share,
        problems=tuple(problems) if share < 1 - UNMATCHED else (),
    )


@dataclass(frozen=True, kw_only=True)
class _Part:
    """The comparison of one batch. `decided`: images whose margin exceeds the tolerance; `same`: with equal top-1."""

    diff: float
    tolerance: float
    decided: int
    same: int

    @property
    def holds(self) -> bool:
        return self.diff <= self.tolerance and self.same == self.decided  # False for a NaN

    def problem(self, size: int) -> str:
        return (
            f"batch of {size}: difference {self.diff:.3g}, allowed {self.tolerance:.3g}; "
            f"top-1 the same for {self.same} of {self.decided}"
        )


def _compare_batch(reference: Logits, outputs: Sequence[Logits], temperature: float) -> _Part:
    wide, logits = reference.astype(np.float64), outputs[0].astype(np.float64)
    if not np.isfinite(wide).all() or wide.shape != logits.shape:
        return _Part(diff=float("nan"), tolerance=TOLERANCE, decided=0, same=0)
    tolerance = TOLERANCE * max(1.0, float(np.abs(wide).max()))
    softmax_diff = np.abs(outputs[1] - probabilities(reference, temperature=temperature)).max()
    diff = float(np.maximum(np.abs(logits - wide).max(), softmax_diff))  # np.maximum keeps a NaN
    ordered = np.sort(wide, axis=1)
    clear = ordered[:, -1] - ordered[:, -2] > tolerance if wide.shape[1] > 1 else np.ones(len(wide), dtype=bool)
    same = clear & (wide.argmax(axis=1) == logits.argmax(axis=1))
    return _Part(diff=diff, tolerance=tolerance, decided=int(clear.sum()), same=int(same.sum()))


def noise(side: int, channels: int) -> Images:
    """Return uint8 noise (74, side, side, channels), the same every time."""
    generator = np.random.Generator(np.random.PCG64(rng.derive(0, "synthetic gate")))
    return generator.integers(0, 256, (sum(BATCHES), side, side, channels), dtype=np.uint8)


def noisy_numbers(vector: VectorSpec) -> NDArray[np.float32]:
    """Return normal numbers (74, D) float32 with mean and std of train, the same every time."""
    generator = np.random.Generator(np.random.PCG64(rng.derive(0, "synthetic numbers")))
    drawn = generator.normal(size=(sum(BATCHES), len(vector.columns)))
    return (drawn * vector.std + vector.mean).astype(np.float32)


def in_batches(pool: Images) -> Iterator[tuple[Images, Images]]:
    """Yield batches of the sizes in `BATCHES`, twice, in the pool's order. Starts again when the pool ends."""
    for (batch,) in inputs_in_batches((pool,)):
        yield batch, batch


def inputs_in_batches(pools: Inputs) -> Iterator[Inputs]:
    """Yield the inputs of a network in batches of the sizes in `BATCHES`, in the order of their pools, as `in_batches`.

    Args:
        pools: images (N, S, S, C), and numbers (N, D) for a network that reads them.
    """
    start = 0
    for size in BATCHES:
        rows = np.arange(start, start + size) % len(pools[0])
        yield tuple(pool[rows] for pool in pools)
        start += size
