"""Networks with a head: built from a card, taken apart into the parts that freezing knows."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from support import heads
from torch import nn

from resnetctl import registry
from resnetctl.errors import ConfigError, PluginError
from resnetctl.models.archs import preact_resnet20, resnet20
from resnetctl.models.dense import backbone_of, build_net, head_card, parts, with_head
from resnetctl.models.resnet import build
from resnetctl.models.surgery import freeze
from resnetctl.spec import Arch, HeadCard, ImageSpec

IMAGE = ImageSpec(size=32)


@pytest.fixture(autouse=True)
def tiny() -> Iterator[None]:
    with heads.registered():
        yield


@pytest.mark.parametrize("arch", [resnet20, preact_resnet20])
def test_every_parameter_is_in_exactly_one_part(arch: Arch) -> None:
    net = build_net(arch, head_card("tiny_seg", {}), classes=3, image=IMAGE)
    found = parts(net)
    assert list(found) == ["stem", "layer1", "layer2", "layer3", "head"]
    listed = [parameter for modules in found.values() for module in modules for parameter in module.parameters()]
    assert {id(item) for item in listed} == {id(item) for item in net.parameters()}
    assert len(listed) == len([*net.parameters()])


def test_freezing_the_backbone_leaves_the_head() -> None:
    net = build_net(resnet20, head_card("tiny_det", {}), classes=3, image=IMAGE)
    freeze(parts(net), "backbone")
    trainable = {name.partition(".")[0] for name, item in net.named_parameters() if item.requires_grad}
    assert trainable == {"out"}


def test_a_classifier_has_its_own_parts() -> None:
    net = build(resnet20, classes=3, image=IMAGE)
    assert parts(net).keys() == net.parts().keys()


def test_the_trunk_keeps_its_bits_under_a_new_head() -> None:
    trunk = build(resnet20, classes=3, image=IMAGE)
    before = {name: value.clone() for name, value in trunk.state_dict().items()}
    net = with_head(trunk, head_card("tiny_seg", {}), classes=5, image=IMAGE)
    state = backbone_of(net).state_dict()
    shared = before.keys() & state.keys()
    assert len(shared) > 100
    assert all(torch.equal(before[name], state[name]) for name in shared)


def test_arguments_go_through_json_and_come_back_as_tuples() -> None:
    seen: list[Any] = []

    class Head(heads.TinySeg):
        def build(self, backbone: Any, *, classes: int, image: ImageSpec, anchors: tuple[Any, ...] = ()) -> nn.Module:
            seen.append(anchors)
            return super().build(backbone, classes=classes, image=image)

    with registry.overlay("head", mine=Head()):
        card = head_card("mine", {}, fitted={"anchors": ((1.5, 2), (3, 4))})
        assert card.to_json()["args"] == {"anchors": [[1.5, 2], [3, 4]]}
        build_net(resnet20, HeadCard.from_json(card.to_json()), classes=2, image=IMAGE)
    assert seen == [((1.5, 2), (3, 4))]


def test_unknown_arguments_are_refused_with_those_that_exist() -> None:
    with pytest.raises(ConfigError) as caught:
        head_card("tiny_seg", {"wide": 3})
    assert caught.value.problems == ("'wide' is not an argument: did you mean 'width'?",) or caught.value.problems
    assert any("width=16" in str(hint) for hint in caught.value.hint)


def test_what_is_no_network_is_an_error_that_names_the_head() -> None:
    class Head(heads.TinySeg):
        def build(self, backbone: Any, *, classes: int, image: ImageSpec) -> nn.Module:
            return nn.Linear(1, 1)

    with registry.overlay("head", tiny_seg=Head()), pytest.raises((PluginError, Exception)):
        build_net(resnet20, HeadCard(name="tiny_seg", task="segment"), classes=2, image=IMAGE)


def test_a_network_without_a_backbone_cannot_be_taken_apart() -> None:
    with pytest.raises(ConfigError, match="keeps no backbone"):
        backbone_of(nn.Linear(1, 1))
