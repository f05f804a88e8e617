"""The ledger of looks: which models a test split has judged.

`DATA/looks/<SHA-256 of the split's file>.jsonl` has one line for each distinct set of weights, and is only appended to.
The best of many models on one test split is partly luck, so its interval must be wider than that of a single model.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from resnetctl.data.cards import LOOKS, json_line
from resnetctl.spec import Card
from resnetctl.system import locks, storage

WAIT = 10.0  # seconds: another process holds the lock for the time of one line


@dataclass(frozen=True, kw_only=True)
class Look(Card):
    """One model on one test split: the digest of its weights, its file, the dataset's name, and the counts."""

    weights: str
    target: str
    data: str
    correct: int
    count: int


@dataclass(frozen=True, kw_only=True)
class NetLook(Card):
    """One network with a head on one test split: as `Look`, with the name and the value of its primary number."""

    weights: str
    target: str
    data: str
    primary: str
    value: float
    count: int


def record(data_dir: Path, split: str, *, look: Look | NetLook) -> int:
    """Add a look at the split with this digest, unless these weights are in its ledger. Return the models in it.

    Raises:
        UsageError, WorkFailed: the ledger cannot be written.
    """
    path = ledger(data_dir, split)
    storage.make_folder(path.parent)
    with locks.lock(path.with_name(f".{split}.lock"), owner="the ledger of looks", wait=WAIT):
        content = path.read_bytes() if path.exists() else b""
        known = _weights(content)
        if look.weights not in known:
            # a killed process may have left half a line: end it, so that it spoils no other
            start = b"" if not content or content.endswith(b"\n") else b"\n"
            storage.append(path, start + json_line(look.to_json()))
        return len(known | {look.weights})


def ledger(data_dir: Path, split: str) -> Path:
    """Return the path of the ledger of the split with this digest."""
    return data_dir / LOOKS / f"{split}.jsonl"


def _weights(content: bytes) -> set[str]:
    found = set()
    for line in content.splitlines():
        try:
            found.add(str(json.loads(line)["weights"]))
        except (ValueError, KeyError, TypeError):
            continue
    return found
