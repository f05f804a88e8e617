"""The network: parity with torchvision, shapes, errors, initialisation, stochastic depth."""

import dataclasses
import inspect
import math
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import torch
import torchvision
from torch import nn

from resnetctl import registry
from resnetctl.blocks import BasicBlock, DropPath, PadShortcut
from resnetctl.errors import ConfigError, PluginError, UsageError
from resnetctl.hints import Call
from resnetctl.models.archs import preact_resnet20, resnet18, resnet20, resnet50, wrn16_4
from resnetctl.models.resnet import ResNet, build, count_params, minimum_size, with_defaults
from resnetctl.spec import Arch, ImageSpec

TINY = Arch(name="tiny", block="basic", depths=(1, 1), widths=(4, 8))


def image(size: int, channels: int = 3) -> ImageSpec:
    return ImageSpec(size=size, channels=channels, mean=(0.5,) * channels, std=(0.25,) * channels)


@pytest.fixture
def gated(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[BasicBlock]]:
    """A plugin's block with arguments that have defaults."""

    class Gated(BasicBlock):
        def __init__(
            self, in_channels: int, width: int, *, stride: int = 1, bias: float = 2.0, dilation: int = 1
        ) -> None:
            super().__init__(in_channels, width, stride=stride)
            self.bias = bias

    monkeypatch.setattr(registry, "distribution_of", lambda kind, name: {"own": "1"} if name == "gated" else {})
    with registry.overlay("block", gated=Gated):
        yield Gated


def test_an_arch_keeps_the_defaults_of_a_plugins_block(gated: type[BasicBlock]) -> None:
    own = Arch(name="own", block="gated", depths=(1,), widths=(8,), params=9)
    with registry.overlay("arch", own=own):
        full = with_defaults(own.resolve_stem(32))
        assert (full.block_args, full.params) == ({"bias": 2.0}, 9)
        # a repeat names every argument, and is the same network
        assert with_defaults(dataclasses.replace(full, params=None)) == full
        other = dataclasses.replace(full, block_args={"bias": 1.0}, params=None)
        assert with_defaults(other) == other


def test_a_dilation_of_its_own_is_kept_like_every_argument(monkeypatch: pytest.MonkeyPatch) -> None:
    class Wide(BasicBlock):
        def __init__(self, in_channels: int, width: int, *, stride: int = 1, dilation: int = 2) -> None:
            super().__init__(in_channels, width, stride=stride)

    monkeypatch.setattr(registry, "distribution_of", lambda kind, name: {"own": "1"} if name == "wide" else {})
    with registry.overlay("block", wide=Wide):
        assert with_defaults(Arch(name="own", block="wide", depths=(1,), widths=(8,))).block_args == {"dilation": 2}


def test_an_int_for_a_float_argument_of_a_block_becomes_a_float(gated: type[BasicBlock]) -> None:
    own = Arch(name="own", block="gated", depths=(1,), widths=(8,), block_args={"bias": 1})
    net = build(own, classes=2, image=image(8))
    block = net.get_submodule("layer1.0")
    assert repr(block.bias) == repr(net.arch.block_args["bias"]) == "1.0"
    assert repr(with_defaults(own).block_args["bias"]) == "1.0"


def test_the_arguments_of_the_cores_blocks_go_with_its_version() -> None:
    arch = registry.get("arch", "resnet20")
    assert with_defaults(arch) is arch


@pytest.mark.parametrize(("arch", "name"), [(resnet18, "resnet18"), (resnet50, "resnet50")])
def test_logits_are_identical_to_torchvisions(arch: Arch, name: str) -> None:
    theirs = torchvision.models.get_model(name).eval()
    ours = build(arch, classes=1000, image=image(224)).eval()
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict(theirs.state_dict())
    pictures = torch.randn(2, 3, 224, 224)
    with torch.inference_mode():
        assert (ours(pictures) - theirs(pictures)).abs().max() == 0


