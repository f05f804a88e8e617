"""A sweep's file becomes one config for each run; mistakes are reported before anything is written."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resnetctl.config.layers import from_file
from resnetctl.errors import ConfigError, UsageError
from resnetctl.system import settings
from resnetctl.tasks.sweep.file import SweepFile, read_sweep
from resnetctl.tasks.sweep.points import (
    LIST,
    _words,
    ask,
    plan_sweep,
    points,
)


def sweep(**values: Any) -> SweepFile:
    return SweepFile.model_validate(values)


def test_a_grid_has_every_combination_for_every_seed() -> None:
    found = points(sweep(vary={"lr": [0.1, 0.2], "optim": {"nesterov": [True, False]}}, seeds=2, config={"seed": 5}))
    assert len(found) == 8
    assert found[0] == {"lr": 0.1, "optim.nesterov": True, "seed": 5}
    assert found[-1] == {"lr": 0.2, "optim.nesterov": False, "seed": 6}


def test_seeds_alone_are_a_sweep() -> None:
    assert points(sweep(seeds=3)) == [{"seed": 0}, {"seed": 1}, {"seed": 2}]


def test_a_list_names_each_setting() -> None:
    tables = [{"lr": 0.1}, {"model": {"arch": "resnet56"}}, {"lr": 0.1}]
    assert points(sweep(method="list", items=tables)) == [{"lr": 0.1}, {"model.arch": "resnet56"}]


def test_random_values_stay_in_their_range_and_repeat() -> None:
    vary = {"lr": {"low": 0.001, "high": 1.0, "log": True}, "batch_size": {"low": 16, "high": 256}, "seed": [3, 4]}
    found = points(sweep(method="random", runs=200, vary=vary))
    assert found == points(sweep(method="random", runs=200, vary=vary))
    assert found != points(sweep(method="random", runs=200, vary=vary, seed=1))
    assert all(0.001 <= point["lr"] <= 1 and 16 <= point["batch_size"] <= 256 for point in found)
    assert 60 < sum(point["lr"] < 0.0316 for point in found) < 140  # half of them in the logarithm
    assert {point["seed"] for point in found} == {3, 4}
    assert all(isinstance(point["batch_size"], int) for point in found)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "nothing varies"),
        ({"vary": {"lr": 0.1}}, "a grid needs a list of values for 'lr'"),
        ({"method": "random", "vary": {"lr": 0.1}}, "'lr' needs a list of values, or a range"),
        ({"method": "random", "vary": {"lr": {"low": 0, "high": 1, "log": True}}}, "'lr' needs a list of values"),
        ({"vary": {"lr": [0.1] * 2, "size": [*range(101)], "epochs": [*range(100)]}}, "at most 10,000"),
    ],
)
def test_a_sweep_that_makes_no_sense_is_refused(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        points(sweep(**values))


def test_each_run_has_its_config_and_a_telling_name(tmp_path: Path) -> None:
    values = sweep(recipe="fast", config={"data": "digits"}, vary={"lr": [0.1, 0.2]}, seeds=2)
    group = plan_sweep(values, settings.load(), name="lr", out=tmp_path)
    assert group.names() == ["0-lr0.1-seed0", "1-lr0.1-seed1", "2-lr0.2-seed0", "3-lr0.2-seed1"]
    last = from_file(group.config("3-lr0.2-seed1")).values
    assert (last["data"], last["lr"], last["seed"], last["epochs"]) == ("digits", 0.2, 1, 10)
    assert group.plan()["keys"] == ["lr", "seed"]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"vary": {"lr": [0.1, -1]}}, "wrong values"),
        ({"vary": {"learning": [1, 2]}}, "unknown keys"),
        ({"vary": {"model": {"arch": ["resnet20", "resnet7"]}}}, "no arch"),
        ({"recipe": "slow", "seeds": 2}, "no recipe"),
        ({"seeds": 4, "halving": 1}, "halving by 1"),
        ({"seeds": 4, "halving": 2, "config": {"steps": 9}}, "in epochs"),
    ],
)
def test_a_wrong_config_leaves_no_group(tmp_path: Path, values: dict[str, Any], words: str) -> None:
    with pytest.raises((ConfigError, UsageError), match=words):
        plan_sweep(sweep(**values), settings.load(), name="g", out=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def planned(path: Path, text: str) -> UsageError:
    """Return the error of planning the sweep that this text describes."""
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        plan_sweep(read_sweep(path), settings.load(), name="g", out=path.parent / "runs")
    return caught.value


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "[vary]\nlr = [0.1]\narch = ['resnet20', 'resnet32']",
            "arch: unknown key (FILE:3); did you mean 'model.arch'?",
        ),
        ("vary.optimizer = ['adamw', 'sgd']", "optimizer: unknown key (FILE:1); did you mean 'optim.name'?"),
        ("[vary.model]\nblok = ['a', 'b']", "model.blok: unknown key (FILE:2); did you mean 'model.block'?"),
        ("[vary]\nlr = [0.1, -1]", "lr: should be greater than 0, not -1 (FILE:2)"),
        (
            "[config]\narch = 'resnet20'\n[vary]\nlr = [0.1, 1]",
            "arch: unknown key (FILE:2); did you mean 'model.arch'?",
        ),
        ("seeds = 2\n[config.optim]\nmomentum = 2", "optim.momentum: should be less than 1, not 2 (FILE:3)"),
        (
            "method = 'list'\nseeds = 2\n[[items]]\nlr = 1\n[[items]]\nlr = 1\n[[items]]\nlr = -1\n",
            "lr: should be greater than 0, not -1 (FILE:8)",
        ),
        ("[vary]\naugment.magnitud = [1, 2]\nlrr = [1]", "lrr: unknown key (FILE:3); did you mean 'lr'?"),
        (
            "method = 'random'\n[vary]\nlrr = { low = 0.1, high = 1.0 }",
            "lrr: unknown key (FILE:3); did you mean 'lr'?",
        ),
    ],
)
def test_a_wrong_key_names_file_and_line(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "lr.toml"
    assert problem.replace("FILE", str(path)) in planned(path, text).problems


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("seeds = 2\n[config]\nmodel.block_args.shortcot = 'A'", "'shortcot' is not an argument"),
        ("[vary]\n\nmodel.block_args.shortcot = ['A', 'B']", "'shortcot' is not an argument"),
        (
            "seeds = 2\n[config.model]\nblock_args = { shortcut = 3 }",
            "'shortcut' should be like its default 'B', not 3",
        ),
        ("[config]\naugment = 'shift'\naugment_args.reech = 3\n[vary]\nlr = [1, 2]", "'reech' is not an argument"),
        ("[vary]\nlr = [1]\nmodel.arch = ['resnet20', 'resnet7']", "no arch is called 'resnet7'"),
        ("seeds = 2\n[config]\noptim.name = 'sdg'", "no optimizer is called 'sdg'"),
        ("seeds = 2\n[config.model]\nhead = 'rcnn'", "no head is called 'rcnn'"),
    ],
)
def test_a_wrong_argument_or_name_of_a_plugin_names_file_and_line(tmp_path: Path, text: str, problem: str) -> None:
    error = planned(tmp_path / "lr.toml", text)
    assert problem in str(error)
    assert error.where == f"{tmp_path / 'lr.toml'}:3"


BLOCKS = "[vary]\nmodel.block = ['se_basic', 'basic']\nmodel.block_args.reduction = [4, 8]"


@pytest.mark.parametrize(
    ("text", "has_way_out"),
    [
        (BLOCKS, True),
        ("[vary]\naugment = ['shift', 'none']\naugment_args.reach = [2, 3]", True),
        ("[vary]\naugment = ['shift', 'none']\n'augment.reach' = [2, 3]", True),
        ("[vary]\nschedule.name = ['trapezoid', 'cosine']\nschedule.args.decay = [0.2, 0.3]", True),
        ("[config]\nmodel.block = 'basic'\n[vary]\nmodel.block_args.reduction = [4, 8]", False),
        ("method = 'list'\n[[items]]\nmodel.block = 'basic'\nmodel.block_args.reduction = 4", False),
    ],
)
def test_an_argument_beside_a_name_that_varies_is_for_a_list(tmp_path: Path, text: str, has_way_out: bool) -> None:
    error = planned(tmp_path / "blocks.toml", text)
    assert (LIST in error.hint) == has_way_out, error


@pytest.mark.parametrize(
    "text",
    [
        "seeds = 2\n[config]\nseed = 'five'",
        "[config]\n[vary]\nlr = 0.1",
        "method = 'random'\n[vary]\nlr = 0.1",
    ],
)
def test_a_value_that_makes_no_runs_names_file_and_line(tmp_path: Path, text: str) -> None:
    assert planned(tmp_path / "lr.toml", text).where == f"{tmp_path / 'lr.toml'}:3"


@pytest.mark.parametrize(
    "values",
    [
        {"method": "random", "vary": {"lr": []}},
        {"method": "random", "vary": {"lr": {"low": "a", "high": 1}}},
        {"method": "random", "vary": {"lr": {"low": 1.0, "high": 0.1}}},
        {"method": "random", "vary": {"lr": {"low": 0.1, "high": float("inf")}}},
        {"method": "random", "vary": {"lr": {"low": float("nan"), "high": 1.0}}},
        {"method": "random", "vary": {"lr": {"low": -1.0, "high": 1.0, "log": True}}},
    ],
)
def test_a_range_that_cannot_be_drawn_from_is_named(values: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="'lr' needs a list of values, or a range"):
        points(sweep(**values))


@pytest.mark.parametrize("seed", ["five", 1.5, True, [1]])
def test_a_seed_that_is_no_whole_number_is_one_clear_error(seed: object) -> None:
    with pytest.raises(ConfigError, match="the seed of the sweep's config is a whole number"):
        points(sweep(seeds=2, config={"seed": seed}))


@pytest.mark.parametrize(
    "values",
    [
        {"vary": {"seed": [1, 2]}},
        {"method": "list", "items": [{"lr": 0.1}, {"seed": 3}]},
        {"method": "random", "vary": {"seed": {"low": 0, "high": 9}}},
    ],
)
def test_seeds_that_are_given_twice_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="the seeds are given twice"):
        points(sweep(seeds=2, **values))
    assert points(sweep(**values))


def test_values_may_be_lists_of_lists_and_true_is_not_one() -> None:
    deep = [[[1, 2], [3]], [[1, 2], [4]], [[1, 2], [3]]]
    assert points(sweep(vary={"a": deep})) == [{"a": deep[0]}, {"a": deep[1]}]
    assert points(sweep(vary={"a": [True, 1, 1.0]})) == [{"a": True}, {"a": 1}, {"a": 1.0}]


@given(st.integers(-1000, 1000), st.integers(0, 1000), st.integers(0, 99))
def test_whole_numbers_stay_between_their_ends(low: int, width: int, seed: int) -> None:
    drawn = points(sweep(method="random", runs=9, seed=seed, seeds=2, vary={"a": {"low": low, "high": low + width}}))
    assert all(isinstance(point["a"], int) and low <= point["a"] <= low + width for point in drawn)


def test_a_draw_depends_on_its_key_and_number_only() -> None:
    few, many = (points(sweep(method="random", runs=runs, vary={"lr": {"low": 0.0, "high": 1.0}})) for runs in (3, 9))
    assert many[:3] == few
    both = points(sweep(method="random", runs=3, vary={"a": [1, 2], "lr": {"low": 0.0, "high": 1.0}}))
    assert [point["lr"] for point in both] == [point["lr"] for point in few]


def test_long_and_odd_values_make_plain_folder_names() -> None:
    values = sweep(config={"data": "digits"}, vary={"name_of": ["../../up", "a b/c"]})
    names = [_words(point) for point in points(values)]
    assert names == ["name_of.._.._up", "name_ofa_b_c"]
    assert len(_words({"key": "x" * 500})) == 80
    assert _words({"optim.lr": 0.1, "seed": 3}) == "lr0.1-seed3"


def test_eleven_runs_are_numbered_in_the_order_of_the_queue(tmp_path: Path) -> None:
    group = plan_sweep(sweep(seeds=11, config={"data": "digits"}), settings.load(), name="s", out=tmp_path)
    assert group.names() == [f"{number:02d}-seed{number}" for number in range(11)]
    assert [group.plan()["points"][name]["seed"] for name in group.names()] == [*range(11)]


SEARCH = {"method": "optuna", "runs": 3, "vary": {"lr": {"low": 0.01, "high": 0.5, "log": True}}}


@pytest.fixture
def optuna() -> None:
    pytest.importorskip("optuna")


@pytest.mark.usefixtures("optuna")
def test_a_search_begins_with_one_run_and_asks_until_it_has_all(tmp_path: Path) -> None:
    group = plan_sweep(sweep(**SEARCH), settings.load(), name="s", out=tmp_path)
    asked = [ask(group, settings.load()) for _ in range(3)]
    assert asked[-1] is None
    assert group.total() == 3
    assert group.names() == [*group.plan()["points"]]
    assert len({*group.names()}) == 3
    assert from_file(group.config(group.names()[2])).values["lr"] == group.plan()["points"][group.names()[2]]["lr"]


@pytest.mark.usefixtures("optuna")
def test_a_search_whose_worker_was_killed_queues_the_planned_run(tmp_path: Path) -> None:
    group = plan_sweep(sweep(**SEARCH), settings.load(), name="s", out=tmp_path)
    name = ask(group, settings.load())
    assert name is not None
    group.config(name).unlink()
    assert ask(group, settings.load()) == name
    assert group.config(name).is_file()


def test_a_group_that_is_no_search_asks_for_nothing(tmp_path: Path) -> None:
    assert ask(plan_sweep(sweep(seeds=2), settings.load(), name="g", out=tmp_path), settings.load()) is None


@pytest.mark.usefixtures("optuna")
@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"seeds": 2}, "leave seeds and halving out"),
        ({"halving": 3}, "leave seeds and halving out"),
        ({"vary": {}}, "nothing to choose"),
        ({"vary": {"lr": 0.1}}, "'lr' needs a list of values, or a range"),
        ({"vary": {"lr": {"low": 0.1, "high": -1.0}}}, "'lr' needs a list of values, or a range"),
        ({"vary": {"lr": {"low": -1.0, "high": 1.0}}}, "wrong values"),
        ({"vary": {"model": {"arch": ["resnet20", "resnet7"]}}}, "no arch"),
    ],
)
def test_a_wrong_search_leaves_no_group(tmp_path: Path, values: dict[str, Any], words: str) -> None:
    with pytest.raises((ConfigError, UsageError), match=words):
        plan_sweep(sweep(**SEARCH | values), settings.load(), name="g", out=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()
