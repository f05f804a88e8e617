"""Runs know with which versions and which code of their plugins they were trained."""

import json
from pathlib import Path
from typing import Any

import pytest

from resnetctl.errors import ConfigError
from resnetctl.runs.folder import RunDir
from resnetctl.runs.group import Group
from resnetctl.runs.plugins import changed_since, mixed_plugins, require_same_plugins


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
