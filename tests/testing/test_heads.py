"""Good heads break no rule; each broken one breaks the rule of its case."""

from collections.abc import Iterator
from importlib import resources
from string import Template
from typing import Any

import pytest
import torch
from support import heads as tiny
from torch import Tensor, nn

from resnetctl import registry
from resnetctl.spec import Boxes, ImageSpec, Masks
from resnetctl.testing import heads
from resnetctl.testing.findings import Broken, judge_all


class NoDefault(tiny.TinySeg):
    def build(self, backbone: Any, *, classes: int, image: ImageSpec, width: int) -> nn.Module:  # type: ignore[override]
        return super().build(backbone, classes=classes, image=image, width=width)


class UnknownTask(tiny.TinySeg):
    task = "dance"


class Unread(tiny.TinyTags):
    """It asks for numbers that its `build` does not take."""

    reads_vector = True


class FourStages(tiny.TinySeg):
    """It knows one kind of arch only."""

    def build(self, backbone: Any, *, classes: int, image: ImageSpec) -> nn.Module:  # type: ignore[override]
        assert backbone.reductions["layer1"] == 4, "made for photos"
        return super().build(backbone, classes=classes, image=image)


class Nan(tiny.TinySeg):
    """Its loss is NaN where no pixel is known."""

    def build(self, backbone: Any, *, classes: int, image: ImageSpec) -> nn.Module:  # type: ignore[override]
        return tiny.SegNet(backbone, classes, image.size, 8)


class Unfixed(tiny.TinySeg):
    """The shape of its answer depends on the values."""

    def build(self, backbone: Any, *, classes: int, image: ImageSpec) -> nn.Module:  # type: ignore[override]
        class Net(Safe):
            def decode(self, raw: Tensor) -> tuple[Tensor, ...]:
                return (raw.argmax(1)[:, : 2 + len(raw)],)

        return Net(backbone, classes, image.size, 8)


class Shared(tiny.TinySeg):
    """An answer depends on the other images."""

    def build(self, backbone: Any, *, classes: int, image: ImageSpec) -> nn.Module:  # type: ignore[override]
        class Net(Safe):
            def decode(self, raw: Tensor) -> tuple[Tensor, ...]:
                return ((raw - raw.mean(0, keepdim=True)).argmax(1),)

        return Net(backbone, classes, image.size, 8)


class Safe(tiny.SegNet):
    """As the tiny network, with a loss of 0 where nothing is known."""

    def loss(self, images: Tensor, truth: Any) -> dict[str, Tensor]:
        losses = super().loss(images, truth)
        return losses if bool((truth.masks != 255).any()) else {"pixels": self(images).sum() * 0}


class Good(tiny.TinySeg):
    def build(self, backbone: Any, *, classes: int, image: ImageSpec, width: int = 8) -> nn.Module:
        return Safe(backbone, classes, image.size, width)


def with_net(**members: Any) -> Any:
    """A head whose network has other members than a good one."""

    class Head(tiny.TinySeg):
        def build(self, backbone: Any, *, classes: int, image: ImageSpec) -> nn.Module:  # type: ignore[override]
            return type("Net", (Safe,), members)(backbone, classes, image.size, 8)

    return Head()


def unused(net: Any, images: Tensor, truth: Any) -> dict[str, Tensor]:
    """A loss that leaves out the last layer."""
    return {"trunk": net.mix(net.backbone(images)[net.last]).square().mean()}


class Keywords(tiny.TinySeg):
    def build(self, *, backbone: Any, classes: int, image: ImageSpec) -> nn.Module:  # type: ignore[override]
        return super().build(backbone, classes=classes, image=image)


class NoImage(tiny.TinySeg):
    def build(self, backbone: Any, *, classes: int) -> nn.Module:  # type: ignore[override]
        return super().build(backbone, classes=classes, image=heads.IMAGE)


class Silent(tiny.TinySeg):
    summary = " "


