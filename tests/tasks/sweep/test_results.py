"""The report of a group: settings by their mean, pairs by seed, a plot."""

import json
from pathlib import Path
from typing import Any

import pytest
from scipy import stats

from resnetctl.config.layers import layer
from resnetctl.errors import InputError, UsageError
from resnetctl.runs.group import Group
from resnetctl.system import settings
from resnetctl.tasks.sweep.points import plan_group
from resnetctl.tasks.sweep.results import compared, show

LR = (0.1, 0.2)
ACCURACY = {(0.1, 0): 0.90, (0.1, 1): 0.92, (0.1, 2): 0.94, (0.2, 0): 0.91, (0.2, 1): 0.935}


@pytest.fixture
def group(tmp_path: Path) -> Group:
    """A group of two learning rates with three seeds, of which the last run is unfinished."""
    each: list[dict[str, Any]] = [{"lr": lr, "seed": seed} for lr in LR for seed in range(3)]
    base = [layer({"data": "digits"}, "test")]
    made = plan_group(base, each, settings=settings.load(), where=(tmp_path, "g"))
    for name, point in zip(made.names(), each, strict=True):
        accuracy = ACCURACY.get((point["lr"], point["seed"]))
        if accuracy is not None:
            run = made.run(name)
            run.path.mkdir()
            run.save_config(f"seed = {point['seed']}\n", {})
            run.save_summary({"kept": "best", "best": {"epoch": 1, "val_top1": accuracy}, "epochs": 1})
    return made


def test_settings_are_ranked_by_their_mean_and_paired_with_the_best(group: Group) -> None:
    report = show(group)
    assert [item.name for item in report.settings] == ["lr 0.2", "lr 0.1"]
    best, other = report.settings
    assert best.seeds == {0: 0.91, 1: 0.935}
    assert best.against_best is None
    assert other.val_top1 is not None
    assert (other.val_top1.n, other.val_top1.mean) == (3, pytest.approx(0.92))
    assert other.against_best is not None
    assert other.against_best.n == 2
    assert other.against_best.difference == pytest.approx(-0.0125)
    assert other.against_best.verdict == "not distinguishable"
    assert report.states == {"finished": 5, "failed": 0, "begun": 0, "waiting": 1}


def test_its_line_has_the_means_and_the_folder(group: Group) -> None:
    line = repr(show(group))
    assert line.startswith("SweepReport(lr 0.2: 92.3% (n = 2")
    assert line.endswith(f"; {str(group.path)!r})")


def finished(folder: Path, name: str, accuracies: list[float], *, data: str = "digits") -> Group:
    """A group of one setting with a finished run for each accuracy."""
    each: list[dict[str, Any]] = [{"seed": seed} for seed in range(len(accuracies))]
    made = plan_group([layer({"data": data}, "test")], each, settings=settings.load(), where=(folder, name))
    for run_name, seed in zip(made.names(), range(len(accuracies)), strict=True):
        run = made.run(run_name)
        run.path.mkdir()
        run.save_config(f'seed = {seed}\ndata = "{data}"\n', {})
        run.save_summary({"kept": "best", "best": {"epoch": 1, "val_top1": accuracies[seed]}, "epochs": 1})
    return made


def test_two_groups_are_compared_by_welchs_test(tmp_path: Path) -> None:
    good, bad = [0.95, 0.96, 0.94], [0.90, 0.91, 0.92, 0.90]
    report = compared(finished(tmp_path, "a", good), finished(tmp_path, "b", bad))
    assert report.against is not None
    found, oracle = report.against.seeds, stats.ttest_ind(good, bad, equal_var=False)
    assert (found.n, found.verdict) == ((3, 4), "better")
    assert found.p == pytest.approx(oracle.pvalue)
    assert found.interval == pytest.approx(tuple(oracle.confidence_interval(0.95)))
    document = json.loads(json.dumps(report.to_json()))["against"]
    assert document["settings"] == ["all runs", "all runs"]
    assert document["best"]["val_top1"]["n"] == 4
    drawing = report.plot()["sweep.svg"].decode()
    assert "a: all runs" in drawing
    assert "b: all runs" in drawing
    assert drawing.count("<circle") == 3 + 4 + 2


