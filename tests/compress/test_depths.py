"""Blocks are left out by importance; what is left is an ordinary network with the same weights."""

import dataclasses

import numpy as np
import pytest
import torch
from support.trained import ARCH, IMAGE

from resnetctl import registry
from resnetctl.compress import depths
from resnetctl.compress.depths import (
    importance,
    kept_blocks,
    reestimate_norms,
    removable,
    require_depths,
    shallower,
    without_blocks,
)
from resnetctl.data.preprocess import normalise
from resnetctl.errors import UsageError
from resnetctl.hints import Setting
from resnetctl.models.blocks import BasicBlock
from resnetctl.models.resnet import ResNet, build
from resnetctl.spec import Arch

DEEP = dataclasses.replace(ARCH, depths=(3, 2))
ARCHS = [
    DEEP,
    dataclasses.replace(DEEP, block="bottleneck", block_args={}),
    dataclasses.replace(DEEP, block="preact_basic", block_args={}),
    dataclasses.replace(DEEP, block="preact_bottleneck", block_args={}),
]


def net(arch: Arch = DEEP) -> ResNet:
    torch.manual_seed(1)
    return build(arch, classes=3, image=IMAGE).eval()


def pictures(count: int = 70) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 8, 8, 1)).astype(np.uint8)


def pixels() -> torch.Tensor:
    return normalise(torch.from_numpy(pictures()).permute(0, 3, 1, 2), IMAGE)


def silenced(model: ResNet, name: str) -> ResNet:
    """Make a block pass its input on: the last weight of its branch is zero, and fresh norms have no bias."""
    block = model.get_submodule(name)
    torch.nn.init.zeros_(block.get_parameter(f"{block.branch_end}.weight"))
    return model


@pytest.mark.parametrize("arch", ARCHS, ids=lambda arch: arch.block)
def test_a_block_that_does_nothing_matters_nothing_and_leaves_no_trace(arch: Arch) -> None:
    model = silenced(net(arch), "layer1.1")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    scores = importance(model, pictures(), spec=IMAGE)
    assert list(scores) == list(removable(model)) == ["layer1.1", "layer1.2", "layer2.1"]
    assert scores["layer1.1"] == pytest.approx(0, abs=1e-6)
    assert scores["layer1.2"] > 1e-6
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    smaller = without_blocks(model, [[0, 2], [0, 1]], image=IMAGE)
    with torch.no_grad():
        torch.testing.assert_close(smaller(pixels()), model(pixels()), rtol=1e-5, atol=1e-6)


def test_the_blocks_that_matter_most_stay_with_the_first_of_each_stage() -> None:
    scores = {"layer1.1": 0.1, "layer1.2": 0.3, "layer1.3": 0.2, "layer2.1": 0.5}
    assert kept_blocks((4, 2), scores, keep=(3, 1)) == [[0, 2, 3], [0]]
    assert kept_blocks((4, 2), scores, keep=(1, 2)) == [[0], [0, 1]]


def test_the_smaller_network_has_the_weights_of_the_kept_blocks_and_a_name_of_its_own() -> None:
    model = net()
    smaller = without_blocks(model, [[0, 2], [0]], image=IMAGE)
    assert (smaller.arch.depths, smaller.arch.name, smaller.arch.params) == ((2, 1), "tiny-blocks-2-1", None)
    old, new = model.state_dict(), smaller.state_dict()
    assert torch.equal(new["layer1.1.conv1.weight"], old["layer1.2.conv1.weight"])
    assert torch.equal(new["fc.weight"], old["fc.weight"])
    assert not any(name.startswith("layer2.1") for name in new)


class SecondHasMore(BasicBlock):
    """A block that has one parameter more at the second place of a network."""

    def __init__(self, in_channels: int, width: int, *, stride: int = 1, index: int = 1) -> None:
        super().__init__(in_channels, width, stride=stride)
        if index == 2:
            self.extra = torch.nn.Parameter(torch.ones(1))


