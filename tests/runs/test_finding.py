"""Runs are found by path, by name and as the last one, and are removed."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from resnetctl import runs
from resnetctl.errors import InputError, UsageError
from resnetctl.hints import Call, in_shell
from resnetctl.runs.group import create_group
from resnetctl.runs.staged import begin


def make(folder: Path, name: str | Iterator[str] = "one") -> runs.RunDir:
    return runs.create(folder, name, config="epochs = 1\n", sources={"epochs": "flag --epochs"}, env={"a": 1})


def set_start(run: runs.RunDir, second: int) -> None:
    (run.path / "env.json").write_text(json.dumps({"created": f"2026-11-25T00:00:{second:02d}Z"}))


def test_a_run_is_found_by_path_by_name_and_as_last(tmp_path: Path) -> None:
    run = make(tmp_path)
    for text in (str(run.path), "one", "last", str(tmp_path / "last")):
        assert runs.find(text, tmp_path).path.resolve() == run.path.resolve()


def test_a_missing_run_suggests_a_close_name(tmp_path: Path) -> None:
    make(tmp_path, "resnet")
    with pytest.raises(InputError, match="no run 'resnte'") as caught:
        runs.find("resnte", tmp_path)
    assert caught.value.hint == ("did you mean 'resnet'?",)


@pytest.mark.parametrize("text", ["./resnte", "runs/resnte", "~/resnte", "~nobody/resnte", "../resnte", "/no/resnte"])
def test_a_path_that_does_not_exist_is_missing_as_a_file_or_folder(tmp_path: Path, text: str) -> None:
    make(tmp_path, "resnet")
    with pytest.raises(InputError, match="no such file or folder") as caught:
        runs.find(text, tmp_path)
    assert (caught.value.where, caught.value.hint) == (text, ("did you mean 'resnet'?", Call("runs list")))


def test_a_folder_that_is_no_run_is_told(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    with pytest.raises(InputError, match="this is not a run") as caught:
        runs.find(str(tmp_path / "photos"), tmp_path / "runs")
    assert caught.value.where == str(tmp_path / "photos")


def test_a_path_may_begin_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    run = make(tmp_path)
    assert runs.find("~/one", Path("runs")) == run


def test_without_any_run_the_hint_trains_a_first_one(tmp_path: Path) -> None:
    for text in ("last", str(tmp_path / "last")):
        with pytest.raises(InputError, match="no run yet") as caught:
            runs.find(text, tmp_path)
    assert in_shell(caught.value.hint[0]).startswith("resnetctl train --data digits")


def test_all_runs_are_listed_oldest_first_without_other_folders(tmp_path: Path) -> None:
    for second, name in enumerate(["b", "c", "a"]):
        set_start(make(tmp_path, name), second)
    (make(tmp_path, "older").path / "env.json").unlink()  # its start time is unknown
    (tmp_path / "notes").mkdir()
    assert [run.path.name for run in runs.all_runs(tmp_path)] == ["older", "b", "c", "a"]
    assert runs.all_runs(tmp_path / "nowhere") == []


def test_last_is_the_newest_run_that_still_exists(tmp_path: Path) -> None:
    for second, name in enumerate(["b", "a", "c"]):
        set_start(make(tmp_path, name), second)
    shutil.rmtree(tmp_path / "c")
    for text in ("last", tmp_path / "last", f"{tmp_path}/./last/"):
        assert runs.find(text, tmp_path).path.name == "a"


def test_last_points_at_the_newest_run_left_after_a_removal(tmp_path: Path) -> None:
    folder = tmp_path / "runs"
    for second, name in enumerate("abc"):
        set_start(make(folder, name), second)
    runs.remove(runs.RunDir(folder / "last"))
    assert sorted(path.name for path in folder.iterdir()) == ["a", "b", "last"]
    assert (folder / "last").readlink() == Path("b")
    runs.remove(runs.RunDir(folder / "a"))
    runs.remove(runs.RunDir(folder / "b"))
    assert list(folder.iterdir()) == []


def test_a_run_in_use_and_a_folder_that_is_no_run_are_not_removed(tmp_path: Path) -> None:
    run = make(tmp_path)
    with run.locked(), pytest.raises(UsageError, match="in use"):
        runs.remove(run)
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "config.toml").write_text("")
    with pytest.raises(UsageError, match="is not a run"):
        runs.remove(runs.RunDir(tmp_path / "project"))
    assert run.config.is_file()
    assert (tmp_path / "project" / "config.toml").is_file()


def test_a_group_is_no_run_and_the_hint_shows_it(tmp_path: Path) -> None:
    (tmp_path / "five" / "queue").mkdir(parents=True)
    (tmp_path / "five" / "sweep.json").write_text("{}")
    with pytest.raises(InputError, match="'five' is a group of runs, not a run") as caught:
        runs.find("five", tmp_path)
    lines = [in_shell(hint).partition("    ")[0] for hint in caught.value.hint[:2]]
    assert lines == [f"resnetctl sweep {verb} {tmp_path / 'five'}" for verb in ("show", "work")]


def make_group(folder: Path, name: str, members: tuple[str, ...]) -> None:
    create_group(folder, name, plan={"keys": [], "points": {"0": {}}}, configs=dict.fromkeys(members, ""))
    for second, member in enumerate(members):
        set_start(make(folder / name, member), 10 + second)


def test_runs_of_groups_are_found_by_the_name_of_the_group_and_their_own(tmp_path: Path) -> None:
    set_start(make(tmp_path, "late"), 30)
    make_group(tmp_path, "five", ("0-seed0", "1-seed1"))
    assert [run.name for run in runs.all_runs(tmp_path)] == ["five/0-seed0", "five/1-seed1", "late"]
    assert [run.name for run in runs.runs_in(tmp_path)] == ["late"]
    for place in (tmp_path, tmp_path / "five"):  # RESNETCTL_RUNS_DIR may name a group
        assert runs.find("five/1-seed1", place).path.resolve() == tmp_path / "five" / "1-seed1"
    with pytest.raises(InputError, match="no run 'five/1-sed1'") as caught:
        runs.find("five/1-sed1", tmp_path)
    assert caught.value.hint == ("did you mean 'five/1-seed1'?",)


def test_a_missing_run_of_a_group_suggests_one_of_the_same_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_group(tmp_path / "runs", "gate", ("0-reduction2-seed0", "1-reduction4-seed0"))
    make_group(tmp_path / "runs", "gate3", ("0-seed0",))
    monkeypatch.chdir(tmp_path)
    for start in ("gate", "runs/gate", "./runs/gate"):
        with pytest.raises(InputError) as caught:
            runs.find(f"{start}/0-seed0", Path("runs"))
        assert str(caught.value.hint[0]) in (
            f"did you mean '{Path(start)}/0-reduction2-seed0'?",
            f"known: {Path(start)}/0-reduction2-seed0, {Path(start)}/1-reduction4-seed0",
        )


def test_a_newer_run_of_a_group_is_not_the_last_one(tmp_path: Path) -> None:
    set_start(make(tmp_path, "alone"), 0)
    make_group(tmp_path, "five", ("0-seed0",))
    (tmp_path / "last").unlink()
    assert runs.find("last", tmp_path).name == "alone"
    shutil.rmtree(tmp_path / "alone")
    with pytest.raises(InputError, match="'last' is the newest run outside of groups, and there is none"):
        runs.find("last", tmp_path)


def test_the_stages_of_a_run_are_no_runs_of_their_own(tmp_path: Path) -> None:
    staged = begin(tmp_path, "small", plan={})
    make(staged.stages, "1-cut")
    assert runs.all_runs(tmp_path) == []
    make(tmp_path / "small", "stray")  # a folder with a config, but `small` is no group
    assert runs.all_runs(tmp_path) == []


def test_a_pattern_stands_for_runs_and_groups_and_with_a_slash_for_runs_of_groups(tmp_path: Path) -> None:
    for second, name in enumerate(("st-b", "st-a", "other")):
        set_start(make(tmp_path, name), second)
    make_group(tmp_path, "stack", ("0-x", "1-y"))

    def names(pattern: str) -> list[str]:
        return [run.name for run in runs.matching(pattern, tmp_path)]

    assert names("st*") == ["stack", "st-b", "st-a"]
    assert names("stack/*") == names(f"{tmp_path}/s*/?-?") == ["stack/0-x", "stack/1-y"]
    for nothing in ("x*", "other/*", "stack/*/*"):
        with pytest.raises(InputError, match="no run has a name like"):
            names(nothing)
