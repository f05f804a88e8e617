"""Every shipped block can lose inner channels exactly, and a block that names wrong ones is told."""

from typing import Any, ClassVar

import pytest
from torch import Tensor

from resnetctl import registry
from resnetctl.models.blocks import BasicBlock
from resnetctl.testing.findings import Broken
from resnetctl.testing.nets.pruning import NOTHING, pruning

SINGLE = {"speed"}  # the branch has one convolution, and so no inner channels


@pytest.mark.parametrize("name", sorted({*registry.names("block")} - SINGLE))
def test_inner_channels_of_every_installed_block_can_go(name: str) -> None:
    assert pruning(registry.get("block", name)).startswith("channels of conv1")


class Twice(BasicBlock):
    """Reads the inner channels twice."""

    def forward(self, images: Tensor) -> Tensor:
        inner = self.relu(self.bn1(self.conv1(images)))
        return self.relu(self.bn2(self.conv2(inner)) + self.downsample(images) + inner.mean())  # type: ignore[no-any-return]


class Wrong(Twice):
    """Names the channels all the same."""

    prunable: ClassVar[dict[str, tuple[str, ...]]] = {"conv1": ("bn1", "relu", "conv2")}


def test_a_block_whose_channels_are_read_twice_keeps_them() -> None:
    assert pruning(Twice) == NOTHING


def test_a_block_that_names_channels_that_are_read_elsewhere_fails() -> None:
    block: Any = Wrong
    with pytest.raises(Broken, match="channels of conv1, named in `prunable`, are read elsewhere"):
        pruning(block)
