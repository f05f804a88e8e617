"""Only plain files are opened."""

import os
from pathlib import Path

import pytest

from resnetctl.errors import DataError, WeightsError
from resnetctl.system.plain_files import open_regular


def test_only_plain_files_are_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(DataError, match="not a plain file") as caught:
            open_regular(path, error=DataError)
        assert caught.value.where == str(path)
    with pytest.raises(WeightsError, match="cannot be read: No such file"):
        open_regular(tmp_path / "missing", error=WeightsError)
