"""The text of a flag becomes a value, or an error that names the flag."""

from pathlib import Path
from typing import Any

import pytest

from resnetctl.cli.parser.option_models import EvalOptions, LayerOptions, PredictOptions
from resnetctl.cli.parser.store_options import DataAddOptions
from resnetctl.cli.parser.values import choices, coerce, label
from resnetctl.config.options import Flag, flags
from resnetctl.config.schema import TrainConfig
from resnetctl.errors import UsageError


def flag(model: Any, name: str) -> Flag:
    return next(item for item in flags(model) if item.key == name)


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("epochs", "5", 5),
        ("lr", "1e-3", 0.001),
        ("warmup", "15%", "15%"),
        ("data", "digits", "digits"),
        ("keep", "last", "last"),
        ("optim.name", "adamw", "adamw"),
    ],
)
def test_config_flags_have_the_types_of_their_fields(key: str, text: str, value: object) -> None:
    assert coerce(flag(TrainConfig, key), text) == value


def test_paths_and_lists_of_paths_are_converted() -> None:
    assert coerce(flag(LayerOptions, "config_file"), "a/b.toml") == Path("a/b.toml")
    assert coerce(flag(PredictOptions, "images"), ["a.png", "b.png"]) == [Path("a.png"), Path("b.png")]


@pytest.mark.parametrize(
    ("key", "text", "message"),
    [
        ("epochs", "x", "--epochs should be a valid integer, not 'x'"),
        ("epochs", "1.5", "--epochs should be a valid integer, not '1.5'"),
        ("lr", "0", "--lr should be greater than 0, not '0'"),
        ("lr", "nan", "--lr should be a finite number, not 'nan'"),
        ("batch_size", "0", "--batch-size should be greater than or equal to 1, not '0'"),
    ],
)
def test_a_wrong_value_names_the_flag_and_the_value(key: str, text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        coerce(flag(TrainConfig, key), text)
    assert caught.value.message == message


@pytest.mark.parametrize(
    ("model", "key", "text", "hint"),
    [
        (EvalOptions, "min_accuracy", "95%", ("--min-accuracy 0.95",)),
        (EvalOptions, "min_lower", "99.5 %", ("--min-lower 0.995",)),
        (EvalOptions, "min_accuracy", "high%", ()),
        (TrainConfig, "epochs", "95%", ()),
    ],
)
def test_a_percentage_suggests_the_fraction(model: Any, key: str, text: str, hint: tuple[str, ...]) -> None:
    with pytest.raises(UsageError) as caught:
        coerce(flag(model, key), text)
    assert caught.value.hint == hint


def test_a_wrong_choice_suggests_the_right_one() -> None:
    with pytest.raises(UsageError) as caught:
        coerce(flag(TrainConfig, "sampler"), "balancd")
    assert caught.value.message == "--sampler cannot be 'balancd'"
    assert caught.value.hint == ("did you mean 'balanced'?", "one of shuffle, windowed, balanced")


def test_a_wrong_choice_without_a_close_one_lists_all_once() -> None:
    with pytest.raises(UsageError) as caught:
        coerce(flag(EvalOptions, "split"), "x")
    assert caught.value.hint == ("one of test, val, train",)


def test_a_huge_size_is_refused() -> None:
    with pytest.raises(UsageError, match="--size should be less than or equal to 4096, not '100000'"):
        coerce(flag(DataAddOptions, "size"), "100000")


def test_choices_are_read_through_unions() -> None:
    assert choices(flag(DataAddOptions, "fit")) == ["crop", "pad", "squash"]
    assert choices(flag(EvalOptions, "split")) == ["test", "val", "train"]
    assert choices(flag(EvalOptions, "data")) == []


def test_the_label_is_the_flag_or_the_metavar() -> None:
    assert label(flag(EvalOptions, "split")) == "--split"
    assert label(flag(EvalOptions, "target")) == "TARGET"
