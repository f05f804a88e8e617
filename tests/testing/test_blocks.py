"""Each deliberately broken block is caught by the rule that is named for it, and a sound one by none."""

import random
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from resnetctl.models.blocks import BasicBlock
from resnetctl.testing import blocks
from resnetctl.testing.findings import judge, judge_all


def failing(block: Any, *, rules: tuple[str, ...] | None = None) -> set[str]:
    table = {name: rule for name, rule in blocks.RULES.items() if rules is None or name in rules}
    return {found.rule for found in judge_all("b", table, thing=block) if not found.ok}


class NoDefault(BasicBlock):
    def __init__(self, in_channels: int, width: int, groups: int, *, stride: int = 1) -> None:
        super().__init__(in_channels, width, stride=stride)


class Floors(BasicBlock):
    """Halves by cutting: wrong for odd sizes."""

    def __init__(self, in_channels: int, width: int, *, stride: int = 1) -> None:
        super().__init__(in_channels, width)
        self.pool = nn.AvgPool2d(stride)

    def forward(self, images: Tensor) -> Tensor:
        return self.pool(super().forward(images))


class Renamed(nn.Module):
    expansion = 1

    def __init__(self, in_channels: int, width: int, *, stride: int = 1) -> None:
        super().__init__()
        self.body, self.skip = nn.Conv2d(in_channels, width, 3, stride, 1), nn.Conv2d(in_channels, width, 1, stride)

    def forward(self, images: Tensor) -> Tensor:
        return torch.relu(self.body(images) + self.skip(images))


class NoShortcut(BasicBlock):
    """Its shortcut is called something else, and the name is filled with nothing."""

    def __init__(self, in_channels: int, width: int, *, stride: int = 1) -> None:
        super().__init__(in_channels, width, stride=stride)
        self.skip, self.downsample = self.downsample, nn.Identity()


class Idle(BasicBlock):
    def __init__(self, in_channels: int, width: int, *, stride: int = 1) -> None:
        super().__init__(in_channels, width, stride=stride)
        self.scale = nn.Parameter(torch.ones(1))


class Detached(BasicBlock):
    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images.detach())


class InPlace(BasicBlock):
    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images.mul_(0.5))


class Noisy(BasicBlock):
    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images) + 0.1 * torch.rand(1)


class Counts(BasicBlock):
    def __init__(self, in_channels: int, width: int, *, stride: int = 1) -> None:
        super().__init__(in_channels, width, stride=stride)
        self.register_buffer("seen", torch.zeros(1))

    def forward(self, images: Tensor) -> Tensor:
        self.seen += 1
        return super().forward(images)


class BatchMean(BasicBlock):
    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images - images.mean(0, keepdim=True))


class Copies(BasicBlock):
    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images).contiguous()


class Overflows(BasicBlock):
    """1e-30 is lost beside a bfloat16 one: 0 / 0."""

    def forward(self, images: Tensor) -> Tensor:
        found = super().forward(images)
        rounded = (found + 256).to(self.conv1(images).dtype).float() - 256
        return rounded / (rounded + 1e-3)


