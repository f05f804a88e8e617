"""A dilated network equals the strided one at its positions, or is refused by the name of its block and module."""

from collections.abc import Callable
from typing import Any, ClassVar

import pytest
import torch
import torch.nn.functional as F
from support.archs import net
from torch import Tensor, nn

from resnetctl import registry
from resnetctl.blocks import BasicBlock, BottleneckBlock
from resnetctl.errors import ConfigError, PluginError
from resnetctl.models import dilation
from resnetctl.models.backbone import Backbone
from resnetctl.models.resnet import ResNet, build
from resnetctl.models.trunk import walk
from resnetctl.spec import Arch, ImageSpec

EXACT = ["basic", "bottleneck", "preact_basic", "preact_bottleneck"]
OTHERS = ["resnext_bottleneck", "resnetd_basic", "resnetd_bottleneck", "separable_basic", "inverted_bottleneck"]
REFUSED = ["se_basic", "se_bottleneck", "eca_basic", "cbam_basic"]


def installed(names: list[str]) -> list[Any]:
    known = registry.names("block")
    return [
        pytest.param(name, marks=pytest.mark.skipif(name not in known, reason=f"no block {name} here"))
        for name in names
    ]


def worst(strided: Any, dilated: Any, rates: dict[str, int], side: int) -> float:
    """Return the largest relative difference of the stages, in float32."""
    images = torch.randn(2, 3, side, side)
    with torch.inference_mode():
        wanted, values = (dict(walk(trunk, images)) for trunk in (strided, dilated))
    pairs = [(wanted[name], values[name][..., ::rate, ::rate]) for name, rate in rates.items()]
    return max(float((value - target).abs().max() / target.abs().max()) for target, value in pairs)


@pytest.mark.parametrize("side", [128, 90])
@pytest.mark.parametrize(("stride", "rates"), [(16, {"layer4": 2}), (8, {"layer3": 2, "layer4": 4})])
@pytest.mark.parametrize("block", [*EXACT, *installed(OTHERS)])
def test_the_atrous_identity_holds(block: str, stride: int, rates: dict[str, int], side: int) -> None:
    model = net(block)
    dilated = dilation.dilated(model, stride)
    assert worst(model, dilated, rates, side) <= 1e-5
    assert list(dilated.state_dict()) == list(model.state_dict())
    assert set(dilation.stage_reductions(dilated).values()) == {4, 8, stride}


@pytest.mark.parametrize("shortcut", ["A", "B"])
def test_both_shortcuts_of_small_networks_are_exact(shortcut: str) -> None:
    arch = Arch(name="c", block="basic", depths=(1, 2, 2), widths=(4, 6, 8), block_args={"shortcut": shortcut})
    model = build(arch, classes=2, image=ImageSpec(size=32)).eval()
    assert dilation.stage_reductions(model) == {"layer1": 1, "layer2": 2, "layer3": 4}
    assert worst(model, dilation.dilated(model, 2), {"layer3": 2}, 32) <= 1e-5
    assert worst(model, dilation.dilated(model, 1), {"layer2": 2, "layer3": 4}, 32) <= 1e-5


@pytest.mark.parametrize("block", installed(REFUSED))
def test_gates_that_see_all_pixels_are_refused_by_name(block: str) -> None:
    with pytest.raises(PluginError, match=rf"block '{block}' .* output stride 16: layer4\.0\.\w+") as caught:
        dilation.dilated(net(block), 16)
    assert caught.value.exit_code == 4


class Functional(BasicBlock):
    """Its stride sits in the code: no module has it."""

    def __init__(self, in_channels: int, width: int, *, stride: int = 1) -> None:
        super().__init__(in_channels, width, stride=1)
        self.step = stride

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images)[..., :: self.step, :: self.step]


class Broken(BottleneckBlock):
    """It raises an error when somebody takes its stride."""

    def __init__(self, in_channels: int, width: int, *, stride: int = 1) -> None:
        super().__init__(in_channels, width, stride=stride)
        self.first = stride

    def forward(self, images: Tensor) -> Tensor:
        assert self.conv2.stride[0] == self.first, "the stride is mine"
        return super().forward(images)


