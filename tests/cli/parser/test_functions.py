"""A declaration becomes a function that Typer can call."""

from types import SimpleNamespace
from typing import Any

from resnetctl.cli.parser.command import Command, Parsed
from resnetctl.cli.parser.common import Common
from resnetctl.cli.parser.functions import command_function, path_of
from resnetctl.config.schema import TrainConfig


def test_a_command_gets_options_and_config_values_separately() -> None:
    calls: list[Parsed[Any]] = []
    command = Command(name="work", summary="Work.", run=calls.append, options=Common, config=TrainConfig)
    function = command_function(command)
    function(ctx=None, epochs=7, model__arch="resnet56", as_json=True, seed=None)
    (parsed,) = calls
    assert parsed.values == {"epochs": 7, "model.arch": "resnet56"}
    assert parsed.options == Common(as_json=True)
    assert parsed.names["model.arch"] == "--arch"


def test_the_function_carries_its_declaration_and_its_help() -> None:
    command = Command(name="work", summary="Work.", run=print)
    function: Any = command_function(command)
    assert (function.__name__, function.__doc__, function.declared) == ("work", "Work.", command)


def test_a_path_has_the_words_of_the_command_without_arguments() -> None:
    root = SimpleNamespace(info_name="resnetctl", parent=None)
    group = SimpleNamespace(info_name="data", parent=root)
    assert path_of(group) == "resnetctl data"
    assert path_of(group, "add") == "resnetctl data add"
    assert path_of(None, "resnetctl") == "resnetctl"
