"""A float tensor that is neither a parameter nor a buffer, and each way to miss bfloat16, are named with their fix."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from resnetctl.blocks import BasicBlock
from resnetctl.testing import blocks
from resnetctl.testing.findings import Broken, judge
from resnetctl.testing.nets.dtypes import require_bfloat16


class Plain(BasicBlock):
    """A block that scales by a plain tensor."""

    def __init__(self, in_channels: int, width: int, *, stride: int = 1) -> None:
        super().__init__(in_channels, width, stride=stride)
        self.alpha = torch.full((1,), 0.5)

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images) * self.alpha


class Registered(Plain):
    """The same with a buffer, which the fix asks for."""

    def __init__(self, in_channels: int, width: int, *, stride: int = 1) -> None:
        super().__init__(in_channels, width, stride=stride)
        del self.alpha
        self.register_buffer("alpha", torch.full((1,), 0.5))


class Listed(BasicBlock):
    """A block that keeps a layer in a list."""

    def __init__(self, in_channels: int, width: int, *, stride: int = 1) -> None:
        super().__init__(in_channels, width, stride=stride)
        self.branches = [nn.Conv2d(width, width, 1)]

    def forward(self, images: Tensor) -> Tensor:
        return self.branches[0](super().forward(images))


def test_modules_in_a_list_are_one_finding_that_names_them() -> None:
    finding = judge("b", "state_dict", rule=blocks.RULES["state_dict"], target=Listed)
    assert finding.seen == "branches: modules that the block does not know as its own"
    assert finding.fix == "use nn.ModuleList in place of it"
    assert judge("b", "bf16", rule=blocks.RULES["bf16"], target=Listed).status == "skipped"


@pytest.mark.parametrize("rule", ["bf16", "state_dict"])
def test_a_plain_tensor_breaks_the_rules_that_it_matters_to(rule: str) -> None:
    finding = judge("b", rule, rule=blocks.RULES[rule], target=Plain)
    assert not finding.ok
    assert "self.register_buffer('alpha', ...)" in finding.fix
    assert judge("b", rule, rule=blocks.RULES[rule], target=Registered).ok


def test_the_finding_of_a_plain_tensor_names_it() -> None:
    finding = judge("b", "state_dict", rule=blocks.RULES["state_dict"], target=Plain)
    assert finding.seen == "alpha: a plain tensor, neither a parameter nor a buffer"


@pytest.mark.parametrize(
    ("value", "dtype", "seen", "fix"),
    [
        (1.0, torch.float32, "gives torch.float32 here, not torch.bfloat16", ".to(images.dtype)"),
        (float("nan"), torch.bfloat16, "gives NaN here", ""),
        (float("inf"), torch.bfloat16, "gives infinity here", "large values overflow"),
    ],
)
def test_each_way_to_miss_bfloat16_has_its_own_words(value: float, dtype: Any, seen: str, fix: str) -> None:
    with pytest.raises(Broken) as caught:
        require_bfloat16(BasicBlock(4, 4), torch.tensor([value], dtype=dtype), case="here")
    assert str(caught.value) == f"a block of bfloat16 parameters {seen}"
    assert fix in caught.value.fix
    require_bfloat16(BasicBlock(4, 4), torch.ones(1, dtype=torch.bfloat16), case="here")
