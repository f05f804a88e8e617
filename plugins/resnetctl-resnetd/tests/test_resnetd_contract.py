"""Check every rule of resnetctl for each entry of this package."""

import pytest
import torch
from resnetctl_resnetd.blocks import ResNetDBasicBlock, ResNetDBottleneckBlock
from torch import nn

from resnetctl.testing import conformance

test_conformance = conformance("resnetctl-resnetd")


@pytest.mark.parametrize("block", [ResNetDBasicBlock, ResNetDBottleneckBlock])
def test_any_width_works_and_equal_shapes_have_an_identity_shortcut(block: type[nn.Module]) -> None:
    assert block(6, 10, stride=2)(torch.randn(2, 6, 7, 9)).shape == (2, 10 * block.expansion, 4, 5)
    assert isinstance(block(16 * block.expansion, 16).downsample, nn.Identity)
