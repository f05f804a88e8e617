"""Fixtures that run the command line inside the test process."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from resnetctl.__main__ import main
from resnetctl.config.schema import TrainConfig
from resnetctl.facts import EpochTimed, Started
from resnetctl.spec import Arch


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str

    def json(self) -> Any:
        import json

        return json.loads(self.out)


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Return a function that runs a command line, `cli("train", "--help")`, at 80 columns without a terminal."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")
    monkeypatch.delenv("NO_COLOR", raising=False)

    def run(*argv: str) -> Result:
        capsys.readouterr()
        code = main(argv)
        captured = capsys.readouterr()
        return Result(code, captured.out, captured.err)

    return run


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretend that both streams are terminals without colours."""
    from resnetctl.cli.screen import streams

    monkeypatch.setattr(streams, "is_terminal", lambda stream: True)
    monkeypatch.setattr(streams, "has_color", lambda stream: False)


@pytest.fixture
def started(tmp_path: Path) -> Callable[..., Started]:
    """Return a function that builds a `Started` with some fields changed."""

    def make(**changes: Any) -> Started:
        values: dict[str, Any] = {
            "run": Path("runs/a"),
            "config": TrainConfig(data="digits", epochs=3, device="cpu", threads=1),
            "origins": {"lr": "recipe fast", "seed": "flag --seed", "epochs": "default"},
            "arch": Arch(name="resnet20", block="basic", depths=(3,), widths=(16,)),
            "block": "",
            "params": 272474,
            "image_size": 8,
            "train_images": 1294,
            "val_images": 143,
            "start_step": 0,
            "best": None,
            "steps": 30,
            "steps_per_epoch": 10,
            "sides": ((0, 8),),
        }
        return Started(**(values | changes))

    return make


@pytest.fixture
def epoch_done() -> Callable[..., EpochTimed]:
    """Return a function that builds an `EpochTimed`."""

    def make(number: int, top1: float | None, *, is_best: bool = False, seconds: float = 3.14) -> EpochTimed:
        val = None if top1 is None else SimpleNamespace(loss=0.5, top1=top1)
        result = SimpleNamespace(
            epoch=number, step=10 * number, first_lr=0.0987, lr=0.05, train_loss=2.0 / number, train_top1=0.5, val=val,
            is_best=is_best,
        )  # fmt: skip
        return EpochTimed(result=cast("Any", result), seconds=seconds, images_per_second=1912.3)

    return make
