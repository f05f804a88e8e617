"""A trunk is walked stage by stage, watched, and left as it was."""

import torch
from support.archs import net

from resnetctl.models.trunk import blank, evaluating, expected_reduction, in_channels, input_sides, walk


def test_a_walk_gives_the_features_of_the_network_and_the_stem_before_its_pool() -> None:
    model, images = net(), torch.randn(2, 3, 64, 64)
    outputs = dict(walk(model, images))
    assert list(outputs) == ["stem", "layer1", "layer2", "layer3", "layer4"]
    assert outputs["stem"].shape == (2, 4, 32, 32)
    assert all(torch.equal(outputs[name], value) for name, value in model.features(images).items())


def test_input_sides_are_what_each_module_reads_first() -> None:
    model = net()
    sides = input_sides(model, lambda: list(walk(model, blank(model, 64))))
    assert (sides["conv1"], sides["layer1.0.conv1"], sides["layer2.0.conv1"]) == (64, 16, 16)
    assert (sides["layer2.0.conv2"], sides["layer2.0.downsample.0"]) == (8, 16)
    assert not any(part._forward_hooks for part in model.modules())


def test_evaluating_restores_the_mode_of_each_module() -> None:
    model = net().train()
    model.layer1.eval()
    with evaluating(model):
        assert not any(part.training for part in model.modules())
        assert not torch.is_grad_enabled()
    assert model.training
    assert not model.layer1.training


def test_a_trunk_knows_its_input_and_its_reduction() -> None:
    assert in_channels(net()) == 3
    assert [expected_reduction(net(stem=stem)) for stem in ("imagenet", "cifar")] == [32, 8]


def test_a_blank_image_follows_the_network() -> None:
    model = net().double()
    image = blank(model, 40)
    assert image.shape == (1, 3, 40, 40)
    assert image.dtype == torch.float64
    with torch.device("meta"):
        assert blank(net(), 8).is_meta


def test_a_walk_of_a_preactivation_network_gives_raw_sums() -> None:
    model = net("preact_basic")
    images = torch.randn(2, 3, 64, 64)
    with evaluating(model):
        outputs = dict(walk(model, images))
        assert outputs["layer4"].min() < 0
        assert torch.equal(model.relu(model.norm(outputs["layer4"])), model.features(images)["layer4"])
        assert torch.equal(outputs["stem"], model.conv1(images))
