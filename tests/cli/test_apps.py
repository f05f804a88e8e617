"""The app of one verb answers as that of all verbs would."""

import pytest
from typer.main import get_command

from resnetctl.cli.apps import app_for
from resnetctl.cli.verbs import ROOT


@pytest.mark.parametrize("words", [["eval", "--json"], ["data", "list"]], ids=" ".join)
def test_a_line_that_names_a_verb_gets_an_app_with_this_verb(words: list[str]) -> None:
    alone, every = get_command(app_for(ROOT, words)), get_command(app_for(ROOT, []))
    assert list(alone.commands) == words[:1]  # type: ignore[attr-defined]
    assert set(every.commands) >= set(ROOT.members)  # type: ignore[attr-defined]
    one, same = (group.commands[words[0]] for group in (alone, every))  # type: ignore[attr-defined]
    assert [item.opts for item in one.params] == [item.opts for item in same.params]


@pytest.mark.parametrize("words", [[], ["evall"], ["--version"], ["--install-completion"]], ids=" ".join)
def test_other_lines_get_every_verb(words: list[str]) -> None:
    command = get_command(app_for(ROOT, words))
    assert set(command.commands) >= set(ROOT.members)  # type: ignore[attr-defined]
    assert "--install-completion" in [name for item in command.params for name in item.opts]
