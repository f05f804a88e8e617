"""Runs know with which versions and which code of their plugins they were trained."""

import json
from pathlib import Path
from typing import Any

import pytest

from resnetctl.errors import ConfigError
from resnetctl.runs.folder import RunDir
from resnetctl.runs.group import Group
from resnetctl.runs.plugins import changed_since, changed_within, mixed_plugins, require_same_plugins
from resnetctl.runs.used_plugins import UsedPlugins


def run(folder: Path, name: str, version: str, code: Any = None) -> RunDir:
    """A run that used the distribution `own` with this version and these digests."""
    path = folder / name
    path.mkdir()
    (path / "config.toml").write_text("")
    recorded = {"plugins": {"own": version}} | ({} if code is None else {"code": {"own": code}})
    (path / "env.json").write_text(json.dumps(recorded))
    return RunDir(path)


def test_runs_of_one_version_and_code_are_not_mixed(tmp_path: Path) -> None:
    same = {"own/blocks.py": "1"}
    runs = [run(tmp_path, "0", "0.1", same), run(tmp_path, "1", "0.1", same | {"own/more.py": "2"})]
    runs += [run(tmp_path, "2", "0.1"), run(tmp_path, "3", "0.1", "of an earlier version")]
    assert mixed_plugins(runs) == ()


def test_other_versions_are_named_with_their_runs(tmp_path: Path) -> None:
    runs = [run(tmp_path, str(number), "0.1" if number < 5 else "0.2", {"own/blocks.py": "1"}) for number in range(6)]
    assert mixed_plugins(runs) == (
        "the runs were trained with different versions of own: 0.1 for 0, 1, 2 and 2 more; 0.2 for 5",
    )


@pytest.mark.parametrize("is_old", [False, True])
def test_other_code_is_named_with_its_files_and_runs(tmp_path: Path, is_old: bool) -> None:
    codes = ("1", "1", "2") if is_old else [{"own/blocks.py": digest, "own/__init__.py": "0"} for digest in "112"]
    runs = [run(tmp_path, str(number), "0.1", code) for number, code in enumerate(codes)]
    file = "" if is_old else " (own/blocks.py)"
    assert mixed_plugins(runs) == (f"the runs were trained with different code of own{file}: 0, 1; 2",)


def test_what_changed_since_is_said_once_a_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = "resnetctl.runs.plugins"
    monkeypatch.setattr(f"{module}.installed", lambda names: dict.fromkeys(names, "0.2"))
    monkeypatch.setattr(f"{module}.edited", lambda code: [*code] if "2" in str(code) else [])
    runs = [run(tmp_path, "0", "0.2", {"own.py": "1"})]
    assert changed_since(runs) == []
    require_same_plugins(Group(tmp_path))
    runs += [run(tmp_path, "1", "0.2", {"own.py": "2"})]
    assert changed_since(runs) == ["the code of own was changed since 1 was trained"]
    runs = [run(tmp_path, "2", "0.1", {"own.py": "1"}), *runs]
    assert changed_since(runs) == ["own: 0.1 in 2, 0.2 now"]
    with pytest.raises(ConfigError, match="more runs would mix both"):
        require_same_plugins(Group(tmp_path))


def test_a_change_before_a_resume_is_named_with_its_runs_and_epoch(tmp_path: Path) -> None:
    runs = [run(tmp_path, str(number), "0.1", {"own/blocks.py": "1", "own/old.py": "1"}) for number in range(5)]
    later = {"own/blocks.py": "2"}, {"own/blocks.py": "1", "own/new.py": "1"}
    for one, code in zip(runs, [*later, {"own/blocks.py": "2"}], strict=False):
        one.save_plugins(UsedPlugins(epoch=3, step=8, plugins={"own": "0.1"}, code={"own": code}), step=8)
    runs[3].save_plugins(UsedPlugins(epoch=2, step=4, plugins={"own": "0.2"}, code={}), step=4)
    assert changed_within(runs) == (
        "0, 2 trained with other code of own (own/blocks.py) from epoch 3 on",
        "1 trained with other code of own from epoch 3 on",
        "3 trained with own 0.2 instead of 0.1 from epoch 2 on",
    )


def test_runs_with_one_name_in_two_folders_are_named_by_their_paths(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in "ab"]
    for folder in folders:
        folder.mkdir()
    runs = [run(folder, "0", "0.1", digest) for folder, digest in zip(folders, "12", strict=True)]
    one, other = (str(each.path) for each in runs)
    assert mixed_plugins(runs) == (f"the runs were trained with different code of own: {one}; {other}",)


def test_runs_of_groups_are_named_with_their_group(tmp_path: Path) -> None:
    runs = []
    for name, digest in (("start", "1"), ("half", "2")):
        (tmp_path / name / "queue").mkdir(parents=True)
        (tmp_path / name / "sweep.json").write_text("{}")
        runs.append(run(tmp_path / name, "0-seed0", "0.1", digest))
    assert mixed_plugins(runs) == ("the runs were trained with different code of own: start/0-seed0; half/0-seed0",)
