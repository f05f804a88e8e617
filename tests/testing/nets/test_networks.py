"""Blocks that work by themselves but fail in training, in torch.compile or in ONNX."""

from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from resnetctl.models.blocks import BasicBlock, PreactBottleneckBlock
from resnetctl.testing.findings import judge
from resnetctl.testing.nets import networks


class Explodes(BasicBlock):
    """A block whose first step makes weights so large that the second overflows."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images) * 1e30


class FixedBatch(BasicBlock):
    """A block that makes the batch size of the example a constant of the graph."""

    def forward(self, images: Tensor) -> Tensor:
        count = int(torch.tensor(images.shape[0]).numpy())
        output = super().forward(images)
        return output.reshape(count, *output.shape[1:]) * (1.0 if count == 2 else 1.5)


class NoOperator(BasicBlock):
    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images) + torch.linalg.matrix_exp(images.mean((0, 1))[:4, :4]).sum()


class PeeksAtCompiler(BasicBlock):
    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images) * (2.0 if torch.compiler.is_compiling() else 1.0)


class BreaksGraph(BasicBlock):
    def forward(self, images: Tensor) -> Tensor:
        output = super().forward(images)
        torch._dynamo.graph_break()
        return output


class FoldsWrongly(BasicBlock):
    """A block that names a pair of which another layer reads the convolution, too."""

    foldable: ClassVar[dict[str, str]] = {"conv1": "bn1"}

    def forward(self, images: Tensor) -> Tensor:
        first = self.conv1(images)
        return self.relu(self.bn2(self.conv2(self.bn1(first) + first)) + self.downsample(images))


class ExtraNorm(BasicBlock):
    """A block with a norm that it does not name."""

    def __init__(self, in_channels: int, width: int, *, stride: int = 1) -> None:
        super().__init__(in_channels, width, stride=stride)
        self.extra = nn.BatchNorm2d(width)


class NamesNothing(BasicBlock):
    activations = ("act",)


class CountsFromZero(BasicBlock):
    """A block that takes its stage for a place in a list."""

    def __init__(self, in_channels: int, width: int, *, stride: int = 1, stage: int = 0) -> None:
        super().__init__(in_channels, (16, 32, 64, 64)[stage], stride=stride)


@pytest.mark.parametrize("rule", networks.RULES)
@pytest.mark.parametrize("block", [BasicBlock, PreactBottleneckBlock])
def test_sound_blocks_break_no_rule(block: Any, rule: str) -> None:
    finding = judge("b", rule, rule=networks.RULES[rule], target=block)
    assert finding.ok, str(finding)


@pytest.mark.parametrize(
    ("block", "rule"),
    [
        (Explodes, "trains"),
        (PeeksAtCompiler, "compile"),
        (BreaksGraph, "compile"),
        (FoldsWrongly, "folding"),
        (ExtraNorm, "choices"),
        (NamesNothing, "choices"),
        (CountsFromZero, "places"),
        (FixedBatch, "onnx"),
        (NoOperator, "onnx"),
    ],
)
def test_a_broken_block_breaks_its_rule(block: Any, rule: str) -> None:
    finding = judge("b", rule, rule=networks.RULES[rule], target=block)
    assert not finding.ok, str(finding)
    assert finding.fix


def test_the_net_keeps_and_halves_an_odd_side() -> None:
    net = networks.network(BasicBlock)
    sides: list[int] = []
    for stage in (net.layer1, net.layer2):
        stage.register_forward_hook(lambda module, inputs, output: sides.append(output.shape[2]))
    assert net(torch.zeros(1, 3, networks.IMAGE.size, networks.IMAGE.size)).shape == (1, len(networks.CLASSES))
    assert sides == [13, 7]
