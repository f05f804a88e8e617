"""A backbone gives what the head would see, with its shapes, and works in other people's heads."""

import dataclasses
import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.archs import arch as some_arch
from support.archs import net
from torch import nn
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.segmentation.deeplabv3 import DeepLabHead, DeepLabV3
from torchvision.ops import FeaturePyramidNetwork, MultiScaleRoIAlign

from resnetctl import registry
from resnetctl.errors import UsageError
from resnetctl.models.backbone import Backbone
from resnetctl.models.resnet import build
from resnetctl.spec import ImageSpec

BLOCKS = ["basic", "bottleneck", "preact_basic", "preact_bottleneck"]
IMAGES = torch.randn(2, 3, 70, 70)


@pytest.mark.parametrize("stem", ["imagenet", "cifar"])
@pytest.mark.parametrize(
    "block", [*BLOCKS, *(name for name in ("resnext_bottleneck", "se_basic") if name in registry.names("block"))]
)
def test_the_last_features_are_bit_equal_to_what_the_head_sees(block: str, stem: str) -> None:
    model = net(block, stem=stem)
    with torch.inference_mode():
        logits = model(IMAGES)
        features = Backbone(model)(IMAGES)
        assert torch.equal(model.head(features["layer4"]), logits)
        assert torch.equal(model(IMAGES), logits)  # a second pass: nothing was changed in place


def test_features_have_the_activation_and_the_norm_of_the_arch() -> None:
    arch = dataclasses.replace(some_arch("preact_basic"), activation="silu", norm="group")
    model = build(arch, classes=3, image=ImageSpec(size=64)).eval()
    backbone = Backbone(model, ("stem", "layer4"))
    with torch.inference_mode():
        features = backbone(IMAGES)
        assert torch.equal(model.head(features["layer4"]), model(IMAGES))
    assert features["stem"].min() < 0, "silu lets some negative numbers pass"
    assert not any(isinstance(part, nn.BatchNorm2d) for part in backbone.modules())


