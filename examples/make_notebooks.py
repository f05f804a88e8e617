"""Make the notebooks: each script of `examples/notebooks` as an `.ipynb` file, without outputs.

    python make_notebooks.py FOLDER [--colab ADDRESS]

The scripts are in jupytext's percent format: Jupyter with jupytext opens them as they are. ADDRESS is the public folder
of the notebooks, as `github/OWNER/REPOSITORY/blob/BRANCH/notebooks`; each notebook then begins with a badge that opens
it in Colab. The same scripts give the same bytes.
"""

import argparse
import json
import re
from pathlib import Path
from typing import Any

SCRIPTS = Path(__file__).parent / "notebooks"
CELL = re.compile(r"^# %%(?: \[(markdown)\])?\n", re.MULTILINE)
MAGIC = re.compile(r"^# (?=[!%]\S)", re.MULTILINE)  # jupytext writes `%pip` as a comment, so that the script is Python
BADGE = "https://colab.research.google.com/assets/colab-badge.svg"


def main() -> None:
    """Write the notebooks."""
    parser = argparse.ArgumentParser(description="make the notebooks")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--colab", default="", metavar="ADDRESS", help="public folder of the notebooks")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    for script in sorted(SCRIPTS.glob("*.py")):
        path = args.folder / f"{script.stem}.ipynb"
        path.write_text(json.dumps(notebook(script, colab=args.colab), indent=1) + "\n", encoding="utf-8")
        print(path)


def notebook(script: Path, *, colab: str = "") -> dict[str, Any]:
    """Return a script as a notebook of format 4.5."""
    _, *parts = CELL.split(script.read_text(encoding="utf-8"))
    cells = [(kind or "code", text.strip("\n")) for kind, text in zip(parts[::2], parts[1::2], strict=True)]
    if colab:
        link = f"https://colab.research.google.com/{colab.strip('/')}/{script.stem}.ipynb"
        cells.insert(0, ("markdown", f"# [![Open in Colab]({BADGE})]({link})"))
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return {
        "cells": [_cell(number, kind, text) for number, (kind, text) in enumerate(cells)],
        "metadata": {"kernelspec": kernel, "language_info": {"name": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def _cell(number: int, kind: str, text: str) -> dict[str, Any]:
    if kind == "markdown":
        source = re.sub(r"^# ?", "", text, flags=re.MULTILINE)
        return {"cell_type": kind, "id": f"cell-{number}", "metadata": {}, "source": source}
    empty = {"execution_count": None, "outputs": []}
    return {"cell_type": kind, "id": f"cell-{number}", "metadata": {}, "source": MAGIC.sub("", text), **empty}


if __name__ == "__main__":
    main()
