"""A hint can be written for a shell and for Python."""

from pathlib import Path

import pytest

from resnetctl.config.options import flags
from resnetctl.config.schema import TrainConfig
from resnetctl.hints import ARGUMENTS, Call, Hint, Setting, closest, in_file, in_python, in_shell, suggest

CASES: list[tuple[Hint, str, str]] = [
    ("free some space", "free some space", "free some space"),
    (Setting("batch_size"), "--batch-size", "batch_size"),
    (Setting("lr", 0.01), "--lr 0.01", "lr=0.01"),
    (Setting("lr", 0.01, "a smaller step"), "--lr 0.01    a smaller step", "lr=0.01    a smaller step"),
    (Setting("replace", True), "--replace", "replace=True"),
    (Setting("mirror", False), "--no-mirror", "mirror=False"),
    (Setting("optim.nesterov", False), "--set optim.nesterov=false", "set={'optim.nesterov': False}"),
    (Setting("model.arch"), "--set model.arch", "arch"),
    (Setting("find_lr"), "--find-lr", "rc.find_lr(...)"),
    (Setting("optim.name", "adamw"), "--set optim.name=adamw", "optimizer='adamw'"),
    (Setting("model.stem", "cifar"), "--set model.stem=cifar", "set={'model.stem': 'cifar'}"),
    (Call("eval", ("a run",)), "resnetctl eval 'a run'", "rc.evaluate('a run')"),
    (Call("export", (Path("r"),), {"onnx": True}), "resnetctl export r --onnx", "rc.export('r')"),
    (Call("runs list"), "resnetctl runs list", "rc.runs()"),
    (Call("train", settings={"resume": "last"}), "resnetctl train --resume last", "rc.resume('last')"),
    (Setting("epochs", "N"), "--epochs N", "epochs=N"),
    (Setting("class"), "--class", "class_"),
    (Setting("epochs", "9"), "--epochs 9", "epochs='9'"),
    (Setting("out", Path("a/b")), "--out a/b", "out='a/b'"),
    (
        Call("finetune", ("TARGET",), {"data": "NAME"}),
        "resnetctl finetune TARGET --data NAME",
        "rc.finetune(TARGET, data=NAME)",
    ),
    (Call("explain", ("TARGET", "IMAGE...")), "resnetctl explain TARGET IMAGE...", "rc.explain(TARGET, IMAGE)"),
    (Call("data list"), "resnetctl data list", "in a shell: resnetctl data list"),
    (
        Call("data add", ("p",), {"name": "OTHER"}, "under another name"),
        "resnetctl data add p --name OTHER    under another name",
        "in a shell: resnetctl data add p --name OTHER    under another name",
    ),
]


@pytest.mark.parametrize(("hint", "shell", "python"), CASES, ids=[shell for _, shell, _ in CASES])
def test_a_hint_has_a_shell_form_and_a_python_form(hint: Hint, shell: str, python: str) -> None:
    assert in_shell(hint) == shell
    assert in_python(hint) == python


def test_in_shell_uses_the_flag_names_of_the_command_line() -> None:
    assert in_shell(Setting("model.arch", "resnet56"), {"model.arch": "--arch"}) == "--arch resnet56"


def test_in_python_passes_the_images_of_predict_as_a_list() -> None:
    hint = Call("predict", ("last", "--", "-a.png", "b.png"))
    assert in_shell(hint) == "resnetctl predict last -- -a.png b.png"
    assert in_python(hint) == "rc.predict('last', ['-a.png', 'b.png'])"


@pytest.mark.parametrize(
    ("name", "known", "said"),
    [
        ("resnet65", ["resnet56", "wrn16_4"], "did you mean 'resnet56'?"),
        ("resnet21", ["resnet20", "resnet32"], "did you mean 'resnet20'?"),  # equally close: more in one piece
        ("zebra", ["b", "a"], "known: a, b"),
        ("zebra", [], "none is known"),
    ],
)
def test_a_close_name_is_suggested_else_all_are_listed(name: str, known: list[str], said: str) -> None:
    assert suggest(name, known) == said


def test_python_arguments_have_the_names_of_the_flags() -> None:
    named = {flag.key: flag.flag.removeprefix("--").replace("-", "_") for flag in flags(TrainConfig)}
    assert {key: name for key, name in named.items() if key != name} == ARGUMENTS


def test_dashes_of_flags_do_not_make_names_close() -> None:
    flags = ["--out", "--data", "--epochs", "--dry-run"]
    assert closest("--bogus", flags) is None
    assert closest("--learning-rate", ["--lr", "--learn"]) == "did you mean '--lr'?"  # the word of other programs
    assert closest("wd", ["weight_decay", "width"]) == "did you mean 'weight_decay'?"
    assert closest("--bs", ["--batch-size", "--best"]) == "did you mean '--batch-size'?"
    assert closest("--epocs", flags) == "did you mean '--epochs'?"
    assert closest("--datta", flags) == "did you mean '--data'?"
    assert closest("-", flags) is None
    assert closest("--opt", ["--out", "--optimizer"]) == "did you mean '--optimizer'?"  # the only one that begins so


@pytest.mark.parametrize(
    ("setting", "line"),
    [
        (Setting("lr", 0.025), "lr = 0.025"),
        (Setting("optim.name", "adamw", note="as timm"), 'optim.name = "adamw"    as timm'),
        (Setting("optim.nesterov", False), "optim.nesterov = false"),
        (Setting("augment"), "augment"),
    ],
)
def test_a_setting_is_a_line_of_a_file(setting: Setting, line: str) -> None:
    assert in_file(setting) == line
