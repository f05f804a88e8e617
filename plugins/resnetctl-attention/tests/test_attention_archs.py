"""The archs have the counts of the README, are registered, and import no torch."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from resnetctl_attention import archs

from resnetctl.models.resnet import count_params
from resnetctl.spec import Arch

ROOT = Path(__file__).parents[1]
COUNTS = {
    "se_resnet20": 274_847,
    "se_resnet32": 470_861,
    "se_resnet44": 666_875,
    "se_resnet56": 862_889,
    "se_resnet110": 1_744_952,
    "eca_resnet20": 272_501,
    "eca_resnet56": 855_851,
    "cbam_resnet20": 275_372,
    "cbam_resnet56": 864_464,
}
ARCHS = {name: value for name, value in vars(archs).items() if isinstance(value, Arch)}


def test_every_arch_is_named_as_it_is_registered() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    registered = project["entry-points"]["resnetctl.archs"]
    assert registered == {name: f"resnetctl_attention.archs:{name}" for name in ARCHS}
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
    probe = "import sys, resnetctl_attention.archs; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True).stdout.split()
    assert "resnetctl_attention.archs" in loaded
    assert not {"torch", "torchvision", "numpy"} & set(loaded)


@pytest.mark.parametrize(("name", "plain"), [("resnet20", 272_474), ("resnet56", 855_770), ("resnet110", 1_730_714)])
def test_se_adds_the_parameters_of_the_papers_formula(name: str, plain: int) -> None:
    """Each block adds 2 C^2 / r weights and two biases (Hu et al. 2017, eq. 5); `plain` has projection shortcuts."""
    blocks = ARCHS[f"se_{name}"].depths[0]
    added = sum(2 * width * width // 16 + width // 16 + width for width in (16, 32, 64))
    assert count_params(ARCHS[f"se_{name}"]) == plain + blocks * added
