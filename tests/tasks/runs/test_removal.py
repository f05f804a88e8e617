"""Runs are chosen by name or path, each once, and removed."""

from pathlib import Path

import pytest

from resnetctl import runs
from resnetctl.errors import InputError, UsageError
from resnetctl.runs.group import create_group
from resnetctl.runs.staged import begin
from resnetctl.tasks.runs import removal


def test_chosen_runs_are_removed_once(tmp_path: Path) -> None:
    folder = tmp_path / "runs"
    paths = [runs.create(folder, name, config="", sources={}, env={}).path for name in ("a", "b", "c")]
    chosen = removal.chosen(["a", str(paths[2]), "last"], folder)
    assert [run.path.name for run in chosen] == ["a", "c"]
    report = removal.remove(chosen)
    assert [path.name for path in report.removed] == ["a", "c"]
    assert sorted(path.name for path in folder.iterdir()) == ["b", "last"]


def test_nothing_is_removed_when_a_name_is_unknown(tmp_path: Path) -> None:
    runs.create(tmp_path, "a", config="", sources={}, env={})
    with pytest.raises(InputError, match="no run 'x'"):
        removal.chosen(["a", "x"], tmp_path)


def test_patterns_stand_for_runs_groups_and_runs_in_stages(tmp_path: Path) -> None:
    for name in ("st-1", "st-2", "other", "st[x]"):
        runs.create(tmp_path, name, config="", sources={}, env={})
    create_group(tmp_path, "stack", plan={"keys": [], "points": {"0": {}}}, configs={"0": ""})
    runs.create(tmp_path / "stack", "0", config="", sources={}, env={})
    begin(tmp_path, "stages", plan={})

    def names(*texts: str) -> list[str]:
        return sorted(run.name for run in removal.chosen(texts, tmp_path))

    assert names("st-?", "st-1") == ["st-1", "st-2"]
    assert names("st*") == ["st-1", "st-2", "st[x]", "stack", "stages"]
    assert names("st[x]") == ["st[x]"]  # a name is no pattern
    assert names("stack/*") == ["stack/0"]
    with pytest.raises(InputError, match=r"no run has a name like 'x\*'"):
        names("st-1", "x*")


def test_a_group_and_a_run_in_stages_are_removed_whole(tmp_path: Path) -> None:
    folder = tmp_path / "runs"
    for name, file, inside in (("five", "sweep.json", "queue"), ("small", "compress.json", "stages")):
        (folder / name / inside).mkdir(parents=True)
        (folder / name / file).write_text("{}")
    runs.create(folder / "five", "0-seed0", config="", sources={}, env={})
    chosen = removal.chosen(["five", "small"], folder)
    assert [removal.described(run) for run in chosen] == ["group of 1 run", "unfinished"]
    removal.remove(chosen)
    assert list(folder.iterdir()) == []


def test_a_group_in_which_a_run_is_trained_stays(tmp_path: Path) -> None:
    (tmp_path / "five" / "queue").mkdir(parents=True)
    (tmp_path / "five" / "sweep.json").write_text("{}")
    run = runs.create(tmp_path / "five", "0-seed0", config="", sources={}, env={})
    with run.locked(), pytest.raises(UsageError, match="in use"):
        removal.remove(removal.chosen(["five"], tmp_path))
    assert run.config.is_file()


def test_a_group_whose_worker_prepares_a_run_and_a_stage_that_is_trained_stay(tmp_path: Path) -> None:
    group = create_group(tmp_path, "five", plan={"keys": [], "points": {"0": {}}}, configs={"0": ""})
    with group.taken("0"), pytest.raises(UsageError, match="the run 0 is in use"):
        removal.remove(removal.chosen(["five"], tmp_path))
    staged = begin(tmp_path, "small", plan={})
    stage = runs.create(staged.stages, "1-cut", config="", sources={}, env={})
    with stage.locked(), pytest.raises(UsageError, match="the run 1-cut is in use"):
        removal.remove(removal.chosen(["small"], tmp_path))
    removal.remove(removal.chosen(["five", "small"], tmp_path))
    assert [name for name in ("five", "small") if (tmp_path / name).exists()] == []


@pytest.mark.parametrize("plan", ["sweep.json", "compress.json"])
def test_a_folder_of_another_program_with_such_a_file_stays(tmp_path: Path, plan: str) -> None:
    (project := tmp_path / "project").mkdir()
    (project / plan).write_text("{}")
    with pytest.raises(InputError, match="this is not a run"):
        removal.chosen([str(project)], tmp_path / "runs")
    with pytest.raises(UsageError, match="is not a run"):
        runs.remove(runs.RunDir(project))
    assert (project / plan).is_file()
