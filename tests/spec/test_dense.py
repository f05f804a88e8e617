"""The types of heads and tasks: what counts as a network and as a task, and how agreement is counted."""

import subprocess
import sys

import pytest
import torch
from torch import Tensor, nn

from resnetctl.spec import Agreement, Net, Task


class Constant(nn.Module):
    """A network that answers class 0 everywhere."""

    def loss(self, images: Tensor, truth: object) -> dict[str, Tensor]:
        return {"zero": images.sum() * 0}

    def decode(self, raw: Tensor) -> tuple[Tensor, ...]:
        return (raw.argmax(1),)

    def forward(self, images: Tensor) -> Tensor:
        return torch.zeros_like(images)


def test_a_module_with_loss_forward_and_decode_is_a_network_and_others_are_not() -> None:
    assert isinstance(Constant(), Net)
    assert not isinstance(nn.Linear(1, 1), Net)


def test_a_task_needs_every_member() -> None:
    assert not isinstance(object(), Task)


def test_agreement_of_nothing_is_complete() -> None:
    assert Agreement(same=0, total=0).share == 1
    assert Agreement(same=3, total=4).share == 0.75


class Counting:
    """A task with every member but those of `without`."""

    name, summary, truth, outputs, primary = "count", "how many", "labels", (), "error"

    def meter(self, classes: object) -> None: ...

    def agree(self, a: object, b: object) -> None: ...


@pytest.mark.parametrize("member", ["name", "summary", "truth", "outputs", "primary", "meter", "agree"])
def test_a_task_that_lacks_a_member_is_none(member: str) -> None:
    assert isinstance(Counting(), Task)
    members = {name: value for name, value in vars(Counting).items() if name != member and not name.startswith("__")}
    assert not isinstance(type("Less", (), members)(), Task)


@pytest.mark.parametrize("member", ["loss", "decode", "forward"])
def test_a_network_that_lacks_a_member_is_none(member: str) -> None:
    members = {name: getattr(Constant, name) for name in ("loss", "decode", "forward") if name != member}
    assert not isinstance(type("Less", (), members)(), Net)


def test_the_types_are_imported_without_torch() -> None:
    code = "import sys, resnetctl.spec.dense, resnetctl.spec.truth; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
