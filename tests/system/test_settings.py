"""Environment variables are read once into settings, or give one error that names each wrong variable."""

from pathlib import Path

import pytest

from resnetctl.errors import UsageError
from resnetctl.system import settings


def load(monkeypatch: pytest.MonkeyPatch, **variables: str) -> settings.Settings:
    for name, value in variables.items():
        monkeypatch.setenv(f"RESNETCTL_{name}", value)
    settings.load.cache_clear()
    return settings.load()


def test_unset_variables_give_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATA_DIR", "RUNS_DIR"):
        monkeypatch.delenv(f"RESNETCTL_{name}")
    loaded = load(monkeypatch)
    assert loaded.data_dir.parts[-2:] == ("resnetctl", "data")
    assert loaded.data_dir.is_absolute()
    assert (loaded.runs_dir, loaded.device, loaded.threads) == (Path("runs"), "auto", 0)


def test_every_variable_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    loaded = load(
        monkeypatch, DATA_DIR=str(tmp_path), RUNS_DIR="elsewhere", DEVICE="cuda:1", THREADS="3", CACHE_GB="1.5"
    )
    assert loaded == settings.Settings(
        data_dir=tmp_path, runs_dir=Path("elsewhere"), device="cuda:1", threads=3, cache_gb=1.5
    )


def test_a_tilde_is_expanded_to_the_home_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    loaded = load(monkeypatch, DATA_DIR="~/pictures", RUNS_DIR="~/runs")
    assert (loaded.data_dir, loaded.runs_dir) == (tmp_path / "pictures", tmp_path / "runs")


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = load(monkeypatch, THREADS="", DEVICE="")
    assert (loaded.threads, loaded.device) == (0, "auto")


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


@pytest.mark.parametrize("value", ["-1", "inf", "nan"])
def test_a_cache_of_no_size_is_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    with pytest.raises(UsageError, match="RESNETCTL_CACHE_GB="):
        load(monkeypatch, CACHE_GB=value)


@pytest.mark.parametrize(
    ("text", "names"),
    [(None, None), ("", None), ("none", ()), ("a", ("a",)), (" a , b,", ("a", "b")), ("none,a", ("a",))],
)
def test_chosen_plugins_splits_at_commas(
    monkeypatch: pytest.MonkeyPatch, text: str | None, names: tuple[str, ...] | None
) -> None:
    monkeypatch.delenv("RESNETCTL_PLUGINS", raising=False)
    if text is not None:
        monkeypatch.setenv("RESNETCTL_PLUGINS", text)
    assert settings.chosen_plugins() == names


def test_a_number_of_threads_stands_before_that_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESNETCTL_THREADS", "3")
    settings.load.cache_clear()
    assert [settings.load_with(threads).threads for threads in (None, 0, 2)] == [3, 0, 2]
