"""An entry point that was added to the pyproject of an editable plugin is named, with the line that installs it."""

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from resnetctl import registry
from resnetctl.cli.app import app
from resnetctl.config.layers import from_recipe
from resnetctl.errors import PluginError, UsageError
from resnetctl.registry.declared import not_installed, other_versions
from resnetctl.tasks.plugins.listing import describe
from resnetctl.testing import kit

Editable = Callable[..., Path]
POINTS = """
[project.entry-points."resnetctl.archs"]
net = "plug_net:net"
deep = "plug_net:deep"
[project.entry-points."resnetctl.recipes"]
quick = "plug_net:QUICK"
[project.entry-points."resnetctl.commands"]
greet = "plug_net:greet"
[project.entry-points."console_scripts"]
other = "plug_net:main"
"""


@pytest.fixture
def source(editable: Editable) -> Path:
    """The folder of the editable plugin `my-nets`: `net` is installed, what else `POINTS` has is not."""
    folder = editable("my-nets", "plug_net:net")
    with (folder / "pyproject.toml").open("a") as file:
        file.write(POINTS)
    return folder


def test_what_was_added_later_is_found_by_kind_by_name_and_by_distribution(source: Path) -> None:
    every = [(one.kind, one.name) for one in not_installed("my-nets")]
    assert every == [("arch", "deep"), ("recipe", "quick"), ("command", "greet")]
    assert [one.name for one in not_installed(kind="arch")] == ["deep"]
    for name, count in {"deep": 1, "my-nets:deep": 1, "My_Nets": 3, "other": 0, "net": 0, "their-nets:deep": 0}.items():
        assert len(not_installed(name)) == count, name
    (deep,) = not_installed("deep")
    line = f"pip install -e {source}"
    assert deep.hint == f"{line}    arch 'deep' is in {source / 'pyproject.toml'}, but not installed"
    assert str(deep).endswith(f"but not installed: {line}")


def test_an_entry_that_moved_to_another_object_is_found(source: Path) -> None:
    file = source / "pyproject.toml"
    file.write_text(file.read_text().replace("plug_net:net", "plug_net:other"))
    assert [one.name for one in not_installed(kind="arch")] == ["net", "deep"]


def test_plugins_that_are_switched_off_and_damaged_files_are_passed_over(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RESNETCTL_PLUGINS", "none")
    assert not_installed() == []
    monkeypatch.setenv("RESNETCTL_PLUGINS", "my-nets")
    assert len(not_installed()) == 3
    for text in ("", "[project", '[project]\nname = "my-nets"\nentry-points = 7', POINTS.replace("my-nets", "theirs")):
        (source / "pyproject.toml").write_text(text)
        assert not_installed() == []


@pytest.mark.parametrize(
    "use",
    [
        lambda: registry.find("arch", "deep"),
        lambda: registry.find("arch", "my-nets:deep"),
        lambda: from_recipe("quick"),
        lambda: describe("deep"),
        lambda: kit.select("deep"),
        lambda: kit.select("my-nets:deep"),
    ],
    ids=["find", "of a distribution", "recipe", "show", "check", "check of a distribution"],
)
def test_an_unknown_name_says_where_it_is_declared_and_how_to_install_it(
    source: Path, use: Callable[[], object]
) -> None:
    with pytest.raises(PluginError, match="is not installed") as caught:
        use()
    assert str(caught.value.hint[0]).startswith(f"pip install -e {source}    ")
    assert caught.value.exit_code == 4  # as docs/reference/exit-codes.md has it


@pytest.mark.parametrize(
    "use",
    [
        lambda: registry.find("arch", "far"),
        lambda: registry.find("arch", "far-nets:far"),
        lambda: from_recipe("slow"),
        lambda: describe("far"),
        lambda: kit.select("far"),
    ],
    ids=["find", "of a distribution", "recipe", "show", "check"],
)
@pytest.mark.parametrize("place", ["far-nets", "plugins/nets", "."])
def test_an_unknown_name_in_a_folder_here_says_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, use: Callable[[], object], place: str
) -> None:
    (tmp_path / place).mkdir(parents=True, exist_ok=True)
    points = POINTS.replace("deep =", "far =").replace("quick =", "slow =")
    (tmp_path / place / "pyproject.toml").write_text(f'[project]\nname = "far_nets"\n{points}')
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PluginError) as caught:
        use()
    folder = place if place == "." else f"./{place}"
    assert str(caught.value.hint[0]).startswith(f"pip install -e {folder}    ")
    assert not_installed("far-nets") == []  # lists name no folder that only lies here
    monkeypatch.setenv("RESNETCTL_PLUGINS", "none")
    with pytest.raises(UsageError) as caught:
        use()
    assert "pip install" not in str(caught.value.hint[0])
    assert caught.value.exit_code == 2  # a name that nobody knows


@pytest.mark.parametrize("line", ["plugins list --kind arch", "greet", "train --arch deep --data digits"])
def test_the_command_line_says_so_too(source: Path, line: str) -> None:
    result = CliRunner().invoke(app, line.split())
    assert f"pip install -e {source}" in result.stderr
    assert result.exit_code == (0 if "list" in line else 4)


def test_a_version_in_the_pyproject_that_is_not_installed_is_named(source: Path) -> None:
    assert other_versions("my-nets") == []  # the pyproject names none
    file = source / "pyproject.toml"
    text = file.read_text()
    for version, count in {"1.2": 0, "1.2.0": 0, "1.3": 1}.items():
        file.write_text(text.replace('name = "my-nets"', f'name = "my-nets"\nversion = "{version}"'))
        for name in ("my-nets", "My_Nets", "net", "my-nets:net"):
            assert len(other_versions(name)) == count, (version, name)
    assert other_versions("their-nets") == other_versions("their-nets:net") == other_versions("deep") == []
    line = f"my-nets: {file} says 1.3, installed is 1.2: pip install -e {source}"
    assert str(other_versions("my-nets")[0]) == line
    listed = CliRunner().invoke(app, ["plugins", "list", "--kind", "schedule"])
    checked = CliRunner().invoke(app, ["plugins", "check", "my-nets"])
    for result in (listed, checked):
        assert line in " ".join(result.stderr.split())
