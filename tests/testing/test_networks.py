"""Blocks that work alone and fail in a net, in the compiler, or in ONNX."""

from typing import Any

import pytest
import torch
from torch import Tensor

from resnetctl.models.blocks import BasicBlock, PreactBottleneckBlock
from resnetctl.testing import networks
from resnetctl.testing.findings import judge


class Explodes(BasicBlock):
    """Its first step makes weights so large that the second overflows."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images) * 1e30


class FixedBatch(BasicBlock):
    """The size of the example's batch stays in the graph."""

    def forward(self, images: Tensor) -> Tensor:
        count = int(torch.tensor(images.shape[0]).numpy())
        found = super().forward(images)
        return found.reshape(count, *found.shape[1:]) * (1.0 if count == 2 else 1.5)


class NoOperator(BasicBlock):
    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images) + torch.linalg.matrix_exp(images.mean((0, 1))[:4, :4]).sum()


class PeeksAtCompiler(BasicBlock):
    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images) * (2.0 if torch.compiler.is_compiling() else 1.0)


class BreaksGraph(BasicBlock):
    def forward(self, images: Tensor) -> Tensor:
        found = super().forward(images)
        torch._dynamo.graph_break()
        return found


@pytest.mark.parametrize("rule", networks.RULES)
@pytest.mark.parametrize("block", [BasicBlock, PreactBottleneckBlock])
def test_sound_blocks_break_no_rule(block: Any, rule: str) -> None:
    found = judge("b", rule, rule=networks.RULES[rule], thing=block)
    assert found.ok, str(found)


@pytest.mark.parametrize(
    ("block", "rule"),
    [
        (Explodes, "trains"),
        (PeeksAtCompiler, "compile"),
        (BreaksGraph, "compile"),
        (FixedBatch, "onnx"),
        (NoOperator, "onnx"),
    ],
)
def test_a_broken_block_is_caught_by_the_named_rule(block: Any, rule: str) -> None:
    found = judge("b", rule, rule=networks.RULES[rule], thing=block)
    assert not found.ok, str(found)
    assert found.fix


def test_the_net_keeps_and_halves_an_odd_side() -> None:
    net = networks.network(BasicBlock)
    sides: list[int] = []
    for stage in (net.layer1, net.layer2):
        stage.register_forward_hook(lambda module, given, found: sides.append(found.shape[2]))
    assert net(torch.zeros(1, 3, networks.IMAGE.size, networks.IMAGE.size)).shape == (1, len(networks.CLASSES))
    assert sides == [13, 7]
