"""The table of verbs."""

from resnetctl.cli.parser.command import Command, Group, Lazy
from resnetctl.cli.verbs import ROOT


def test_every_verb_is_loaded_when_it_is_used() -> None:
    for name, member in ROOT.members.items():
        assert isinstance(member, Lazy), name
        loaded = ROOT.load(name)
        assert isinstance(loaded, Command | Group)
        assert loaded.name == name


def test_the_verbs_are_those_of_the_design() -> None:
    assert list(ROOT.members) == [
        "data", "train", "finetune", "eval", "predict", "export", "bench", "weights", "runs", "plugins", "config",
    ]  # fmt: skip


def test_examples_name_verbs_that_exist() -> None:
    assert {line.split()[1] for line, _ in ROOT.examples} <= set(ROOT.members)
