"""Fields of a pydantic model become parameters of a Typer function."""

import inspect
from pathlib import Path
from typing import Any, Literal, get_args

import pytest
import typer
from pydantic import BaseModel
from typer.models import ArgumentInfo, OptionInfo

from resnetctl.cli.parser.option_models import argument
from resnetctl.cli.parser.typer_options import name_of, signature
from resnetctl.config.options import Flag, flags, option
from resnetctl.errors import UsageError


class Inner(BaseModel):
    depth: int = option(3, "Depth", flag="--depth", short="-D")


class Model(BaseModel):
    target: str = argument("Target", metavar="TARGET")
    files: list[Path] = argument("Files", metavar="FILE...", default=[])
    epochs: int = option(5, "Epochs", short="-e", ge=1, panel="Panel")
    mirror: bool = option(True, "Mirror images")
    fit: Literal["crop", "pad"] = option("crop", "Fit")
    inner: Inner = Inner()


FLAGS: dict[str, Flag] = {flag.key: flag for flag in flags(Model)}


def parameters(**more: Any) -> dict[str, inspect.Parameter]:
    return dict(signature(FLAGS.values(), **more).parameters)


def test_every_parameter_has_an_annotation_for_typer() -> None:
    by_name = parameters()
    assert list(by_name) == ["ctx", "target", "files", "epochs", "mirror", "fit", "inner__depth"]
    assert by_name["ctx"].annotation is typer.Context
    infos = {name: get_args(item.annotation)[1] for name, item in by_name.items() if name != "ctx"}
    assert [name for name, info in infos.items() if isinstance(info, ArgumentInfo)] == ["target", "files"]
    assert all(isinstance(info, OptionInfo) for name, info in infos.items() if name not in ("target", "files"))
    assert infos["epochs"].help == "Epochs"
    assert infos["epochs"].rich_help_panel == "Panel"
    assert by_name["target"].default is inspect.Parameter.empty
    assert by_name["epochs"].default is None


def test_a_nested_key_becomes_a_python_name() -> None:
    assert name_of(FLAGS["inner.depth"]) == "inner__depth"


def test_typer_calls_a_function_with_the_values_of_the_fields() -> None:
    received: dict[str, Any] = {}

    def function(ctx: typer.Context, **values: Any) -> None:
        received.update(values)

    function.__signature__ = signature(FLAGS.values(), two_sided=["mirror"])  # type: ignore[attr-defined]
    app = typer.Typer()
    app.command()(function)
    app(["it", "a", "b", "-e", "7", "--no-mirror", "-D", "2"], standalone_mode=False)
    assert received == {
        "target": "it",
        "files": [Path("a"), Path("b")],
        "epochs": 7,
        "mirror": False,
        "fit": None,
        "inner__depth": 2,
    }


def test_a_wrong_value_gets_the_error_of_its_field() -> None:
    validate = get_args(parameters()["epochs"].annotation)[1].callback
    context: Any = None
    with pytest.raises(UsageError, match="--epochs should be greater than or equal to 1, not '0'"):
        validate(context, "0")


def test_the_shell_completes_choices_with_the_typed_prefix() -> None:
    complete = get_args(parameters()["fit"].annotation)[1].autocompletion
    assert complete("") == ["crop", "pad"]
    assert complete("p") == ["pad"]
    assert get_args(parameters()["epochs"].annotation)[1].autocompletion is None
