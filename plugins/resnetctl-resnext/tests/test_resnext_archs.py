"""The archs have the counts of the README, are registered, and import no torch."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from resnetctl_resnext import archs

from resnetctl.models.resnet import count_params
from resnetctl.spec import Arch

ROOT = Path(__file__).parents[1]
COUNTS = {
    "resnext29_32x4d": 4_775_754,
    "resnext29_8x64d": 34_426_698,
    "resnext29_16x64d": 68_155_210,
    "resnext50_32x4d": 25_028_904,
}
ARCHS = {name: value for name, value in vars(archs).items() if isinstance(value, Arch)}


def test_every_arch_is_named_as_it_is_registered() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    registered = project["entry-points"]["resnetctl.archs"]
    assert registered == {name: f"resnetctl_resnext.archs:{name}" for name in ARCHS}
    assert [arch.name for arch in ARCHS.values()] == list(ARCHS)
    assert set(ARCHS) == set(COUNTS)


@pytest.mark.parametrize("name", COUNTS)
def test_every_arch_has_its_number_of_parameters(name: str) -> None:
    arch = ARCHS[name]
    assert count_params(arch) == COUNTS[name]
    assert arch.params in (None, COUNTS[name])


def test_the_readme_has_the_same_counts() -> None:
    rows = re.findall(r"^\| `(\w+)` \| ([\d,]+) \|", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert {name: int(count.replace(",", "")) for name, count in rows} == COUNTS


def test_importing_the_archs_loads_no_torch() -> None:
    probe = "import sys, resnetctl_resnext.archs; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True).stdout.split()
    assert "resnetctl_resnext.archs" in loaded
    assert not {"torch", "torchvision", "numpy"} & set(loaded)


@pytest.mark.parametrize(("name", "millions"), [("resnext29_8x64d", 34.4), ("resnext29_16x64d", 68.1)])
def test_counts_agree_with_the_rounded_counts_of_the_paper(name: str, millions: float) -> None:
    assert abs(count_params(ARCHS[name]) / 1e6 - millions) < 0.1
