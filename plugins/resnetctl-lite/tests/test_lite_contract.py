"""Check every rule of resnetctl for each entry of this package, and for blocks with other options."""

import pytest
import torch
from resnetctl_lite.blocks import InvertedBottleneckBlock, SeparableBlock
from torch import nn

from resnetctl.testing import check_block, conformance

test_conformance = conformance("resnetctl-lite")


@pytest.mark.parametrize(
    ("block", "options"),
    [
        (SeparableBlock, {"shortcut": "A"}),
        (InvertedBottleneckBlock, {"shortcut": "A", "expand": 2}),
    ],
)
def test_blocks_with_other_options_break_no_rule(block: type[nn.Module], options: dict[str, int | str]) -> None:
    assert [str(finding) for finding in check_block(block, **options) if not finding.ok] == []


@pytest.mark.parametrize("block", [InvertedBottleneckBlock, SeparableBlock])
def test_any_width_works_and_equal_shapes_have_an_identity_shortcut(block: type[nn.Module]) -> None:
    assert block(6, 10, stride=2)(torch.randn(2, 6, 7, 9)).shape == (2, 10 * block.expansion, 4, 5)
    assert isinstance(block(16 * block.expansion, 16).downsample, nn.Identity)
