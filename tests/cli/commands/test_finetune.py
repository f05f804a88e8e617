"""`finetune`, with the task replaced."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from resnetctl.config.draft import Draft
from resnetctl.config.schema import FinetuneConfig

Cli = Callable[..., Any]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    task = pytest.importorskip("resnetctl.tasks.finetune")
    seen: list[Any] = []

    def finetune(draft: Draft[FinetuneConfig], settings: object) -> Iterator[Any]:
        seen.append(draft.asked)
        yield from ()

    monkeypatch.setattr(task, "finetune", finetune)
    return seen


def test_the_target_is_the_key_weights(cli: Cli, asked: list[Any]) -> None:
    assert cli("finetune", "runs/a", "--data", "digits", "--freeze", "backbone").code == 0
    assert asked[0].values.items() >= {"weights": "runs/a", "data": "digits", "freeze": "backbone"}.items()
    assert asked[0].origins["weights"] == "flag RUN|FILE"


def test_weights_by_flag(cli: Cli, asked: list[Any]) -> None:
    assert cli("finetune", "-w", "torchvision:resnet18", "-d", "digits").code == 0
    assert asked[0].values["weights"] == "torchvision:resnet18"


def test_both_are_one_too_many(cli: Cli) -> None:
    result = cli("finetune", "a", "--weights", "b", "--data", "digits")
    assert (result.code, result.err.splitlines()[0]) == (2, "error: give either a or --weights, not both")