def test_a_comparison_says_which_of_the_two_groups_mixes_versions_of_a_plugin(tmp_path: Path) -> None:
    groups = [finished(tmp_path, name, [0.95, 0.96, 0.94]) for name in ("a", "b")]
    for number, name in enumerate(groups[1].names()):
        environment = {"plugins": {"own": f"0.{number // 2}"}}
        (groups[1].run(name).path / "env.json").write_text(json.dumps(environment))
    (text,) = compared(*groups).plugins
    assert (
        text == "the runs were trained with different versions of own: 0.0 for b/0-seed0, b/1-seed1; 0.1 for b/2-seed2"
    )
    assert compared(*groups).to_json()["plugins"] == [text]


@pytest.mark.parametrize(
    ("key", "what", "parts"),
    [
        ("plugins", "versions of own", ("1 for a/0-seed0, a/1-seed1, a/2-seed2", "2 for b/0-seed0, b/1-seed1")),
        ("code", "code of own", ("a/0-seed0, a/1-seed1, a/2-seed2", "b/0-seed0, b/1-seed1")),
    ],
)
def test_a_comparison_says_that_two_groups_used_different_plugins(
    tmp_path: Path, key: str, what: str, parts: tuple[str, str]
) -> None:
    groups = [finished(tmp_path, name, [0.95, 0.96, 0.94]) for name in ("a", "b")]
    for version, group in zip("12", groups, strict=True):
        for name in group.names():
            environment = {"plugins": {"own": "1"}} | {key: {"own": version}}
            (group.run(name).path / "env.json").write_text(json.dumps(environment))
    assert [show(group).plugins for group in groups] == [(), ()]
    text = f"the runs were trained with different {what}: {parts[0]}; {parts[1]}, b/2-seed2"
    assert compared(*groups).plugins == (text,)


def test_groups_with_few_seeds_or_other_images_are_not_compared(tmp_path: Path) -> None:
    three, two = finished(tmp_path, "a", [0.9, 0.8, 0.7]), finished(tmp_path, "b", [0.9, 0.8])
    for pair in ((three, two), (two, three)):
        with pytest.raises(UsageError, match="the comparison needs 3 of each") as caught:
            compared(*pair)
        assert caught.value.where == str(two.path)
    with pytest.raises(UsageError, match=r"different val images: digits .* and mnist"):
        compared(three, finished(tmp_path, "c", [0.9, 0.8, 0.7], data="mnist"))


def test_a_run_that_a_resume_made_longer_is_named(tmp_path: Path) -> None:
    plain, other = (finished(tmp_path, name, [0.95, 0.96, 0.94]) for name in ("a", "b"))
    assert compared(plain, other).lengths == ()
    for number, name in enumerate(plain.names()):
        plain.run(name).save_config(f'seed = {number}\ndata = "digits"\nepochs = {4 + 2 * (number == 0)}\n', {})
    sentence = "a/0-seed0 trained for 6 epochs, the other seeds for 4 epochs"
    assert show(plain).lengths == compared(plain, other).lengths == compared(other, plain).lengths == (sentence,)
    plan = json.loads((plain.path / "sweep.json").read_text())
    (plain.path / "sweep.json").write_text(json.dumps(plan | {"halving": 3}))
    assert show(plain).lengths == ()


def test_a_comparison_names_the_config_keys_that_differ(tmp_path: Path) -> None:
    groups = [finished(tmp_path, name, [0.95, 0.96, 0.94]) for name in ("a", "b")]
    for lr, group in zip((0.1, 0.2), groups, strict=True):
        for seed, name in enumerate(group.names()):
            group.run(name).save_config(f'seed = {seed}\ndata = "digits"\nlr = {lr}\n', {})
    report = compared(*groups)
    assert report.against is not None
    assert report.against.differs == ("lr",)


