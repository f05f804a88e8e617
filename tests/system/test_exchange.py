"""Two folders change names in one step, or not at all."""

import ctypes
from pathlib import Path

import pytest

from resnetctl.system.exchange import exchange


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    for name in ("a", "b"):
        (tmp_path / name / name).mkdir(parents=True)
    return tmp_path / "a", tmp_path / "b"


def test_exchange_swaps_the_names_of_two_folders(pair: tuple[Path, Path]) -> None:
    if not exchange(*pair):
        pytest.skip("this file system cannot exchange folders")
    assert [[inner.name for inner in path.iterdir()] for path in pair] == [["b"], ["a"]]


def test_exchange_of_a_missing_folder_is_an_error(pair: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        exchange(pair[0], tmp_path / "missing")


def test_exchange_without_the_system_call_changes_nothing(
    pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda *args, **options: object())
    assert not exchange(*pair)
    assert [[inner.name for inner in path.iterdir()] for path in pair] == [["a"], ["b"]]
