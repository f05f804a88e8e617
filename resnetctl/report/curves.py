"""Curves as Python gets them: SVG files that a notebook draws, and the curves of a run."""

from os import PathLike
from pathlib import Path

from resnetctl.errors import UsageError
from resnetctl.report.page import curve_files
from resnetctl.runs import RunDir
from resnetctl.runs.log import with_speed
from resnetctl.system import storage

# Files have the colours of light pages. Two columns, one where there is a single curve or a narrow window.
GRID = "display:grid;grid-template-columns:repeat(auto-fit,minmax(280px,420px));gap:8px 16px"
FIGURE = "margin:0;padding:4px;max-width:420px;background:#fff;color:#1f2933"


class Curves(dict[str, bytes]):
    """SVG files by name. A notebook draws them in a grid, each under its title."""

    def write(self, folder: str | PathLike[str]) -> list[Path]:
        """Write each curve into `folder`, which is created. Return the paths."""
        storage.make_folder(Path(folder), parents=True)
        for name, data in self.items():
            storage.write(Path(folder) / name, data)
        return [Path(folder) / name for name in self]

    def __repr__(self) -> str:
        return f"Curves({', '.join(self)})"

    def _repr_html_(self) -> str:
        drawn = (data.decode() for data in self.values())
        figures = "".join(
            f'<figure style="{FIGURE}"><figcaption>{_title(drawing)}</figcaption>{drawing}</figure>'
            for drawing in drawn
        )
        return f'<div style="{GRID}">{figures}</div>'


def curves_of(run: RunDir) -> Curves:
    """Return the curves of loss, accuracy, learning rate and speed of a run.

    Raises:
        UsageError: the run has fewer than two epochs.
        InputError: its logs cannot be read.
    """
    files = curve_files(with_speed(run.metrics(), run.timings()))
    if not files:
        raise UsageError("a curve needs two epochs", where=str(run.path))
    return Curves(files)


def _title(drawing: str) -> str:
    """Return the title of an SVG, which is markup already, without what it says of a table that is not there."""
    return drawing.partition("<title>")[2].partition("</title>")[0].partition("; the table")[0]