@pytest.mark.parametrize("stem", ["imagenet", "cifar"])
@pytest.mark.parametrize("block", BLOCKS)
def test_channels_and_reductions_are_those_of_the_features(block: str, stem: str) -> None:
    backbone = Backbone(net(block, stem=stem), ("stem", "layer1", "layer2", "layer3", "layer4"))
    features = backbone(IMAGES)
    assert list(features) == list(backbone.channels) == list(backbone.reductions)
    for name, value in features.items():
        side = -(-70 // backbone.reductions[name])
        assert value.shape == (2, backbone.channels[name], side, side)
    first = [2, 4, 8, 16, 32] if stem == "imagenet" else [1, 1, 2, 4, 8]
    assert list(backbone.reductions.values()) == first


@pytest.mark.parametrize("block", ["preact_basic", "preact_bottleneck"])
def test_early_features_of_preactivation_nets_are_what_the_next_stage_reads(block: str) -> None:
    model = net(block)
    seen = {}
    model.layer3[0].bn1.register_forward_hook(lambda module, inputs, output: seen.update(normed=output.clone()))
    with torch.inference_mode():
        model(IMAGES)
        features = Backbone(model, ("layer2",))(IMAGES)
    assert torch.equal(features["layer2"], seen["normed"].relu())


def test_the_norm_of_an_early_output_is_a_copy_that_trains_on_its_own() -> None:
    model = net("preact_basic")
    backbone = Backbone(model, ("layer1", "layer4"))
    assert torch.equal(backbone.norms["layer1"].weight, model.layer2[0].bn1.weight)
    assert backbone.norms["layer1"].weight is not model.layer2[0].bn1.weight
    assert list(backbone.norms) == ["layer1"]
    assert backbone.norm is model.norm


def test_a_backbone_has_the_parameters_that_its_outputs_need_and_no_others() -> None:
    backbone = Backbone(net("preact_basic"), ("stem", "layer2"))
    assert backbone.stages == ("layer1", "layer2")
    sum(value.sum() for value in backbone.train()(IMAGES).values()).backward()
    assert all(parameter.grad is not None for parameter in backbone.parameters())


def test_its_parameters_have_the_names_of_the_network() -> None:
    model = net()
    names = [name for name in model.state_dict() if not name.startswith("fc.")]
    assert list(Backbone(model).state_dict()) == names


def test_a_selection_shares_the_modules() -> None:
    whole = Backbone(net("preact_basic"), ("stem", "layer1", "layer2", "layer3", "layer4"))
    part = whole.select({"layer2": "fine", "layer3": "coarse"})
    assert list(part(IMAGES)) == ["fine", "coarse"]
    assert part.layer1 is whole.layer1
    assert torch.equal(part(IMAGES)["fine"], whole(IMAGES)["layer2"])
    assert torch.equal(part.select(("layer3",))(IMAGES)["layer3"], whole(IMAGES)["layer3"])


@pytest.mark.parametrize("out", [(), ("layer5",), {"layer1": "a", "layer2": "a"}])
def test_outputs_that_do_not_exist_are_a_usage_error(out: object) -> None:
    with pytest.raises(UsageError):
        Backbone(net(), out)  # type: ignore[arg-type]


def test_only_outputs_of_one_width_have_out_channels() -> None:
    assert Backbone(net(), ("layer4",)).out_channels == 10
    several = Backbone(net(), ("layer1", "layer4"))
    assert not hasattr(several, "out_channels")
    with pytest.raises(AttributeError, match="`channels` is "):
        _ = several.out_channels
    with pytest.raises(AttributeError, match="has no attribute 'bogus'"):
        _ = several.bogus


def test_it_exports_with_any_batch_size() -> None:
    backbone = Backbone(net("preact_basic"), ("layer1", "layer4"))
    batch = {0: torch.export.Dim("batch", min=1, max=64)}
    program = torch.export.export(backbone, (IMAGES,), dynamic_shapes=(batch,)).module()
    with torch.inference_mode():
        three = torch.randn(3, 3, 70, 70)
        torch.testing.assert_close(program(three), backbone(three))


@pytest.mark.parametrize("channels", [1, 3])
def test_torchvisions_faster_rcnn_takes_it_as_it_stands(channels: int) -> None:
    model = net("preact_basic")
    model.conv1 = nn.Conv2d(channels, 4, 7, stride=2, padding=3, bias=False)
    detector = FasterRCNN(
        Backbone(model, {"layer4": "0"}),
        num_classes=3,
        rpn_anchor_generator=AnchorGenerator(((32, 64),), ((0.5, 1.0, 2.0),)),
        image_mean=[0.5] * channels,
        image_std=[0.25] * channels,
        min_size=96,
        max_size=96,
    )
    boxes = [{"boxes": torch.tensor([[8.0, 8.0, 60.0, 70.0]]), "labels": torch.tensor([1])}]
    losses = detector.train()([torch.rand(channels, 96, 96)], boxes)
    sum(losses.values()).backward()
    (detections,) = detector.eval()([torch.rand(channels, 80, 96)])
    assert set(detections) == {"boxes", "labels", "scores"}


def test_torchvisions_faster_rcnn_takes_it_with_a_feature_pyramid() -> None:
    backbone = Backbone(net())
    pyramid = nn.Sequential(backbone, FeaturePyramidNetwork(list(backbone.channels.values()), 8))
    pyramid.out_channels = 8
    sizes = ((16,), (32,), (64,), (96,))
    detector = FasterRCNN(
        pyramid,
        num_classes=3,
        rpn_anchor_generator=AnchorGenerator(sizes, ((1.0,),) * 4),
        box_roi_pool=MultiScaleRoIAlign(list(backbone.channels), 7, 2),
        min_size=96,
        max_size=96,
    )
    (detections,) = detector.eval()([torch.rand(3, 96, 96)])
    assert detections["boxes"].shape[1] == 4


def test_torchvisions_deeplab_takes_it_as_it_stands() -> None:
    backbone = Backbone(net("bottleneck"), {"layer4": "out"}, output_stride=16)
    model = DeepLabV3(backbone, DeepLabHead(backbone.out_channels, 5, (6, 12, 18)))
    assert model.eval()(IMAGES)["out"].shape == (2, 5, 70, 70)


@pytest.mark.parametrize("block", ["basic", "preact_bottleneck"])
@pytest.mark.parametrize("name", ["Unet", "FPN"])
def test_segmentation_models_pytorch_takes_its_encoder(name: str, block: str) -> None:
    with warnings.catch_warnings(action="ignore"):  # of the libraries that it imports
        smp = pytest.importorskip("segmentation_models_pytorch", reason="segmentation-models-pytorch is not installed")
    backbone = Backbone(net(block), ("stem", "layer1", "layer2", "layer3", "layer4"))
    smp.encoders.encoders["ours"] = {"encoder": lambda **options: backbone.encoder(), "params": {}}
    model = getattr(smp, name)("ours", encoder_weights=None, classes=4).eval()
    assert model(torch.randn(1, 3, 64, 64)).shape == (1, 4, 64, 64)
    with pytest.raises(ValueError, match="3 channels, not 1"):
        getattr(smp, name)("ours", encoder_weights=None, classes=4, in_channels=1)


@given(height=st.integers(33, 80), width=st.integers(33, 80), block=st.sampled_from(BLOCKS))
@settings(max_examples=15, deadline=None)
def test_features_of_any_size_are_rounded_up(height: int, width: int, block: str) -> None:
    backbone = Backbone(net(block), ("stem", "layer1", "layer3", "layer4"), output_stride=16)
    with torch.inference_mode():
        features = backbone.eval()(torch.randn(1, 3, height, width))
    for name, value in features.items():
        reduction = backbone.reductions[name]
        assert value.shape[2:] == (-(-height // reduction), -(-width // reduction))


def test_a_lone_name_is_one_output() -> None:
    assert list(Backbone(net(), "layer3").channels) == ["layer3"]


def test_outputs_come_in_the_order_of_the_network() -> None:
    assert list(Backbone(net(), ("layer4", "stem", "layer2"))(IMAGES)) == ["stem", "layer2", "layer4"]


def test_a_wrong_name_is_answered_with_a_close_one() -> None:
    with pytest.raises(UsageError, match="did you mean 'layer4'") as caught:
        Backbone(net(), ("layer44",))
    assert caught.value.exit_code == 2


def test_measuring_changes_neither_statistics_nor_modes() -> None:
    model = net("preact_basic").train()
    model.layer2.eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    Backbone(model, ("layer1", "layer4"), output_stride=16)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert model.layer1.training
    assert not model.layer2.training


def test_a_block_without_a_norm_at_its_beginning_gets_a_fresh_one(monkeypatch: pytest.MonkeyPatch) -> None:
    class Bare(nn.Module):
        expansion, preactivation = 1, True

        def __init__(self, in_channels: int, width: int, *, stride: int = 1) -> None:
            super().__init__()
            self.conv = nn.Conv2d(in_channels, width, 3, stride=stride, padding=1)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self.conv(images.relu())

    get = registry.get
    monkeypatch.setattr(registry, "get", lambda kind, name: Bare if name == "bare" else get(kind, name))
    backbone = Backbone(net("bare"), ("layer2",))
    assert isinstance(backbone.norms["layer2"], nn.BatchNorm2d)
    assert backbone(IMAGES)["layer2"].min() == 0


def test_a_frozen_backbone_stays_frozen_when_it_is_dilated() -> None:
    model = net().requires_grad_(False)
    backbone = Backbone(model, output_stride=8)
    assert not any(parameter.requires_grad for parameter in backbone.parameters())
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in backbone.state_dict().items())


def test_the_encoder_lists_the_images_first() -> None:
    encoder = Backbone(net(), ("stem", "layer1")).encoder()
    first, *features = encoder(IMAGES)
    assert first is IMAGES
    assert encoder.out_channels == [3, *(value.shape[1] for value in features)]
    assert encoder.output_stride == 4


@pytest.mark.parametrize("block", BLOCKS)
def test_a_renamed_selection_survives_a_round_trip_of_its_weights(block: str) -> None:
    first = Backbone(net(block), {"layer4": "deep", "stem": "fine"})
    second = Backbone(net(block), {"layer4": "deep", "stem": "fine"})
    second.load_state_dict(first.state_dict())
    with torch.inference_mode():
        one, two = first.eval()(IMAGES), second.eval()(IMAGES)
    assert list(one) == ["fine", "deep"], "in the order of the network"
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_a_lone_name_is_no_sequence_of_letters() -> None:
    assert list(Backbone(net(), "layer2").channels) == ["layer2"]


@pytest.mark.parametrize("side", [32, 33, 47, 64])
def test_features_of_any_side_have_the_rounded_up_reduction(side: int) -> None:
    backbone = Backbone(net(), ("stem", "layer1", "layer4"))
    for name, value in backbone(torch.randn(1, 3, side, side + 5)).items():
        reduction = backbone.reductions[name]
        assert value.shape[2:] == (-(-side // reduction), -(-(side + 5) // reduction))


def test_the_mode_and_the_statistics_of_the_network_are_left_alone() -> None:
    model = net().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    backbone = Backbone(model)
    assert model.layer1.training
    assert backbone.layer4[0].bn1.training
    assert all(torch.equal(value, before[name]) for name, value in backbone.state_dict().items())


def test_an_encoder_refuses_other_channels_and_takes_its_own() -> None:
    encoder = Backbone(net()).encoder()
    encoder.set_in_channels(3)
    with pytest.raises(ValueError, match="reads 3 channels, not 1"):
        encoder.set_in_channels(1, pretrained=False)


def test_a_selection_cannot_have_stages_that_were_left_out() -> None:
    part = Backbone(net(), ("layer2",))
    assert part.select(("stem", "layer1")).stages == ("layer1",)
    with pytest.raises(UsageError, match="no features 'layer3'") as caught:
        part.select(("layer3",))
    assert caught.value.exit_code == 2
