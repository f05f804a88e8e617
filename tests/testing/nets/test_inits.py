"""A sound init breaks no rule; each broken one breaks the rule of its case."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from resnetctl.testing.findings import judge_all
from resnetctl.testing.nets import inits


def standardised(model: Any, images: Tensor) -> None:
    model.conv1.weight.div_(images.std() + 1e-6)
    model.conv1.weight.requires_grad_(False)


def alone(model: Any) -> None: ...


def returns(model: Any, images: Tensor) -> Any:
    return model


def divides(model: Any, images: Tensor) -> None:
    model.conv1.weight.div_(images.mean() - images.mean())


def widens(model: Any, images: Tensor) -> None:
    model.extra = nn.Linear(1, 1)


def freezes_all(model: Any, images: Tensor) -> None:
    model.requires_grad_(False)


def counts(model: Any, images: Tensor, *, seen: list[int] = []) -> None:  # noqa: B006  # a state, on purpose
    seen.append(1)
    model.conv1.weight.mul_(len(seen))


def changes_images(model: Any, images: Tensor) -> None:
    images.zero_()


def freezes_by_image(model: Any, images: Tensor) -> None:
    model.fc.weight.requires_grad_(bool(images.min() < 0))


def refuses(model: Any, images: Tensor) -> None:
    raise ValueError("it wants another network")


def status(init: Callable[..., Any]) -> dict[str, str]:
    return {finding.rule: finding.status for finding in judge_all("init", inits.RULES, target=init)}


def test_a_sound_init_breaks_no_rule() -> None:
    assert set(status(standardised).values()) == {"ok"}
    assert torch.is_grad_enabled()


@pytest.mark.parametrize(
    ("init", "rule"),
    [
        (alone, "signature"),
        (returns, "parameters"),
        (divides, "parameters"),
        (widens, "parameters"),
        (freezes_all, "parameters"),
        (counts, "repeats"),
        (changes_images, "repeats"),
        (freezes_by_image, "frozen"),
    ],
)
def test_each_broken_init_breaks_its_rule(init: Callable[..., Any], rule: str) -> None:
    assert status(init)[rule] == "failed"


def test_an_init_that_refuses_every_network_of_the_kit_is_not_judged() -> None:
    assert status(refuses) == {"signature": "ok", "parameters": "skipped", "repeats": "skipped", "frozen": "skipped"}
