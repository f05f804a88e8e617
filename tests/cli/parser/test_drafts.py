"""Precedence: flag > --set > --config > ./resnetctl.toml > recipe > default."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from resnetctl.cli.parser.command import Parsed
from resnetctl.cli.parser.drafts import layers
from resnetctl.cli.parser.option_models import LayerOptions
from resnetctl.config.layers import merge
from resnetctl.errors import ConfigError, UsageError

Cli = Callable[..., Any]


def test_a_stronger_layer_wins(machine: Path) -> None:
    (machine / "resnetctl.toml").write_text("lr = 0.2\nseed = 2\nepochs = 2\ngrad_clip = 2\n")
    (machine / "my.toml").write_text("\nseed = 3\nepochs = 3\ngrad_clip = 3\n")
    options = LayerOptions(recipe="fast", config_file=machine / "my.toml", sets=["epochs=4", "grad_clip=4"])
    merged = merge(layers(Parsed(options=options, values={"grad_clip": 5.0}, names={"grad_clip": "--grad-clip"})))
    assert {key: merged.values[key] for key in ("batch_size", "lr", "seed", "epochs", "grad_clip")} == {
        "batch_size": 128,
        "lr": 0.2,
        "seed": 3,
        "epochs": 4,
        "grad_clip": 5.0,
    }
    assert merged.origins["batch_size"] == "recipe fast"
    assert merged.origins["lr"] == "resnetctl.toml:1"
    assert merged.origins["seed"] == f"{machine / 'my.toml'}:2"
    assert merged.origins["epochs"] == "--set"
    assert merged.origins["grad_clip"] == "flag --grad-clip"


def test_without_layers_there_are_no_values() -> None:
    assert merge(layers(Parsed(options=LayerOptions()))).values == {}


def test_config_show_reports_the_origin_of_each_value(cli: Cli, machine: Path) -> None:
    (machine / "resnetctl.toml").write_text("lr = 0.2\nseed = 2\n")
    result = cli("config", "show", "--data", "digits", "--recipe", "fast", "--set", "seed=9", "--json")
    rows = {row["key"]: (row["value"], row["origin"]) for row in result.json()["config"]}
    assert rows["data"] == ("digits", "flag --data")
    assert rows["lr"] == (0.2, "resnetctl.toml:1")
    assert rows["seed"] == (9, "--set")
    assert rows["schedule.name"] == ("linear", "recipe fast")
    assert rows["keep"] == ("best", "default")


@pytest.mark.parametrize(
    ("line", "code", "first", "hint"),
    [
        (["--recipe", "fats"], 2, "error: no recipe is called 'fats'", "did you mean 'fast'?"),
        (["--config", "nowhere.toml"], 2, "error: cannot read the config: No such file or directory", ""),
        (["--set", "seed"], 2, "error: 'seed' is not KEY=VALUE", "--set optim.nesterov=false"),
        (["--arch", "resnt20"], 2, "error: no arch is called 'resnt20'", "did you mean 'resnet20'?"),
        (["--set", "epoch=3"], 2, "error: the config has unknown keys", "did you mean 'epochs'?"),
    ],
)
@pytest.mark.parametrize("verb", [["train"], ["config", "show"]], ids=["train", "config show"])
def test_a_mistake_in_a_layer_is_reported_with_a_hint(
    cli: Cli, verb: list[str], line: list[str], code: int, first: str, hint: str
) -> None:
    result = cli(*verb, "--data", "digits", *line)
    assert result.code == code
    assert result.err.splitlines()[0] == first
    assert hint in result.err
    assert result.out == ""


def test_a_broken_file_or_recipe_is_an_error(machine: Path) -> None:
    (machine / "resnetctl.toml").write_text("lr = \n")
    with pytest.raises(ConfigError, match="not TOML"):
        layers(Parsed(options=LayerOptions()))
    with pytest.raises(UsageError, match="no recipe"):
        layers(Parsed(options=LayerOptions(recipe="x")))
