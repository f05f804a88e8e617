"""The archs have the counts of the README, are registered, and import no torch."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from resnetctl_resnetd import archs

from resnetctl.models.resnet import count_params
from resnetctl.spec import Arch

ROOT = Path(__file__).parents[1]
COUNTS = {
    "resnetd20": 272_474,
    "resnetd56": 855_770,
}
ARCHS = {name: value for name, value in vars(archs).items() if isinstance(value, Arch)}


def test_every_arch_is_named_as_it_is_registered() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    registered = project["entry-points"]["resnetctl.archs"]
    assert registered == {name: f"resnetctl_resnetd.archs:{name}" for name in ARCHS}
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
    probe = "import sys, resnetctl_resnetd.archs; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True).stdout.split()
    assert "resnetctl_resnetd.archs" in loaded
    assert not {"torch", "torchvision", "numpy"} & set(loaded)


@pytest.mark.parametrize(("name", "plain"), [("resnetd20", 272_474), ("resnetd56", 855_770)])
def test_the_pool_adds_no_parameters(name: str, plain: int) -> None:
    """`plain` is pytorchcv's count of the same network with projection shortcuts."""
    assert count_params(ARCHS[name]) == plain
