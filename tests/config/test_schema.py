"""Config models: every default is valid, no value may be None, wrong values are refused with a reason."""

from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from resnetctl.config.options import fields, flags
from resnetctl.config.schema import BenchConfig, FinetuneConfig, TrainConfig


def problems(values: dict[str, Any], model: type[BaseModel] = TrainConfig) -> list[str]:
    with pytest.raises(ValidationError) as caught:
        model.model_validate(values)
    return [str(item["msg"]) for item in caught.value.errors()]


@pytest.mark.parametrize("model", [TrainConfig, FinetuneConfig])
def test_defaults_are_valid_and_complete(model: type[BaseModel]) -> None:
    config = model()
    assert model.model_validate(config.model_dump()) == config
    assert model.model_validate_json(config.model_dump_json()) == config
    assert all(field.default is not None for _, field in fields(model))


def test_a_config_is_frozen() -> None:
    config = TrainConfig()
    with pytest.raises(ValidationError, match="frozen"):
        config.lr = 1.0
    with pytest.raises(ValidationError, match="frozen"):
        config.optim.momentum = 0.0


@pytest.mark.parametrize(
    "values",
    [
        {"lr": 0},
        {"lr": float("inf")},
        {"lr": float("nan")},
        {"lr": "fast"},
        {"epochs": -1},
        {"epochs": 1.5},
        {"batch_size": 0},
        {"val_fraction": 1},
        {"val_fraction": -0.1},
        {"label_smoothing": 1.0},
        {"ema_decay": 1.0},
        {"seed": -1},
        {"precision": "fp8"},
        {"keep": "first"},
        {"optim": {"momentum": 1}},
        {"schedule": {"final_lr": 1.1}},
        {"progressive": {"initial_scale": 0.0}},
        {"progressive": {"delay_fraction": 0.6, "finetune_fraction": 0.5}},
        {"model": {"stem": "big"}},
        {"model": {"drop_path": 1.0}},
        {"model": {"block_args": {"deep": {"er": 1}}}},
        {"nonsense": 1},
        {"optim": {"nonsense": 1}},
    ],
    ids=str,
)
def test_wrong_values_are_refused(values: dict[str, Any]) -> None:
    assert problems(values)


@pytest.mark.parametrize(
    ("value", "kept"), [(5, 5.0), (0, 0.0), ("5", 5.0), ("2.5", 2.5), ("15%", "15%"), ("0%", "0%"), ("100%", "100%")]
)
def test_warmup_is_epochs_or_a_share(value: Any, kept: Any) -> None:
    assert TrainConfig(warmup=value).warmup == kept


@pytest.mark.parametrize("value", ["soon", "%", "-1", -1, "-5%", "101%", "nan", "inf", "nan%", "1 5%", ""])
def test_a_wrong_warmup_is_refused(value: Any) -> None:
    assert problems({"warmup": value})


@pytest.mark.parametrize("milestones", [[], [0.5], [0.25, 0.5, 0.75]])
def test_rising_milestones_are_accepted(milestones: list[float]) -> None:
    assert TrainConfig.model_validate({"schedule": {"milestones": milestones}}).schedule.milestones == tuple(milestones)


@pytest.mark.parametrize("milestones", [[0.5, 0.5], [0.7, 0.5], [0.0], [1.0], [32000, 48000]])
def test_milestones_that_do_not_rise_are_refused(milestones: list[float]) -> None:
    assert "rising shares of the run" in problems({"schedule": {"milestones": milestones}})[0]


@pytest.mark.parametrize(("epochs", "steps"), [(1, 0), (0, 1)])
def test_a_run_has_epochs_or_steps(epochs: int, steps: int) -> None:
    assert TrainConfig(epochs=epochs, steps=steps).steps == steps


@pytest.mark.parametrize(
    ("epochs", "steps", "message"), [(0, 0, "epochs: 0 train nothing"), (3, 7, "got epochs=3, steps=7")]
)
def test_both_or_neither_of_epochs_and_steps_is_refused(epochs: int, steps: int, message: str) -> None:
    assert message in problems({"epochs": epochs, "steps": steps})[0]


def test_block_arguments_keep_their_types() -> None:
    args = {"shortcut": "B", "groups": 4, "ratio": 0.5, "squeeze": True}
    config = TrainConfig.model_validate({"model": {"block_args": args}})
    assert config.model.block_args == args
    assert [type(value) for value in config.model.block_args.values()] == [str, int, float, bool]


def test_finetune_adds_weights_and_freeze_to_the_keys_of_train() -> None:
    added = {key for key, _ in fields(FinetuneConfig)} - {key for key, _ in fields(TrainConfig)}
    assert added == {"weights", "weights_sha256", "freeze", "thaw_epoch"}


def test_bench_has_the_config_of_train_with_the_embedded_digits() -> None:
    bench, train = (flags(model) for model in (BenchConfig, TrainConfig))
    assert BenchConfig().model_dump() == TrainConfig().model_dump() | {"data": "digits"}
    described = [[(flag.key, flag.flag, flag.short, flag.help) for flag in options] for options in (bench, train)]
    assert described[0] == described[1]
