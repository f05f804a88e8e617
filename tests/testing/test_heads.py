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
from resnetctl.spec import ImageSpec
from resnetctl.testing import heads
from resnetctl.testing.findings import judge_all


class NoDefault(tiny.TinySeg):
    def build(self, backbone: Any, *, classes: int, image: ImageSpec, width: int) -> nn.Module:  # type: ignore[override]
        return super().build(backbone, classes=classes, image=image, width=width)


class UnknownTask(tiny.TinySeg):
    task = "dance"


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