class Dilating(BottleneckBlock):
    """A block with torchvision's argument, and a kernel that the probe must not touch."""

    seen: ClassVar[list[tuple[int, int]]] = []

    def __init__(self, in_channels: int, width: int, *, stride: int = 1, dilation: int = 1) -> None:
        super().__init__(in_channels, width, stride=stride)
        self.conv2 = nn.Conv2d(width, width, 3, stride=stride, padding=dilation, dilation=dilation, bias=False)
        self.seen.append((stride, dilation))


class WronglyDilating(Dilating):
    """Its argument does nothing, but its modules can be probed."""

    def __init__(self, in_channels: int, width: int, *, stride: int = 1, dilation: int = 1) -> None:
        super().__init__(in_channels, width, stride=stride)


@pytest.fixture
def own_block(monkeypatch: pytest.MonkeyPatch) -> Callable[[type[nn.Module]], ResNet]:
    def make(block: type[nn.Module]) -> ResNet:
        get = registry.get
        monkeypatch.setattr(registry, "get", lambda kind, name: block if name == "own" else get(kind, name))
        return net("own")

    return make


@pytest.mark.parametrize("block", [Functional, Broken])
def test_a_block_that_cannot_be_dilated_is_refused(own_block: Callable[..., ResNet], block: type[nn.Module]) -> None:
    model = own_block(block)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(PluginError, match=r"block 'own' .* layer4"):
        dilation.dilated(model, 16)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert dilation.stage_reductions(model)["layer4"] == 32


def test_a_block_with_the_argument_gets_it_and_keeps_its_parameters(own_block: Callable[..., ResNet]) -> None:
    model = own_block(Dilating)
    Dilating.seen.clear()
    dilated = dilation.dilated(model, 8)
    assert Dilating.seen == [(1, 1), (1, 2), (1, 2), (1, 4)]  # of layer3, then of layer4
    assert worst(model, dilated, {"layer3": 2, "layer4": 4}, 128) <= 1e-5
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in dilated.state_dict().items())


def test_a_block_whose_argument_is_wrong_is_probed(own_block: Callable[..., ResNet]) -> None:
    model = own_block(WronglyDilating)
    assert worst(model, dilation.dilated(model, 8), {"layer3": 2, "layer4": 4}, 128) <= 1e-5


def test_a_closed_branch_hides_no_mistake(own_block: Callable[..., ResNet]) -> None:
    model = own_block(Functional)
    for name, parameter in model.named_parameters():
        if name.endswith("bn2.weight"):
            parameter.data.zero_()
    with pytest.raises(PluginError):
        dilation.dilated(model, 16)


def test_stochastic_depth_survives_a_rebuild(own_block: Callable[..., ResNet]) -> None:
    class Dropping(Dilating):
        def __init__(self, in_channels: int, width: int, *, stride: int = 1, dilation: int = 1, drop_path: float = 0.0):
            super().__init__(in_channels, width, stride=stride, dilation=dilation)
            self.drop_path.rate = drop_path

    own_block(Dropping)
    arch = Arch(name="tiny", block="own", depths=(1, 1, 2, 2), widths=(4, 6, 8, 10), stem="imagenet")
    model = build(arch, classes=2, image=ImageSpec(size=64), drop_path=0.3)
    dilated = dilation.dilated(model, 16)
    assert [block.drop_path.rate for block in dilated.layer4] == pytest.approx([0.25, 0.3])


def test_a_block_that_has_no_projection_without_its_stride_is_probed(own_block: Callable[..., ResNet]) -> None:
    own_block(Dilating)
    arch = Arch(name="tiny", block="own", depths=(1, 2), widths=(4, 4), stem="imagenet")
    model = build(arch, classes=2, image=ImageSpec(size=64)).eval()
    assert worst(model, dilation.dilated(model, 4), {"layer2": 2}, 64) <= 1e-5


def test_an_output_stride_that_no_stage_has_is_a_wrong_setting() -> None:
    with pytest.raises(ConfigError, match="output stride 12") as caught:
        dilation.dilated(net(), 12)
    assert "4, 8, 16, 32" in str(caught.value)


def test_the_networks_own_stride_changes_nothing() -> None:
    model = net()
    assert dilation.dilated(model, 32) is model


