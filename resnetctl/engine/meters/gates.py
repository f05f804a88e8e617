"""Gates: the limits that a measured number must reach, such as `min_accuracy`. Imports no torch."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Self, TypedDict

from resnetctl.engine.metrics import EvalReport
from resnetctl.errors import CheckFailed, UsageError
from resnetctl.hints import Setting, suggest
from resnetctl.spec import Measured
from resnetctl.spec.dense import class_numbers

SHOWN = 10  # classes in an error
TITLES = {  # of the limits
    "min_primary": "main number",
    "min_accuracy": "accuracy",
    "min_balanced_accuracy": "balanced accuracy",
    "min_per_class": "each class",
    "min_lower": "lower end",
}


class Limits(TypedDict, total=False):
    """The limits as keyword arguments; each is a fraction in 0..1, or None for no limit."""

    min_primary: float | None
    min_accuracy: float | None
    min_balanced_accuracy: float | None
    min_per_class: float | None
    min_lower: float | None


@dataclass(frozen=True, kw_only=True)
class Gates:
    """Limits on what was measured. Each is a fraction in 0..1, or None for no limit.

    Attributes:
        min_primary: limit of the number that the task is judged by: `top1`, `map50`, `miou`.
        min_accuracy: limit of the accuracy (top-1).
        min_balanced_accuracy: limit of the balanced accuracy.
        min_per_class: limit of every class that has images: of its accuracy, or of its first number.
        min_lower: limit of the lower end of the 95 % interval of the primary number.
    """

    min_primary: float | None = None
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

    def require_known(self, report: EvalReport | Measured) -> None:
        """Raise `UsageError` for the limit of a number that was not measured."""
        known = {name for name, _, _ in _figures(report)} | ({"min_per_class"} if report.per_class else set())
        for name in (field.name for field in fields(self)):
            limit = getattr(self, name)
            if limit is not None and name not in known:
                raise UsageError(
                    "this network has no such number", where=Setting(name), hint=Setting("min_primary", limit)
                )

    def unchecked(self, report: EvalReport | Measured) -> list[str]:
        """Return the classes that `min_per_class` says nothing about, because they have no number; [] without it."""
        if self.min_per_class is None:
            return []
        if isinstance(report, Measured):
            keys = class_numbers(report.per_class)[:1]
            return [str(row["name"]) for row in report.per_class for key in keys if row[key] is None]
        return [item.name for item in report.per_class if item.accuracy is None]

    def missed(self, report: EvalReport | Measured) -> list[str]:
        """Return a sentence for each figure below its limit; classes last, worst first."""
        return [problem for _, problem in self._failures(report)]

    def met(self, report: EvalReport | Measured) -> list[str]:
        """Return the limits if no figure is below its limit, such as `accuracy 0.9`; [] otherwise."""
        if self.missed(report):
            return []
        limits = ((title, getattr(self, name)) for name, title in TITLES.items())
        return [f"{title} {limit:g}" for title, limit in limits if limit is not None]

    def check(self, report: EvalReport | Measured) -> None:
        """Raise `CheckFailed` when a figure is below its limit. The error names each figure with its limit."""
        failures = list(self._failures(report))
        if len(failures) == 1:
            (name, problem), *_ = failures
            raise CheckFailed(problem, where=Setting(name))
        if failures:
            problems = [problem for _, problem in failures]
            more = [f"and {len(problems) - SHOWN} more"] if len(problems) > SHOWN else []
            raise CheckFailed("the numbers are below the required limits", problems=[*problems[:SHOWN], *more])

    def _failures(self, report: EvalReport | Measured) -> Iterator[tuple[str, str]]:
        """Yield the name of the limit and a sentence for each figure below its limit; classes last, worst first."""
        for name, subject, figure in _figures(report):
            limit = getattr(self, name)
            if limit is not None and figure < limit:
                yield name, f"{subject} is {_percent(figure, limit)} %, below the required {100 * limit:g} %"


def _figures(report: EvalReport | Measured) -> list[tuple[str, str, float]]:
    """Return the name of the limit, the subject of a sentence, and the value of each number that can have a limit."""
    if isinstance(report, Measured):
        primary = report.primary
        figures = [("min_primary", primary.name, primary.value)]
        if primary.interval is not None:
            figures.append(("min_lower", f"the lower end of the 95 % interval of {primary.name}", primary.interval[0]))
        return figures + [
            ("min_per_class", f"the {key} of class '{name}'", value) for value, name, key in _classes(report)
        ]
    classes = sorted((item.accuracy, item.name) for item in report.per_class if item.accuracy is not None)
    return [
        ("min_primary", "the accuracy", report.top1),
        ("min_accuracy", "the accuracy", report.top1),
        ("min_balanced_accuracy", "the balanced accuracy", report.balanced_accuracy),
        ("min_lower", "the lower end of the 95 % interval", report.interval[0]),
        *(("min_per_class", f"the accuracy of class '{name}'", accuracy) for accuracy, name in classes),
    ]


def _classes(report: Measured) -> list[tuple[float, str, str]]:
    """Return first number, name and the number's key of each class that has one, worst first."""
    rows = report.per_class
    return sorted(
        (float(row[key]), str(row["name"]), key)
        for key in class_numbers(rows)[:1]
        for row in rows
        if row[key] is not None
    )


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
