"""Flags and `--set` as layers."""

from typing import Any

import pytest

from resnetctl.cli.parser.flag_layers import from_flags, from_sets
from resnetctl.config.layers import Layer
from resnetctl.errors import UsageError


def test_a_flag_is_the_origin_of_its_key() -> None:
    assert from_flags({"seed": 1}, {"seed": "--seed"}) == Layer({"seed": 1}, {"seed": "flag --seed"})


@pytest.mark.parametrize(
    ("pair", "key", "value"),
    [
        ("seed=3", "seed", 3),
        ("optim.nesterov=false", "optim.nesterov", False),
        ("schedule.milestones=[0.3, 0.6]", "schedule.milestones", [0.3, 0.6]),
        ("data=./a=b", "data", "./a=b"),
        ('data="3"', "data", "3"),
        ("model.block_args.shortcut=B", "model.block_args.shortcut", "B"),
        ("optim={name='adam'}", "optim.name", "adam"),
        ("warmup=15%", "warmup", "15%"),
        ("data=", "data", ""),
        (" lr = 0.5", "lr", 0.5),
        ("lr=.5", "lr", 0.5),
        ("lr=5.", "lr", 5.0),
        ("lr=-.5e-1", "lr", -0.05),
        ("lr=.", "lr", "."),
    ],
)
def test_set_reads_toml_values_else_strings(pair: str, key: str, value: Any) -> None:
    assert from_sets([pair]) == Layer({key: value}, {key: "--set"})


@pytest.mark.parametrize("pair", ["lr", "=3", " =3", ""])
def test_set_without_a_key_or_a_value_is_refused(pair: str) -> None:
    with pytest.raises(UsageError, match="KEY=VALUE"):
        from_sets([pair])


def test_the_later_set_wins() -> None:
    assert from_sets(["lr=1", "lr=2"]).values == {"lr": 2}