def test_a_network_on_the_meta_device_is_proved_as_well() -> None:
    with torch.device("meta"):
        model = net()
        assert dilation.stage_reductions(dilation.dilated(model, 16))["layer4"] == 16
        with pytest.raises(ConfigError):
            dilation.dilated(model, 3)


@pytest.mark.parametrize("rate", [1, 2, 3])
def test_the_spread_average_pool_counts_only_pixels_inside(rate: int) -> None:
    images = torch.randn(2, 3, 12, 12)
    spread = dilation.SpreadAveragePool(2, rate)(images)
    assert spread.shape == images.shape
    for row in range(rate):
        part = images[..., row::rate, ::rate]
        wanted = F.avg_pool2d(F.pad(part, (0, 1, 0, 1), value=float("nan")).nan_to_num(0), 2, stride=1)
        counts = F.avg_pool2d(F.pad(torch.ones_like(part), (0, 1, 0, 1)), 2, stride=1)
        torch.testing.assert_close(spread[..., row::rate, ::rate], wanted / counts)


def test_a_backbone_selects_an_output_stride() -> None:
    backbone = Backbone(net(), ("layer2", "layer4"), output_stride=8)
    assert backbone.reductions == {"layer2": 8, "layer4": 8}


class Pooling(BasicBlock):
    """Its branch pools by the largest value, with a window that the probe must spread."""

    def __init__(self, in_channels: int, width: int, *, stride: int = 1) -> None:
        super().__init__(in_channels, width, stride=stride)
        self.conv1.stride = (1, 1)
        self.pool = nn.MaxPool2d(3, stride=stride, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        branch = self.relu(self.bn1(self.conv1(self.pool(images))))
        return self.relu(self.bn2(self.conv2(branch)) + self.downsample(images))


def test_a_max_pool_with_a_stride_is_spread(own_block: Callable[..., ResNet]) -> None:
    model = own_block(Pooling)
    dilated = dilation.dilated(model, 8)
    assert worst(model, dilated, {"layer3": 2, "layer4": 4}, 128) <= 1e-5
    assert [block.pool.rate for block in dilated.layer4] == [2, 4]


def test_a_refusal_says_how_the_module_differs(own_block: Callable[..., ResNet]) -> None:
    with pytest.raises(PluginError, match=r"layer4\.\d\.conv\d: it differs by [\d.]+ of the largest"):
        dilation.dilated(own_block(Functional), 16)
    with pytest.raises(PluginError, match="the stride is mine") as caught:
        dilation.dilated(own_block(Broken), 16)
    assert "output_stride" in str(caught.value)


def test_the_proof_draws_nothing_from_the_global_generator() -> None:
    state = torch.get_rng_state()
    model = net()
    torch.set_rng_state(state)
    dilation.dilated(model, 16)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_dilated_network_trains(own_block: Callable[..., ResNet]) -> None:
    dilated = dilation.dilated(net("resnetd_basic" if "resnetd_basic" in registry.names("block") else "basic"), 16)
    dilated.train()(torch.randn(2, 3, 64, 64)).square().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in dilated.parameters())


@pytest.mark.parametrize(("kernel", "padding"), [(3, 1), (2, 0), (5, 2)])
def test_the_spread_max_pool_gives_the_strided_pool_at_its_positions(kernel: int, padding: int) -> None:
    images = -torch.rand(2, 3, 12, 12)  # below zero: zeros around the image would win
    spread = dilation.SpreadMaxPool(kernel, 1, padding=padding)(images)
    assert spread.shape == images.shape
    strided = F.max_pool2d(images, kernel, stride=2, padding=padding, ceil_mode=True)
    assert torch.equal(spread[..., ::2, ::2], strided[..., :6, :6])
    assert "reach=" in repr(dilation.SpreadMaxPool(kernel, 2, padding=padding))


class Gated(BasicBlock):
    """A gate of few units: with unlucky numbers they are dead, and the gate would seem not to depend on its pixels."""

    units: ClassVar[int] = 1

    def __init__(self, in_channels: int, width: int, *, stride: int = 1) -> None:
        super().__init__(in_channels, width, stride=stride)
        self.squeeze, self.expand = nn.Linear(width, self.units), nn.Conv2d(self.units, width, 1)

    def forward(self, images: Tensor) -> Tensor:
        outputs = super().forward(images)
        hidden = self.squeeze(outputs.mean((2, 3))).relu()[..., None, None]
        return outputs * self.expand(hidden).sigmoid()


