"""A sound block breaks no rule; each broken block breaks the rule of its case."""

import random
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision.ops import StochasticDepth

from resnetctl.models.blocks import BasicBlock
from resnetctl.models.layers import DropPath
from resnetctl.testing import blocks
from resnetctl.testing.findings import judge, judge_all


def failing(block: Any, *, rules: tuple[str, ...] | None = None) -> set[str]:
    table = {name: rule for name, rule in blocks.RULES.items() if rules is None or name in rules}
    return {finding.rule for finding in judge_all("b", table, target=block) if not finding.ok}


class NoDefault(BasicBlock):
    def __init__(self, in_channels: int, width: int, groups: int, *, stride: int = 1) -> None:
        super().__init__(in_channels, width, stride=stride)


class Floors(BasicBlock):
    """A block that halves odd sizes with floor instead of ceil."""

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
    """A block whose shortcut has another name, while `downsample` is an identity."""

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


class Shrinks(BasicBlock):
    def forward(self, images: Tensor) -> Tensor:
        images *= 0.9
        return super().forward(images)


class AddsToShortcut(BasicBlock):
    """A block that adds to its shortcut, which is the input itself where the shape stays."""

    def forward(self, images: Tensor) -> Tensor:
        short: Tensor = images if self.downsample is None else self.downsample(images)
        short += self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(images)))))
        return torch.relu(short)


class Around(BasicBlock):
    def forward(self, images: Tensor) -> Tensor:
        images.data.clamp_(max=0.5)
        return super().forward(images)


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
    """A block that loses its small values in bfloat16, so the result differs."""

    def forward(self, images: Tensor) -> Tensor:
        output = super().forward(images)
        rounded = (output + 256).to(self.conv1(images).dtype).float() - 256
        return rounded / (rounded + 1e-3)


class Widens(BasicBlock):
    """A block whose float32 tensor makes a bfloat16 result float32."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images) * torch.ones(1)


class Grows(BasicBlock):
    def forward(self, images: Tensor) -> Tensor:
        if not hasattr(self, "late"):
            self.late = nn.Parameter(torch.ones(1))
        return super().forward(images)


class Hidden(BasicBlock):
    """A block with a tensor in a list, which is not in its state dict."""

    def __init__(self, in_channels: int, width: int, *, stride: int = 1) -> None:
        super().__init__(in_channels, width, stride=stride)
        self.tables = [torch.rand(1, width, 1, 1)]

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images) * self.tables[0]


class FirstScale(BasicBlock):
    """A block whose first batch sets a scale outside the state dict."""

    scale: Tensor | None = None

    def forward(self, images: Tensor) -> Tensor:
        output = super().forward(images)
        if self.scale is None:
            self.scale = output.detach().mean()
        return output * self.scale


class CallCounter(BasicBlock):
    """A block whose output depends on the number of training calls, which a resumed run forgets."""

    calls = 0

    def forward(self, images: Tensor) -> Tensor:
        self.calls += self.training
        return super().forward(images) * (1 + self.training / (1 + self.calls))


class PythonDice(BasicBlock):
    """A block that draws from a generator that the engine does not seed."""

    def forward(self, images: Tensor) -> Tensor:
        output = super().forward(images)
        return output * 0.5 if self.training and random.random() < 0.5 else output


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
        (Widens, "bf16", "gives torch.float32 at stride 1, not torch.bfloat16"),
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
def test_a_broken_block_breaks_its_rule(block: Any, rule: str, seen: str) -> None:
    finding = judge("b", rule, rule=blocks.RULES[rule], target=block)
    assert not finding.ok
    assert seen in finding.seen
    assert finding.fix


@pytest.mark.parametrize(("block", "line"), [(Shrinks, 1), (AddsToShortcut, 2), (InPlace, 1), (Around, 1)])
def test_a_changed_input_is_one_finding_with_the_line_of_the_block(block: Any, line: int) -> None:
    (finding,) = (one for one in judge_all("b", blocks.RULES, target=block) if not one.ok)
    assert (finding.rule, finding.seen) == ("input", "the input was changed in place at stride 1")
    assert finding.place == f"test_blocks.py:{block.forward.__code__.co_firstlineno + line}"


def test_an_object_that_is_not_a_class_breaks_only_one_rule() -> None:
    assert failing(7) == {"signature"}
    assert all(judge("b", name, rule=rule, target=7).status == "failed" for name, rule in blocks.RULES.items())


class Infinite(BasicBlock):
    def forward(self, features: Tensor) -> Tensor:
        return super().forward(features) / 0


def test_output_that_is_not_finite_breaks_only_one_rule() -> None:
    (finding,) = (one for one in judge_all("b", blocks.RULES, target=Infinite) if not one.ok)
    assert (finding.rule, finding.seen) == ("shapes", "block(16, 16, stride=1) on 8x8 gives NaN or infinity")


@pytest.mark.parametrize(("value", "seen"), [("4", "not an int"), (0, "expansion is 0")])
def test_expansion_is_a_positive_int(value: Any, seen: str) -> None:
    block = type("Odd", (BasicBlock,), {"expansion": value})
    assert seen in judge("b", "signature", rule=blocks.RULES["signature"], target=block).seen


def test_bound_sets_other_defaults() -> None:
    quiet = blocks.bound(DropsAlways, {"dropout": 0.25})
    assert issubclass(quiet, DropsAlways)
    assert (quiet(8, 8).rate, quiet(8, 8, dropout=0.5).rate) == (0.25, 0.5)
    assert failing(quiet, rules=("signature",)) == set()
    assert blocks.bound(BasicBlock, {}) is BasicBlock


def test_cases_have_equal_shapes_a_new_width_and_a_halving() -> None:
    cases = set(blocks.cases(BasicBlock))
    assert {(16, 16, 1), (32, 32, 1), (16, 32, 2), (64, 64, 2)} <= cases


def test_jitter_changes_parameters_and_statistics_but_no_constants() -> None:
    block = BasicBlock(8, 8)
    nn.init.zeros_(block.bn2.weight)
    block.register_buffer("constant", torch.ones(1), persistent=False)
    blocks.jitter(block)
    assert block.constant == 1, "a buffer outside the state dict is a constant"
    assert block.bn2.weight.abs().min() > 0
    assert (block.bn2.running_var > 0).all()


def checked_depth(rate: float) -> nn.Module:
    if not 0 <= rate < 1:
        raise ValueError(f"drop_path {rate}")
    return StochasticDepth(rate, "row")


@pytest.mark.parametrize(("layer", "holds"), [(StochasticDepth, False), (checked_depth, True), (DropPath, True)])
def test_the_advice_on_rates_passes_the_rule(layer: Any, holds: bool) -> None:
    class Dropping(BasicBlock):
        def __init__(self, in_channels: int, width: int, *, stride: int = 1, drop_path: float = 0.0) -> None:
            super().__init__(in_channels, width, stride=stride)
            self.drop_path = layer(drop_path, "row") if layer is StochasticDepth else layer(drop_path)

    finding = judge("x", "rates", rule=blocks.RULES["rates"], target=Dropping)
    assert finding.ok is holds
    assert holds or "StochasticDepth accepts any rate" in finding.fix
