"""`config show` prints every key with its value and origin."""

from collections.abc import Callable
from typing import Any

Cli = Callable[..., Any]


def test_the_table_has_key_value_and_origin(cli: Cli) -> None:
    result = cli("config", "show", "--data", "digits", "--seed", "3")
    rows = [line.split("\t") for line in result.out.splitlines()]
    assert (result.code, result.err) == (0, "")
    assert rows[0] == ["key", "value", "from"]
    assert ["seed", "3", "flag --seed"] in rows
    assert ["model.arch", '"resnet20"', "default"] in rows
    assert {len(row) for row in rows} == {3}


def test_json_has_every_key_once(cli: Cli) -> None:
    document = cli("config", "show", "--data", "digits", "--json").json()
    keys = [row["key"] for row in document["config"]]
    assert document["schema"] == "resnetctl.config.show/1"
    assert len(keys) == len(set(keys))
    assert {"data", "lr", "optim.momentum", "schedule.milestones"} <= set(keys)


def test_defaults_follow_the_dataset(cli: Cli) -> None:
    rows = {row["key"]: row["value"] for row in cli("config", "show", "--data", "digits", "--json").json()["config"]}
    assert rows["augment"] == "shift"


def test_finetune_has_keys_of_its_own(cli: Cli) -> None:
    rows = cli("config", "show", "finetune", "--data", "digits", "--freeze", "backbone", "--json").json()["config"]
    origins = {row["key"]: row["origin"] for row in rows}
    assert origins["freeze"] == "flag --freeze"
    assert origins["optim.backbone_lr_scale"] in ("default", "recipe finetune")


def test_a_key_of_finetune_is_unknown_to_train(cli: Cli) -> None:
    result = cli("config", "show", "--data", "digits", "--freeze", "backbone")
    assert result.code == 2
    assert "freeze: unknown key (flag --freeze)" in result.err


def test_a_run_shows_the_config_and_the_origins_that_were_recorded(cli: Cli) -> None:
    cli("train", "--data", "digits", "--steps", "1", "--name", "a", "--device", "cpu")
    rows = {row["key"]: row for row in cli("config", "show", "a", "--json").json()["config"]}
    assert (rows["steps"]["value"], rows["steps"]["origin"]) == (1, "flag --steps")
    assert rows["precision"]["value"] != "auto"
    refused = cli("config", "show", "runs/a", "--lr", "0.2")
    assert (refused.code, "options do not change" in refused.err) == (2, True)


def test_an_unknown_verb_gets_a_suggestion(cli: Cli) -> None:
    result = cli("config", "show", "fintune")
    assert (result.code, result.err.splitlines()[1]) == (2, "  try    did you mean 'finetune'?")


def test_an_argument_of_the_policy_has_the_name_that_set_takes(cli: Cli) -> None:
    lines = cli("config", "show", "--augment", "shift", "--set", "augment.reach=0.1").out.splitlines()
    assert "augment.reach\t0.1\t--set" in lines
    wrong = cli("config", "show", "--set", "augment.reach=[1]").err
    assert "  - augment.reach: " in wrong
    assert "augment_args" not in wrong
