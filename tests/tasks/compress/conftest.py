"""The run that all tests of `compress` begin with."""

import pytest
from support.compressed import leave_out_files, make_deep_run

from resnetctl import runs


@pytest.fixture(autouse=True)
def run(monkeypatch: pytest.MonkeyPatch) -> runs.RunDir:
    """A run of five blocks on three classes."""
    return make_deep_run(monkeypatch)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Export, quantise and time nothing."""
    leave_out_files(monkeypatch)
