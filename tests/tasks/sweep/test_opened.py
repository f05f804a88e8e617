"""A file opens its group: a new one, or the one that it made, which gets the runs that it lacks."""

from pathlib import Path

import pytest

from resnetctl.config.layers import from_file
from resnetctl.errors import ConfigError, InputError, UsageError
from resnetctl.runs.group import Group
from resnetctl.system import settings
from resnetctl.tasks.sweep.opened import open_group


def opened(folder: Path, text: str, *, halving: int = 0) -> Group:
    (folder / "lr.toml").write_text(text)
    return open_group(folder / "lr.toml", settings.load(), name=None, out=folder, halving=halving)


def test_a_file_opens_a_new_group_and_a_name_an_old_one(tmp_path: Path) -> None:
    (tmp_path / "lr.toml").write_text("[vary]\nlr = [0.1, 0.2]\n")
    made = open_group(tmp_path / "lr.toml", settings.load(), name=None, out=tmp_path, halving=2)
    assert made.path == tmp_path / "lr"
    assert made.plan()["halving"] == 2
    assert open_group(tmp_path / "lr", settings.load(), name=None, out=None, halving=0) == made


def test_the_name_of_a_group_is_asked_for_or_in_the_file_or_that_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "three.toml"
    path.write_text('seeds = 2\nname = "two"\n')
    for name, expected in (("one", "one"), (None, "two")):
        assert open_group(path, settings.load(), name=name, out=tmp_path, halving=0).path.name == expected
    with pytest.raises(InputError):
        open_group(tmp_path / "none.toml", settings.load(), name=None, out=tmp_path, halving=0)


def test_more_seeds_and_values_add_the_missing_runs(tmp_path: Path) -> None:
    first = opened(tmp_path, "[config]\nlr = 0.3\n[vary]\nepochs = [1, 2]\n")
    assert first.names() == ["0-epochs1", "1-epochs2"]
    before = first.config("0-epochs1").read_bytes()
    group = opened(tmp_path, "seeds = 2\n[config]\nlr = 0.3\n[vary]\nepochs = [1, 3, 2]\n")
    assert group.names()[2:] == ["2-epochs1-seed1", "3-epochs3-seed0", "4-epochs3-seed1", "5-epochs2-seed1"]
    assert [*group.plan()["points"]] == group.names()
    assert group.plan()["keys"] == ["epochs", "seed"]
    assert group.config("0-epochs1").read_bytes() == before
    added = from_file(group.config("5-epochs2-seed1")).values
    assert (added["lr"], added["epochs"], added["seed"]) == (0.3, 2, 1)


def test_the_same_file_adds_nothing(tmp_path: Path) -> None:
    text = "seeds = 2\n[vary]\nlr = [0.1, 0.2]\n"
    plan = opened(tmp_path, text).plan()
    assert opened(tmp_path, f"# the same\n{text}").plan() == plan


def test_another_config_and_runs_that_are_gone_are_refused_and_named(tmp_path: Path) -> None:
    group = opened(tmp_path, "[config]\nepochs = 5\n[vary]\nlr = [0.1, 0.2]\n")
    with pytest.raises(ConfigError, match="other runs than the file") as caught:
        opened(tmp_path, "[config]\nepochs = 6\n[vary]\nlr = [0.1, 0.3]\n")
    assert caught.value.problems == ("1-lr0.2: in the group, not in the file", "epochs: 5 in the group, 6 now")
    assert len(group.names()) == 2


def test_a_group_with_halving_gets_no_more_runs(tmp_path: Path) -> None:
    text = "[config]\nepochs = 9\n[vary]\nlr = [0.1, 0.2]\n"
    group = opened(tmp_path, text, halving=2)
    assert opened(tmp_path, text, halving=2) == group
    for halving, problem in ((3, "halving: 2 in the group, 3 in the file"), (2, "no run can join")):
        with pytest.raises(ConfigError, match=problem):
            opened(tmp_path, text.replace("0.2]", "0.2, 0.3]"), halving=halving)


def test_a_group_of_flags_is_not_that_of_a_file(tmp_path: Path) -> None:
    from resnetctl.cli.parser.flag_layers import from_sets
    from resnetctl.tasks.sweep.points import plan_group

    plan_group([from_sets(["lr=0.1"])], [{"seed": 0}], settings=settings.load(), where=(tmp_path, "lr"))
    with pytest.raises(UsageError, match="the group 'lr' exists"):
        opened(tmp_path, "[vary]\nlr = [0.1, 0.2]\n")


@pytest.mark.parametrize(("method", "count"), [("grid", 1), ("random", 0)])
def test_a_seed_that_changes_nothing_gets_a_notice(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, method: str, count: int
) -> None:
    opened(tmp_path, f"method = '{method}'\nseed = 2\n[vary]\nlr = [0.1, 0.2]\n")
    place = f"{tmp_path / 'lr.toml'}:2"
    assert sum(f"{place}: seed = 2" in text and "seeds = 2?" in text for text in caplog.messages) == count


def test_a_plugin_that_changed_since_is_refused_before_any_run_is_added(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Path] = []

    def changed(group: Group) -> None:
        asked.append(group.path)
        raise ConfigError("plugins have changed")

    monkeypatch.setattr("resnetctl.tasks.sweep.opened.require_same_plugins", changed)
    opened(tmp_path, "[vary]\nlr = [0.1, 0.2]\n")
    opened(tmp_path, "[vary]\nlr = [0.1, 0.2]\n")  # nothing is added, so nothing is mixed
    assert asked == []
    with pytest.raises(ConfigError, match="plugins have changed"):
        opened(tmp_path, "[vary]\nlr = [0.1, 0.2, 0.3]\n")
    assert len(Group(tmp_path / "lr").names()) == 2
