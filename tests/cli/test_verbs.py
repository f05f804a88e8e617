"""The table of verbs is complete, and loads a verb on first use."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from support.trained import card, make_pictures, make_run, make_store

from resnetctl.cli.parser.command import Command, Group, Lazy
from resnetctl.cli.verbs import ROOT
from resnetctl.system.safetensors import Layout
from resnetctl.weights import file as weights_file

Cli = Callable[..., Any]


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


@pytest.mark.parametrize(
    "line",
    [
        "eval RUN",
        "predict RUN pictures",
        "report RUN --quick",
        "report RUN --calibrate new.safetensors",
        "explain RUN pictures --out maps",
        "export RUN --onnx",
        "finetune RUN --data zoo --epochs 1",
    ],
)
def test_a_header_of_weights_is_parsed_once(
    cli: Cli, line: str, machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(card(make_store(splits={"train": 70, "test": 12}), val_fraction=0.6))
    make_pictures(machine / "pictures")
    parsed = []
    read = weights_file.read_layout

    def counted(file: BinaryIO, path: Path) -> Layout:
        parsed.extend([path] if run.weights.samefile(path) else [])
        return read(file, path)

    monkeypatch.setattr(weights_file, "read_layout", counted)
    result = cli(*line.replace("RUN", str(run.path)).split())
    assert result.code == 0, result.err
    assert len(parsed) == 1
