"""Check every rule of resnetctl for each entry of this package, and for blocks with other options."""

import pytest
import torch
from resnetctl_resnext.blocks import ResNeXtBlock
from torch import nn

from resnetctl.testing import check_block, conformance

test_conformance = conformance("resnetctl-resnext")


@pytest.mark.parametrize(
    ("block", "options"),
    [
        (ResNeXtBlock, {"groups": 4, "base_width": 24}),
    ],
)
def test_blocks_with_other_options_break_no_rule(block: type[nn.Module], options: dict[str, int | str]) -> None:
    assert [str(finding) for finding in check_block(block, **options) if not finding.ok] == []


@pytest.mark.parametrize("block", [ResNeXtBlock])
def test_any_width_works_and_equal_shapes_have_an_identity_shortcut(block: type[nn.Module]) -> None:
    assert block(6, 10, stride=2)(torch.randn(2, 6, 7, 9)).shape == (2, 10 * block.expansion, 4, 5)
    assert isinstance(block(16 * block.expansion, 16).downsample, nn.Identity)
