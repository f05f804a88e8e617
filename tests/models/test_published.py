"""Published accuracies belong to archs of the package, and are compared only where that is fair."""

import dataclasses

import pytest

from resnetctl.models import archs
from resnetctl.models.published import PUBLISHED, differences, published
from resnetctl.spec import ImageSpec


def test_every_number_is_that_of_table_6() -> None:
    errors = {name: round(100 - 100 * item.accuracy, 2) for name, item in PUBLISHED.items()}
    assert errors == {"resnet20": 8.75, "resnet32": 7.51, "resnet44": 7.17, "resnet56": 6.97, "resnet110": 6.43}
    assert "6.61 %" in PUBLISHED["resnet110"].note


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_number_belongs_to_an_arch_of_the_package_and_not_to_its_name(name: str) -> None:
    arch = getattr(archs, name)
    assert published(arch) == PUBLISHED[name]
    assert published(arch.resolve_stem(32)) == PUBLISHED[name]
    assert published(dataclasses.replace(arch, block="se_basic")) is None
    assert published(dataclasses.replace(arch, widths=(8, 16, 32))) is None


def test_other_archs_have_no_number() -> None:
    assert published(archs.resnet18) is None


def test_a_comparison_names_what_differs() -> None:
    reference = PUBLISHED["resnet20"]
    same = ImageSpec(size=32)
    assert list(differences(reference, is_its_data=True, split="test", image=same)) == []
    assert list(differences(reference, is_its_data=False, split="val", image=ImageSpec(size=32, resize=36))) == [
        "other images",
        "measured on val",
        "other image size or channels",
    ]
