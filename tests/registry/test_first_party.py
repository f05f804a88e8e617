"""A name of a plugin of the project that is not installed names the plugin and how to install it."""

import tomllib
from pathlib import Path

import pytest

from resnetctl import registry
from resnetctl.config.layers import from_recipe
from resnetctl.errors import PluginError, UsageError
from resnetctl.registry import index
from resnetctl.registry.first_party import NAMES, OWN, owner_of
from resnetctl.registry.kinds import KINDS
from resnetctl.tasks.plugins.listing import describe
from resnetctl.testing import kit

PLUGINS = Path(__file__).parents[2] / "plugins"


def test_the_names_are_those_that_the_plugins_register() -> None:
    registered = {}
    for file in PLUGINS.glob("*/pyproject.toml"):
        project = tomllib.loads(file.read_text(encoding="utf-8"))["project"]
        groups = {group.removeprefix("resnetctl."): {*names} for group, names in project["entry-points"].items()}
        registered[project["name"]] = groups
    assert registered == {
        f"resnetctl-{plugin}": {group: {*names.split()} for group, names in groups.items()}
        for plugin, groups in NAMES.items()
    }
    assert registered.keys() == OWN


def test_a_name_has_an_owner_within_its_kind() -> None:
    assert owner_of("exporter", "web") == "resnetctl-web"
    assert owner_of("head", "web") == owner_of("exporter", "wep") == ""
    assert all(owner_of(kind, "") == "" for kind in KINDS)


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No plugin is installed, and the current folder has none."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(index, "entries", lambda kind: ())
    monkeypatch.setattr(index, "installed", lambda distributions: {})


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize("name", ["web", "resnetctl-web:web", "resnetctl_web:web"])
def test_a_missing_plugin_of_the_project_is_exit_4_with_its_install_line(name: str) -> None:
    with pytest.raises(PluginError, match="the exporter 'web' needs the plugin resnetctl-web") as caught:
        registry.get("exporter", name)
    assert caught.value.exit_code == 4
    assert caught.value.hint == ("pip install ./plugins/resnetctl-web    in a clone of resnetctl",)


@pytest.mark.usefixtures("bare")
def test_a_missing_recipe_names_its_plugin_too() -> None:
    with pytest.raises(PluginError, match="the recipe 'speedrun' needs the plugin resnetctl-speedrun"):
        from_recipe("speedrun")


@pytest.mark.usefixtures("bare")
def test_plugins_show_and_check_name_a_missing_plugin_of_the_project(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PluginError, match="the head 'unet' needs the plugin resnetctl-segment"):
        describe("unet")
    monkeypatch.setattr(registry, "all_entries", list)
    monkeypatch.setattr(kit, "installed", lambda distributions: {})
    with pytest.raises(PluginError, match="the head 'unet' needs the plugin resnetctl-segment"):
        kit.select("unet")
    with pytest.raises(PluginError, match="the plugin resnetctl-web is not installed") as caught:
        kit.select("resnetctl_web")
    assert caught.value.hint == ("pip install ./plugins/resnetctl-web    in a clone of resnetctl",)


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize("name", ["wep", "other:web"])
def test_other_names_stay_unknown(name: str) -> None:
    with pytest.raises(UsageError, match=f"no exporter is called '{name}'"):
        registry.get("exporter", name)


def test_an_installed_plugin_without_the_name_is_not_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "entries", lambda kind: ())
    monkeypatch.setattr(index, "installed", lambda distributions: dict.fromkeys(distributions, "0.1.0"))
    with pytest.raises(UsageError, match="no exporter is called 'web'"):
        registry.get("exporter", "web")