def test_a_block_with_other_weights_at_other_places_is_refused() -> None:
    with registry.overlay("block", second=SecondHasMore):
        model = net(dataclasses.replace(DEEP, block="second", block_args={}))
        with pytest.raises(UsageError, match="block 'second' has weights that depend on its place") as caught:
            without_blocks(model, [[0, 2], [0, 1]], image=IMAGE)
    assert "layer1.1.extra" in " ".join(caught.value.problems)


def test_a_second_cut_does_not_pile_up_names() -> None:
    assert shallower(shallower(DEEP, (2, 2)), (1, 1)).name == "tiny-blocks-1-1"


def test_making_a_smaller_network_draws_no_random_number() -> None:
    model = net()
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    without_blocks(model, [[0], [0]], image=IMAGE)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("keep", [(3, 2, 1), (4, 2), (0, 2), (3, 2)])
def test_depths_that_the_network_cannot_have_are_refused(keep: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match="3,2"):
        require_depths(DEEP, keep)


def test_norms_are_measured_again_without_touching_weights_or_momentum() -> None:
    model = net()
    weights = {name: value.clone() for name, value in model.named_parameters()}
    images = pictures(64)
    reestimate_norms(model, images, spec=IMAGE)
    inputs = model.conv1(normalise(torch.from_numpy(images).permute(0, 3, 1, 2), IMAGE))
    torch.testing.assert_close(model.bn1.running_mean, inputs.mean((0, 2, 3)), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(model.bn1.running_var, inputs.var((0, 2, 3)), rtol=1e-3, atol=1e-5)
    assert all(torch.equal(value, weights[name]) for name, value in model.named_parameters())
    assert model.bn1.momentum == 0.1
    assert not model.training


@pytest.mark.parametrize("keep", [(3, 2), (2, 1, 1), (), (-1, 2), (3, 0)])
def test_a_refusal_names_the_setting_and_what_the_network_has(keep: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match="3,2") as caught:
        require_depths(DEEP, keep)
    assert caught.value.where == Setting("keep_blocks")
    require_depths(DEEP, (1, 2))
    require_depths(DEEP, (3, 1))


def test_importance_does_not_depend_on_the_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = importance(net(), pictures(10), spec=IMAGE)
    monkeypatch.setattr(depths, "BATCH", 3)
    assert importance(net(), pictures(10), spec=IMAGE) == pytest.approx(whole, rel=1e-4, abs=1e-9)
    assert all(value >= 0 for value in whole.values())


@pytest.mark.parametrize(("seconds", "count"), [(float("inf"), 200), (1e9, 200), (0.0, 64)])
def test_little_time_means_fewer_images_but_a_batch_from_all_of_them(seconds: float, count: int) -> None:
    images = pictures(200)
    some = depths.affordable(net(), images, spec=IMAGE, seconds=seconds)
    assert len({image.tobytes() for image in some}) == len(some) == count
    assert np.array_equal(some[-1], images[196 if count == 64 else 199])


def test_a_block_that_fails_is_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    model = net()
    block = model.get_submodule("layer1.1")

    def broken(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(depths.F, "kl_div", broken)
    with pytest.raises(MemoryError):
        importance(model, pictures(4), spec=IMAGE)
    assert model.get_submodule("layer1.1") is block


def test_equal_scores_keep_the_earlier_blocks() -> None:
    scores = {"layer1.1": 0.0, "layer1.2": 0.0, "layer1.3": 0.0}
    assert kept_blocks((4,), scores, keep=(2,)) == [[0, 1]]
    assert kept_blocks((4,), scores, keep=(4,)) == [[0, 1, 2, 3]]


def test_all_blocks_are_the_same_network() -> None:
    model = net()
    same = without_blocks(model, [[0, 1, 2], [0, 1]], image=IMAGE)
    assert same.state_dict().keys() == model.state_dict().keys()
    with torch.no_grad():
        assert torch.equal(same(pixels()), model(pixels()))
