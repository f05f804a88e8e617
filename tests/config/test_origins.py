"""Errors about config keys name the file and the line that set the keys."""

import pytest

from resnetctl.config.origins import located
from resnetctl.errors import ConfigError, PluginError, ResnetctlError, UsageError
from resnetctl.hints import Setting

ORIGINS = {
    "lr": "a.toml:2",
    "augment_args.reach": "a.toml:3",
    "model.block_args.x": "recipe fast",
    "epochs": "flag --epochs",
    "seed": "--set",
}


@pytest.mark.parametrize(
    ("error", "keys", "where"),
    [
        (ConfigError("m", keys=["lr"]), [], "a.toml:2"),
        (ConfigError("m", keys=["augment.reach"]), [], "a.toml:3"),
        (ConfigError("m", keys=["lr", "model.block_args.x", "lr"]), [], "a.toml:2, recipe fast"),
        (ConfigError("m", where=Setting("lr")), [], "a.toml:2"),
        (ConfigError("m", where="photos/1.png", keys=["lr"]), [], "photos/1.png"),
        (ConfigError("m", keys=["epochs", "seed", "weight_decay"]), [], None),
        (UsageError("m"), ["lr"], "a.toml:2"),
        (PluginError("m", where="block.py:7"), ["lr"], "block.py:7"),
        (PluginError("m", where="block.py:7", keys=["lr", "seed"]), [], "block.py:7, a.toml:2"),
    ],
)
def test_an_error_gets_the_place_of_its_keys(error: ResnetctlError, keys: list[str], where: str | None) -> None:
    with pytest.raises(ResnetctlError), located(ORIGINS, keys=keys):
        raise error
    assert error.where == where
    with pytest.raises(ResnetctlError), located(ORIGINS, keys=keys, otherwise="run 3"):
        raise error
    assert error.where == (where or "run 3")


def test_a_flag_stays_the_place_of_a_value_given_by_hand() -> None:
    error = ConfigError("m", where=Setting("epochs"))
    with pytest.raises(ConfigError), located(ORIGINS, otherwise="run 3"):
        raise error
    assert error.where == Setting("epochs")
