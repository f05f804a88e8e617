"""The notices of the runs of a group: each is said once for a setting, with the flags or the keys of its file."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from resnetctl.config.options import fields
from resnetctl.config.schema import TrainConfig
from resnetctl.facts import Notice
from resnetctl.hints import Hint, Setting, in_file

NUMBER = re.compile(r"\d[\d.,]*")


class Remarks:
    """What the runs of a group have said so far.

    Args:
        varied: the config keys that the group varies. No other value is suggested for them: the group tries its own.
        in_flags: whether flags gave the config, and not a file.
    """

    def __init__(self, varied: list[str], *, in_flags: bool = False) -> None:
        self._in_flags = in_flags
        self._varied = varied
        self._known = {key for key, _ in fields(TrainConfig)}
        self._said: set[tuple[str, str]] = set()

    def of(self, notice: Notice, point: Mapping[str, Any]) -> Iterator[Notice]:
        """Yield the notice of a run, unless a run with another seed has said the same, with or without other numbers.

        Args:
            point: the values that the group gave to the run.
        """
        setting = json.dumps({key: value for key, value in point.items() if key != "seed"}, default=str)
        said = setting, NUMBER.sub("#", notice.text)
        if said not in self._said:
            self._said.add(said)
            yield replace(notice, hint=tuple(self._usable(notice)))

    def _usable(self, notice: Notice) -> Iterator[Hint]:
        """Yield the hints as flags or as a file says them. Flags of `train` that are no keys are left out."""
        for hint in notice.hint:
            if not isinstance(hint, Setting):
                yield hint
            elif hint.name in self._known and hint.name not in self._varied:
                yield hint if self._in_flags else in_file(hint)
