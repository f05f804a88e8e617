"""A narrower network is rebuilt from its arch and a map of its channels, without pickle."""

import dataclasses
from pathlib import Path

import pytest
import torch
from support.trained import CLASSES, IMAGE

from resnetctl.compress.channels import left, narrower, prunable
from resnetctl.compress.depths import without_blocks
from resnetctl.compress.groups import Group
from resnetctl.engine.fold import folded
from resnetctl.errors import UsageError
from resnetctl.models.resnet import ResNet, build
from resnetctl.spec import Arch, WeightsCard
from resnetctl.weights.file import load_model, to_bytes

WIDE = Arch(name="wide", block="basic", depths=(2, 2), widths=(32, 64), stem="cifar", block_args={"shortcut": "A"})
BLOCKS = ["basic", "bottleneck", "preact_basic", "preact_bottleneck", "resnext_bottleneck", "inverted_bottleneck"]
PIXELS = torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def net(block: str = "basic") -> ResNet:
    torch.manual_seed(1)
    arch = dataclasses.replace(WIDE, block=block, block_args={})
    return build(arch, classes=3, image=IMAGE).eval()


def group(units: int) -> Group:
    return Group(source="a", between=(), reader="b", units=units)


@pytest.mark.parametrize(
    ("units", "width", "share", "wanted"),
    [
        (64, 64, 0.5, 32), (48, 48, 0.5, 32), (64, 64, 0.01, 16), (16, 16, 0.5, 16), (8, 8, 0.5, 8),
        (40, 40, 0.9, 32), (20, 20, 0.9, 16), (32, 128, 0.5, 16), (32, 128, 0.4, 12), (32, 32, 0.6, 16),
    ],
)  # fmt: skip
def test_widths_stay_multiples_of_16(units: int, width: int, share: float, wanted: int) -> None:
    kept = left(group(units), width, share=share)
    assert kept == wanted
    assert kept == units or (kept * width // units) % 16 == 0


@pytest.mark.parametrize("block", BLOCKS)
def test_a_narrower_network_reads_back_equal(block: str, tmp_path: Path) -> None:
    smaller, widths = narrower(net(block), 0.5, image=IMAGE)
    assert widths
    assert all(after < before for before, after in widths.values())
    card = WeightsCard(arch=smaller.arch, classes=CLASSES, image=IMAGE, channels=smaller.channels)
    (path := tmp_path / "small.safetensors").write_bytes(to_bytes(smaller.state_dict(), card))
    again, described = load_model(path)
    assert described.channels == smaller.channels
    assert torch.equal(again(PIXELS), smaller(PIXELS))
    assert again.channels == smaller.channels
    assert torch.allclose(folded(again)(PIXELS), smaller(PIXELS), atol=1e-5)


def test_the_channels_that_stay_are_those_with_the_largest_weights() -> None:
    dense = net()
    with torch.no_grad():
        conv1, conv2 = (dense.get_submodule(f"layer2.1.{name}") for name in ("conv1", "conv2"))
        conv1.weight[16:48] *= 1e-3  # type: ignore[index, operator]
        conv2.weight[:, 16:48] *= 1e-3  # type: ignore[index, operator]
    smaller, widths = narrower(dense, 0.5, image=IMAGE)
    assert widths["layer2.1.conv1"] == (64, 32)
    kept = torch.cat([torch.arange(16), torch.arange(48, 64)])
    assert torch.equal(
        smaller.get_submodule("layer2.1").conv1.weight, dense.get_submodule("layer2.1").conv1.weight[kept]
    )  # type: ignore[union-attr, index]


def test_the_name_of_the_arch_says_so_and_the_whole_network_stays() -> None:
    dense = net()
    before = {name: value.clone() for name, value in dense.state_dict().items()}
    smaller, _ = narrower(dense, 0.5, image=IMAGE)
    assert (smaller.arch.name, smaller.arch.params) == ("wide-channels", None)
    assert all(torch.equal(value, dense.state_dict()[name]) for name, value in before.items())
    with pytest.raises(UsageError, match="no channel of this network can go"):
        narrower(smaller, 0.9, image=IMAGE)
    again, widths = narrower(smaller, 0.5, image=IMAGE)
    assert (again.arch.name, set(widths.values())) == ("wide-channels", {(32, 16)})


def test_blocks_and_channels_can_both_be_removed_in_any_order() -> None:
    first, _ = narrower(net(), 0.5, image=IMAGE)
    one = without_blocks(first, [[0], [0, 1]], image=IMAGE)
    two, _ = narrower(without_blocks(net(), [[0], [0, 1]], image=IMAGE), 0.5, image=IMAGE)
    assert one.arch.name == "wide-blocks-1-2-channels"
    assert one.channels == two.channels
    assert torch.equal(one(PIXELS), two(PIXELS))


def test_groups_are_named_with_their_blocks() -> None:
    names = [name for name, _, _ in prunable(net())]
    assert names == ["layer1.0", "layer1.1", "layer2.0", "layer2.1"]
    assert {name for name, _, _ in prunable(net("bottleneck"))} == {*names}
