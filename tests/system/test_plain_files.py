"""Only plain files are opened."""

import os
from pathlib import Path

import pytest

from resnetctl.errors import DataError, WeightsError
from resnetctl.system.plain_files import close_path, expanded, is_path, open_regular


def test_only_plain_files_are_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(DataError, match="not a plain file") as caught:
            open_regular(path, error=DataError)
        assert caught.value.where == str(path)
    with pytest.raises(WeightsError, match="there is no such file"):
        open_regular(tmp_path / "missing", error=WeightsError)


@pytest.mark.parametrize("text", ["./cels", "../cels", "photos/a", "/photos", "~", "~/photos", "C:\\photos", ".hidden"])
def test_a_text_with_a_separator_or_a_dot_in_front_is_a_path(text: str) -> None:
    assert is_path(text)


@pytest.mark.parametrize("text", ["cels", "cifar10-jpeg", "lr.toml", "dist:name", "v1.0"])
def test_other_texts_are_names(text: str) -> None:
    assert not is_path(text)


def test_home_is_replaced_and_an_unknown_user_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert expanded("~/photos") == tmp_path / "photos"
    assert expanded("~nobody-has-this-name/photos") == Path("~nobody-has-this-name/photos")


def test_a_missing_path_is_close_to_what_lies_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cells").mkdir()
    assert close_path("./cels") == ["did you mean './cells'?"]
    assert close_path(tmp_path / "cels") == [f"did you mean '{tmp_path / 'cells'}'?"]
    assert close_path("cels/") == ["did you mean 'cells'?"]
    assert close_path("zebra") == close_path("/nowhere/cells") == []
