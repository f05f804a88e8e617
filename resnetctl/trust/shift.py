"""What corrupted images do to a network: accuracy, calibration and coverage for each kind and severity."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from resnetctl.engine.metrics import Z95, probabilities, wilson
from resnetctl.spec import Card
from resnetctl.trust.assessment import Assessment
from resnetctl.trust.calibration import ece
from resnetctl.trust.conformal import sets
from resnetctl.trust.evidence import Evidence


@dataclass(frozen=True, kw_only=True)
class Cell(Card):
    """One kind of corruption at one severity.

    Attributes:
        accuracy: on these images.
        ece: calibration error at the temperature of the report.
        coverage: of the prediction sets whose level is `level` in `Shift`; None without sets.
    """

    kind: str
    severity: int
    accuracy: float
    ece: float
    coverage: float | None


@dataclass(frozen=True, kw_only=True)
class Shift(Card):
    """A network on corrupted images.

    Attributes:
        source: `resnetctl-c` for images made here, `cifar-10-c` for the published files.
        n: images of each cell, the same ones.
        level: promised coverage of the measured sets; None without sets.
        cells: one entry for each kind and severity.
        mean: mean accuracy of the cells, `interval` its 95 % interval over the choice of images: that of Wilson where
            all images have the same share of right cells, because their spread says nothing then.
    """

    source: str
    n: int
    level: float | None
    cells: tuple[Cell, ...]
    mean: float
    interval: tuple[float, float]


def shift(passes: Mapping[tuple[str, int], Evidence], judged: Assessment, *, source: str) -> Shift:
    """Measure passes over corrupted images, by kind and severity, with the temperature and sets of `judged`."""
    promised = judged.conformal[0] if judged.conformal else None
    limit = None if promised is None else promised.threshold
    cells = tuple(
        _cell(*place, evidence, scale=judged.calibration.temperature, limit=limit) for place, evidence in passes.items()
    )
    each = np.mean([evidence.correct for evidence in passes.values()], axis=0)  # share of the cells, for each image
    mean = float(each.mean())
    spread = float(each.std(ddof=1)) if len(each) > 1 else 0.0
    half = Z95 * spread / math.sqrt(len(each))
    low, high = (mean - half, mean + half) if spread else wilson(round(mean * len(each)), len(each))
    return Shift(
        source=source,
        n=len(each),
        level=None if promised is None else promised.level,
        cells=cells,
        mean=mean,
        interval=(max(0.0, low), min(1.0, high)),
    )


def _cell(kind: str, severity: int, evidence: Evidence, *, scale: float, limit: float | None) -> Cell:
    shares = probabilities(evidence.logits, temperature=scale)
    own = sets(shares, limit)[np.arange(len(evidence)), evidence.labels] if limit is not None else None
    return Cell(
        kind=kind,
        severity=severity,
        accuracy=float(evidence.correct.mean()),
        ece=ece(shares.max(axis=1), evidence.correct),
        coverage=None if own is None else float(own.mean()),
    )
