"""The notebook of the examples uses every function of `rc` and runs from a clean kernel."""

import re
from pathlib import Path

import pytest

import resnetctl as rc

NOTEBOOK = Path(__file__).parents[1] / "examples" / "tour.ipynb"
NO_FUNCTIONS = {"Run", "__version__"}


def test_the_tour_uses_every_function() -> None:
    used = set(re.findall(r"\brc\.(\w+)", NOTEBOOK.read_text(encoding="utf-8")))
    assert used == set(rc.__all__) - NO_FUNCTIONS


def test_the_tour_has_no_outputs() -> None:
    nbformat = pytest.importorskip("nbformat")
    cells = nbformat.read(NOTEBOOK, as_version=4).cells
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells)


@pytest.mark.timeout(900)
def test_the_tour_runs_from_a_clean_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    monkeypatch.setenv("RESNETCTL_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("RESNETCTL_RUNS_DIR", str(tmp_path / "runs"))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    resources = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=600, kernel_name="python3", resources=resources).execute()
    texts = "\n".join(str(output) for cell in notebook.cells for output in cell.get("outputs", ()))
    assert "<table>" in texts
    assert "lr: should be greater than 0" in texts
