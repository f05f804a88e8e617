"""The tutorial's commands and files, carried out as they stand, and the example that came of it."""

import re
import subprocess
import venv
from pathlib import Path

import pytest
from support import environments

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "tutorial" / "your-own-block.md"
EXAMPLE = ROOT / "examples" / "plugins" / "resnetctl-blurpool"
FENCE = re.compile(r"^```(sh|python \S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def steps() -> list[tuple[str, str]]:
    """("sh", command) and (path, text) in the order of the page."""
    found: list[tuple[str, str]] = []
    for kind, body in FENCE.findall(PAGE.read_text(encoding="utf-8")):
        if kind == "sh":
            found += [("sh", line) for line in body.splitlines()]
        else:
            found.append((kind.removeprefix("python "), body))
    return found


def carry_out(environment: Path, folder: Path, *, timeout: int = 280) -> dict[str, str]:
    """Follow the page; the output of each command."""
    outputs = {}
    for kind, text in steps():
        if kind != "sh":
            (folder / kind).write_text(text, encoding="utf-8")
            continue
        done = environments.run(text, environment, folder=folder, timeout=timeout)
        assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
        outputs[text] = done.stdout
    return outputs


def sources(folder: Path) -> dict[str, str]:
    """What an author has written: no caches of Python or pytest."""
    files = {path.relative_to(folder): path for path in folder.rglob("*") if path.is_file()}
    written = {place: path for place, path in files.items() if not re.search(r"/__pycache__/|^\.|/\.", f"{place}")}
    return {str(place): path.read_text(encoding="utf-8") for place, path in written.items()}


@pytest.mark.timeout(900)
def test_the_tutorial_works_as_it_stands(tmp_path: Path) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    outputs = carry_out(environments.sharing(tmp_path / "environment"), folder)
    assert "\tblurpool\tresnetctl-blurpool\t0.1.0\tavailable" in outputs["resnetctl plugins list --kind block"]
    held = re.search(r"block blurpool\t(\d+)\t0\t0", outputs["resnetctl plugins check resnetctl-blurpool"])
    assert held is not None
    assert int(held[1]) > 20
    assert "\nMore than twenty rules: " in PAGE.read_text(encoding="utf-8")
    assert (folder / "blurpool.onnx").stat().st_size > 100_000
    assert outputs["resnetctl eval blurpool"]
    assert sources(folder / "resnetctl-blurpool") == sources(EXAMPLE), "examples/plugins holds what the page makes"


@pytest.mark.certify
@pytest.mark.timeout(3600)
def test_the_tutorial_works_in_a_fresh_environment(tmp_path: Path) -> None:
    """With a torch of its own: gigabytes from the package index."""
    environment, folder = tmp_path / "environment", tmp_path / "work"
    folder.mkdir()
    venv.create(environment, with_pip=True)
    subprocess.run([environment / "bin" / "pip", "install", "-q", f"{ROOT}[dev]"], check=True)
    carry_out(environment, folder, timeout=1200)
