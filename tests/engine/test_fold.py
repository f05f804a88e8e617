"""Folding keeps the function of every installed block, and does not change a block that it cannot fold safely."""

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from support.trained import network
from torch import Tensor, nn
from torch.nn import functional

from resnetctl import registry
from resnetctl.engine.fold import folded
from resnetctl.models.blocks import BasicBlock
from resnetctl.models.resnet import ResNet, build
from resnetctl.spec import Arch, ImageSpec

IMAGE = ImageSpec(size=16, channels=3, mean=(0.5,) * 3, std=(0.25,) * 3)
TOLERANCE = 1e-5  # of the largest logit


def settled(block: Any, style: Mapping[str, Any] | None = None, **arguments: Any) -> ResNet:
    """Return a small net of the block, in which every norm has statistics that change its input."""
    with registry.overlay("block", probe=block):
        arch = Arch(name="probe", block="probe", depths=(2, 2), widths=(16, 32), stem="cifar", block_args=arguments)
        arch = replace(arch, **(style or {}))
        torch.manual_seed(0)
        model = build(arch, classes=7, image=IMAGE).eval()
    generator = torch.Generator().manual_seed(1)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d) and module.running_mean is not None:
            module.running_mean.uniform_(-0.2, 0.2, generator=generator)
            module.running_var.uniform_(0.5, 2.0, generator=generator)
            nn.init.uniform_(module.weight, 0.5, 2.0, generator=generator)
            nn.init.uniform_(module.bias, -0.3, 0.3, generator=generator)
    return model


def norms(model: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in model.modules())


@torch.inference_mode()
def assert_same(model: nn.Module, fast: nn.Module) -> None:
    for count in (1, 5):
        images = torch.randn(count, 3, 16, 16, generator=torch.Generator().manual_seed(count))
        wanted = model(images)
        assert torch.allclose(fast(images), wanted, rtol=0, atol=TOLERANCE * max(1.0, float(wanted.abs().max())))


class KeepsAMask(BasicBlock):
    """A block that creates a tensor in its first forward and keeps it."""

    def forward(self, images: Tensor) -> Tensor:
        if not hasattr(self, "mask"):
            self.mask = torch.ones_like(images[:1, :1, :1, :1])
        return super().forward(images * self.mask)


class StaysInTraining(BasicBlock):
    """A block whose first norm stays in training mode."""

    def train(self, mode: bool = True) -> "StaysInTraining":
        super().train(mode)
        self.bn1.train()
        return self


@pytest.mark.parametrize("block", [KeepsAMask, StaysInTraining])
def test_folding_keeps_the_function_of_a_block_with_state(block: type[BasicBlock]) -> None:
    model = settled(block)
    assert_same(model, folded(model))


@pytest.mark.parametrize("name", registry.names("block"))
def test_folding_keeps_the_function_of_every_installed_block(name: str) -> None:
    model = settled(registry.get("block", name))
    before = {key: value.clone() for key, value in model.state_dict().items()}
    fast = folded(model)
    assert_same(model, fast)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    if not model.preactivation:
        assert norms(fast) < norms(model), "at least the stem is folded"


@pytest.mark.parametrize("name", registry.names("block"))
def test_every_installed_block_declares_the_pairs_that_its_forward_calls(name: str) -> None:
    """torch.fx finds them by tracing; in a test, no other thread is disturbed."""
    unit = settled(registry.get("block", name)).get_submodule("layer2.0")
    graph = torch.fx.Tracer().trace(unit)
    modules = dict(unit.named_modules())
    traced = {
        str(node.args[0].target): str(node.target)
        for node in graph.nodes
        if isinstance(modules.get(str(node.target)), nn.BatchNorm2d)
        and isinstance(modules.get(str(getattr(node.args[0], "target", ""))), nn.Conv2d)
    }
    assert {conv: norm for conv, norm in unit.foldable.items() if conv in modules} == traced


@pytest.mark.parametrize(("name", "left"), [("basic", 0), ("bottleneck", 0), ("preact_basic", 5)])
@pytest.mark.parametrize("shortcut", ["A", "B"])
def test_folding_removes_every_norm_after_a_convolution(name: str, left: int, shortcut: str) -> None:
    """Pre-activation nets keep the first norm of each block and the final norm; the others are folded."""
    assert norms(folded(settled(registry.get("block", name), shortcut=shortcut))) == left


def test_other_activations_fold_and_group_norms_stay() -> None:
    model = settled(BasicBlock, {"activation": "silu"})
    fast = folded(model)
    assert norms(fast) == 0
    assert_same(model, fast)
    grouped = settled(BasicBlock, {"activation": "silu", "norm": "group"})
    assert_same(grouped, folded(grouped))
    assert len(folded(grouped).state_dict()) == len(grouped.state_dict())


def test_a_folded_net_has_fewer_parameters() -> None:
    model = settled(BasicBlock)
    assert len(list(folded(model).named_parameters())) < len(list(model.named_parameters()))


class Twice(BasicBlock):
    """A block that calls one convolution twice."""

    def forward(self, images: Tensor) -> Tensor:
        branch = self.relu(self.bn1(self.conv1(images)))
        return self.relu(self.bn2(self.conv2(self.conv2(branch))) + self.downsample(images))


class Peeking(BasicBlock):
    """A block that reads a convolution's output without its norm."""

    def forward(self, images: Tensor) -> Tensor:
        first = self.conv1(images)
        second = self.conv2(self.relu(self.bn1(first) + first.mean()))
        return self.relu(self.bn2(second) + second + self.downsample(images))


