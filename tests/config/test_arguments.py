"""Arguments of a plugin's function come from keys of the config that it names, and from `args`."""

from functools import partial
from typing import Any, TypedDict

import pytest

from resnetctl.config.arguments import (
    config_with_floats,
    is_like,
    keywords,
    own_arguments,
    require_known,
    with_floats,
)
from resnetctl.config.schema import TrainConfig
from resnetctl.errors import ConfigError, UsageError

SHARED = {"momentum": 0.8, "nesterov": True}


def function(groups: object, *, momentum: float = 0.9, rho: float = 0.5, steps: int = 3, name: str = "a") -> None: ...


def test_what_a_partial_has_bound_cannot_be_set() -> None:
    half = partial(function, rho=0.1)
    assert own_arguments(half, SHARED) == {"steps": 3, "name": "a"}
    with pytest.raises(ConfigError, match=r"policy 'p' cannot use augment\.rho"):
        keywords(half, shared={}, args={"rho": 0.2}, key="augment", title="policy 'p'")


def bound(**args: Any) -> dict[str, Any]:
    return keywords(function, shared=SHARED, args=args, key="optim.args", title="optimizer 'f'")


def test_a_function_gets_the_shared_keys_that_it_names_and_its_own_arguments() -> None:
    assert bound() == {"momentum": 0.8}
    assert bound(rho=1, name="b") == {"momentum": 0.8, "rho": 1, "name": "b"}
    assert own_arguments(function, SHARED) == {"rho": 0.5, "steps": 3, "name": "a"}


def annotated(*, scale: float = 1, shift: "float" = 0.0, steps: int = 3, is_on: bool = False) -> None: ...


def test_an_int_becomes_a_float_where_the_default_or_the_annotation_is_one() -> None:
    args: dict[str, Any] = {"scale": 2, "shift": -1, "steps": 4, "is_on": True, "other": 5}
    assert {key: repr(value) for key, value in with_floats(args, annotated).items()} == {
        "scale": "2.0",
        "shift": "-1.0",
        "steps": "4",
        "is_on": "True",
        "other": "5",
    }
    assert repr(bound(rho=1, steps=2)) == "{'momentum': 0.8, 'rho': 1.0, 'steps': 2}"
    assert with_floats({"scale": 10**400, "shift": True}, annotated) == {"scale": 10**400, "shift": True}


def test_a_default_without_a_point_takes_a_fraction_if_the_annotation_is_float() -> None:
    given = keywords(annotated, shared={}, args={"scale": 0.5}, key="optim.args", title="optimizer 'f'")
    assert given == {"scale": 0.5}


def test_the_arguments_of_a_config_become_floats_for_every_kind() -> None:
    values: dict[str, Any] = {
        "augment": "mixup",
        "augment_args": {"alpha": 1},
        "objective": {"name": "focal", "args": {"gamma": 2}},
        "optim": {"name": "adam", "args": {"eps": 1}},
    }
    config = config_with_floats(TrainConfig.model_validate(values))
    args = (config.augment_args, config.objective.args, config.optim.args)
    assert repr(args) == "({'alpha': 1.0}, {'gamma': 2.0}, {'eps': 1.0})"
    plain = TrainConfig()
    assert config_with_floats(plain) == plain


@pytest.mark.parametrize(
    ("args", "problem"),
    [
        ({"momentum": 0.5}, "'momentum' is set by optim.momentum"),
        ({"nesterov": False}, "'nesterov' is set by optim.nesterov"),
        ({"roh": 0.5}, "'roh' is not an argument: did you mean 'rho'?"),
        (
            {"steps": 1.5},
            "'steps' should be an int like its default 3, not 1.5 (for floats, its code writes 3.0 or annotates float)",
        ),
    ],
)
def test_wrong_arguments_are_listed_with_those_that_fit(args: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        bound(**args)
    assert caught.value.problems == (problem,)
    assert caught.value.hint == ("arguments of optimizer 'f': rho=0.5, steps=3, name='a'",)


def test_a_value_that_comes_from_elsewhere_is_not_offered() -> None:
    def needs(groups: list[Any], *, lr: float, average: float = 0.9) -> None: ...

    with pytest.raises(ConfigError) as caught:
        keywords(needs, shared={}, args={"avg": 0.2}, key="optim.args", title="optimizer 'n'")
    assert caught.value.hint == ("arguments of optimizer 'n': average=0.9",)


@pytest.mark.parametrize(
    ("value", "default", "fits"),
    [(1, 0.5, True), (1.5, 1, False), (True, 1, False), (True, False, True), ("a", "b", True), (1, "b", False)],
)
def test_a_value_has_the_type_of_the_default(value: object, default: object, fits: bool) -> None:
    assert is_like(value, default) == fits


class Options(TypedDict, total=False):
    quick: bool


class MoreOptions(Options, total=False):
    tta: str


def verb(target: str = "", *, split: str = "test", **options: Any) -> None: ...


def test_an_unknown_argument_names_all_that_the_verb_takes() -> None:
    require_known({"quick": True, "tta": "flip"}, verb, options=MoreOptions)
    with pytest.raises(UsageError, match="unknown argument 'bogus'") as raised:
        require_known({"bogus": 1}, verb, options=MoreOptions)
    assert raised.value.hint == ("known: quick, split, target, tta",)
    with pytest.raises(UsageError, match="did you mean 'split'"):
        require_known({"splt": "val"}, verb, options=MoreOptions)
