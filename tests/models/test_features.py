"""The features of each stage have the shapes that are computed from the arch."""

import dataclasses
import math

import pytest
import torch
from torch import nn

from resnetctl import registry
from resnetctl.models.features import channels, reductions
from resnetctl.models.resnet import ResNet, build
from resnetctl.spec import ImageSpec

SIDE = 33  # odd, so that every halving rounds up


def small(name: str, stem: str = "auto") -> ResNet:
    """Return the named arch with one block a stage."""
    arch = registry.get("arch", name)
    arch = dataclasses.replace(arch, depths=(1,) * len(arch.depths), stem=stem)
    return build(arch, classes=5, image=ImageSpec(size=SIDE)).eval()


@pytest.mark.parametrize("stem", ["cifar", "imagenet"])
@pytest.mark.parametrize("name", ["resnet20", "preact_resnet164", "resnet50", "resnet18_wd2", "wrn16_4"])
def test_features_have_the_channels_and_reductions_computed_from_the_arch(name: str, stem: str) -> None:
    model = small(name, stem)
    features = model.features(torch.rand(2, 3, SIDE, SIDE))
    shapes = {stage: tuple(value.shape) for stage, value in features.items()}
    widths = channels(model.arch)
    sides = {stage: math.ceil(SIDE / reduction) for stage, reduction in reductions(model.arch).items()}
    assert shapes == {stage: (2, widths[stage], sides[stage], sides[stage]) for stage in model.stages}


@pytest.mark.parametrize("name", ["resnet20", "preact_resnet20", "resnet50"])
def test_the_head_reads_the_last_features(name: str) -> None:
    model, images = small(name), torch.rand(2, 3, SIDE, SIDE)
    with torch.inference_mode():
        last = model.features(images)[model.stages[-1]]
        assert torch.equal(model.fc(last.mean((2, 3), keepdim=True).flatten(1)), model(images))


def test_preactivation_features_of_the_last_stage_are_normed_and_activated() -> None:
    model, images = small("preact_resnet20"), torch.rand(2, 3, SIDE, SIDE)
    nn.init.constant_(model.norm.weight, 0.0)
    nn.init.constant_(model.norm.bias, -1.0)
    features = model.features(images)
    assert (features["layer3"] == 0).all()
    assert (features["layer2"] < 0).any()


@pytest.mark.parametrize("name", ["resnet20", "preact_resnet20"])
def test_no_later_stage_changes_earlier_features(name: str) -> None:
    model, images = small(name), torch.rand(2, 3, SIDE, SIDE)
    kept: dict[str, torch.Tensor] = {}
    for stage in model.stages[:-1]:
        model.get_submodule(stage).register_forward_hook(
            lambda module, inputs, output, stage=stage: kept.update({stage: output.clone()})
        )
    features = model.features(images)
    assert all(torch.equal(features[stage], value) for stage, value in kept.items())


def test_an_unresolved_stem_has_no_reductions() -> None:
    with pytest.raises(ValueError, match="resolve its stem first"):
        reductions(registry.get("arch", "resnet50"))


def test_resnet50_has_the_published_channels_and_reductions() -> None:
    arch = registry.get("arch", "resnet50").resolve_stem(224)
    assert list(channels(arch).values()) == [256, 512, 1024, 2048]
    assert list(reductions(arch).values()) == [4, 8, 16, 32]
