"""`rc.backbone` takes an arch, a run or a weights file."""

import pytest
import torch
from support.trained import ARCH, card, make_run

import resnetctl as rc
from resnetctl.backbones import backbone
from resnetctl.errors import InputError, UsageError
from resnetctl.system import settings


def test_an_arch_by_name_starts_fresh_with_the_stem_of_its_paper() -> None:
    photos, small = rc.backbone("resnet10_wd2"), rc.backbone("resnet20", ("layer1", "layer3"))
    assert photos.reductions == {"layer1": 4, "layer2": 8, "layer3": 16, "layer4": 32}
    assert small.reductions == {"layer1": 1, "layer3": 4}
    assert photos.training


def test_an_arch_object_and_the_channels_can_be_given() -> None:
    assert rc.backbone(ARCH, channels=5)(torch.randn(1, 5, 8, 8))["layer2"].shape == (1, 8, 4, 4)


def test_the_weights_of_a_run_give_the_features_that_its_head_reads() -> None:
    make_run(card())
    model, _ = rc.load("first")
    images = torch.randn(2, 1, 8, 8)
    with torch.inference_mode():
        for source in ("first", None, "runs/first/model.safetensors"):
            features = rc.backbone(source)(images)
            assert torch.equal(model.head(features["layer2"]), model(images))


def test_weights_are_adapted_to_other_channels() -> None:
    make_run(card())
    assert rc.backbone("first", channels=3)(torch.randn(1, 3, 8, 8))["layer1"].shape == (1, 4, 8, 8)


def test_what_has_no_weights_is_refused() -> None:
    run = make_run(card())
    run.write_onnx(b"")
    with pytest.raises(UsageError, match="ONNX"):
        backbone(run.onnx, settings=settings.load())
    with pytest.raises(InputError, match="no run 'resnet21'"):
        rc.backbone("resnet21")
