"""A config of a run whose plugin is not installed names the plugin, as the weights of the run do."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import resnetctl as rc
from resnetctl.cli.app import app
from resnetctl.errors import ConfigError, PluginError, UsageError
from resnetctl.runs.group import create_group
from resnetctl.runs.requirements import missing_plugins, naming_plugins


def invoke(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, list(words))
    return done.exit_code, " ".join(done.output.split())


def config_of_run(folder: Path, plugins: Any) -> Path:
    (folder / "env.json").write_text(json.dumps({"plugins": plugins}))
    (folder / "config.toml").write_text('data = "digits"\n[model]\nblock = "nobodys"\n')
    return folder / "config.toml"


def test_an_unknown_name_in_the_config_of_a_run_names_the_missing_plugin(tmp_path: Path) -> None:
    config = config_of_run(tmp_path, {"absent-gated": "0.2.0", "torch": "0.1"})
    with pytest.raises(PluginError) as caught:
        rc.train(config=config, progress=False)
    assert caught.value.exit_code == 4
    assert caught.value.message == (
        "no block is called 'nobodys'; the run of this config used absent-gated==0.2.0, which is not installed"
    )
    assert caught.value.where == str(config)
    (hint,) = caught.value.hint
    assert str(hint).startswith("install absent-gated 0.2.0 from the folder, wheel or index that has it")


def test_an_unknown_name_elsewhere_is_the_users_mistake(tmp_path: Path) -> None:
    config = config_of_run(tmp_path, {"torch": "0.1"})
    with pytest.raises(UsageError, match="no block is called 'nobodys'"):
        rc.train(config=config, progress=False)
    (tmp_path / "env.json").unlink()
    with pytest.raises(UsageError, match="no block is called 'nobodys'"):
        rc.train(config=config, progress=False)
    with pytest.raises(UsageError, match="odd"), naming_plugins(None):
        raise UsageError("odd")


def test_a_wrong_value_is_not_blamed_on_a_plugin(tmp_path: Path) -> None:
    config = config_of_run(tmp_path, {"absent-gated": "0.2.0"})
    with pytest.raises(ConfigError, match="odd"), naming_plugins(config):
        raise ConfigError("odd")


@pytest.mark.parametrize("plugins", [None, [], "x", {"a b; rm": "1"}, {"absent": "1 && x"}, {"absent": ["1"]}])
def test_a_run_that_lies_names_no_plugin(tmp_path: Path, plugins: Any) -> None:
    assert missing_plugins(config_of_run(tmp_path, plugins)) == {}


def group_with_run(machine: Path, plugins: Any) -> Path:
    config = 'data = "digits"\nepochs = 1\n[model]\narch = "resnet20"\nblock = "nobodys"\n'
    plan = {"keys": ["seed"], "points": {"0-seed0": {"seed": 0}, "1-seed1": {"seed": 1}}, "by": "flags"}
    group = create_group(machine / "runs", "gated", plan=plan, configs=dict.fromkeys(("0-seed0", "1-seed1"), config))
    for name, used in (("0-seed0", {}), ("1-seed1", plugins)):
        (group.path / name).mkdir()
        (group.path / name / "config.toml").write_text(config)
        (group.path / name / "env.json").write_text(json.dumps({"plugins": used}))
    return group.path


def test_more_seeds_of_a_group_name_the_plugin_that_its_runs_used(machine: Path) -> None:
    group_with_run(machine, {"absent-gated": "0.2.0", "torch": "0.1"})
    line = ["train", "--data", "digits", "--seeds", "3", "--epochs", "1"]
    code, words = invoke(*line, "--block", "nobodys", "--name", "gated")
    assert code == 4
    assert words.startswith(
        "error: no block is called 'nobodys'; a run of the group 'gated' used absent-gated==0.2.0, which is not "
        "installed where runs/gated try install absent-gated 0.2.0 from the folder"
    )
    assert invoke(*line, "--block", "nobodyz", "--name", "gated")[0] == 2, "a typo is no plugin of the group"
    assert invoke(*line, "--block", "nobodys", "--name", "other")[0] == 2, "another group does not know the plugin"


def test_work_on_a_group_names_the_plugin_that_its_runs_used(machine: Path) -> None:
    path = group_with_run(machine, {"absent-gated": "0.2.0"})
    shutil.rmtree(path / "0-seed0")
    code, words = invoke("sweep", "work", "gated")
    assert (code, "used absent-gated==0.2.0, which is not" in words) == (4, True)


def test_a_group_whose_runs_lie_names_no_plugin(tmp_path: Path) -> None:
    path = group_with_run(tmp_path, {"absent": "1 && x"})
    (path / "1-seed1" / "config.toml").write_text("= =")
    for group in (path, tmp_path / "absent"):
        with pytest.raises(UsageError, match="nobodys"), naming_plugins(None, group=group):
            raise UsageError("no block is called 'nobodys'")
