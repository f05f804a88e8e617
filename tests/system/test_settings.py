"""Environment variables become machine facts, once, or one error that names each bad one."""

from pathlib import Path

import pytest

from resnetctl.errors import UsageError
from resnetctl.system import settings


def load(monkeypatch: pytest.MonkeyPatch, **variables: str) -> settings.Settings:
    for name, value in variables.items():
        monkeypatch.setenv(f"RESNETCTL_{name}", value)
    settings.load.cache_clear()
    return settings.load()


def test_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATA_DIR", "RUNS_DIR"):
        monkeypatch.delenv(f"RESNETCTL_{name}")
    found = load(monkeypatch)
    assert found.data_dir.parts[-2:] == ("resnetctl", "data")
    assert found.data_dir.is_absolute()
    assert (found.runs_dir, found.device, found.threads) == (Path("runs"), "auto", 0)


def test_every_variable_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = load(monkeypatch, DATA_DIR=str(tmp_path), RUNS_DIR="elsewhere", DEVICE="cuda:1", THREADS="3")
    assert found == settings.Settings(data_dir=tmp_path, runs_dir=Path("elsewhere"), device="cuda:1", threads=3)


def test_home_is_expanded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    found = load(monkeypatch, DATA_DIR="~/pictures", RUNS_DIR="~/runs")
    assert (found.data_dir, found.runs_dir) == (tmp_path / "pictures", tmp_path / "runs")


def test_an_empty_variable_is_an_unset_one(monkeypatch: pytest.MonkeyPatch) -> None:
    found = load(monkeypatch, THREADS="", DEVICE="")
    assert (found.threads, found.device) == (0, "auto")


def test_the_environment_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    first = load(monkeypatch, THREADS="2")
    monkeypatch.setenv("RESNETCTL_THREADS", "4")
    assert settings.load() is first


def test_a_wrong_value_names_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError) as caught:
        load(monkeypatch, THREADS="many")
    assert caught.value.problems[0].startswith("RESNETCTL_THREADS: ")


def test_negative_threads_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="RESNETCTL_THREADS=-1"):
        load(monkeypatch, THREADS="-1")


@pytest.mark.parametrize(
    ("text", "names"),
    [(None, None), ("", None), ("none", ()), ("a", ("a",)), (" a , b,", ("a", "b")), ("none,a", ("a",))],
)
def test_chosen_plugins(monkeypatch: pytest.MonkeyPatch, text: str | None, names: tuple[str, ...] | None) -> None:
    monkeypatch.delenv("RESNETCTL_PLUGINS", raising=False)
    if text is not None:
        monkeypatch.setenv("RESNETCTL_PLUGINS", text)
    assert settings.chosen_plugins() == names
