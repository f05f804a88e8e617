"""Flags follow from the fields of a config model."""

import pytest
from pydantic import BaseModel

from resnetctl.config.options import Flag, fields, flags, is_known, key_inside, key_meant, not_a_number, option
from resnetctl.config.schema import FinetuneConfig, TrainConfig
from resnetctl.spec import Scalar


class Inner(BaseModel):
    shown: int = option(3, "Shown", flag="--shown", short="-s", metavar="N", panel="Inside", ge=1)
    hidden: float = option(0.5, "Only in files and --set")
    table: dict[str, Scalar] = {}


class Outer(BaseModel):
    first_one: str = option("x", "The first", complete="arch")
    inner: Inner = Inner()
    last: int = 1


def by_key(model: type[BaseModel]) -> dict[str, Flag]:
    return {flag.key: flag for flag in flags(model)}


def test_fields_yields_dotted_keys_in_order() -> None:
    assert [key for key, _ in fields(Outer)] == ["first_one", "inner.shown", "inner.hidden", "inner.table", "last"]


def test_only_top_level_keys_get_a_flag_by_themselves() -> None:
    by_name = by_key(Outer)
    assert {key: flag.flag for key, flag in by_name.items()} == {
        "first_one": "--first-one",
        "inner.shown": "--shown",
        "last": "--last",
    }


def test_a_flag_has_what_the_command_line_needs() -> None:
    shown = by_key(Outer)["inner.shown"]
    assert (shown.help, shown.short, shown.metavar, shown.panel, shown.complete) == ("Shown", "-s", "N", "Inside", None)
    assert shown.field.default == 3
    assert by_key(Outer)["first_one"].complete == "arch"
    assert (by_key(Outer)["last"].help, by_key(Outer)["last"].panel) == ("", "Other")


def test_train_has_the_flags_that_scripts_use() -> None:
    names = {flag.flag for flag in flags(TrainConfig)}
    assert names >= {
        "--arch",
        "--block",
        "--data",
        "--augment",
        "--epochs",
        "--batch-size",
        "--lr",
        "--seed",
        "--device",
        "--threads",
    }
    assert {flag.flag for flag in flags(FinetuneConfig)} >= names | {"--weights", "--freeze"}


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        ("0.1", float, "should be a number, not '0.1'"),
        ("3", int, "should be a number, not '3'"),
        (True, float, "should be a number, not true"),
        (True, int | str, "should be a number, not true"),
        ("cifar10", int | str, ""),
        (True, bool, ""),
        (3, float, ""),
        ("adamw", str, ""),
    ],
)
def test_a_text_is_no_number(value: object, kind: object, text: str) -> None:
    assert not_a_number(value, kind) == text


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("augment_args.args.share", "augment_args.share"),
        ("model.block.kernel", "model.block_args.kernel"),
        ("model.block.name", "model.block"),
        ("model.block_args.reduction.x", "model.block_args.x"),
        ("schedule.args.x.y", "schedule.args.y"),
        ("lr.x", "lr"),
        ("a.b.c", ""),
        ("optim.nesterof", ""),
    ],
)
def test_a_key_inside_another_is_unknown_and_has_a_meaning(key: str, meant: str) -> None:
    kinds = {name: field.annotation for name, field in fields(TrainConfig)}
    assert not is_known(key, kinds)
    assert key_inside(key, TrainConfig) == meant
    assert is_known("model.block_args.kernel", kinds)
    assert is_known("lr", kinds)


def test_flags_and_short_forms_are_unique() -> None:
    for model in (TrainConfig, FinetuneConfig):
        for taken in ([flag.flag for flag in flags(model)], [flag.short for flag in flags(model) if flag.short]):
            assert len(taken) == len(set(taken))


def test_every_flag_has_a_help_text() -> None:
    assert all(flag.help for flag in flags(FinetuneConfig))


@pytest.mark.parametrize("flag", flags(FinetuneConfig), ids=lambda flag: flag.flag)
def test_the_name_of_every_flag_means_its_key(flag: Flag) -> None:
    name = flag.flag.removeprefix("--")
    spelled = {name, name.replace("-", "_"), name.upper(), flag.flag}
    assert {key_meant(text, FinetuneConfig) for text in spelled} == {flag.key}


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("optimiser", "optim.name"),  # like a flag
        ("optim", "optim.name"),  # a table
        ("model", "model.arch"),
        ("nesterov", "optim.nesterov"),  # the last part of a key
        ("dropout", "model.dropout"),
        ("optim.lr", "lr"),
        ("model.epochs", "epochs"),
        ("optimizer.momentum", "optim.momentum"),
        ("optimizer.momentun", "optim.momentum"),
        ("optimizer.name", "optim.name"),
        ("data.name", "data"),  # a value as a table
        ("optim.nestorov", "optim.nesterov"),  # spelled alike
        ("schedule.power", "schedule.args.power"),  # an argument of a plugin
        ("objective.gamma", "objective.args.gamma"),
        ("model.bias", "model.block_args.bias"),
        ("block_args.dilation", "model.block_args.dilation"),
        ("block", "model.block"),
        ("learning_rate", "lr"),  # as other programs say
        ("wd", "weight_decay"),
        ("lrr", "lr"),
        ("zzz", None),
        ("zzz.zzz", None),
    ],
)
def test_an_unknown_key_means_a_flag_then_a_last_part_then_the_closest(key: str, meant: str | None) -> None:
    assert key_meant(key, TrainConfig) == meant
