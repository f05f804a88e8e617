"""The tracker of the template breaks no rule; each broken one breaks the rule of its case."""

import random
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from resnetctl.spec import TrackedRun
from resnetctl.tasks.plugins.new import create
from resnetctl.testing import trackers
from resnetctl.testing.findings import judge_all


class Plain:
    """Append every epoch to a file; changed by subclasses."""

    name, summary = "plain", "a file"

    def start(self, run: TrackedRun) -> Any:
        self.path = run.folder / "log"
        return self

    def epoch(self, number: int, numbers: Mapping[str, float]) -> None:
        with self.path.open("a") as file:
            file.write(f"{number} {dict(numbers)}\n")

    def close(self, ending: str) -> None: ...


class WithoutClose(Plain):
    def start(self, run: TrackedRun) -> Any:
        return type("Half", (), {"epoch": lambda *_: None})()


class Silent(Plain):
    def epoch(self, number: int, numbers: Mapping[str, float]) -> None: ...


class Late(Plain):
    """Write everything at the end: a killed process leaves nothing."""

    def epoch(self, number: int, numbers: Mapping[str, float]) -> None: ...

    def close(self, ending: str) -> None:
        self.path.write_text(ending)


class Calls(Plain):
    def epoch(self, number: int, numbers: Mapping[str, float]) -> None:
        socket.create_connection(("127.0.0.1", 9), timeout=1)


class Refuses(Plain):
    def start(self, run: TrackedRun) -> Any:
        if run.epoch:
            raise FileExistsError("the log exists")
        return super().start(run)


class Draws(Plain):
    def epoch(self, number: int, numbers: Mapping[str, float]) -> None:
        random.random()
        super().epoch(number, numbers)


def failed(tracker: Any) -> list[str]:
    return [one.rule for one in judge_all("t", trackers.RULES, target=tracker) if not one.ok]


def test_the_tracker_of_the_template_follows_every_rule(tmp_path: Path) -> None:
    plugin = create("my-log", "tracker", parent=tmp_path)
    values: dict[str, Any] = {}
    (module,) = (path for path in plugin.files if path.name == "trackers.py")
    exec(compile(module.read_text(), str(module), "exec"), values)
    assert failed(values["my_log"]) == []
    assert failed(Plain()) == []


@pytest.mark.parametrize(
    ("tracker", "rule"),
    [
        (WithoutClose(), "signature"),
        (Silent(), "files"),
        (Late(), "files"),
        (Calls(), "files"),
        (Refuses(), "resume"),
        (Draws(), "randomness"),
    ],
)
def test_a_broken_tracker_breaks_its_rule(tracker: Any, rule: str) -> None:
    assert failed(tracker)[:1] == [rule]
