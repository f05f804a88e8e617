"""Read the checkpoints of a run: the newest whole one, its card, and how this machine differs from the one it names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from resnetctl import registry
from resnetctl.engine import checkpoint
from resnetctl.errors import WeightsError
from resnetctl.facts import Notice
from resnetctl.runs import RunDir
from resnetctl.spec import WeightsCard


@dataclass(frozen=True, kw_only=True)
class Newest:
    """The newest whole checkpoint of a run.

    Attributes:
        snapshot: its content, None when no checkpoint is whole.
        corrupt: the checkpoints that are newer but corrupt: file name to reason.
        path: the file of the snapshot.
    """

    snapshot: checkpoint.Snapshot | None
    corrupt: Mapping[str, str]
    path: Path | None = None

    @property
    def notices(self) -> list[Notice]:
        """What the user should know before the run goes on."""
        used = "an older one is used" if self.snapshot else "it is not used"
        corrupt = [Notice(f"{name}: {reason}; {used}") for name, reason in self.corrupt.items()]
        if self.snapshot:
            return corrupt
        state = "no checkpoint is whole" if corrupt else "there is no checkpoint yet"
        return [*corrupt, Notice(f"{state}: the run starts at step 0")]


def newest(run: RunDir) -> Newest:
    """Read the checkpoints, newest first, until one is whole. Removes none."""
    corrupt: dict[str, str] = {}
    for path in run.checkpoints.paths():
        try:
            return Newest(snapshot=checkpoint.from_bytes(path.read_bytes()), corrupt=corrupt, path=path)
        except WeightsError as error:
            corrupt[path.name] = error.message
        except OSError as error:
            corrupt[path.name] = f"the checkpoint cannot be read: {error.strerror}"
    return Newest(snapshot=None, corrupt=corrupt)


def card_of(snapshot: checkpoint.Snapshot) -> WeightsCard:
    """Return the card of the network in a checkpoint."""
    card = WeightsCard.from_json({key: value for key, value in snapshot.card.items() if key != "weights_sha256"})
    return replace(card, arch=registry.owned(card.arch, card.plugins.required))


def differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return one line for each fact that changed: `torch 2.11 -> 2.12`. Compares only the facts in `then`."""
    return [f"{key} {old} -> {now.get(key) or 'none'}" for key, old in then.items() if now.get(key) != old]


def facts_then(snapshot: checkpoint.Snapshot) -> dict[str, Any]:
    """Return the facts that the checkpoint recorded: its machine, and its plugins with their versions."""
    return {**snapshot.machine, **dict(card_of(snapshot).plugins.used)}
