"""Typer runs our verbs; mistakes become our errors."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import BaseModel
from typer.main import get_command

from resnetctl.cli.apps import group_app
from resnetctl.cli.parser.command import Command, Group, Parsed
from resnetctl.cli.parser.common import Common
from resnetctl.cli.parser.option_models import argument
from resnetctl.config.options import option
from resnetctl.errors import UsageError

Cli = Callable[..., Any]


class Inner(BaseModel):
    depth: int = option(3, "Depth", flag="--depth", short="-D")
    unnamed: int = option(3, "No flag")


class Config(BaseModel):
    epochs: int = option(5, "Epochs", short="-e", ge=1)
    mirror: bool = option(True, "Mirror images")
    inner: Inner = Inner()


class Options(Common):
    target: str = argument("What", metavar="TARGET")
    files: list[Path] = argument("Files", metavar="FILE...", default=[])
    sets: list[str] = option([], "Sets", flag="--set")
    source: Path | None = option(None, "From", flag="--from")
    fit: Literal["crop", "pad"] = option("crop", "Fit")


@pytest.fixture
def calls() -> list[Parsed[Options]]:
    return []


@pytest.fixture
def root(calls: list[Parsed[Options]]) -> Group:
    work = Command(name="work", summary="Work", run=calls.append, options=Options, config=Config)
    return Group(name="resnetctl", summary="Root", members={"work": work})


def invoke(root: Group, words: list[str]) -> None:
    """Parse and run a line. Raises the error of a mistake."""
    get_command(group_app(root)).main(list(words), "resnetctl", standalone_mode=False)


def test_a_flag_that_is_not_on_the_line_has_no_value(root: Group, calls: list[Parsed[Options]]) -> None:
    invoke(root, ["work", "it"])
    assert calls[0].values == {}
    assert calls[0].options == Options(target="it")


def test_config_values_and_options_are_separated(root: Group, calls: list[Parsed[Options]]) -> None:
    line = "work it a b -e 7 --no-mirror -D 2 --set x=1 --set y=2 --from here --fit pad --json"
    invoke(root, line.split())
    parsed = calls[0]
    assert parsed.values == {"epochs": 7, "mirror": False, "inner.depth": 2}
    assert parsed.names == {"epochs": "--epochs", "mirror": "--mirror", "inner.depth": "--depth"}
    assert parsed.options == Options(
        target="it",
        files=[Path("a"), Path("b")],
        sets=["x=1", "y=2"],
        source=Path("here"),
        fit="pad",
        as_json=True,
    )


def test_a_switch_of_the_config_has_two_sides(root: Group, calls: list[Parsed[Options]]) -> None:
    invoke(root, ["work", "it", "--mirror"])
    assert calls[0].values == {"mirror": True}


@pytest.mark.parametrize(
    ("line", "message", "hint"),
    [
        ("wrok it", "no command 'resnetctl wrok'", "did you mean 'work'?"),
        ("mirror", "no command 'resnetctl mirror'", "resnetctl work --mirror"),
        ("work", "resnetctl work needs TARGET", "resnetctl work --help"),
        ("work it --epochz 3", "resnetctl work has no option --epochz", "did you mean '--epochs'?"),
        ("work it --quux", "resnetctl work has no option --quux", "resnetctl work --help"),
        ("work it -e 0", "--epochs should be greater than or equal to 1, not '0'", None),
        ("work it --fit carp", "--fit cannot be 'carp'", "did you mean 'crop'?"),
        ("work it -e", "resnetctl work: option '-e' requires an argument", "resnetctl work --help"),
        ("work it --json=1", "resnetctl work: option '--json' does not take a value", "resnetctl work --help"),
        ("--nope work it", "resnetctl has no option --nope", None),
    ],
)
def test_mistakes_become_our_usage_errors(root: Group, line: str, message: str, hint: str | None) -> None:
    with pytest.raises(UsageError) as caught:
        invoke(root, line.split())
    assert caught.value.message == message
    if hint is not None:
        assert caught.value.hint[0] == hint


def test_too_many_arguments_are_a_usage_error(cli: Cli) -> None:
    result = cli("plugins", "list", "everything")
    assert result.code == 2
    assert result.err.startswith("error: resnetctl plugins list: got unexpected extra argument(s) (everything)")
    assert "try    resnetctl plugins new my-block" in cli("plugins", "new", "block", "wobble").err


def test_a_missing_required_option_is_a_usage_error(cli: Cli) -> None:
    result = cli("weights", "import", "x.pth", "--arch", "resnet20")
    assert (result.code, result.err.splitlines()[0]) == (2, "error: resnetctl weights import needs --out")


def test_an_option_without_its_value_shows_an_example_with_one(cli: Cli) -> None:
    result = cli("train", "--resume")
    assert result.code == 2
    assert result.err.splitlines()[:2] == [
        "error: resnetctl train: option '--resume' requires an argument",
        "  try    resnetctl train --resume last",
    ]


@pytest.mark.parametrize(("words", "value"), [
    (["--resume", "stopme"], "stopme"), (["--resume=stop me"], "'stop me'"), (["--resume"], "last"),
    (["-d", "digits", "--resume", "--epochs", "3"], "last"),
])  # fmt: skip
def test_finetune_names_the_command_that_resumes(cli: Cli, words: list[str], value: str) -> None:
    result = cli("finetune", *words)
    assert result.code == 2
    assert result.err.splitlines()[:2] == [
        "error: resnetctl finetune has no option --resume",
        f"  try    resnetctl train --resume {value}",
    ]


def test_finetune_says_that_groups_train_from_scratch(cli: Cli) -> None:
    result = cli("finetune", "--seeds", "3")
    assert result.code == 2
    assert result.err.splitlines()[1].startswith("  try    groups of seeds train from scratch")
    assert result.err.splitlines()[1].endswith("--seed 3")


def test_a_sweep_says_where_an_option_of_train_goes(cli: Cli) -> None:
    error = cli("sweep", "lr.toml", "--batch-size", "32").err.splitlines()
    assert error[1] == "  try    under [config] in the file, for all runs: batch_size = 32"


@pytest.mark.parametrize("verb", ["train", "finetune"])
@pytest.mark.parametrize(("words", "command"), [
    (["-d", "./my cells", "--on-bad-image", "skip"], "'./my cells' --on-bad-image skip"),
    (["--on-bad-image", "--data=./cells"], "./cells --on-bad-image skip"),
    (["--data", "digits", "--max-pixels=70"], "PATH --max-pixels 70"),
])  # fmt: skip
def test_training_on_a_folder_names_the_command_that_reads_it(
    cli: Cli, verb: str, words: list[str], command: str
) -> None:
    result = cli(verb, *words)
    assert result.code == 2
    first, hint = result.err.splitlines()[:2]
    assert first.startswith(f"error: resnetctl {verb} has no option --")
    assert hint == f"  try    resnetctl data add {command}"


def test_a_command_of_a_group_is_named_with_its_group(cli: Cli) -> None:
    assert cli("compare", "lo", "a b").err.splitlines()[1] == "  try    resnetctl runs compare lo 'a b'"
    assert "resnetctl sweep show lo" in cli("show", "lo").err


def test_help_wins_over_missing_arguments(cli: Cli) -> None:
    result = cli("weights", "import", "-h")
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith(" Usage: resnetctl weights import FILE [OPTIONS]")


@pytest.mark.parametrize("line", [[], ["--help"], ["-h"]])
def test_the_bare_command_shows_its_help(cli: Cli, line: list[str]) -> None:
    result = cli(*line)
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith(" Usage: resnetctl COMMAND")


def test_a_bare_group_shows_its_help(cli: Cli) -> None:
    assert cli("plugins").out == cli("plugins", "--help").out


@pytest.mark.parametrize("line", [["--version"], ["-V"], ["--debug", "--version"], ["--version", "train"]])
def test_every_version_flag_prints_the_version(cli: Cli, line: list[str]) -> None:
    from resnetctl import __version__

    assert cli(*line).out == f"resnetctl {__version__}\n"


def test_the_version_prints_as_json(cli: Cli) -> None:
    from resnetctl import __version__

    assert cli("--version", "--json").json() == {"schema": "resnetctl.version/1", "version": __version__}


@pytest.mark.parametrize("line", [["--no-plugins", "plugins", "list"], ["plugins", "list", "--no-plugins"]])
def test_no_plugins_works_before_and_after_the_verb(cli: Cli, monkeypatch: pytest.MonkeyPatch, line: list[str]) -> None:
    monkeypatch.setenv("RESNETCTL_PLUGINS", "some-distribution")
    assert cli(*line).code == 0
    assert os.environ["RESNETCTL_PLUGINS"] == "none"


# ---- completion, in new processes: it ends in sys.exit


def completed(words: str, **env: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", "import sys; sys.argv[0]='resnetctl'; from resnetctl.__main__ import main; main([])"],
        env={**os.environ, "_RESNETCTL_COMPLETE": "complete_bash", "COMP_WORDS": words, **env},
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "position", "expected"),
    [
        ("resnetctl tr", "1", ["train"]),
        ("resnetctl plugins s", "2", ["show"]),
        ("resnetctl train --arch preact", "3", ["preact_resnet20", "preact_resnet56"]),
        ("resnetctl train --recipe f", "3", ["fast", "finetune"]),
        ("resnetctl train --keep ", "3", ["best", "last"]),
        ("resnetctl plugins show resnet5", "3", ["resnet50", "resnet56"]),
        ("resnetctl train --lab", "2", ["--label-smoothing"]),
    ],
)
def test_the_shell_completes_verbs_flags_and_names(words: str, position: str, expected: list[str]) -> None:
    assert completed(words, COMP_CWORD=position)[: len(expected)] == expected


def test_the_completion_script_can_be_shown_and_installed(tmp_path: Path) -> None:
    run = [
        sys.executable,
        "-c",
        "import sys; sys.argv[0]='resnetctl'; from resnetctl.__main__ import main; sys.exit(main())",
    ]
    env = {**os.environ, "HOME": str(tmp_path), "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    shown = subprocess.run([*run, "--show-completion", "bash"], env=env, capture_output=True, text=True, timeout=60)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "_RESNETCTL_COMPLETE=complete_bash" in shown.stdout
    installed = subprocess.run(
        [*run, "--install-completion", "bash"], env=env, capture_output=True, text=True, timeout=60
    )
    assert (installed.returncode, installed.stderr) == (0, "")
    assert any("_RESNETCTL_COMPLETE" in path.read_text() for path in tmp_path.rglob("*.sh"))


@pytest.mark.parametrize(
    ("words", "ran"),
    [
        (["some.toml"], ("run", "some.toml")),
        (["run", "some.toml"], ("run", "some.toml")),
        (["show", "some.toml"], ("show", "some.toml")),
    ],
)
def test_a_group_may_have_a_command_for_words_that_name_none(words: list[str], ran: tuple[str, str]) -> None:
    calls: list[tuple[str, str]] = []

    def member(name: str) -> Command:
        def run(parsed: Parsed[Options]) -> None:
            calls.append((name, parsed.options.target))

        return Command(name=name, summary="It", run=run, options=Options)

    group = Group(name="g", summary="Them", members={name: member(name) for name in ("run", "show")}, default="run")
    get_command(group_app(group)).main(words, "g", standalone_mode=False)
    assert calls == [ran]
