"""The notebooks of the examples run from a clean kernel, show tables, and leave nothing in the folder of the kernel."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from support.scripts import load_script

EXAMPLES = Path(__file__).parents[1] / "examples"
SCRIPTS = sorted((EXAMPLES / "notebooks").glob("*.py"))
SHOWN = {  # what a reader sees, beside tables
    "first_run": ("<svg", "The hardest digit is", "image/png"),
    "your_photos": ("image/png", "classes.csv", "broken.jpg"),
    "your_own_block": ("block GatedBlock: onnx", "gated: ", "plain: "),
    "from_run_to_page": ("report.html", "int8.onnx: ", "raw.onnx: "),
}


def maker() -> Any:
    return load_script(EXAMPLES / "make_notebooks.py")


@pytest.fixture
def clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The empty folder in which a kernel starts; what it makes for itself goes to another one."""
    for name in ("start", "temporary", "home"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    monkeypatch.delenv("RESNETCTL_DATA_DIR", raising=False)
    monkeypatch.delenv("RESNETCTL_RUNS_DIR", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    if all(map(find_spec, ("hatchling", "editables"))):
        monkeypatch.setenv("PIP_NO_BUILD_ISOLATION", "0")  # for pip, 0 in this variable switches isolation off
    return tmp_path / "start"


@pytest.mark.timeout(300)
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_a_notebook_runs_from_a_clean_kernel(script: Path, clean: Path) -> None:
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    notebook = nbformat.from_dict(maker().notebook(script))
    nbformat.validate(notebook)
    resources = {"metadata": {"path": str(clean)}}
    nbclient.NotebookClient(notebook, timeout=280, kernel_name="python3", resources=resources).execute()
    assert list(clean.iterdir()) == []
    cells = {cell.source: cell.outputs for cell in notebook.cells if cell.cell_type == "code"}
    texts = "\n".join(map(str, cells.values()))
    assert "<table" in texts
    assert [text for text in SHOWN[script.stem] if text not in texts] == []
    for source, outputs in cells.items():
        if "rc.train(" in source:
            notices = [item.text for item in outputs if item.output_type == "stream"]
            assert all("ResnetctlWarning" in text for text in notices)
            (table,) = (item for item in outputs if item.output_type != "stream")
            assert table.output_type == "display_data", "one table, which grows"
            assert "text/html" in table.data


def test_the_script_writes_notebooks_without_outputs_and_with_a_badge_on_request(tmp_path: Path) -> None:
    nbformat = pytest.importorskip("nbformat")
    address = "github/somebody/something/blob/main/notebooks"
    for folder, more in (("one", []), ("two", []), ("colab", ["--colab", address])):
        subprocess.run([sys.executable, EXAMPLES / "make_notebooks.py", tmp_path / folder, *more], check=True)
    files = sorted((tmp_path / "one").iterdir())
    assert [file.stem for file in files] == [script.stem for script in SCRIPTS] == sorted(SHOWN)
    for file in files:
        assert file.read_bytes() == (tmp_path / "two" / file.name).read_bytes()
        notebook = nbformat.read(file, as_version=4)
        assert not any(cell.get("outputs") for cell in notebook.cells)
        badged = nbformat.read(tmp_path / "colab" / file.name, as_version=4)
        assert f"https://colab.research.google.com/{address}/{file.name}" in badged.cells[0].source
        assert [cell.source for cell in badged.cells[1:]] == [cell.source for cell in notebook.cells]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_jupytext_reads_the_same_cells(script: Path) -> None:
    jupytext = pytest.importorskip("jupytext", reason="jupytext is not installed")
    ours = [(cell["cell_type"], cell["source"]) for cell in maker().notebook(script)["cells"]]
    assert [(cell.cell_type, cell.source) for cell in jupytext.read(script).cells] == ours
