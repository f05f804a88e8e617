"""`compress --out`: the cut network as a weights file, without training."""

from __future__ import annotations

import time
from pathlib import Path

from resnetctl.data.store import open_store
from resnetctl.errors import UsageError
from resnetctl.hints import Setting
from resnetctl.system import storage
from resnetctl.system.settings import Settings
from resnetctl.tasks.compress.order import Cut, dataset_of, require_cut
from resnetctl.tasks.compress.report import CompressReport
from resnetctl.tasks.compress.smaller import Planner
from resnetctl.tasks.targets import Target, resolve
from resnetctl.weights.plugins import require_plugins


def compress(
    target: str | Path | None, *, settings: Settings, out: str | Path, cut: Cut, data: str | None = None
) -> CompressReport:
    """Write the weights of a smaller network, which any other verb takes.

    Args:
        out: the weights file to write, which must not exist.
        data: the dataset to choose and measure on; by default that of the training.

    Raises:
        UsageError: `cut` names nothing, both ways, or blocks that the network has not; or `out` exists.
        InputError: the target or the dataset is missing, or their classes differ.
        PluginError: the network's block is not installed.
        CheckFailed: no number of blocks gives the speed-up.
        WorkFailed: torch cannot express the network in ONNX.
    """
    began, path = time.monotonic(), _free(Path(out))
    resolved = resolve_weights(target, settings)
    header = resolved.header
    require_plugins(header.card, header.path)
    require_cut(cut, header.card)
    store = open_store(settings.data_dir, dataset_of(header.card, data))
    smaller = Planner(header, store).smaller(cut)
    storage.make_folder(path.parent, parents=True)
    storage.write(path, smaller.data)
    return CompressReport(
        path=path,
        target=resolved.path,
        data=store.card.name,
        cut=smaller.facts,
        seconds=time.monotonic() - began,
        notices=(*resolved.notices, *smaller.notices),
    )


def resolve_weights(target: str | Path | None, settings: Settings) -> Target:
    """Return the target. Raises `UsageError` for an ONNX file, and as `resolve`."""
    resolved = resolve(target, settings)
    if resolved.kind == "onnx":
        raise UsageError(
            "an ONNX file cannot be made smaller", where=str(resolved.path), hint="name a run or a weights file"
        )
    return resolved


def _free(path: Path) -> Path:
    """Return the output path. Raises `UsageError` before the work if it cannot be written."""
    if path.exists() or path.is_symlink():
        raise UsageError("the output exists", where=str(path), hint=[Setting("out", "OTHER"), "or remove the file"])
    if path.suffix != ".safetensors":
        raise UsageError("the output is a weights file", where=str(path), hint=Setting("out", "small.safetensors"))
    storage.require_writable(path.parent, hint=Setting("out", "FILE"))
    return path
