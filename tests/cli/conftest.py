"""Running the command line inside the test process."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from resnetctl.__main__ import main


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str

    def json(self) -> Any:
        import json

        return json.loads(self.out)


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """`cli("train", "--help")` at 80 columns, without a terminal."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")
    monkeypatch.delenv("NO_COLOR", raising=False)

    def run(*argv: str) -> Result:
        capsys.readouterr()
        code = main(argv)
        captured = capsys.readouterr()
        return Result(code, captured.out, captured.err)

    return run


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretend that both streams are terminals without colours."""
    from resnetctl.cli import out

    monkeypatch.setattr(out, "is_terminal", lambda stream: True)
    monkeypatch.setattr(out, "has_color", lambda stream: False)