def test_a_comparison_asks_for_as_many_seeds_as_failed_runs_need(tmp_path: Path) -> None:
    three, other = finished(tmp_path, "a", [0.9, 0.8, 0.7]), finished(tmp_path, "b", [0.9, 0.8, 0.7])
    failed = other.run("1-seed1")
    (failed.path / "summary.json").unlink()
    failed.save_failure("the loss is not finite")
    with pytest.raises(UsageError, match="3 and 2 finished seeds") as caught:
        compared(three, other)
    assert caught.value.problems == ("1 of 3 runs failed; 1-seed1: the loss is not finite",)
    assert "seeds=4" in str(caught.value)


def test_the_report_is_one_json_document(group: Group) -> None:
    document = json.loads(json.dumps(show(group).to_json()))
    assert document["schema"] == "resnetctl.sweep.show/1"
    assert document["settings"][1]["against_best"]["needed"] > 2
    best, *others = [text for _, text in show(group).rows()]
    assert others == ["92.0% (n = 3, 87.0% to 97.0%); not distinguishable from the best"]
    assert "the best" not in best
    assert f"<caption>sweep {group.path.name}: val accuracy</caption>" in show(group)._repr_html_()


def test_the_plot_has_a_mark_for_each_seed_and_each_mean(group: Group) -> None:
    drawing = show(group).plot()["sweep.svg"].decode()
    assert drawing.startswith("<svg")
    assert drawing.count("<circle") == len(ACCURACY) + len(LR)
    assert "lr 0.2" in drawing


def test_a_group_before_its_first_run_has_no_plot(tmp_path: Path) -> None:
    each = [{"seed": seed} for seed in range(2)]
    made = plan_group([layer({"data": "digits"}, "test")], each, settings=settings.load(), where=(tmp_path, "new"))
    report = show(made)
    assert report.settings[0].val_top1 is None
    assert report.states["waiting"] == 2
    with pytest.raises(UsageError, match="no run of the group has finished"):
        report.plot()


def test_a_damaged_plan_is_no_report(group: Group) -> None:
    plan = json.loads((group.path / "sweep.json").read_text())
    for wrong in ({"points": {}}, {"keys": None}, {"points": {"a": 1}}):
        (group.path / "sweep.json").write_text(json.dumps(plan | wrong))
        with pytest.raises(InputError, match="this is no group of runs"):
            show(group)


def test_a_damaged_run_is_failed_and_not_finished(group: Group) -> None:
    (group.path / group.names()[-1]).mkdir()
    run = group.run(group.names()[-1])
    run.save_config("seed = 2\n", {})
    assert show(group).states["begun"] == 1
    run.save_failure("the loss is not finite")
    assert show(group).states == {"finished": 5, "failed": 1, "begun": 0, "waiting": 0}


def test_a_run_without_val_counts_as_finished_and_has_no_accuracy(group: Group) -> None:
    for name in group.names():
        if group.run(name).config.is_file():
            group.run(name).save_summary({"kept": "last", "last": {"epoch": 1}, "epochs": 1})
    report = show(group)
    assert report.states["finished"] == 5
    assert [item.val_top1 for item in report.settings] == [None, None]
    assert {text for _, text in report.rows()} == {"-"}


def test_only_seeds_are_one_setting_without_a_name(tmp_path: Path) -> None:
    each = [{"seed": seed} for seed in (4, 5)]
    made = plan_group([layer({"data": "digits"}, "test")], each, settings=settings.load(), where=(tmp_path, "s"))
    for name, seed in zip(made.names(), (4, 5), strict=True):
        made.run(name).path.mkdir()
        made.run(name).save_config(f"seed = {seed}\n", {})
        made.run(name).save_summary({"kept": "last", "last": {"epoch": 1, "val_top1": seed / 10}, "epochs": 1})
    (only,) = show(made).settings
    assert (only.name, only.seeds, only.against_best) == ("", {4: 0.4, 5: 0.5}, None)
    assert dict(show(made).rows()) == {"all runs": "45.0% (n = 2, 0.0% to 100.0%)"}
    assert b"all runs" in show(made).plot()["sweep.svg"]


def test_the_interval_of_a_mean_stays_in_0_to_1(group: Group) -> None:
    for setting in show(group).settings:
        assert setting.val_top1 is not None
        assert setting.val_top1.interval is not None
        low, high = setting.val_top1.interval
        assert 0 <= low <= high <= 1
