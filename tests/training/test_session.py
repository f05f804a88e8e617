"""A session holds the plan of its job, and few calls lie between a verb and the optimizer."""

import traceback
from pathlib import Path

import pytest
from support.datasets import tiny
from support.jobs import job, to_train

from resnetctl.cli.parser.flag_layers import from_sets
from resnetctl.engine import loop
from resnetctl.engine.distributed import Team
from resnetctl.system import settings
from resnetctl.system.ranks import Place
from resnetctl.system.signals import Stop
from resnetctl.tasks.train import train
from resnetctl.training.job import fresh_model, fresh_state
from resnetctl.training.session import Session

PACKAGE = Path(loop.__file__).parents[1]
MOST_HOPS = 9


def test_a_session_plans_what_its_job_describes() -> None:
    settled = job("lr=0.2", "warmup=0")
    session = Session.of(settled, fresh_state(settled, fresh_model(settled)), stop=Stop(), run=None)
    assert (session.plan.steps, session.plan.learning_rate(0), session.run) == (12, 0.2, None)


def test_few_calls_lie_between_train_and_the_optimizer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Count the frames of the package from the task to `set_lr`, inclusive, in the first step of a real run."""
    tiny(settings.load().data_dir)
    stacks: list[list[str]] = []
    original = loop.set_lr

    def set_lr(optimizer: object, lr: float) -> None:
        frames = [frame for frame in traceback.extract_stack() if Path(frame.filename).is_relative_to(PACKAGE)]
        stacks.append([*(frame.name for frame in frames), "set_lr"])
        original(optimizer, lr)  # type: ignore[arg-type]

    monkeypatch.setattr(loop, "set_lr", set_lr)
    list(train(to_train(from_sets(["data=tiny", "steps=1"])), settings.load()))
    (stack,) = stacks
    assert stack == ["train", "launch", "consume", "fit", "take_step", "set_lr"]
    # before the task: the parser, the command and `draft`, as tests/cli/commands/test_train.py shows
    assert len(stack) + 3 <= MOST_HOPS


def test_one_process_stops_for_its_own_signal_and_several_for_one_that_all_know() -> None:
    settled = job()
    state, stop = fresh_state(settled, fresh_model(settled)), Stop()
    alone = Session.of(settled, state, stop=stop, run=None)
    place = Place(rank=1, size=2, local_rank=1, local_size=2, address="", port=0)
    team = Team(place)
    together = Session.of(settled, state, stop=stop, run=None, team=team)
    assert (alone.signum, together.signum) == (0, 0)
    stop.signum = 15
    assert (alone.signum, together.signum) == (15, 0)
    team.heed([0, 1, 0])
    assert together.signum == 15
    assert together.plan.team is team
    assert team.stop is stop
