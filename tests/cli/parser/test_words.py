"""An unknown option that is an argument of a plugin on the command line is shown its key."""

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.distributions import install

from resnetctl import registry
from resnetctl.cli.parser.words import value_of, values_of

Cli = Callable[..., Any]
CODE = """
from torch import nn
from resnetctl.spec import Arch, Policy


class Gated(nn.Module):
    expansion, preactivation = 1, False

    def __init__(self, in_channels, width, *, stride=1, kernel=3, seed=1): ...


def build(image, num_classes, *, side=4): ...


erase = Policy(name="erase", build=build, summary="hides a square")
gated20 = Arch(name="gated20", block="gated", depths=(1, 1), widths=(4, 8), stem="cifar")


def sam(groups, *, lr, rho=0.05): ...
def hold(point, *, power=2.0): ...
def poly(logits, targets, *, epsilon=1.0): ...
"""
POINTS = {
    "block": {"gated": "words_plugin:Gated"},
    "policy": {"erase": "words_plugin:erase"},
    "optimizer": {"sam": "words_plugin:sam"},
    "schedule": {"hold": "words_plugin:hold"},
    "objective": {"poly1": "words_plugin:poly"},
    "arch": {"gated20": "words_plugin:gated20"},
}


@pytest.fixture(autouse=True)
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    install(tmp_path / "site", "words", POINTS, code=CODE)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    importlib.invalidate_caches()
    registry.refresh()
    yield
    registry.refresh()
    sys.modules.pop("words_plugin", None)


@pytest.mark.parametrize(
    ("line", "advice"),
    [
        ("train --block gated --kernel 5", "--set model.block_args.kernel=5"),
        ("train --block=gated --kernel=5", "--set model.block_args.kernel=5"),
        ("train --block gated --kernel", "--set model.block_args.kernel=VALUE"),
        ("train --kernel 5 --set model.block=gated", "--set model.block_args.kernel=5"),
        ("train --arch gated20 --kernel 5", "--set model.block_args.kernel=5"),
        ("train --config own.toml --kernel 5", "--set model.block_args.kernel=5"),
        ("train --augment erase --side 20", "--set augment.side=20"),
        ("train --optimizer sam --rho 0.1", "--set optim.args.rho=0.1"),
        ("train --schedule hold --power 3", "--set schedule.args.power=3"),
        ("train --objective poly1 --epsilon 2", "--set objective.args.epsilon=2"),
        ("finetune runs/last --augment erase --side 20", "--set augment.side=20"),
        ("weights import x.pth --block gated --kernel 5", "--set model.block_args.kernel=5"),
        ("train --block gated --augment erase --side 20", "--set augment.side=20"),
    ],
)
def test_an_option_that_is_an_argument_of_a_named_plugin_is_shown_its_key(cli: Cli, line: str, advice: str) -> None:
    Path("own.toml").write_text('[model]\nblock = "gated"\n')
    result = cli(*line.split())
    assert result.code == 2
    assert result.err.splitlines()[1] == f"  try    {advice}"


def test_a_value_with_a_space_is_quoted_for_the_shell(cli: Cli) -> None:
    assert "--set 'model.block_args.kernel=a b'" in cli("train", "--block", "gated", "--kernel", "a b").err


@pytest.mark.parametrize(
    ("line", "advice"),
    [
        ("train --data digits --kernel 5", "did you mean '--keep'?"),  # no plugin is named
        ("train --block basic --kernel 5", "did you mean '--keep'?"),
        ("train --block gatde --kernel 5", "did you mean '--keep'?"),  # no such block
        ("train --block gated --stride 5", "did you mean '--size'?"),  # the arch sets it
        ("train --block gated --epoch 5", "did you mean '--epochs'?"),
        ("train --config absent.toml --kernel 5", "did you mean '--keep'?"),
        ("train --set model.block --kernel 5", "did you mean '--keep'?"),
        ("eval runs/last --block gated --kernel 5", "resnetctl eval --help"),
    ],
)
def test_other_options_have_the_closest_one(cli: Cli, line: str, advice: str) -> None:
    assert cli(*line.split()).err.splitlines()[1] == f"  try    {advice}"


def test_a_typo_imports_no_plugin_that_the_command_line_does_not_name(cli: Cli) -> None:
    cli("train", "--data", "digits", "--kernel", "5")
    cli("train", "--arch", "resnet20", "--epochz", "5")
    assert "words_plugin" not in sys.modules
    cli("train", "--block", "gated", "--kernel", "5")
    assert "words_plugin" in sys.modules


def test_values_of_an_option_are_read_from_words() -> None:
    words = ["--set", "a=1", "--set=b=2", "-s", "c=3", "--set", "--json", "--set"]
    assert list(values_of(["--set", "-s"], words)) == ["a=1", "b=2", "c=3", "", ""]
    assert (value_of(["--set"], words), value_of(["--nothing"], words)) == ("a=1", "")