class Reading(BasicBlock):
    """A block whose forward reads the weights that a fold would change."""

    def forward(self, images: Tensor) -> Tensor:
        branch = self.relu(self.bn1(self.conv1(images)) * self.conv1.weight.abs().mean())
        return self.relu(self.bn2(self.conv2(branch)) * self.bn2.weight.mean() + self.downsample(images))


class Branching(BasicBlock):
    """A block that branches on the values of its input."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images if images.sum() > 0 else -images)


class Asking(BasicBlock):
    """A block that branches on the class of a module that a fold removes."""

    def forward(self, images: Tensor) -> Tensor:
        branch = super().forward(images)
        return branch if isinstance(self.bn2, nn.BatchNorm2d) else branch * 2


class Making(BasicBlock):
    """A block that creates a tensor."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images) + torch.full((1,), float(np.pi))


class Wrapped(BasicBlock):
    """A block with its own class of convolution, and with a hook on a norm."""

    def __init__(self, *sizes: Any, **arguments: Any) -> None:
        super().__init__(*sizes, **arguments)

        class Doubling(nn.Conv2d):
            def forward(self, images: Tensor) -> Tensor:
                return 2 * super().forward(images)

        self.conv1.__class__ = Doubling
        self.bn2.register_forward_hook(lambda module, inputs, output: output + 1)


class Stateless(BasicBlock):
    """A block with a norm without running statistics, and with a functional norm."""

    def __init__(self, in_channels: int, width: int, **arguments: Any) -> None:
        super().__init__(in_channels, width, **arguments)
        self.bn1 = nn.BatchNorm2d(width, track_running_stats=False)

    def forward(self, images: Tensor) -> Tensor:
        branch = self.relu(self.bn1(self.conv1(images)))
        norm = self.bn2
        branch = functional.batch_norm(self.conv2(branch), norm.running_mean, norm.running_var, eps=0.1)
        return self.relu(branch + self.downsample(images))


UNUSUAL = (Twice, Peeking, Reading, Branching, Asking, Making, Wrapped, Stateless)


@pytest.mark.parametrize("block", UNUSUAL, ids=lambda block: block.__name__)
def test_folding_keeps_the_function_of_unusual_blocks(block: Callable[..., nn.Module]) -> None:
    model = settled(block)
    fast = folded(model)
    assert_same(model, fast)
    assert isinstance(fast.get_submodule("bn1"), nn.Identity), "the stem is still folded"


@pytest.mark.parametrize("block", [Branching, Asking], ids=lambda block: block.__name__)
def test_a_subclass_with_its_own_forward_is_not_replaced_unless_it_declares_pairs(block: type[BasicBlock]) -> None:
    model = settled(block)
    fast = folded(model)
    assert norms(fast) == norms(model) - 1
    assert fast.get_submodule("layer1.0") is model.get_submodule("layer1.0")
    declared = type(block.__name__, (block,), {"foldable": {"conv1": "bn1"}})
    assert norms(folded(settled(declared))) == norms(fast) - 4


def test_a_forward_of_the_instance_is_kept() -> None:
    model = settled(BasicBlock)
    unit = model.get_submodule("layer1.0")
    unit.forward = lambda images: unit.bn1(images) * unit.conv1.weight.mean()
    assert_same(model, folded(model))


def test_a_shared_convolution_and_names_that_a_block_lacks_are_not_folded() -> None:
    class Shared(BasicBlock):
        foldable: ClassVar[dict[str, str]] = {"conv1": "bn1", "conv2": "bn2", "conv9": "bn9"}

        def __init__(self, in_channels: int, width: int, **arguments: Any) -> None:
            super().__init__(in_channels, width, **arguments)
            self.again = self.conv2

    model = settled(Shared)
    fast = folded(model)
    assert isinstance(fast.get_submodule("layer1.0.bn2"), nn.BatchNorm2d)
    assert isinstance(fast.get_submodule("layer1.0.bn1"), nn.Identity)
    assert_same(model, fast)


def test_threads_fold_while_another_thread_calls_its_own_module() -> None:
    """Nothing is patched for the whole process: neither `nn.Module.__call__` nor attribute access."""
    models = [settled(BasicBlock) for _ in range(4)]
    images = torch.randn(1, 3, 16, 16)
    innocent, ended = nn.Sequential(nn.Linear(4, 4), nn.ReLU()).eval(), threading.Event()
    seen: list[object] = []

    def call() -> int:
        count = 0
        while not ended.is_set():
            count += 1
            if not isinstance(innocent(torch.ones(1, 4)), Tensor):
                seen.append(count)
        return count

    def work(model: ResNet) -> bool:
        with torch.inference_mode():
            return torch.allclose(folded(model)(images), model(images), atol=1e-4)

    usual = nn.Module.__call__, nn.Module.__getattr__
    with ThreadPoolExecutor(5) as pool:
        calls = pool.submit(call)
        results = list(pool.map(work, models * 4))
        ended.set()
    assert results == [True] * 16
    assert calls.result() > 0
    assert seen == []
    assert (nn.Module.__call__, nn.Module.__getattr__) == usual


@pytest.mark.parametrize("count", [1, 2, 16])
def test_convolutions_with_groups_and_bias_are_folded(count: int) -> None:
    class Grouped(BasicBlock):
        def __init__(self, in_channels: int, width: int, **arguments: Any) -> None:
            super().__init__(in_channels, width, **arguments)
            self.conv2 = nn.Conv2d(width, width, 3, padding=1, groups=count, bias=True)

    assert norms(folded(settled(Grouped))) == 0
    assert_same(settled(Grouped), folded(settled(Grouped)))


def test_the_folded_net_predicts_the_same_classes() -> None:
    model = network()
    images = torch.rand(256, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.equal(folded(model)(images).argmax(1), model(images).argmax(1))
