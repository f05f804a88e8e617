"""A config of a run whose plugin is not installed names the plugin, as the weights of the run do."""

import json
from pathlib import Path
from typing import Any

import pytest

import resnetctl as rc
from resnetctl.errors import ConfigError, PluginError, UsageError
from resnetctl.runs.requirements import missing_plugins, naming_plugins


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
