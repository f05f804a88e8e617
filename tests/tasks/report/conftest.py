"""One kind of corruption instead of five: most tests of the report are about something else."""

import pytest

from resnetctl.tasks.report import corrupted


@pytest.fixture(autouse=True)
def one_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corrupted, "FIVE", ("contrast",))
