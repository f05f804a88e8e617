"""The stages are numbered by attempt, and the training is that of the order."""

from dataclasses import replace
from pathlib import Path

import pytest
from support.compressed import DEEP
from support.trained import card

from resnetctl.data.cards import read_card
from resnetctl.spec import ValSplit
from resnetctl.system import settings
from resnetctl.tasks.compress.order import Order
from resnetctl.tasks.compress.steps import EPOCHS, STUDENT_STAGES, Stages, stages_of, training

CARD = card(arch=DEEP, trained_on={"name": "zoo", "digest": "d"}, split=ValSplit(val_fraction=0.3, seed=7))


def drafted(order: Order, stages: Stages | None = None, **more: object) -> object:
    stages = replace(stages or stages_of(0), folder=Path("s"))
    return training(order, CARD, settings=settings.load(), stages=stages, **more)  # type: ignore[arg-type]


def test_stages_are_numbered() -> None:
    assert [stages_of(0), stages_of(1)] == [Stages("1-cut", "2-finetune"), Stages("3-cut", "4-finetune")]


def test_a_cut_network_has_a_high_rate_and_half_a_teacher_unless_something_else_is_asked_for() -> None:
    def chosen(**changes: object) -> tuple[float, float, str]:
        order = Order(target="/w", data="zoo", finetune="1epoch", set=changes)  # type: ignore[arg-type]
        config = drafted(order).settled(read_card(settings.load().data_dir, "zoo"), CARD).config  # type: ignore[attr-defined]
        return config.lr, config.distill.weight, config.optim.name

    assert chosen() == (4e-3, 0.5, "adamw")
    assert chosen(lr=0.5, distill={"weight": 0.7}) == (0.5, 0.7, "adamw")
    assert chosen(optim={"name": "sgd"}) == (0.02, 0.5, "sgd")


@pytest.mark.parametrize(("sha256", "rate"), [("abc", 1e-3), ("", 4e-3)])
def test_a_student_that_was_trained_keeps_the_rate_of_finetune(sha256: str, rate: float) -> None:
    order = Order(target="/w", data="zoo", finetune="1epoch", student="s", student_sha256=sha256)
    config = drafted(order, STUDENT_STAGES).settled(read_card(settings.load().data_dir, "zoo"), CARD).config  # type: ignore[attr-defined]
    assert config.lr == rate


def test_the_whole_network_teaches_on_the_val_split_that_it_had() -> None:
    config = drafted(Order(target="/w", data="zoo", finetune="7epochs")).config  # type: ignore[attr-defined]
    assert (config.epochs, config.distill.teacher, config.weights) == (7, "/w", "s/1-cut")
    assert (config.val_fraction, config.split_seed) == (0.3, 7)
    other = drafted(Order(target="/w", data="other", finetune="7epochs")).config  # type: ignore[attr-defined]
    assert (other.val_fraction, other.split_seed) == (0.1, 0)


def test_set_changes_the_training_but_not_its_start() -> None:
    order = Order(target="/w", data="zoo", finetune="7epochs", set={"distill.teacher": "t", "lr": 0.5, "epochs": 3})
    config = drafted(order).config  # type: ignore[attr-defined]
    assert (config.distill.teacher, config.lr, config.epochs) == ("t", 0.5, 7)


@pytest.mark.parametrize(
    ("order", "budget", "epochs", "seconds"),
    [
        (Order(data="zoo", max_drop=1.0), 0.0, EPOCHS, 0.0),
        (Order(data="zoo", budget="10min"), 400.0, EPOCHS, 400.0),
        (Order(data="zoo", finetune="90s", budget="10min"), 400.0, EPOCHS, 90.0),
    ],
)
def test_a_goal_trains_for_some_epochs_or_fills_what_is_left_of_its_budget(
    order: Order, budget: float, epochs: int, seconds: float
) -> None:
    draft = drafted(order, budget=budget)
    assert (draft.config.epochs, draft.request.budget) == (epochs, seconds)  # type: ignore[attr-defined]
