"""Gates: the limits that a measured accuracy must reach, such as `min_accuracy`. Imports no torch."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Self, TypedDict

from resnetctl.engine.metrics import EvalReport
from resnetctl.errors import CheckFailed, UsageError
from resnetctl.hints import Setting, suggest

SHOWN = 10  # classes in an error


class Limits(TypedDict, total=False):
    """The limits as keyword arguments; each is a fraction in 0..1, or None for no limit."""

    min_accuracy: float | None
    min_balanced_accuracy: float | None
    min_per_class: float | None
    min_lower: float | None


@dataclass(frozen=True, kw_only=True)
class Gates:
    """Limits on an `EvalReport`. Each is a fraction in 0..1, or None for no limit.

    Attributes:
        min_accuracy: limit of the accuracy (top-1).
        min_balanced_accuracy: limit of the balanced accuracy.
        min_per_class: limit of the accuracy of every class that has images.
        min_lower: limit of the lower end of the 95 % interval of the accuracy.
    """

    min_accuracy: float | None = None
    min_balanced_accuracy: float | None = None
    min_per_class: float | None = None
    min_lower: float | None = None

    @classmethod
    def of(cls, limits: Mapping[str, object]) -> Self:
        """Return the gates of keyword arguments.

        Raises:
            UsageError: an argument is unknown, or a limit is not a fraction.
        """
        known = [field.name for field in fields(cls)]
        for name, limit in limits.items():
            if name not in known:
                raise UsageError(f"unknown argument '{name}'", hint=suggest(name, known))
            _require_fraction(name, limit)
        return cls(**limits)  # type: ignore[arg-type]

    def check(self, report: EvalReport) -> None:
        """Raise `CheckFailed` when a figure is below its limit. The error names each figure with its limit."""
        failures = list(self._failures(report))
        if len(failures) == 1:
            (name, problem), *_ = failures
            raise CheckFailed(problem, where=Setting(name))
        if failures:
            problems = [problem for _, problem in failures]
            more = [f"and {len(problems) - SHOWN} more"] if len(problems) > SHOWN else []
            raise CheckFailed("the accuracy is below the required limits", problems=[*problems[:SHOWN], *more])

    def _failures(self, report: EvalReport) -> Iterator[tuple[str, str]]:
        """Yield the name of the limit and a sentence for each figure below its limit; classes last, worst first."""
        low = report.interval[0]
        classes = sorted((item.accuracy, item.name) for item in report.per_class if item.accuracy is not None)
        figures = [
            ("min_accuracy", "the accuracy", report.top1),
            ("min_balanced_accuracy", "the balanced accuracy", report.balanced_accuracy),
            ("min_lower", "the lower end of the 95 % interval", low),
            *(("min_per_class", f"the accuracy of class '{name}'", accuracy) for accuracy, name in classes),
        ]
        for name, subject, figure in figures:
            limit = getattr(self, name)
            if limit is not None and figure < limit:
                yield name, f"{subject} is {_percent(figure, limit)} %, below the required {100 * limit:g} %"


def _percent(figure: float, limit: float) -> str:
    """Return percent with two digits, rounded down if it would else look equal to the limit."""
    shown = f"{100 * figure:.2f}"
    return shown if float(shown) < 100 * limit else f"{math.floor(1e4 * figure) / 100:.2f}"


def _require_fraction(name: str, limit: object) -> None:
    if limit is None or (isinstance(limit, int | float) and 0 <= limit <= 1):
        return
    is_percent = isinstance(limit, int | float) and 1 < limit <= 100
    shown = f"{limit:g}" if isinstance(limit, int | float) else repr(limit)
    raise UsageError(
        f"a limit is a fraction between 0 and 1, not {shown}",
        where=Setting(name),
        hint=Setting(name, limit / 100) if is_percent else (),  # type: ignore[operator]
    )
