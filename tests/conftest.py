"""Fixtures for every test: machine folders of its own, and the shared data where there is some."""

import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the nets of the tests are tiny: a second thread only waits
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # some tests start onnxruntime themselves

import hypothesis
import pytest

from resnetctl.system import settings

hypothesis.settings.register_profile("busy", deadline=None)  # no test fails because the machine is busy
hypothesis.settings.load_profile("busy")


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh current folder, data folder and runs folder; returns the current folder."""
    home = tmp_path / "here"
    home.mkdir()
    monkeypatch.chdir(home)
    monkeypatch.setenv("RESNETCTL_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("RESNETCTL_RUNS_DIR", "runs")
    for name in ("RESNETCTL_DEVICE", "RESNETCTL_THREADS", "RESNETCTL_PLUGINS"):
        monkeypatch.delenv(name, raising=False)
    settings.load.cache_clear()
    yield home
    settings.load.cache_clear()


@pytest.fixture
def shared_data() -> Path:
    """The folder with the real pictures and the third-party weights; skips where there is none."""
    folder = os.environ.get("RESNETCTL_TEST_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("RESNETCTL_TEST_DATA is not set: the real pictures are not on this machine")
    return Path(folder)