@pytest.mark.parametrize(
    ("head", "rule", "words"),
    [
        (Good, "signature", "it is a class, not an instance"),
        (Silent(), "signature", "name or summary is empty"),
        (UnknownTask(), "signature", "no task is called 'dance'"),
        (Unread(), "signature", "it does not take classes and image and vector"),
        (Keywords(), "signature", "it takes no backbone by position"),
        (NoImage(), "signature", "it does not take classes and image"),
        (NoDefault(), "signature", "with a default of numbers, text or switches: "),
        (with_net(loss=lambda *_: {}), "learns", "loss returns no mapping of losses"),
        (with_net(loss=lambda net, images, _: net(images).sum()), "learns", "loss returns no mapping of losses"),
        (with_net(loss=lambda net, images, _: {"a": net(images)}), "learns", "these losses are no single numbers: a"),
        (with_net(loss=lambda *_: {"a": 0.5}), "learns", "these losses are no single numbers: a"),
        (with_net(loss=lambda net, images, _: {"a": net(images).sum() / 0}), "learns", "the loss is "),
        (with_net(loss=unused), "learns", "2 parameters have no gradient, such as ['out.weight']"),
        (Nan(), "learns", "the loss of images without an object is nan"),
        (with_net(decode=lambda _, raw: raw.argmax(1)), "answers", "it gives Tensor"),
        (with_net(decode=lambda _, raw: (raw.argmax(1), raw)), "answers", "it gives tuple"),
        (with_net(decode=lambda _, raw: (raw.argmax(1)[:1],)), "answers", "for one image and (1, 96, 96) for three"),
        (with_net(decode=lambda _, raw: (raw.argmax(1).flatten(1),)), "answers", "'classes' is (1, 9216) for one"),
    ],
)
def test_each_rule_says_what_it_observed(head: Any, rule: str, words: str) -> None:
    with registry.overlay("head", tiny_seg=head), pytest.raises(Broken) as caught:
        heads.RULES[rule].judge(head)
    assert words in str(caught.value)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        yield


def failed(head: Any) -> list[str]:
    with registry.overlay("head", **{head.name: head if not isinstance(head, type) else head()}):
        return [one.rule for one in judge_all("h", heads.RULES, target=head) if not one.ok]


@pytest.mark.parametrize("head", [Good(), tiny.TinyDet()], ids=["segment", "detect"])
def test_good_heads_follow_every_rule(head: Any) -> None:
    assert failed(head) == []


def test_the_template_of_plugins_new_follows_every_rule() -> None:
    text = resources.files("resnetctl").joinpath("templates/head.py.txt").read_text(encoding="utf-8")
    scope: dict[str, Any] = {"__name__": "scaffold"}
    exec(Template(text).substitute(name="mine", object="mine"), scope)
    assert failed(scope["mine"]) == []


@pytest.mark.parametrize(
    ("head", "rule"),
    [
        (Good, "signature"),
        (NoDefault(), "signature"),
        (UnknownTask(), "signature"),
        (FourStages(), "builds"),
        (Nan(), "learns"),
        (Unfixed(), "answers"),
        (Shared(), "alone"),
    ],
)
def test_a_broken_head_breaks_its_rule(head: Any, rule: str) -> None:
    assert rule in failed(head)


@pytest.mark.parametrize("kind", ["boxes", "masks"])
def test_the_truth_of_the_rules_has_an_image_without_an_object(kind: str) -> None:
    truth = heads.truth_of(kind)
    if isinstance(truth, Boxes):
        assert truth.counts.tolist() == [2, 0]
        assert float(truth.boxes.max()) < heads.SIDE
    else:
        assert isinstance(truth, Masks)
        assert set(truth.masks.unique().tolist()) == {0, 1, 255}


def test_the_networks_of_the_rules_have_the_same_weights_every_time() -> None:
    with registry.overlay("head", tiny_det=tiny.TinyDet()):
        one, two = (heads.net_of(tiny.TinyDet()).state_dict() for _ in range(2))
    assert all(torch.equal(value, two[name]) for name, value in one.items())
