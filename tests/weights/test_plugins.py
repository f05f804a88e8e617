"""Weights whose plugins are missing, or have another version, say what to install."""

import dataclasses
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from support.trained import ARCH, card, network
from torch import Tensor

from resnetctl.errors import PluginError
from resnetctl.spec import Plugins, WeightsCard
from resnetctl.weights.file import LoadedWeights, load, load_model, read_header, save
from resnetctl.weights.plugins import has_plugins


def save_weights(path: Path, state: dict[str, Tensor], described: WeightsCard) -> None:
    save(path, LoadedWeights(path=path, state=state, card=described))


@pytest.mark.parametrize(
    ("changes", "works"),
    [
        ({}, True),
        ({"plugins": Plugins(required={"torch": "0.1"})}, True),
        ({"plugins": Plugins(required={"absent": "1"})}, False),
        ({"plugins": Plugins(used={"absent": "1"})}, True),
        ({"arch": dataclasses.replace(ARCH, block="glorious")}, False),
    ],
)
def test_a_card_says_whether_its_plugins_are_here(changes: dict[str, Any], works: bool) -> None:
    assert has_plugins(card(**changes)) is works


def test_a_missing_distribution_is_exit_4_and_names_no_line_for_a_stranger(tmp_path: Path) -> None:
    plugins = Plugins(required={"resnetctl-absent": "1.2", "torch": "0.1"}, used={"also-absent": "3"})
    save_weights(tmp_path / "x", network().state_dict(), card(plugins=plugins))
    assert load(read_header(tmp_path / "x")).card.plugins == plugins
    with pytest.raises(PluginError, match=r"resnetctl-absent==1\.2") as caught:
        load_model(tmp_path / "x")
    assert caught.value.exit_code == 4
    assert caught.value.hint == (
        "install resnetctl-absent 1.2 from the folder, wheel or index that has it: pip install ./FOLDER",
        "or ask who made the weights for the plugin, or for their ONNX file, which needs no plugin",
    )


def test_a_block_that_nobody_has_is_exit_4_too(tmp_path: Path) -> None:
    """The card names no distribution, as when a plugin of the author was not installed as a package."""
    described = card(arch=dataclasses.replace(ARCH, block="glorious"))
    save_weights(tmp_path / "x", network().state_dict(), described)
    with pytest.raises(PluginError, match="the block 'glorious', and no installed package has it") as caught:
        load_model(tmp_path / "x")
    assert caught.value.exit_code == 4
    assert caught.value.where == str(tmp_path / "x")


def test_another_version_of_a_plugin_gets_a_notice_and_explains_a_mismatch(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """`torch` stands for the plugin's distribution: it is installed, but not as 0.1."""
    described = card(plugins=Plugins(required={"torch": "0.1"}))
    save_weights(tmp_path / "x", network().state_dict(), described)
    load_model(tmp_path / "x")
    notice = f"was written with torch 0.1, and {version('torch')} is installed"
    assert [notice in text for text in caplog.messages] == [True]
    state = network().state_dict()
    del state["conv1.weight"]
    save_weights(tmp_path / "y", state, described)
    with pytest.raises(PluginError, match="1 key does not match the arch; the weights were written") as caught:
        load_model(tmp_path / "y")
    assert caught.value.hint == ("install torch 0.1 from the folder, wheel or index that has it: pip install ./FOLDER",)
    assert caught.value.problems == ("missing: conv1.weight 4x1x3x3",)


def test_the_notice_on_a_version_is_given_once_for_all_spellings_of_a_path(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    save_weights(Path("once"), network().state_dict(), card(plugins=Plugins(required={"torch": "0.1"})))
    Path("link").symlink_to("once")
    for path in (Path("once"), tmp_path / "once", Path("link"), Path("once")):
        load_model(path)
    assert caplog.messages == [f"notice: once was written with torch 0.1, and {version('torch')} is installed"]
