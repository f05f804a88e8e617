"""ruff, codespell and mypy are part of the tests: one command says whether a change may go in."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TOOLS = ("ruff check .", "ruff format --check .", "codespell_lib . .github", "mypy resnetctl")


@pytest.mark.timeout(600)
@pytest.mark.parametrize("tool", TOOLS)
def test_the_repository_passes(tool: str) -> None:
    command = [sys.executable, "-m", *tool.split()]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stdout + process.stderr
