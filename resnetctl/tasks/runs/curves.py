"""`runs plot`: write the curves of a run as SVG files. No torch."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from resnetctl.errors import UsageError
from resnetctl.hints import Setting
from resnetctl.report.base import Report
from resnetctl.report.curves import curves_of
from resnetctl.runs import RunDir


@dataclass(frozen=True, kw_only=True)
class PlotReport(Report):
    """The SVG files that were written."""

    schema: ClassVar[str] = "resnetctl.runs.plot/1"
    files: tuple[Path, ...]


def plot(run: RunDir, out: Path | None) -> PlotReport:
    """Write the curves of a run into the folder `out`; None: `NAME-curves` in the current folder.

    Raises:
        UsageError: the run has fewer than two epochs, or `out` names a file.
        InputError: its logs cannot be read.
    """
    if out is not None and (out.suffix == ".svg" or out.is_file()):
        hint = Setting("out", out.with_suffix(""))
        raise UsageError("a run has several curves, so this must be a folder", where=Setting("out"), hint=hint)
    folder = Path(f"{run.name.replace('/', '-')}-curves") if out is None else out
    return PlotReport(files=tuple(curves_of(run).write(folder)))
