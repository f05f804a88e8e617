"""`finetune` passes its options to a replaced task."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from resnetctl.config.draft import Draft
from resnetctl.config.schema import FinetuneConfig

Cli = Callable[..., Any]


@pytest.fixture
def layers(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    task = pytest.importorskip("resnetctl.tasks.finetune")
    received: list[Any] = []

    def finetune(draft: Draft[FinetuneConfig], settings: object, **_: object) -> Iterator[Any]:
        received.append(draft.asked)
        yield from ()

    monkeypatch.setattr(task, "finetune", finetune)
    return received


def test_the_target_sets_the_key_weights(cli: Cli, layers: list[Any]) -> None:
    assert cli("finetune", "runs/a", "--data", "digits", "--freeze", "backbone").code == 0
    assert layers[0].values.items() >= {"weights": "runs/a", "data": "digits", "freeze": "backbone"}.items()
    assert layers[0].origins["weights"] == "flag RUN|FILE"


def test_the_flag_sets_the_key_weights(cli: Cli, layers: list[Any]) -> None:
    assert cli("finetune", "-w", "torchvision:resnet18", "-d", "digits").code == 0
    assert layers[0].values["weights"] == "torchvision:resnet18"


def test_target_and_weights_together_are_a_usage_error(cli: Cli) -> None:
    result = cli("finetune", "a", "--weights", "b", "--data", "digits")
    assert (result.code, result.err.splitlines()[0]) == (2, "error: give either a or --weights, not both")
