"""Run an exporter and check what it wrote: its files, opened by itself, must predict as torch does.

Shapes: B images a batch, K classes.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from resnetctl import registry
from resnetctl.deploy.parity import Parity, compare_batches
from resnetctl.engine.metrics import Images, Logits, Predictor, probabilities
from resnetctl.errors import CheckFailed, UsageError
from resnetctl.exporting import Bundle, Predict
from resnetctl.hints import Setting
from resnetctl.system import storage
from resnetctl.wording import counted

ABOUT = "resnetctl.json"  # what the folder tells about itself
KIND = "exporter"


def fill(name: str, bundle: Bundle, *, folder: Path) -> list[Path]:
    """Let the exporter `name` write into an empty folder; return the files, relative and sorted.

    Raises:
        PluginError: the exporter raises, writes nothing, or names other files than it wrote.
    """
    folder = folder.resolve()
    with registry.guarded(KIND, name):
        listed = {folder / path for path in registry.get(KIND, name).write(bundle, folder)}
    written = {path for path in folder.rglob("*") if not path.is_dir()}
    if not written or listed != written:
        raise registry.fault(KIND, name, problem=f"it wrote {counted(len(written), 'file')} and lists {len(listed)}")
    if any(path.is_symlink() for path in written):
        raise registry.fault(KIND, name, problem="it wrote a link to another place")
    return sorted(path.relative_to(folder) for path in written)


@contextlib.contextmanager
def staged(name: str, path: Path, *, is_checked: bool) -> Iterator[Path]:
    """Yield a folder to fill, which becomes `path` on success.

    An exporter of single files has a member `suffix`. If `path` ends with it, `path` becomes that file. Files that are
    not checked need the folder, which says so.
    """
    if not is_checked or not path.suffix or getattr(registry.get(KIND, name), "suffix", None) != path.suffix:
        with storage.staged_folder(path) as folder:
            yield folder
        return
    with tempfile.TemporaryDirectory() as temporary:
        yield Path(temporary)
        (only,) = (file for file in Path(temporary).iterdir() if file.name != ABOUT)
        storage.write(path, only.read_bytes())


def open_written(name: str, folder: Path) -> Predict | None:
    """Return the exporter's predictor for the files that it wrote, None where it has none.

    Raises:
        CheckFailed: the exporter also opens an empty folder, so it does not predict with its files.
    """
    with registry.guarded(KIND, name):
        predict: Predict | None = registry.get(KIND, name).open(folder)
    if predict is not None and _opens_nothing(name):
        raise CheckFailed(f"the exporter '{name}' opens an empty folder: it does not read the files that it wrote")
    return predict


def _opens_nothing(name: str) -> bool:
    with tempfile.TemporaryDirectory() as empty:
        try:
            return registry.get(KIND, name).open(Path(empty)) is not None
        except Exception:  # as it should
            return False


def check(
    name: str, folder: Path, *, reference: Predictor, batches: Iterable[tuple[Images, Images]], classes: int
) -> Parity:
    """Compare what the exporter opens with torch.

    Args:
        reference: torch's predictor.
        batches: images for torch, and images for the exporter, in batches of `parity.BATCHES`.
        classes: K.

    Raises:
        UsageError: the exporter cannot open its files here.
        CheckFailed: the predictions differ, or do not come from the files.
        PluginError: the exporter raises, or gives something else than logits (B, K).
    """
    predict = open_written(name, folder)
    if predict is None:
        raise UsageError(
            f"the exporter '{name}' cannot open its files here, so they cannot be checked",
            where=Setting("gate"),
            hint=Setting("gate", "none", "writes them unchecked, and they say so"),
        )
    parity = compare_batches(reference, _outputs(name, predict, classes), batches=batches)
    if parity.problems:
        raise CheckFailed(
            f"the files of the exporter '{name}' do not agree with torch; nothing was written",
            problems=parity.problems,
        )
    return parity


def _outputs(name: str, predict: Predict, classes: int) -> Callable[[Images], Sequence[Logits]]:
    def outputs(images: Images) -> Sequence[Logits]:
        with registry.guarded(KIND, name):
            logits = np.asarray(predict(images))
        if logits.shape != (len(images), classes) or logits.dtype != np.float32:
            problem = f"it predicts {logits.dtype} {logits.shape}, not float32 {(len(images), classes)}"
            raise registry.fault(KIND, name, problem=problem)
        if not np.isfinite(logits).all():
            return [logits, logits]  # parity reports it as a difference
        return [logits, probabilities(logits).astype(np.float32)]

    return outputs


def describe(name: str, bundle: Bundle, *, folder: Path, gate: Mapping[str, Any]) -> None:
    """Write `resnetctl.json`: the card, the exporter, the digests of its files, and on what they were checked."""
    entry = registry.find(KIND, name)
    files = dict(_digests(folder))
    document = {
        "schema": "resnetctl.exported/1",
        "exporter": {"name": entry.name, "distribution": entry.distribution, "version": entry.version},
        "input": bundle.input,
        "checked": gate.get("kind") != "none",
        "gate": dict(gate),
        "files": files,
        "card": bundle.card.to_json(),
    }
    storage.write(folder / ABOUT, (json.dumps(document, indent=1, sort_keys=True) + "\n").encode())


def digest(folder: Path) -> str:
    """Return a SHA-256 over the names and the digests of all files in a folder."""
    lines = (f"{name} {sha256}\n" for name, sha256 in _digests(folder))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _digests(folder: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield path.relative_to(folder).as_posix(), storage.sha256(path)
