"""Commands are plain data."""

from dataclasses import replace

from resnetctl.cli.parser.command import Command, Group, is_argument, is_repeated, is_switch
from resnetctl.cli.parser.option_models import EvalOptions, PredictOptions
from resnetctl.config.schema import TrainConfig

COMMAND = Command(name="x", summary="X", run=lambda parsed: None, options=PredictOptions, config=TrainConfig)


def test_flags_come_from_config_options_and_help() -> None:
    names = [flag.flag for flag in COMMAND.all_flags()]
    assert {"--epochs", "--top", "--json", "--debug", "--help", "--help-all"} <= set(names)
    assert names[: len(COMMAND.config_flags())] == [flag.flag for flag in COMMAND.config_flags()]


def test_without_a_config_there_are_no_config_flags() -> None:
    assert Command(name="x", summary="X", run=print, options=EvalOptions).config_flags() == []


def test_keys_limit_the_config_flags() -> None:
    some = Command(name="x", summary="X", run=print, config=TrainConfig, keys=("seed", "model.arch"))
    assert [flag.flag for flag in some.config_flags()] == ["--arch", "--seed"]


def test_the_recipe_of_a_command_brings_its_defaults() -> None:
    named = {flag.key: flag for flag in replace(COMMAND, recipe="finetune").config_flags()}
    assert (named["optim.name"].default, named["schedule.name"].default) == ("adamw", "cosine")
    assert [bool(named[key].follows) for key in ("model.arch", "batch_size", "epochs")] == [True, True, False]
    named = {flag.key: flag for flag in COMMAND.config_flags()}
    assert (named["optim.name"].default, named["model.arch"].default) == ("sgd", "resnet20")
    assert [bool(named[key].follows) for key in ("model.arch", "batch_size", "epochs")] == [False, True, True]


def test_arguments_keep_their_order() -> None:
    assert [flag.metavar for flag in COMMAND.arguments()] == ["TARGET", "IMAGE..."]


def test_arguments_repeated_flags_and_switches_are_told_apart() -> None:
    named = {flag.key: flag for flag in COMMAND.all_flags()}
    assert is_argument(named["images"])
    assert is_repeated(named["images"])
    assert is_switch(named["as_json"])
    assert [check(named["top"]) for check in (is_argument, is_repeated, is_switch)] == [False] * 3


def test_a_group_loads_its_members() -> None:
    group = Group(name="g", summary="G", members={"x": COMMAND})
    assert group.load("x") is COMMAND
    assert group.load("y") is None
