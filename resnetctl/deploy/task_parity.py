"""Agreement of onnxruntime with torch for networks with a head: the task says when two predictions are the same.

Imports no torch. Shapes: B images in a batch, S pixels a side, C channels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnetctl.deploy.parity import BATCHES, Parity
from resnetctl.engine.metrics import Images
from resnetctl.spec import Task

Decoder = Callable[[Images], tuple[NDArray[Any], ...]]  # (B, S, S, C) to the outputs of the task
SHARE = 0.999  # of detections or pixels that must agree: near-ties may fall to either side


def compare_decoded(
    reference: Decoder, exported: Decoder, *, batches: Iterable[tuple[Images, Images]], task: Task
) -> Parity:
    """Run both on batches of 1, 2, 7 and 64 images and count what agrees, as sets where the task says so.

    `max_abs_diff` of the result is the largest difference of scores that agree, `tolerance` the share that may differ.
    """
    same = total = 0
    largest, problems = 0.0, []
    for size, (prepared, given) in zip(BATCHES, batches, strict=True):
        wanted, outputs = reference(prepared), exported(given)
        if [part.shape for part in wanted] != [part.shape for part in outputs] or not _is_finite(outputs):
            problems.append(f"batch of {size}: other shapes, or numbers that are not finite")
            continue
        found = task.agree(wanted, outputs)
        same, total, largest = same + found.same, total + found.total, max(largest, found.largest)
        if found.share < SHARE:
            problems += [f"batch of {size}: {found.same} of {found.total} agree", *found.problems[:5]]
    return Parity(
        max_abs_diff=largest,
        tolerance=1 - SHARE,
        agreement=same / total if total else 1.0,
        problems=tuple(problems),
    )


def _is_finite(outputs: Iterable[NDArray[Any]]) -> bool:
    return all(bool(np.isfinite(part).all()) for part in outputs)
