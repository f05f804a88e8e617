"""`train` and `train --resume` pass their options to replaced tasks."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from resnetctl.config.draft import Draft
from resnetctl.config.schema import TrainConfig
from resnetctl.errors import Stopped
from resnetctl.facts import Finished, Notice
from resnetctl.tasks import resume as resuming
from resnetctl.tasks import train as task
from resnetctl.training.timing.lr_search import LrPoint, LrReport

Cli = Callable[..., Any]


@pytest.fixture
def received(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return what the replaced tasks received."""
    received: dict[str, Any] = {}

    def train(draft: Draft[TrainConfig], settings: object, **_: object) -> Iterator[Any]:
        received["draft"] = draft
        yield Notice(text="trained")
        yield Finished(run=Path("runs/a"), summary={"kept": "best", "best": None, "epochs": 0, "seconds": 1.0})

    def resume(target: str, **options: Any) -> Iterator[Any]:
        received.update(options, target=target)
        yield Notice(text="resumed")

    monkeypatch.setattr(task, "train", train)
    monkeypatch.setattr(resuming, "resume", resume)
    return received


def test_flags_reach_the_task_as_layers(cli: Cli, received: dict[str, Any]) -> None:
    line = "train --data digits --recipe fast --set seed=4 -e 3 --name n --out elsewhere --dry-run"
    result = cli(*line.split())
    assert result.code == 0
    request, layer = received["draft"].request, received["draft"].asked
    assert (request.name, request.out, request.dry_run) == ("n", Path("elsewhere"), True)
    assert (layer.values["data"], layer.values["seed"], layer.values["epochs"]) == ("digits", 4, 3)
    assert layer.origins["epochs"] == "flag --epochs"


def test_budget_and_tune_reach_the_task(cli: Cli, received: dict[str, Any]) -> None:
    assert cli("train", "--data", "digits", "--budget", "1h30min", "--tune").code == 0
    assert (received["draft"].request.budget, received["draft"].request.tune) == (5400.0, True)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--budget soon", "--budget should be a time such as 90s, 10min, 2h or 1h30min, not 'soon'"),
        ("--budget 10min -e 3", "budget chooses the length of the run, and flag --epochs fixes it"),
        (
            "--budget 10min --steps 3",
            "budget chooses the length of the run, and flag --steps fixes it: give one of them",
        ),
        ("--tune --threads 2", "tune chooses the threads, and flag --threads fixes it: give one of them"),
    ],
)
def test_a_wrong_budget_or_tune_is_a_usage_error(cli: Cli, received: dict[str, Any], line: str, message: str) -> None:
    result = cli("train", "--data", "digits", *line.split())
    assert result.code == 2
    assert message in " ".join(result.err.split())
    assert received == {}


def test_only_the_summary_goes_to_stdout(cli: Cli, received: dict[str, Any]) -> None:
    result = cli("train", "--data", "digits")
    assert result.err == "trained\n"
    assert result.out.startswith("\nDone in 1.0 s\n")


def test_resume_takes_three_flags(cli: Cli, received: dict[str, Any]) -> None:
    assert cli("train", "--resume", "last", "--epochs", "9", "--exact", "--device", "cpu").code == 0
    assert {key: received[key] for key in ("target", "epochs", "exact", "device")} == {
        "target": "last",
        "epochs": 9,
        "exact": True,
        "device": "cpu",
    }


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("--lr 0.1", "--lr"),
        ("--data digits --seed 1", "--data, --seed"),
        ("--recipe fast", "--recipe"),
        ("--set lr=1", "--set"),
        ("--name x", "--name"),
        ("--dry-run", "--dry-run"),
        ("--budget 10min", "--budget"),
        ("--tune", "--tune"),
        ("--arch resnet20 --out x", "--arch, --out"),
    ],
)
def test_resume_refuses_all_other_flags(cli: Cli, received: dict[str, Any], line: str, named: str) -> None:
    result = cli("train", "--resume", "last", *line.split())
    assert result.code == 2
    assert " ".join(result.err.split()).startswith(f"error: a resumed run keeps its own config: remove {named}")
    assert received == {}


def test_exact_is_written_into_the_config_of_a_new_run(cli: Cli, received: dict[str, Any]) -> None:
    assert cli("train", "--data", "digits", "--exact").code == 0
    assert received["draft"].config.exact


@pytest.mark.parametrize(("signum", "code"), [(2, 130), (15, 143)])
def test_a_stopped_run_offers_a_resume(cli: Cli, monkeypatch: pytest.MonkeyPatch, signum: int, code: int) -> None:
    def train(request: object, settings: object, **_: object) -> Iterator[Any]:
        yield Notice(text="begun")
        raise Stopped("stopped after step 3 of 9", signum=signum, hint="resnetctl train --resume runs/a")

    monkeypatch.setattr(task, "train", train)
    result = cli("train", "--data", "digits")
    assert result.code == code
    assert result.err.splitlines()[1:] == [
        "stopped: stopped after step 3 of 9",
        "  try    resnetctl train --resume runs/a",
    ]


@pytest.fixture
def curve(monkeypatch: pytest.MonkeyPatch) -> LrReport:
    """Replace the search for a learning rate; return its report."""
    points = tuple(LrPoint(lr=10.0**power, loss=2.0 + power / 10, smooth=2.0) for power in (-2, -1, 0))
    report = LrReport(proposal=0.03, lowest=0.1, stopped="", batch_size=64, optimizer="sgd", points=points)

    def find_lr(draft: Draft[TrainConfig], settings: object) -> Iterator[Any]:
        yield Notice(text=f"searching for {draft.config.optim.name}")
        return report

    monkeypatch.setattr(task, "find_lr", find_lr)
    return report


def test_find_lr_prints_the_curve_and_a_proposal(cli: Cli, curve: LrReport, tmp_path: Path) -> None:
    result = cli("train", "--data", "digits", "--find-lr", "--plot", str(tmp_path / "lr.svg"))
    assert result.code == 0
    assert result.out.splitlines()[0].split("\t") == ["lr", "loss", "smooth"]
    assert "proposal: --lr 0.03, for sgd and batches of 64" in result.out
    assert (tmp_path / "lr.svg").read_bytes() == curve.plot()["find-lr.svg"]
    assert cli("train", "--data", "digits", "--find-lr", "--json").json() == json.loads(json.dumps(curve.to_json()))


def test_find_lr_says_when_the_loss_never_falls(cli: Cli, curve: LrReport, monkeypatch: pytest.MonkeyPatch) -> None:
    object.__setattr__(curve, "proposal", None)
    object.__setattr__(curve, "stopped", "the loss exploded")
    out = cli("train", "--data", "digits", "--find-lr").out
    assert "no proposal: the loss hardly falls at any learning rate" in out
    assert "(the loss exploded at 1)" in out


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--find-lr --name n --budget 10min", "--find-lr writes no run: remove --name, --budget"),
        ("--find-lr --seeds 3", "--find-lr writes no run: remove --seeds"),
        ("--find-lr --track mlflow", "--find-lr writes no run: remove --track"),
        ("--find-lr --resume last", "--find-lr looks before a run begins"),
        ("--plot lr.svg", "--plot needs --find-lr"),
    ],
)
def test_find_lr_refuses_what_belongs_to_a_run(cli: Cli, line: str, message: str) -> None:
    result = cli("train", *line.split())
    assert result.code == 2
    assert message in result.err
