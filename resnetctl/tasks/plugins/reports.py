"""Reports of the `plugins` verbs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from resnetctl.report.base import Report


@dataclass(frozen=True, kw_only=True)
class ListReport(Report):
    """One row for each entry of the registry."""

    schema: ClassVar[str] = "resnetctl.plugins.list/1"
    plugins: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, kw_only=True)
class ShowReport(Report):
    """The facts of one object; the keys depend on its kind."""

    schema: ClassVar[str] = "resnetctl.plugins.show/1"
    facts: Mapping[str, Any]

    def body(self) -> dict[str, Any]:
        """Return the facts themselves."""
        return dict(self.facts)


@dataclass(frozen=True, kw_only=True)
class CheckReport(Report):
    """The findings of every rule applied to `entries` entries; `failed` of them are failures."""

    schema: ClassVar[str] = "resnetctl.plugins.check/1"
    entries: int
    failed: int
    findings: tuple[Mapping[str, Any], ...]
