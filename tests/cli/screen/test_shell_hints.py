"""Hints name config keys by their flags."""

from resnetctl.cli.screen.shell_hints import in_shell
from resnetctl.hints import Call, Setting


def test_a_config_key_is_named_by_its_flag() -> None:
    assert in_shell(Setting("optim.name", "adamw")) == "--optimizer adamw"
    assert in_shell(Setting("optim.momentum", 0.8)) == "--set optim.momentum=0.8"
    assert in_shell(Call("train", settings={"model.arch": "resnet56"})) == "resnetctl train --arch resnet56"
