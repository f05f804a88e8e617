"""A misspelt group of entry points is named where its entries are missed."""

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from resnetctl import registry
from resnetctl.cli.app import app
from resnetctl.errors import PluginError
from resnetctl.registry.unknown_groups import declared_hints, group_meant, unknown_groups
from resnetctl.testing import kit

Install = Callable[..., None]
Editable = Callable[..., Path]
SINGULAR = '[project.entry-points."resnetctl.block"]\ngated = "plug_net:Gated"\n'
TEXT = "my-nets declares the unknown group resnetctl.block: did you mean resnetctl.blocks?"


@pytest.mark.parametrize(
    ("group", "meant"),
    [
        ("resnetctl.block", "resnetctl.blocks"),
        ("resnetctl.policy", "resnetctl.policies"),
        ("resnetctl.Blocks", "resnetctl.blocks"),
        ("resnetctl_blocks", "resnetctl.blocks"),
        ("resnectl.blocks", "resnetctl.blocks"),
        ("resnetctl.optimisers", "resnetctl.optimizers"),
        ("resnetctl.qqq", ""),
    ],
)
def test_the_group_that_was_meant_is_named(install: Install, tmp_path: Path, group: str, meant: str) -> None:
    install("my-nets", {"net": "plug_net:net"})
    (tmp_path / "site" / "my_nets-1.2.dist-info" / "entry_points.txt").write_text(f"[{group}]\ngated = plug_net:net\n")
    (one,) = unknown_groups("my-nets")
    assert (one.distribution, one.group, one.names, group_meant(group)) == ("my-nets", group, ("gated",), meant)
    assert str(one).endswith(f"did you mean {meant}?" if meant else "resnetctl.commands")


@pytest.mark.parametrize("group", ["console_scripts", "resnetctl.blocks", "resnet.blocks", "pytest11"])
def test_known_groups_and_those_of_others_are_passed_over(install: Install, tmp_path: Path, group: str) -> None:
    install("my-nets", {"net": "plug_net:net"})
    (tmp_path / "site" / "my_nets-1.2.dist-info" / "entry_points.txt").write_text(f"[{group}]\ngated = plug_net:net\n")
    assert unknown_groups("my-nets") == []


@pytest.fixture
def source(editable: Editable) -> Path:
    """The folder of the editable plugin `my-nets`, whose block is in a misspelt group."""
    folder = editable("my-nets", "plug_net:net")
    with (folder / "pyproject.toml").open("a") as file:
        file.write(SINGULAR)
    return folder


def test_an_unknown_name_says_in_which_group_it_is_declared(source: Path) -> None:
    for use in (lambda: registry.find("block", "gated"), lambda: kit.select("gated")):
        with pytest.raises(PluginError, match="'gated' is not installed") as caught:
            use()
        correct = f"correct {source / 'pyproject.toml'}, then pip install -e {source}"
        assert caught.value.hint[:2] == (TEXT, correct)
    assert declared_hints("my-nets:gated", "block")[0] == TEXT
    assert declared_hints("gated", "arch") == declared_hints("other") == []


@pytest.mark.parametrize("line", ["plugins list --kind block", "plugins check my-nets", "train --block gated"])
def test_the_command_line_says_so_too(source: Path, line: str) -> None:
    result = CliRunner().invoke(app, line.split())
    assert TEXT in " ".join(result.stderr.split())


def test_a_plugin_that_is_switched_off_is_passed_over(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESNETCTL_PLUGINS", "none")
    assert unknown_groups("my-nets") == []


def test_a_folder_here_that_is_not_installed_is_read_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "pyproject.toml").write_text(f'[project]\nname = "far"\n{SINGULAR}')
    monkeypatch.chdir(tmp_path)
    assert unknown_groups("gated") == []
    (one,) = unknown_groups("gated", here=True)
    assert one.hints[-1] == "correct far/pyproject.toml, then pip install -e ./far"