class Widens(BasicBlock):
    """A float32 tensor makes all that it meets float32."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images) * torch.ones(1)


class Grows(BasicBlock):
    def forward(self, images: Tensor) -> Tensor:
        if not hasattr(self, "late"):
            self.late = nn.Parameter(torch.ones(1))
        return super().forward(images)


class Hidden(BasicBlock):
    """A tensor that matters and is not registered."""

    def __init__(self, in_channels: int, width: int, *, stride: int = 1) -> None:
        super().__init__(in_channels, width, stride=stride)
        self.table = torch.rand(1, width, 1, 1)

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images) * self.table


class FirstScale(BasicBlock):
    """The first batch that it meets sets its scale for good, outside the state dict."""

    scale: Tensor | None = None

    def forward(self, images: Tensor) -> Tensor:
        found = super().forward(images)
        if self.scale is None:
            self.scale = found.detach().mean()
        return found * self.scale


class CallCounter(BasicBlock):
    """In training each call counts, and a resumed run starts from nought."""

    calls = 0

    def forward(self, images: Tensor) -> Tensor:
        self.calls += self.training
        return super().forward(images) * (1 + self.training / (1 + self.calls))


class PythonDice(BasicBlock):
    """Drops its branch by a generator that the engine does not seed."""

    def forward(self, images: Tensor) -> Tensor:
        found = super().forward(images)
        return found * 0.5 if self.training and random.random() < 0.5 else found


class Uncopied(BasicBlock):
    def __deepcopy__(self, memo: dict[int, Any]) -> "Uncopied":
        return self


class Unset(BasicBlock):
    def __init__(self, in_channels: int, width: int, *, stride: int = 1) -> None:
        super().__init__(in_channels, width, stride=stride)
        self.scale = nn.Parameter(torch.full((1,), float("nan")))


class DropsAlways(BasicBlock):
    def __init__(self, in_channels: int, width: int, *, stride: int = 1, dropout: float = 0.0) -> None:
        super().__init__(in_channels, width, stride=stride)
        self.rate = dropout

    def forward(self, images: Tensor) -> Tensor:
        return nn.functional.dropout(super().forward(images), self.rate, training=True)


class IgnoresRate(BasicBlock):
    def __init__(self, in_channels: int, width: int, *, stride: int = 1, drop_path: float = 0.0) -> None:
        super().__init__(in_channels, width, stride=stride)


def test_a_sound_block_breaks_no_rule() -> None:
    assert failing(BasicBlock) == set()


@pytest.mark.parametrize(
    ("block", "rule", "seen"),
    [
        (NoDefault, "signature", "'groups' has no bool, int"),
        (Floors, "shapes", "on 7x7 gives (4, 16, 3, 3), not (4, 16, 4, 4)"),
        (Renamed, "downsample", "its children are body, skip"),
        (NoShortcut, "downsample", "it does nothing at stride 2"),
        (Idle, "gradients", "no gradient reaches scale"),
        (Detached, "input", "none at stride 1"),
        (InPlace, "input", "the input was changed in place"),
        (Noisy, "determinism", "two runs differ"),
        (Counts, "determinism", "evaluation changed seen"),
        (FirstScale, "determinism", "after other images it differs"),
        (BatchMean, "independence", "alone and in a batch differ"),
        (Copies, "channels_last", "the output has strides"),
        (Overflows, "bf16", "away from float32"),
        (Widens, "bf16", "gives NaN, infinity or torch.float32"),
        (Grows, "state_dict", "changed the keys or shapes of late"),
        (Hidden, "state_dict", "some state is not in the state dict"),
        (CallCounter, "state_dict", "a restored copy trains differently"),
        (PythonDice, "state_dict", "a restored copy trains differently"),
        (Uncopied, "deepcopy", "the copy shares"),
        (Unset, "initialisation", "NaN or infinity in scale"),
        (DropsAlways, "rates", "dropout acts in evaluation"),
        (IgnoresRate, "rates", "drop_path=0.5 changes nothing"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_broken_block_is_caught_by_the_named_rule(block: Any, rule: str, seen: str) -> None:
    found = judge("b", rule, rule=blocks.RULES[rule], thing=block)
    assert not found.ok
    assert seen in found.seen
    assert found.fix


def test_an_object_that_is_not_a_class_breaks_only_one_rule() -> None:
    assert failing(7) == {"signature"}
    assert all(judge("b", name, rule=rule, thing=7).status == "failed" for name, rule in blocks.RULES.items())


class Infinite(BasicBlock):
    def forward(self, features: Tensor) -> Tensor:
        return super().forward(features) / 0


def test_output_that_is_not_finite_breaks_only_one_rule() -> None:
    (found,) = (one for one in judge_all("b", blocks.RULES, thing=Infinite) if not one.ok)
    assert (found.rule, found.seen) == ("shapes", "block(16, 16, stride=1) on 8x8 gives NaN or infinity")


@pytest.mark.parametrize(("value", "seen"), [("4", "not an int"), (0, "expansion is 0")])
def test_expansion_is_a_positive_int(value: Any, seen: str) -> None:
    block = type("Odd", (BasicBlock,), {"expansion": value})
    assert seen in judge("b", "signature", rule=blocks.RULES["signature"], thing=block).seen


def test_other_defaults_are_bound() -> None:
    quiet = blocks.bound(DropsAlways, {"dropout": 0.25})
    assert issubclass(quiet, DropsAlways)
    assert (quiet(8, 8).rate, quiet(8, 8, dropout=0.5).rate) == (0.25, 0.5)
    assert failing(quiet, rules=("signature",)) == set()
    assert blocks.bound(BasicBlock, {}) is BasicBlock


def test_cases_have_the_same_shape_a_new_width_and_a_halving() -> None:
    found = set(blocks.cases(BasicBlock))
    assert {(16, 16, 1), (32, 32, 1), (16, 32, 2), (64, 64, 2)} <= found


def test_jitter_moves_all_that_is_trained() -> None:
    made = BasicBlock(8, 8)
    nn.init.zeros_(made.bn2.weight)
    made.register_buffer("constant", torch.ones(1), persistent=False)
    blocks.jitter(made)
    assert made.constant == 1, "what is not kept cannot be restored, so it is no state"
    assert made.bn2.weight.abs().min() > 0
    assert (made.bn2.running_var > 0).all()
