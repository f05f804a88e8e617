"""Archs: golden parameter counts on the meta device, and facts of the table."""

import dataclasses

import pytest

from resnetctl import registry
from resnetctl.models import archs
from resnetctl.models.resnet import count_params
from resnetctl.spec import Arch

NAMES = registry.names("arch")
# counts for (option A, 10 classes), (B, 10), (A, 100), (B, 100)
GOLDEN = {
    "resnet20": (269_722, 272_474, 275_572, 278_324),
    "resnet32": (464_154, 466_906, 470_004, 472_756),
    "resnet44": (658_586, 661_338, 664_436, 667_188),
    "resnet56": (853_018, 855_770, 858_868, 861_620),
    "resnet110": (1_727_962, 1_730_714, 1_733_812, 1_736_564),
    "resnet1202": (19_421_274, 19_424_026, 19_427_124, 19_429_876),
}
PREACT = {"preact_resnet20": 272_282, "preact_resnet56": 855_578, "preact_resnet110": 1_730_522}
SHORT = {"resnet10": 5_418_792, "resnet18_wd2": 3_055_880}  # published by pytorchcv
TORCHVISION = {
    "resnet18": 11_689_512,
    "resnet34": 21_797_672,
    "resnet50": 25_557_032,
    "resnet101": 44_549_160,
    "resnet152": 60_192_808,
}


def test_the_registry_has_every_arch() -> None:
    wide = {"wrn16_4", "wrn28_10", "wrn40_4"}
    assert {*GOLDEN, *PREACT, "preact_resnet164", *wide, *SHORT, "resnet10_wd2", *TORCHVISION} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_arch_has_its_entrys_name_a_summary_and_a_paper(name: str) -> None:
    arch = registry.get("arch", name)
    assert arch.name == name
    assert arch.summary
    assert "arXiv" in arch.paper
    assert Arch.from_json(arch.to_json()) == arch


@pytest.mark.parametrize("name", [name for name in NAMES if registry.get("arch", name).params is not None])
def test_an_arch_has_as_many_parameters_as_it_declares(name: str) -> None:
    arch = registry.get("arch", name)
    assert count_params(arch) == arch.params


@pytest.mark.parametrize("name", GOLDEN)
def test_counts_match_for_both_shortcuts_and_for_10_and_100_classes(name: str) -> None:
    arch = registry.get("arch", name)
    other = dataclasses.replace(arch, block_args={"shortcut": "B"})
    counted = tuple(count_params(variant, classes) for classes in (10, 100) for variant in (arch, other))
    assert counted == GOLDEN[name]


@pytest.mark.parametrize(
    ("name", "params"), [*PREACT.items(), *SHORT.items(), *TORCHVISION.items(), ("wrn28_10", 36_479_194)]
)
def test_declared_counts_are_the_published_ones(name: str, params: int) -> None:
    assert registry.get("arch", name).params == params


@pytest.mark.parametrize(("depth", "factor", "params"), [(16, 10, 17_116_634), (40, 8, 35_748_314)])
def test_other_wide_nets_need_no_code(depth: int, factor: int, params: int) -> None:
    widths = tuple(factor * width for width in (16, 32, 64))
    arch = Arch(name="wide", block="preact_basic", depths=((depth - 4) // 6,) * 3, widths=widths, stem_width=16)
    assert count_params(arch) == params


def test_torchvision_publishes_the_same_counts() -> None:
    from torchvision.models import get_model_weights

    for name, params in TORCHVISION.items():
        assert get_model_weights(name).DEFAULT.meta["num_params"] == params


def test_the_depth_in_the_name_gives_the_blocks_of_each_stage() -> None:
    assert archs.resnet110.depths == (18, 18, 18)
    assert archs.preact_resnet164.depths == (18, 18, 18)
    assert archs.wrn28_10.depths == (4, 4, 4)
    assert archs.wrn28_10.stem_width == 16
