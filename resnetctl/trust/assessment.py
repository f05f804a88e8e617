"""Everything that the logits of one split say about a network, with thresholds that val chose."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from resnetctl.engine.metrics import EvalReport, probabilities
from resnetctl.spec import Calibration as Fitted
from resnetctl.spec import Card
from resnetctl.trust.abstain import COVERAGES, Abstention, Bools, Floats, abstention, aurc, risk_coverage
from resnetctl.trust.calibration import Calibration, calibration
from resnetctl.trust.compare import Comparison, compare
from resnetctl.trust.conformal import Coverage, coverage
from resnetctl.trust.evidence import Evidence
from resnetctl.trust.fitting import ENOUGH, fit_card
from resnetctl.trust.temperature import RANGE, fit_temperature
from resnetctl.wording import counted

CLEARLY = 1.01  # times the NLL: less is chance
SHOWN = 5  # names of classes in a notice


@dataclass(frozen=True, kw_only=True)
class Point(Card):
    """The accuracy of the answers when the most confident `coverage` of the images is answered."""

    coverage: float
    accuracy: float


@dataclass(frozen=True, kw_only=True)
class Assessment(Card):
    """What a network is worth on one split.

    Attributes:
        calibration: of the probabilities at the fitted temperature.
        uncalibrated: the same at temperature 1; None when none was fitted.
        conformal, abstain: one entry for each level and target; empty without a val split that is large enough.
        aurc: area under the risk-coverage curve, the mean error rate over all coverages.
        risk_coverage: points of this curve.
    """

    calibration: Calibration
    uncalibrated: Calibration | None
    conformal: tuple[Coverage, ...]
    abstain: tuple[Abstention, ...]
    aurc: float
    risk_coverage: tuple[Point, ...]


@dataclass(frozen=True, kw_only=True)
class ClassComparison(Card):
    """Two models on the images of one class."""

    name: str
    comparison: Comparison | None


def assess(measured: Evidence, val: Evidence | None, *, chosen: Fitted | None = None) -> Assessment:
    """Measure a split at a temperature and with thresholds that it did not choose.

    Args:
        val: chooses thresholds for abstaining, and the rest unless `chosen` has it. None, or too few images: left out.
        chosen: what the card of the weights says.
    """
    if val is not None and not is_enough(val):
        val = None
    if chosen is None and val is not None:
        chosen = fit_card(val.logits, val.labels)
    scale = 1.0 if chosen is None else chosen.temperature
    is_scaled = chosen is not None and scale != 1
    wide = _wide(measured)
    shares = probabilities(wide, temperature=scale)
    confidence, correct = shares.max(axis=1), measured.correct
    return Assessment(
        calibration=calibration(
            wide, measured.labels, temperature=scale, fitted_on=chosen.split if chosen and is_scaled else None
        ),
        uncalibrated=calibration(wide, measured.labels) if is_scaled else None,
        conformal=() if chosen is None else tuple(_sets(shares, measured, chosen)),
        abstain=()
        if val is None
        else tuple(abstention(confidence, correct, fit=(_confidence(val, scale), val.correct))),
        aurc=aurc(confidence, correct),
        risk_coverage=tuple(_curve(confidence, correct)),
    )


def is_enough(val: Evidence) -> bool:
    """Return whether val has enough images for a temperature and thresholds."""
    return len(val) >= ENOUGH


def notices(
    measured: Evidence, val: Evidence | None, *, classes: Sequence[str], split: str, chosen: Fitted | None = None
) -> Iterator[str]:
    """Yield what limits these numbers, as sentences. `chosen` is what the card of the weights says."""
    all_three = "temperature, prediction sets and thresholds for abstaining are left out"
    left_out = all_three if chosen is None else "thresholds for abstaining are left out"
    if split == "val":
        yield f"val chooses temperature and thresholds, so they cannot be measured on val: {all_three}"
    elif val is None:
        yield f"there is no val split: {left_out}"
    elif not is_enough(val):
        yield f"val has {counted(len(val), 'image')}, at least {ENOUGH} are needed: {left_out}"
    else:
        fitted = fit_temperature(_wide(val), val.labels)
        if fitted == RANGE[0]:
            yield "no temperature is used: val is too easy to choose one, almost every image of it is right"
        if fitted == RANGE[1]:
            yield f"no temperature is used: even at {RANGE[1]:g}, the network is too sure of wrong answers on val"
        if absent := _absent(val, classes):
            yield f"val has no image of {absent}: sets and thresholds promise nothing for such images"
    if absent := _absent(measured, classes):
        yield f"{split} has no image of {absent}: these numbers do not cover such images"
    if len(measured) < ENOUGH:
        yield f"{split} has {counted(len(measured), 'image')}: every number here is uncertain, see its interval"


def drawbacks(judged: Assessment) -> Iterator[str]:
    """Yield a sentence when the temperature that suits val clearly does not suit the measured split."""
    if judged.uncalibrated is not None and judged.calibration.nll > CLEARLY * judged.uncalibrated.nll:
        yield (
            f"the temperature chosen on val makes the NLL worse, {judged.calibration.nll:.4f} instead of "
            f"{judged.uncalibrated.nll:.4f}: val may be easier for these weights, since training chose them on val"
        )


def compare_evidence(this: Evidence, other: Evidence) -> Comparison:
    """Compare two networks on the same images in the same order."""
    return _compared(this, other, np.ones(len(this), np.bool_))


def compare_classes(this: Evidence, other: Evidence, *, classes: Sequence[str]) -> Iterator[ClassComparison]:
    """Yield the comparison on the images of each class; None for a class without images."""
    for label, name in enumerate(classes):
        rows = this.labels == label
        yield ClassComparison(name=name, comparison=_compared(this, other, rows) if rows.any() else None)


def accuracy(report: EvalReport) -> dict[str, object]:
    """Return the metrics of `eval` without times, for the report."""
    document = report.to_json()
    return {name: document[name] for name in ("top1", "interval", "top5", "loss", "correct", "per_class", "confusion")}


def _compared(this: Evidence, other: Evidence, rows: Bools) -> Comparison:
    mine, its = this.correct[rows], other.correct[rows]
    return compare(int((mine & ~its).sum()), int((its & ~mine).sum()), n=int(rows.sum()))


def _sets(shares: Floats, measured: Evidence, chosen: Fitted) -> Iterator[Coverage]:
    for level, limit in chosen.sets.items():
        yield coverage(shares, measured.labels, limit=limit, level=float(level), fitted_on=chosen.images)


def _curve(confidence: Floats, correct: Bools) -> Iterator[Point]:
    answered, errors = risk_coverage(confidence, correct)
    for wanted in COVERAGES:
        place = max(0, int(np.ceil(wanted * len(answered))) - 1)
        yield Point(coverage=float(answered[place]), accuracy=1 - float(errors[place]))


def _confidence(evidence: Evidence, scale: float) -> Floats:
    result: Floats = probabilities(_wide(evidence), temperature=scale).max(axis=1)
    return result


def _wide(evidence: Evidence) -> Floats:
    wide: Floats = evidence.logits.astype(np.float64)
    return wide


def _absent(evidence: Evidence, classes: Sequence[str]) -> str:
    """Return the names of classes without images, `""` for none."""
    counts = np.bincount(evidence.labels, minlength=len(classes))
    names = [name for name, count in zip(classes, counts.tolist(), strict=True) if not count]
    rest = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(f"'{name}'" for name in names[:SHOWN]) + rest