def test_gradients_and_statistics_are_identical_to_torchvisions() -> None:
    torch.manual_seed(0)
    theirs = torchvision.models.resnet18(num_classes=5).train()
    ours = build(resnet18, classes=5, image=image(224)).train()
    ours.load_state_dict(theirs.state_dict())
    pictures = torch.randn(2, 3, 64, 64)
    for model in (ours, theirs):
        model(pictures).square().sum().backward()
    gradients = [dict(model.named_parameters()) for model in (ours, theirs)]
    assert all(torch.equal(gradients[0][name].grad, gradients[1][name].grad) for name in gradients[0])
    assert torch.equal(ours.bn1.running_var, theirs.bn1.running_var)


@pytest.mark.parametrize("name", registry.names("arch"))
def test_every_arch_maps_images_to_logits(name: str) -> None:
    with torch.device("meta"):
        model = build(registry.get("arch", name), classes=7, image=image(32))
        assert model(torch.randn(2, 3, 32, 32)).shape == (2, 7)
        again = build(registry.get("arch", name), classes=7, image=image(32))
    assert list(again.state_dict()) == list(model.state_dict())


@pytest.mark.parametrize("name", registry.names("arch"))
def test_every_parameter_is_in_exactly_one_part(name: str) -> None:
    with torch.device("meta"):
        model = build(registry.get("arch", name), classes=7, image=image(32))
    parts = model.parts()
    assert list(parts) == ["stem", *model.stages, "head"]
    inside = [id(p) for modules in parts.values() for module in modules for p in module.parameters()]
    assert sorted(inside) == sorted(id(p) for p in model.parameters())


@pytest.mark.parametrize("arch", [resnet20, preact_resnet20, wrn16_4, resnet18, TINY])
@pytest.mark.parametrize(("size", "channels", "classes"), [(8, 1, 10), (8, 3, 1), (9, 5, 3), (32, 3, 100)])
def test_a_network_takes_any_size_channels_and_classes(arch: Arch, size: int, channels: int, classes: int) -> None:
    model = build(arch, classes=classes, image=image(size, channels)).eval()
    with torch.inference_mode():
        out = model(torch.randn(2, channels, size, size))
    assert out.shape == (2, classes)
    assert out.isfinite().all()


@pytest.mark.parametrize("arch", [resnet20, preact_resnet20, resnet18])
def test_the_logits_follow_from_the_output_of_each_stage(arch: Arch) -> None:
    net, images = build(arch, classes=4, image=image(32)).eval(), torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        wanted = net(images)
        for name, outputs in net.features(images).items():
            assert torch.equal(net.from_stage(name, outputs), wanted)


def test_a_loaded_state_dict_gives_the_same_logits() -> None:
    torch.manual_seed(0)
    first, second = (build(preact_resnet20, classes=4, image=image(8)).eval() for _ in range(2))
    pictures = torch.randn(2, 3, 8, 8)
    assert not torch.equal(first(pictures), second(pictures))
    second.load_state_dict(first.state_dict())
    assert torch.equal(first(pictures), second(pictures))


def test_the_size_resolves_the_stem_unless_the_arch_names_one() -> None:
    small, large = build(resnet18, classes=2, image=image(64)), build(resnet18, classes=2, image=image(65))
    assert (small.arch.stem, small.conv1.kernel_size, small.conv1.stride) == ("cifar", (3, 3), (1, 1))
    assert (large.arch.stem, large.conv1.kernel_size, large.conv1.stride) == ("imagenet", (7, 7), (2, 2))
    forced = dataclasses.replace(resnet18, stem="imagenet")
    assert build(forced, classes=2, image=image(32)).arch.stem == "imagenet"


def test_a_preactivation_net_has_no_norm_in_the_stem_and_one_after_the_last_stage() -> None:
    model = build(preact_resnet20, classes=2, image=image(8))
    assert isinstance(model.bn1, nn.Identity)
    assert isinstance(model.norm, nn.BatchNorm2d)
    assert model.norm in model.parts()["layer3"]
    assert isinstance(build(resnet20, classes=2, image=image(8)).norm, nn.Identity)


def test_the_minimum_size_is_the_smallest_that_every_halving_changes() -> None:
    for stages in (1, 2, 3, 4):
        for stem in ("cifar", "imagenet"):
            arch = Arch(name="x", block="basic", depths=(1,) * stages, widths=(4,) * stages, stem=stem)
            halvings = stages - 1 + 2 * (stem == "imagenet")
            assert minimum_size(arch) == next(size for size in range(1, 99) if _halves(size, halvings))


