"""A small part of the hostile inputs of `benchmarks/hostile.py` holds on every push."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "hostile.py"
FAMILIES = ("models", "cards", "plugins")


@pytest.mark.skipif(not hasattr(os, "fork") or sys.platform != "linux", reason="the script forks and limits resources")
def test_a_part_of_the_hostile_inputs_holds(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    command = [sys.executable, str(SCRIPT), "--every", "30", "--out", str(page), "--any-cpu"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    assert all(f"| {family} |" in page.read_text() for family in FAMILIES)
