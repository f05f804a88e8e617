"""Verbs of plugins are listed from metadata and imported on use; their failure is an error of the plugin."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.distributions import install
from typer.testing import CliRunner

from resnetctl import registry
from resnetctl.cli.app import app

Cli = Callable[..., Any]
CODE = """
import sys
import typer
from typing import Annotated
from resnetctl.errors import DataError

app = typer.Typer(help="Shelves of runs.")


@app.command()
def count(number: int, shout: Annotated[bool, typer.Option("--shout")] = False) -> None:
    print("COUNT" if shout else "count", number)


@app.command()
def fail() -> None:
    raise ZeroDivisionError("by nothing")


@app.command()
def ours() -> None:
    raise DataError("no such shelf", where="here")


@app.command()
def leave(code: int) -> None:
    raise typer.Exit(code)


@app.command()
def quit() -> None:
    sys.exit("had enough")


def greet(name: str = "you") -> int:
    print("hello", name)
    return 7
"""


@pytest.fixture(autouse=True)
def _plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    points = {"shelf": "shelf_plugin:app", "greet": "shelf_plugin:greet", "train": "shelf_plugin:greet"}
    install(tmp_path / "site", "shelf", {"command": points}, code=CODE)
    install(tmp_path / "site", "wrecked", {"command": {"wreck": "wrecked_plugin:app"}}, code="raise SystemExit(0)")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    registry.refresh()
    yield
    registry.refresh()


def test_the_first_screen_lists_plugin_verbs_and_imports_none(cli: Cli) -> None:
    import sys

    text = cli("--help").out
    assert " Plugins\n   greet  from shelf 1.2\n   shelf  from shelf 1.2\n   wreck  from wrecked 1.2" in text
    assert "shelf_plugin" not in sys.modules


@pytest.mark.parametrize(
    ("words", "code", "out", "err"),
    [
        (["shelf", "count", "3", "--shout"], 0, "COUNT 3\n", ""),
        (["greet"], 0, "hello you\n", ""),
        (["greet", "--name", "Ada"], 0, "hello Ada\n", ""),
        (["shelf", "leave", "3"], 3, "", ""),
        (["shelf", "quit"], 1, "", "had enough\n"),
        (["shelf", "ours"], 3, "", "error: no such shelf\n  where  here\n"),
    ],
)
def test_a_plugin_command_runs_as_in_its_own_app(cli: Cli, words: list[str], code: int, out: str, err: str) -> None:
    result = cli(*words)
    assert (result.code, result.out, result.err) == (code, out, err)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["shelf", "count"], 2, "resnetctl shelf count: missing argument 'NUMBER'"),
        (["shelf", "count", "x"], 2, "resnetctl shelf count: invalid value for 'NUMBER'"),
        (["greet", "--nam", "Ada"], 2, "resnetctl greet: no such option: --nam"),
        (["shelf", "fail"], 4, "command 'shelf' of shelf 1.2: ZeroDivisionError: by nothing"),
        (["wreck"], 4, "command 'wreck' of wrecked 1.2 cannot be imported: SystemExit: 0"),
    ],
)
def test_a_mistake_is_one_error_with_our_exit_code(cli: Cli, words: list[str], code: int, message: str) -> None:
    result = cli(*words)
    assert result.code == code, result.err
    assert result.err.splitlines()[0].lower().startswith(f"error: {message}".lower())
    assert "Traceback" not in result.err


def test_a_plugin_command_shows_its_own_help(cli: Cli) -> None:
    assert "Shelves of runs." in cli("shelf", "--help").out
    assert "--shout" in cli("shelf", "count", "--help").out
    assert "completion" not in cli("shelf", "--help").out  # Typer's options for a program of its own


@pytest.mark.parametrize("words", [["shelf", "-h"], ["shelf", "count", "-h"], ["greet", "-h"]])
def test_h_shows_the_help_of_a_plugin_command(cli: Cli, words: list[str]) -> None:
    result = cli(*words)
    assert (result.code, result.err) == (0, "")
    assert f"Usage: resnetctl {' '.join(words[:-1])}" in result.out


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ("resnetctl shelf l", ["leave"]),
        ("resnetctl shelf count --s", ["--shout"]),
        ("resnetctl greet --n", ["--name"]),
        ("resnetctl wreck ", []),
    ],
)
def test_completion_goes_on_behind_a_plugin_command(words: str, names: list[str]) -> None:
    position = str(len(words.split(" ")) - 1)
    completed = CliRunner().invoke(
        app,
        [],
        prog_name="resnetctl",
        env={"_RESNETCTL_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": position},
    )
    assert completed.stdout.split() == names


def test_the_name_of_a_built_in_verb_is_refused(cli: Cli) -> None:
    entries = {entry.name: entry for entry in registry.entries("command")}
    assert (entries["train"].status, entries["train"].reason) == ("broken", "this is the name of a built-in")
    assert cli("train", "--help").out.startswith(" Usage: resnetctl train [OPTIONS]")
    assert "train  " in cli("--help").out.split("Plugins")[0]
    assert "train  " not in cli("--help").out.split("Plugins")[1]


def test_without_plugins_no_plugin_verb_is_listed(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESNETCTL_PLUGINS", "none")
    assert "Plugins" not in cli("--help").out.split("Tools")[1].replace("plugins  ", "").split("Options")[0]
    assert cli("greet").code == 2


def test_the_runner_of_typer_runs_plugin_verbs_too() -> None:
    result = CliRunner().invoke(app, ["shelf", "count", "3"])
    assert (result.exit_code, result.stdout) == (0, "count 3\n")
    assert CliRunner().invoke(app, ["shelf", "fail"]).exit_code == 4