def _halves(size: int, times: int) -> bool:
    for _ in range(times):
        if size < 2:
            return False
        size = math.ceil(size / 2)
    return True


def test_an_image_below_the_minimum_size_is_a_config_error() -> None:
    build(resnet20, classes=2, image=image(3))
    with pytest.raises(ConfigError, match=r"'resnet20' needs images of at least 3 px .* not 2 px") as caught:
        build(resnet20, classes=2, image=image(2))
    assert caught.value.exit_code == 2
    with pytest.raises(ConfigError, match="at least 17 px") as caught:
        build(dataclasses.replace(resnet18, stem="imagenet"), classes=2, image=image(16))
    assert any(hint.name == "model.stem" for hint in caught.value.hint)


def test_an_unknown_block_argument_lists_the_known_ones() -> None:
    arch = dataclasses.replace(resnet20, block_args={"shortcut": "A", "groups": 2})
    with pytest.raises(ConfigError, match="block 'basic'") as caught:
        build(arch, classes=2, image=image(8))
    assert caught.value.problems == ("'groups' is not an argument",)
    assert caught.value.hint == ("arguments of block 'basic': shortcut='B'",)


class Typed(BasicBlock):
    """A basic block with an argument of each type."""

    def __init__(
        self, *args: Any, ratio: float = 0.5, groups: int = 1, mode: str = "a", on: bool = True, **more: Any
    ) -> None:
        super().__init__(*args, **more)


@pytest.mark.parametrize(
    ("values", "problems"),
    [
        ({"groups": "abc"}, ["'groups' should be like its default 1, not 'abc'"]),
        (
            {"groups": 1.5, "on": 1},
            [
                "'groups' should be an int like its default 1, not 1.5 "
                "(for floats, its code writes 1.0 or annotates float)",
                "'on' should be like its default True, not 1",
            ],
        ),
        (
            {"mode": 3, "groups": True},
            ["'mode' should be like its default 'a', not 3", "'groups' should be like its default 1, not True"],
        ),
        ({"ratio": 1, "groups": 2, "mode": "b", "on": False}, []),
    ],
)
def test_arguments_must_have_the_type_of_their_defaults(values: dict[str, Any], problems: list[str]) -> None:
    arch = dataclasses.replace(resnet20, block="typed", block_args=values)
    with registry.overlay("block", typed=Typed):
        if not problems:
            build(arch, classes=3, image=ImageSpec(size=32))
            return
        with pytest.raises(ConfigError) as caught:
            build(arch, classes=3, image=ImageSpec(size=32))
    assert list(caught.value.problems) == problems


def test_a_value_that_the_block_refuses_is_a_config_error() -> None:
    arch = dataclasses.replace(resnet20, block_args={"shortcut": "C"})
    with pytest.raises(ConfigError, match="must be 'A' or 'B', not 'C'"):
        build(arch, classes=2, image=image(8))


