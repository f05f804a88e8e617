"""`follow` shows a stream of facts, and prints the result at the end."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from resnetctl import facts
from resnetctl.cli.screen.live import Follower, follow
from resnetctl.facts import Doing, EpochTimed, Finished, Notice, Progress, Started

Make = Callable[..., Started]
Epoch = Callable[..., EpochTimed]


class Loss:
    """A 0-d tensor that counts how often it is read."""

    read = 0

    def __float__(self) -> float:
        Loss.read += 1
        return 1.5


def step(number: int) -> Any:
    return SimpleNamespace(step=number, steps=30, epoch=0, lr=0.1, loss=Loss(), images=128)


@pytest.fixture
def stream(started: Make, epoch_done: Epoch, machine: Path) -> Callable[[], Iterator[Any]]:
    def facts() -> Iterator[Any]:
        yield Doing(text="adding ./photos as photos")
        yield Progress(what="reading photos", done=9, total=9, unit="images")
        yield started()
        for number in range(1, 4):
            yield from (step(10 * (number - 1) + within) for within in range(1, 11))
            if number == 1:
                yield Doing(text="about 10 min for the whole run")
            yield epoch_done(number, 0.5 + number / 10, is_best=True)
        best = {"epoch": 3, "val_top1": 0.8, "train_top1": 0.5}
        summary = {"schema": "resnetctl.train/1", "kept": "best", "best": best, "last": best, "epochs": 3}
        yield Finished(run=machine / "runs" / "a", summary=summary | {"seconds": 9.0, "val_images": 143})

    return facts


def test_every_fact_has_a_place_on_the_screen() -> None:
    every = {item for item in vars(facts).values() if isinstance(item, type) and item.__module__ == facts.__name__}
    yielded = {item for item in every if issubclass(item, facts.TrainFact.__args__)}  # type: ignore[attr-defined]
    assert {Doing, Notice, Started} <= yielded <= Follower("train")._shows.keys()


def test_without_a_terminal_an_epoch_is_one_line(
    stream: Callable[[], Iterator[Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    Loss.read = 0
    follow(stream(), verb="train", as_json=False)
    out, err = capsys.readouterr()
    assert [line.split()[0] for line in err.splitlines() if line] == [
        "adding", "reading", "reading", "resnetctl", "runs/a", "about", "epoch", "─" * 71, "1", "2", "3",
    ]  # fmt: skip
    assert "\x1b" not in err
    assert Loss.read == 0, "reading the loss waits for the device"
    assert out.splitlines()[1] == "Done in 9.0 s   best epoch 3 of 3"


def test_only_the_json_document_goes_to_stdout(
    stream: Callable[[], Iterator[Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    follow(stream(), verb="train", as_json=True)
    document = json.loads(capsys.readouterr().out)
    assert next(iter(document)) == "schema"
    assert document["schema"] == "resnetctl.train/1"
    assert document["run"].endswith("runs/a")
    assert document["best"]["val_top1"] == 0.8


def test_on_a_terminal_the_loss_is_read_only_for_a_redraw(
    terminal: None, stream: Callable[[], Iterator[Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    Loss.read = 0
    follow(stream(), verb="train", as_json=False)
    err = capsys.readouterr().err
    assert 1 <= Loss.read <= 6
    assert "loss 1.500" in err
    assert "Ctrl-C saves and stops" in err
    assert err.rstrip().endswith("*"), "the footer is gone at the end"


def test_the_document_of_a_dry_run_has_its_notices(started: Make, capsys: pytest.CaptureFixture[str]) -> None:
    facts = [started(run=None), Notice(text="one step takes 5 ms"), Notice(text="dry run: nothing was written")]
    follow(facts, verb="train", as_json=True)
    out, err = capsys.readouterr()
    document = json.loads(out)
    assert (document["schema"], document["status"], document["params"]) == ("resnetctl.train/1", "dry run", 272474)
    assert document["notices"] == ["one step takes 5 ms", "dry run: nothing was written"]
    assert "one step takes 5 ms" in err


def test_a_dry_run_prints_no_summary(started: Make, capsys: pytest.CaptureFixture[str]) -> None:
    follow([started(run=None)], verb="train", as_json=False)
    assert capsys.readouterr().out == ""


def test_an_error_leaves_no_footer(terminal: None, started: Make, capsys: pytest.CaptureFixture[str]) -> None:
    def facts() -> Iterator[Any]:
        yield started()
        yield step(1)
        raise RuntimeError

    with pytest.raises(RuntimeError):
        follow(facts(), verb="train", as_json=False)
    assert capsys.readouterr().err.endswith("\x1b[J")


def test_the_eta_is_shown_after_a_few_steps(
    terminal: None, started: Make, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from resnetctl.cli.screen import live

    now = [100.0]
    monkeypatch.setattr(live.time, "monotonic", lambda: now[0])
    follower = Follower("train")
    follower.show(started(start_step=10))
    for number in range(11, 17):
        now[0] += 1.0
        follower.show(step(number))
    assert "16/30" not in capsys.readouterr().err
    assert follower.history is not None
