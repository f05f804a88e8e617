"""Networks with a head: built from a card, taken apart into the parts that freezing knows."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from support import distributions, heads
from torch import nn

from resnetctl import registry
from resnetctl.errors import ConfigError, PluginError, ResnetctlError
from resnetctl.hints import Setting
from resnetctl.models.archs import preact_resnet20, resnet20
from resnetctl.models.backbone import Backbone
from resnetctl.models.dense import backbone_of, build_net, head_card, parts, with_head
from resnetctl.models.resnet import build
from resnetctl.models.surgery import freeze
from resnetctl.spec import Arch, HeadCard, ImageSpec, Masks

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
    assert ["wide" in problem for problem in caught.value.problems] == [True]
    assert any("width=16" in str(hint) for hint in caught.value.hint)


PLUGIN = """
from torch import nn


class Head:
    name, task, summary = "mine", "segment", "a plugin's head"

    def build(self, backbone, *, classes, image):
        {body}


mine = Head()
"""


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("return nn.Linear(1, 1)", "it builds a Linear that lacks loss, forward or decode"),
        ("return None", "it builds a NoneType that lacks loss, forward or decode"),
        ("return backbone.channels['layer9']", "KeyError: 'layer9'"),
        ("raise SystemExit(3)", "SystemExit: 3"),
    ],
)
def test_the_mistakes_of_a_plugin_are_errors_that_name_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, problem: str
) -> None:
    distributions.install(
        tmp_path / "site", "my-heads", {"head": {"mine": "my_heads:mine"}}, code=PLUGIN.format(body=body)
    )
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    registry.refresh()
    try:
        with pytest.raises(PluginError) as caught:
            build_net(resnet20, HeadCard(name="mine", task="segment"), classes=2, image=IMAGE)
    finally:
        monkeypatch.undo()
        sys.modules.pop("my_heads", None)
        registry.refresh()
    assert caught.value.exit_code == 4
    assert caught.value.message == f"head 'mine' of my-heads 1.2: {problem}"


def test_a_network_without_a_backbone_cannot_be_taken_apart() -> None:
    with pytest.raises(ConfigError, match="keeps no backbone"):
        backbone_of(nn.Linear(1, 1))


class Failing(heads.TinySeg):
    """It raises an error that the test chooses."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def build(self, backbone: Any, *, classes: int, image: ImageSpec) -> nn.Module:  # type: ignore[override]
        raise self.error


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ValueError("three stages at least"), "cannot be built on 'resnet20' at 32 px: three stages"),
        (TypeError("no such thing"), "cannot be built on 'resnet20' at 32 px: no such thing"),
        (ConfigError("the anchors are too small"), "the anchors are too small"),
    ],
)
def test_what_a_head_refuses_is_an_error_of_the_config(error: Exception, words: str) -> None:
    with registry.overlay("head", mine=Failing(error)), pytest.raises(ConfigError) as caught:
        build_net(resnet20, HeadCard(name="mine", task="segment"), classes=2, image=IMAGE)
    assert words in str(caught.value)


def test_a_refused_backbone_says_what_may_help() -> None:
    with registry.overlay("head", mine=Failing(ValueError("small"))), pytest.raises(ConfigError) as caught:
        build_net(resnet20, HeadCard(name="mine", task="segment"), classes=2, image=IMAGE)
    hints = " ".join(map(str, caught.value.hint))
    assert "larger images" in hints
    assert "an arch with more stages" in hints


@pytest.mark.parametrize(
    ("error", "where"),
    [
        (ValueError("12 anchors cannot be divided among 5 levels"), "model.head_args.levels"),
        (ValueError("base must be positive"), "model.head_args.base"),
        (ValueError("the database is small"), "model.head"),
        (ConfigError("no stage has it", where=Setting("levels")), "model.head_args.levels"),
        (ConfigError("no stage has it", where=Setting("out")), "out"),
    ],
)
def test_a_refused_argument_is_named_by_its_key(error: Exception, where: str) -> None:
    class Open(Failing):
        def build(self, backbone: Any, **_: Any) -> nn.Module:  # type: ignore[override]
            raise self.error

    card = HeadCard(name="mine", task="segment", args={"anchors": (), "base": 0, "levels": 5})
    with registry.overlay("head", mine=Open(error)), pytest.raises(ConfigError) as caught:
        build_net(resnet20, card, classes=2, image=IMAGE)
    assert isinstance(caught.value.where, Setting)
    assert caught.value.where.name == where


def test_the_users_arguments_win_over_those_that_were_fitted() -> None:
    fitted = {"base": 9.5, "other": (1, (2, 3))}
    card = head_card("tiny_det", {"base": 3.5}, fitted=fitted)
    assert card.to_json()["args"] == {"base": 3.5, "other": [1, [2, 3]]}
    assert head_card("tiny_det", {}, fitted=fitted).args["base"] == 9.5
    assert head_card("tiny_det", {}).args == {}
    assert fitted == {"base": 9.5, "other": (1, (2, 3))}


def test_an_unknown_head_is_refused_by_its_name() -> None:
    with pytest.raises(ResnetctlError, match="tiny_sge"):
        head_card("tiny_sge", {})


def test_parts_of_a_dilated_backbone_with_few_stages_are_whole() -> None:
    trunk = Backbone(build(preact_resnet20, classes=2, image=IMAGE), ("stem", "layer2"), output_stride=1)
    net = with_head(trunk, head_card("tiny_seg", {}), classes=3, image=IMAGE)
    found = parts(net)
    assert list(found) == ["stem", "layer1", "layer2", "head"]
    listed = {id(item) for modules in found.values() for module in modules for item in module.parameters()}
    assert listed == {id(item) for item in net.parameters()}


@pytest.mark.parametrize("part", ["backbone", "layer1"])
def test_frozen_parts_get_no_gradient_and_the_head_does(part: str) -> None:
    net = build_net(preact_resnet20, head_card("tiny_seg", {}), classes=3, image=IMAGE)
    freeze(parts(net), part)
    masks = Masks(masks=torch.zeros(1, 32, 32, dtype=torch.uint8))
    net.loss(torch.randn(1, 3, 32, 32), masks)["pixels"].backward()  # type: ignore[operator]
    moved = {name for name, item in net.named_parameters() if item.grad is not None}
    assert {"mix.weight", "out.weight"} <= moved
    frozen = "backbone." if part == "backbone" else "backbone.layer1."
    assert not [name for name in moved if name.startswith(frozen)]
    assert ("backbone.layer2.0.conv1.weight" in moved) == (part == "layer1")