@pytest.mark.parametrize(
    ("args", "message", "keys"),
    [
        ({"reduction": 0}, "cannot be built with reduction=0: ZeroDivisionError", ("model.block_args.reduction",)),
        ({"reduction": 1}, "cannot be built: RuntimeError", ()),
    ],
)
def test_an_error_of_the_constructor_names_the_arguments_that_are_not_the_defaults(
    args: dict[str, Any], message: str, keys: tuple[str, ...]
) -> None:
    class Greedy(BasicBlock):
        def __init__(self, in_channels: int, width: int, *, stride: int = 1, reduction: int = 1) -> None:
            raise RuntimeError(width // reduction)

    arch = dataclasses.replace(resnet20, block="greedy", block_args=args)
    with registry.overlay("block", greedy=Greedy), pytest.raises(PluginError, match=message) as caught:
        build(arch, classes=2, image=image(8))
    assert caught.value.keys == keys
    advice = "correct the block for reduction=0, or give other values: `plugins check` tries the defaults"
    assert caught.value.hint == ((advice,) if keys else (Call("plugins check", ("greedy",)),))


def test_block_args_can_set_neither_rates_nor_the_stride() -> None:
    arch = dataclasses.replace(resnet20, block_args={"dropout": 0.1})
    with pytest.raises(ConfigError) as caught:
        build(arch, classes=2, image=image(8))
    assert caught.value.problems == ("'dropout' is set by model.dropout",)
    with pytest.raises(ConfigError) as caught, registry.overlay("block", greedy=Greedy):
        build(dataclasses.replace(TINY, block="greedy", block_args={"stride": 2}), classes=2, image=image(8))
    assert caught.value.problems == ("'stride' is not an argument",)


def test_zero_classes_and_an_unknown_block_are_errors() -> None:
    with pytest.raises(ConfigError, match="at least one class"):
        build(resnet20, classes=0, image=image(8))
    with pytest.raises(UsageError, match="no block is called 'basik'"):
        build(dataclasses.replace(resnet20, block="basik"), classes=2, image=image(8))


class Plain(nn.Module):
    """A plugin's block: no dropout, no drop_path, its own initialisation."""

    expansion = 1

    def __init__(self, in_channels: int, width: int, *, stride: int = 1, gain: float = 1.0) -> None:
        super().__init__()
        if gain < 0:
            raise RuntimeError("boom")
        self.conv = nn.Conv2d(in_channels, width, 3, stride=stride, padding=1)
        self.gain = gain

    def reset_parameters(self) -> None:
        nn.init.constant_(self.conv.weight, self.gain)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.conv(images)


class Greedy(Plain):
    """A block that takes any keyword."""

    def __init__(self, in_channels: int, width: int, *, stride: int = 1, **rest: float) -> None:
        super().__init__(in_channels, width, stride=stride)
        self.rest = rest


def test_a_plugins_block_gets_its_arguments_and_keeps_its_initialisation() -> None:
    arch = dataclasses.replace(TINY, block="plain", block_args={"gain": 0.25})
    with registry.overlay("block", plain=Plain):
        model = build(arch, classes=2, image=image(8))
    assert model.get_submodule("layer1.0.conv").weight.eq(0.25).all()
    assert not model.preactivation


@pytest.mark.parametrize("rate", ["dropout", "drop_path"])
def test_a_rate_that_the_block_does_not_have_is_an_error(rate: str) -> None:
    with registry.overlay("block", plain=Plain, greedy=Greedy):
        for block in ("plain", "greedy"):
            arch = dataclasses.replace(TINY, block=block)
            with pytest.raises(ConfigError) as caught:
                build(arch, classes=2, image=image(8), **{rate: 0.1})
            assert caught.value.problems == (f"{rate} 0.1: the block does not have it",)


@pytest.mark.parametrize("block", ["basic", "preact_basic"])
def test_the_stem_and_the_end_have_the_activation_and_the_norm_of_the_blocks(block: str) -> None:
    arch = dataclasses.replace(TINY, block=block, activation="gelu", norm="group")
    model = build(arch, classes=2, image=image(8)).train()
    kinds = {type(part) for part in model.modules()}
    assert {nn.GELU, nn.GroupNorm} <= kinds
    assert not {nn.ReLU, nn.BatchNorm2d} & kinds
    pictures = torch.randn(3, 3, 8, 8)
    assert torch.allclose(model(pictures)[:1], model(pictures[:1]), atol=1e-5), "no image depends on the others"


def test_a_block_that_has_no_choice_refuses_activation_and_norm() -> None:
    arch = dataclasses.replace(TINY, block="plain", activation="silu", norm="group")
    with registry.overlay("block", plain=Plain), pytest.raises(ConfigError) as caught:
        build(arch, classes=2, image=image(8))
    assert caught.value.problems == (
        "activation silu: the block does not name its layers in 'activations'",
        "norm group: the block does not name its layers in 'norms'",
    )
    assert caught.value.hint == ("arguments of block 'plain': gain=1.0",)


class Placed(Plain):
    """A block that asks where it is."""

    def __init__(
        self, in_channels: int, width: int, *, stride: int = 1, stage: int = 1, index: int = 1, depth: int = 1
    ):
        super().__init__(in_channels, width, stride=stride)
        self.place = (stage, index, depth)


def test_a_block_that_asks_learns_where_it_is() -> None:
    arch = dataclasses.replace(TINY, block="placed", depths=(1, 2), block_args={})
    with registry.overlay("block", placed=Placed):
        model = build(arch, classes=2, image=image(8))
        with pytest.raises(ConfigError) as caught:
            build(dataclasses.replace(arch, block_args={"index": 1}), classes=2, image=image(8))
    places = [model.get_submodule(name).place for name in ("layer1.0", "layer2.0", "layer2.1")]
    assert places == [(1, 1, 3), (2, 2, 3), (2, 3, 3)]
    assert caught.value.problems == ("'index' is set by the network: it says where the block is",)


def test_a_block_with_kwargs_gets_any_argument() -> None:
    with registry.overlay("block", greedy=Greedy):
        model = build(dataclasses.replace(TINY, block="greedy", block_args={"k": 3}), classes=2, image=image(8))
    assert model.get_submodule("layer1.0").rest == {"k": 3}


def test_a_block_that_fails_is_a_plugin_error() -> None:
    with registry.overlay("block", plain=Plain), pytest.raises(PluginError, match="RuntimeError: boom") as caught:
        build(dataclasses.replace(TINY, block="plain", block_args={"gain": -1}), classes=2, image=image(8))
    assert re.fullmatch(r"test_resnet\.py:\d+", str(caught.value.where))
    assert str(caught.value.hint[0]).startswith("correct the block for gain=-1.0, or")


def test_stochastic_depth_rises_linearly_to_its_rate() -> None:
    model = build(resnet20, classes=2, image=image(8), drop_path=0.9, dropout=0.3)
    rates = [module.rate for module in model.modules() if isinstance(module, DropPath)]
    assert rates == pytest.approx([0.1 * number for number in range(1, 10)])
    assert {module.p for module in model.modules() if isinstance(module, nn.Dropout)} == {0.3}


def test_without_rates_the_blocks_keep_their_defaults() -> None:
    model = build(resnet20, classes=2, image=image(8))
    assert {module.rate for module in model.modules() if isinstance(module, DropPath)} == {0.0}


def test_convolutions_get_he_initialisation() -> None:
    torch.manual_seed(0)
    model = build(wrn16_4, classes=10, image=image(32))
    for module in model.modules():
        if isinstance(module, nn.Conv2d) and module.weight.numel() > 5000:
            fan_out = module.out_channels * module.kernel_size[0] * module.kernel_size[1]
            assert module.weight.std().item() == pytest.approx(math.sqrt(2 / fan_out), rel=0.05)
    assert model.fc.weight.abs().max() <= 1 / math.sqrt(model.fc.in_features)
    assert model.norm.weight.eq(1).all()


def test_the_seed_decides_the_initial_weights() -> None:
    states = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        states.append(build(TINY, classes=2, image=image(8)).state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert not torch.equal(states[0]["conv1.weight"], states[2]["conv1.weight"])


def test_counting_takes_classes_and_channels() -> None:
    base = count_params(resnet20)
    assert count_params(resnet20, 11) == base + 65
    assert count_params(resnet20, channels=1) == base - 2 * 16 * 9


def test_resnet20_has_two_shortcuts_of_option_a() -> None:
    model = build(resnet20, classes=10, image=image(32))
    assert sum(isinstance(module, PadShortcut) for module in model.modules()) == 2
    assert isinstance(model, ResNet)
    assert "shortcut" in inspect.signature(BasicBlock).parameters


@pytest.mark.parametrize("shortcut", ["A", "B"])
def test_a_network_exports_to_onnx_with_a_dynamic_batch(shortcut: str) -> None:
    import onnxruntime

    arch = dataclasses.replace(TINY, block_args={"shortcut": shortcut})
    model = build(arch, classes=3, image=image(8)).eval()
    batch = {0: torch.export.Dim("batch")}
    program = torch.onnx.export(model, (torch.zeros(2, 3, 8, 8),), dynamic_shapes=(batch,), verbose=False)
    data = program.model_proto.SerializeToString()
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    for count in (1, 2, 7):
        pictures = torch.randn(count, 3, 8, 8)
        (out,) = session.run(None, {session.get_inputs()[0].name: pictures.numpy()})
        assert torch.allclose(torch.from_numpy(out), model(pictures), atol=1e-5)


def test_the_table_of_archs_does_not_import_torch() -> None:
    code = "import sys, resnetctl.models.archs; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
