"""The table of verbs is complete, and loads a verb on first use."""

from resnetctl.cli.parser.command import Command, Group, Lazy
from resnetctl.cli.verbs import ROOT


def test_every_verb_is_loaded_on_first_use() -> None:
    for name, member in ROOT.members.items():
        assert isinstance(member, Lazy), name
        loaded = ROOT.load(name)
        assert isinstance(loaded, Command | Group)
        assert loaded.name == name


def test_the_table_has_every_verb_in_order() -> None:
    assert list(ROOT.members) == [
        "data", "train", "finetune", "sweep", "eval", "report", "predict", "explain", "compress", "export",
        "recipes", "slurm", "bench", "weights", "runs", "plugins", "config",
    ]  # fmt: skip


def test_examples_name_verbs_that_exist() -> None:
    assert {line.split()[1] for line, _ in ROOT.examples} <= set(ROOT.members)