@pytest.mark.parametrize("units", [1, 2, 16])
def test_a_gate_is_never_mistaken_for_a_constant(own_block: Callable[..., ResNet], units: int) -> None:
    with pytest.raises(PluginError, match=r"layer4\.0"):
        dilation.dilated(own_block(type("Gated", (Gated,), {"units": units})), 16)


@pytest.mark.parametrize("block", installed(REFUSED))
def test_wide_gates_whose_differences_average_out_are_refused(block: str) -> None:
    arch = Arch(name="t", block=block, depths=(1, 1, 1, 1), widths=(64, 96, 128, 256), stem="imagenet")
    with pytest.raises(PluginError, match=r"layer4\.0"):
        dilation.dilated(build(arch, classes=2, image=ImageSpec(size=64)), 16)


@pytest.mark.parametrize("block", installed(REFUSED))
def test_one_block_a_stage_is_enough_to_refuse_a_gate(block: str) -> None:
    arch = Arch(name="t", block=block, depths=(1, 1, 1, 1), widths=(8, 8, 12, 16), stem="imagenet")
    with pytest.raises(PluginError, match=r"layer4\.0"):
        dilation.dilated(build(arch, classes=2, image=ImageSpec(size=64)), 16)


def pooled(pool: Callable[[int], nn.Module]) -> type[nn.Module]:
    """A block whose branch pools as the test says, instead of striding."""

    class Block(Pooling):
        def __init__(self, in_channels: int, width: int, *, stride: int = 1) -> None:
            super().__init__(in_channels, width, stride=stride)
            self.pool = pool(stride) if stride > 1 else nn.Identity()

    return Block


@pytest.mark.parametrize(
    "pool",
    [
        lambda stride: nn.AvgPool2d(stride, ceil_mode=True, count_include_pad=False),
        lambda stride: nn.MaxPool2d(stride, ceil_mode=True),
    ],
)
def test_pools_of_the_blocks_of_resnet_d_are_spread(own_block: Callable[..., ResNet], pool: Any) -> None:
    model = own_block(pooled(pool))
    assert worst(model, dilation.dilated(model, 16), {"layer4": 2}, 128) <= 1e-5


@pytest.mark.parametrize(
    "pool",
    [
        lambda stride: nn.AvgPool2d(3, stride=stride, padding=1),
        lambda stride: nn.MaxPool2d((3, 3), stride=stride, padding=(1, 1)),
    ],
)
def test_a_pool_of_another_form_is_refused_by_name(own_block: Callable[..., ResNet], pool: Any) -> None:
    model = own_block(pooled(pool))
    with pytest.raises(PluginError, match=r"block 'own' .* layer4\.0") as caught:
        dilation.dilated(model, 16)
    assert caught.value.exit_code == 4
    assert dilation.stage_reductions(model)["layer4"] == 32, "the network stays as it was"


@pytest.mark.parametrize("stride", [0, -8, 64, 12])
def test_strides_that_no_stage_has_list_those_that_exist(stride: int) -> None:
    with pytest.raises(ConfigError, match=f"output stride {stride}") as caught:
        Backbone(net(), output_stride=stride)
    assert caught.value.exit_code == 2
    assert "its stages have 4, 8, 16, 32" in " ".join(map(str, caught.value.hint))


@pytest.mark.parametrize("rate", [2, 3])
def test_a_spread_max_pool_is_the_plain_one_on_every_grid(rate: int) -> None:
    images = torch.randn(1, 2, 12, 12)
    spread = dilation.SpreadMaxPool(3, rate, padding=1)(images)
    for row in range(rate):
        for column in range(rate):
            part = F.max_pool2d(images[..., row::rate, column::rate], 3, stride=1, padding=1)
            assert torch.equal(spread[..., row::rate, column::rate], part)


def test_two_dilations_after_each_other_equal_one() -> None:
    model = net()
    once, twice = dilation.dilated(model, 8), dilation.dilated(dilation.dilated(model, 16), 8)
    images = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        for (name, one), (_, two) in zip(walk(once, images), walk(twice, images), strict=True):
            assert torch.allclose(one, two, atol=1e-5), name
