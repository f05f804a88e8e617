"""The option models of the commands are well formed."""

import inspect

import pytest
from pydantic import BaseModel

from resnetctl.cli.parser import complete, scale_options, store_options
from resnetctl.cli.parser import option_models as options
from resnetctl.config.options import flags

MODELS = [
    model
    for module in (options, scale_options, store_options)
    for _, model in inspect.getmembers(module, inspect.isclass)
    if issubclass(model, BaseModel) and model.__module__ == module.__name__
]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_flags_are_well_formed(model: type[BaseModel]) -> None:
    for flag in flags(model):
        assert flag.flag.startswith("--"), flag
        assert "_" not in flag.flag, flag
        assert flag.short is None or len(flag.short) == 2, flag
        assert flag.help, flag
        assert len(flag.flag) <= 23, "the help column"
        assert flag.complete is None or isinstance(complete.names(flag.complete), list)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_field_is_a_flag(model: type[BaseModel]) -> None:
    assert len(flags(model)) == len(model.model_fields)


def test_a_target_can_be_left_out() -> None:
    assert options.EvalOptions().target is None
