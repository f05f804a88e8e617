"""The report of `train` and `finetune`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from resnetctl.report.base import Report


@dataclass(frozen=True, kw_only=True)
class TrainReport(Report):
    """A finished run, or a dry run.

    Attributes:
        path: the run's folder, None after a dry run.
        summary: the content of `summary.json`, or the facts of the dry run.
    """

    schema: ClassVar[str] = "resnetctl.train/1"
    path: Path | None
    summary: Mapping[str, Any]

    def body(self) -> dict[str, Any]:
        """Return the summary, and the run's folder if there is one."""
        return {**self.summary, **({"run": str(self.path)} if self.path is not None else {})}
