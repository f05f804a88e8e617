"""Help screens are at most 80 by 40, plain in a pipe, and name only commands and flags that exist."""

import re
import shlex
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from typer.main import get_command

from resnetctl.cli.app import app
from resnetctl.cli.parser.command import Command, Group
from resnetctl.cli.screen.help import command_help, group_help, requested
from resnetctl.cli.verbs import ROOT

Cli = Callable[..., Any]


def commands(group: Group = ROOT, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Command | Group]]:
    """Yield every command and group with the words that call it."""
    yield path, group
    for name in group.members:
        member = group.load(name)
        assert member is not None
        if isinstance(member, Group):
            yield from commands(member, (*path, name))
        else:
            yield (*path, name), member


ALL = dict(commands())
LEAVES = {path: item for path, item in ALL.items() if isinstance(item, Command)}


def command_name(words: tuple[str, ...]) -> str:
    return " ".join(words) or "resnetctl"


@pytest.mark.parametrize("path", ALL, ids=command_name)
@pytest.mark.parametrize("boxed", [False, True], ids=["pipe", "terminal"])
def test_the_first_screen_is_at_most_80_by_40(
    cli: Cli, path: tuple[str, ...], *, boxed: bool, request: pytest.FixtureRequest
) -> None:
    if boxed:
        request.getfixturevalue("terminal")
    result = cli(*path, "--help")
    lines = result.out.splitlines()
    assert (result.code, result.err) == (0, "")
    assert len(lines) < 40  # and the prompt
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize("path", ALL, ids=command_name)
def test_on_a_narrow_terminal_only_examples_are_longer(
    cli: Cli, terminal: None, monkeypatch: pytest.MonkeyPatch, path: tuple[str, ...]
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    lines = cli(*path, "--help").out.splitlines()
    examples = [line for line, _ in ALL[path].examples]
    assert [line for line in lines if len(line) > 60 and line[3:] not in examples] == []


def test_the_screen_of_all_options_lists_them_once(cli: Cli) -> None:
    assert cli("--help-all").out.count("--no-plugins") == 1


@pytest.mark.parametrize("path", ALL, ids=command_name)
def test_help_all_has_every_option_once(cli: Cli, terminal: None, path: tuple[str, ...]) -> None:
    text = cli(*path, "--help-all").out
    assert max(map(len, text.splitlines())) <= 80
    item = ALL[path]
    if isinstance(item, Command):
        words = text.split()
        named = [flag for flag in item.all_flags() if flag not in item.arguments()]
        assert [flag.flag for flag in named if flag.flag not in words] == []


@pytest.mark.parametrize("path", LEAVES, ids=command_name)
def test_every_command_has_json(path: tuple[str, ...]) -> None:
    assert "--json" in [flag.flag for flag in LEAVES[path].all_flags()]


@pytest.mark.parametrize("path", LEAVES, ids=command_name)
def test_no_flag_is_declared_twice(path: tuple[str, ...]) -> None:
    words = [word for flag in LEAVES[path].all_flags() for word in (flag.flag, flag.short) if word]
    assert sorted(words) == sorted(set(words))
    keys = [flag.key for flag in LEAVES[path].all_flags()]
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize("path", ALL, ids=command_name)
def test_every_example_can_be_parsed(path: tuple[str, ...]) -> None:
    lines = " \n".join(line for line, _ in ALL[path].examples).replace("\\ \n", "").splitlines()
    for line in lines:
        program, *words = shlex.split(line)
        assert program == "resnetctl"
        command: Any = get_command(app)
        while hasattr(command, "commands"):
            default = getattr(command.declared, "default", "")  # `sweep FILE` is `sweep run FILE`
            command = command.commands[default if default and words[0] not in command.commands else words.pop(0)]
        command.make_context("x", words)


@pytest.mark.parametrize("path", LEAVES, ids=command_name)
def test_summaries_are_one_line_of_plain_words(path: tuple[str, ...]) -> None:
    for flag in LEAVES[path].all_flags():
        assert flag.help, flag.flag
        assert "\n" not in flag.help
        assert not flag.help.endswith("."), flag.flag


def test_a_pipe_gets_neither_boxes_nor_escapes(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "1")
    monkeypatch.setenv("FORCE_COLOR", "1")
    text = cli("train", "--help").out
    assert not set(text) & set("\x1b╭│╰─")


def test_boxes_have_straight_edges_on_a_terminal(terminal: None, cli: Cli) -> None:
    lines = cli("train", "--help-all").out.splitlines()
    boxed = [line for line in lines if line[0:1] in ("╭", "│", "╰")]
    assert {len(line) for line in boxed} == {80}
    assert {line[-1] for line in boxed} == {"╮", "│", "╯"}


def test_a_default_is_shown_with_what_it_depends_on(cli: Cli) -> None:
    text = cli("train", "--help").out
    assert "Architecture  [resnet20]" in text
    assert "training images  [200; photos: 90]" in text
    assert "learning rate  [0.1 for a batch of 128; adam," in text
    assert "Random seed  [0]" in text
    assert "[" not in text.partition("--budget")[2].partition("--resume")[0], "no budget, no default"


def test_finetune_shows_the_defaults_of_its_recipe(cli: Cli) -> None:
    text = " ".join(cli("finetune", "--help-all").out.split())
    assert "or a plugin's [adamw]" in text
    assert "training images [20]" in text
    assert "Architecture [that of the weights]" in text
    assert "[0.05; sgd, adam: 0.0005]" in text


def test_the_more_line_counts_the_hidden_options() -> None:
    command = LEAVES[("train",)]
    short, full = command_help(command, "x"), command_help(command, "x", full=True)
    hidden = int(short.rpartition("shows ")[2].split()[0])
    assert len(_options(full)) - len(_options(short)) == hidden
    assert "More:" not in full


def test_a_group_screen_lists_its_members() -> None:
    text = group_help(ROOT, "resnetctl")
    assert [name for name in ROOT.members if f"   {name} " not in text] == []


def _options(text: str) -> list[str]:
    return re.findall(r"^   (?:-\w|  ) --[a-z-]+", text, re.MULTILINE)


@pytest.mark.parametrize("path", ALL, ids=command_name)
def test_screens_without_the_parser_equal_those_of_the_parser(cli: Cli, path: tuple[str, ...]) -> None:
    for flag in ("--help", "-h", "--help-all"):
        assert requested(ROOT, [*path, flag]) == cli("--debug", *path, flag).out.removesuffix("\n")


@pytest.mark.parametrize(
    "line",
    [[], ["train"], ["tran", "--help"], ["--help", "train"], ["train", "x", "--help"], ["train", "--json", "-h"]],
)
def test_any_other_line_is_left_to_the_parser(line: list[str]) -> None:
    assert requested(ROOT, line) is None


def test_the_options_that_every_command_has_are_not_announced(cli: Cli) -> None:
    assert "--help-all" not in cli("data", "remove", "--help").out
    assert "more options" in cli("train", "--help").out
