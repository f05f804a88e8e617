"""The command line works on the lowest version of typer that pyproject.toml allows, and on the newest."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TESTS = ["tests/cli/test_app.py", "tests/cli/test_boundary.py", "tests/cli/parser", "tests/cli/screen/test_help.py"]


def lowest() -> str:
    """Return the version in `typer>=X`."""
    dependencies = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    (text,) = (text for text in dependencies if text.startswith("typer"))
    match = re.search(r">=([\d.]+)", text)
    assert match is not None, text
    return match.group(1)


@pytest.mark.certify
@pytest.mark.timeout(900)
@pytest.mark.parametrize("wanted", ["lowest", "newest"])
def test_the_command_line_works_on_typer(tmp_path: Path, wanted: str) -> None:
    requirement = f"typer=={lowest()}" if wanted == "lowest" else "typer"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(tmp_path / "site")]
    installed = subprocess.run([*pip, requirement], capture_output=True, text=True, timeout=300)
    if installed.returncode:
        pytest.skip(f"{requirement} cannot be installed here: {installed.stderr[-300:]}")
    env = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    version = "from importlib.metadata import version; print(version('typer'))"
    installed_version = subprocess.run(
        [sys.executable, "-c", version], env=env, capture_output=True, text=True, timeout=60
    )
    assert installed_version.stdout.strip() == lowest() or wanted == "newest"
    run = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *TESTS]
    done = subprocess.run(run, cwd=ROOT, env=env, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, f"typer {installed_version.stdout.strip()}:\n{done.stdout[-3000:]}"
