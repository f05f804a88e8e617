"""`export`: write an ONNX file if onnxruntime, running these bytes, agrees with torch."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

import numpy as np

from resnetctl import rng
from resnetctl.data.image_files import prepared_batches
from resnetctl.data.splits import ImageSet, eval_batches, open_eval_set
from resnetctl.data.store import Store, open_store
from resnetctl.deploy.onnx_session import from_bytes
from resnetctl.deploy.parity import BATCHES, Parity, compare
from resnetctl.engine.metrics import Images
from resnetctl.engine.predictors import torch_predictor
from resnetctl.errors import CheckFailed, DataError, InputError, UsageError
from resnetctl.hints import Hint, Setting
from resnetctl.report.base import Report
from resnetctl.spec import ImageSpec, WeightsCard
from resnetctl.system import storage
from resnetctl.system.settings import Settings
from resnetctl.system.signals import stop_later
from resnetctl.tasks.targets import Target, resolve
from resnetctl.weights.file import Header, load_network, read_header

Gate = Literal["real", "synthetic"]


@dataclass(frozen=True, kw_only=True)
class ExportReport(Report):
    """The written file, and the images that it was checked on."""

    schema: ClassVar[str] = "resnetctl.export/1"
    path: Path
    opset: int
    bytes: int
    sha256: str
    parity: Parity
    gate: Mapping[str, Any]
    notices: tuple[str, ...] = ()

    def body(self) -> dict[str, Any]:
        """Return the facts of the file, then the facts of the check."""
        return {
            "path": str(self.path),
            "opset": self.opset,
            "bytes": self.bytes,
            "sha256": self.sha256,
            "max_abs_diff": self.parity.max_abs_diff,
            "tolerance": self.parity.tolerance,
            "agreement": self.parity.agreement,
            "batches": list(BATCHES),
            "gate": dict(self.gate),
            "notices": list(self.notices),
        }


def export(
    target: str | Path | None,
    *,
    settings: Settings,
    out: str | Path | None = None,
    images: str | Path | None = None,
    gate: Gate = "real",
) -> ExportReport:
    """Write the ONNX file of a run or a weights file, checked on real images.

    Args:
        out: the file to write, which must not exist; by default `RUN/export/model.onnx`, or next to the weights.
        images: a folder of images to check on; by default val of the dataset that the weights name.
        gate: `synthetic` checks on noise, and the file's metadata says so.

    Raises:
        UsageError: `gate` is neither `real` nor `synthetic`, `out` exists or cannot be written, or `target` is an ONNX
            file.
        InputError: the target is missing, or there are no images to check on.
        CheckFailed: the two runtimes disagree; nothing is written.
        WorkFailed: torch cannot express the network in ONNX.
    """
    if gate not in get_args(Gate):
        raise UsageError(f"{gate!r} is no gate", where=Setting("gate"), hint=" or ".join(get_args(Gate)))
    resolved = resolve(target, settings)
    if resolved.kind == "onnx":
        raise UsageError("this is an ONNX file already", where=str(resolved.path), hint="name a run or a weights file")
    destination = _destination(resolved, Path(out) if out is not None else None)
    header = read_header(resolved.path)
    card = header.card
    if gate == "synthetic":
        pool, source = _synthetic(card.image), {"kind": "synthetic"}
    elif images is not None:
        pool, source = _from_folder(Path(images), card), {"kind": "real", "source": "images"}
    else:
        pool, split = _from_store(card, settings)
        source = {"kind": "real", "source": split}
    about = {**source, "images": len(pool)}
    data, parity, opset = _checked(header, pool, about)
    _write(resolved, destination, data, own_place=out is None)
    return ExportReport(
        path=destination,
        opset=opset,
        bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        parity=parity,
        gate=about,
        notices=resolved.notices,
    )


def _checked(header: Header, pool: Images, about: Mapping[str, Any]) -> tuple[bytes, Parity, int]:
    """Return the bytes that passed the check. Torch loads here, after all that can fail without it."""
    import torch

    from resnetctl.deploy.onnx_writer import OPSET, to_bytes

    model, card = load_network(header), header.card
    with stop_later():
        data = to_bytes(model, card, weights_sha256=header.sha256, gate=about)
    reference = torch_predictor(model, card.image, device=torch.device("cpu"))
    parity = compare(reference, from_bytes(data, "the exported model"), pool=pool)
    if parity.problems:
        raise CheckFailed(
            "onnxruntime does not agree with torch; no file was written",
            problems=parity.problems,
            where=str(header.path),
            hint="report this with the versions that 'pip list' shows for torch, onnxscript and onnxruntime",
        )
    return data, parity, OPSET


def _destination(target: Target, out: Path | None) -> Path:
    """Return the output path. Raises `UsageError` before the work if it cannot be written."""
    if out is None and target.run is not None:
        storage.require_writable(target.run.onnx.parent, hint=Setting("out", "FILE", note="writes to another place"))
        return target.run.onnx
    path = out if out is not None else target.path.with_suffix(".onnx")
    if path.exists() or path.is_symlink():
        raise UsageError("the output exists", where=str(path), hint=[Setting("out", "OTHER"), "or remove the file"])
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise UsageError("the output's folder is missing or not writable", where=str(path.parent))
    return path


def _write(target: Target, path: Path, data: bytes, *, own_place: bool) -> None:
    if own_place and target.run is not None:
        target.run.write_onnx(data)
    else:
        storage.write(path, data)


def _synthetic(image: ImageSpec) -> Images:
    """Return uint8 noise (74, S, S, C), the same every time."""
    generator = np.random.Generator(np.random.PCG64(rng.derive(0, "synthetic gate")))
    return generator.integers(0, 256, (sum(BATCHES), image.size, image.size, image.channels), dtype=np.uint8)


def _from_folder(folder: Path, card: WeightsCard) -> Images:
    if not folder.exists():
        raise DataError("there is no such folder", where=Setting("images", str(folder)))
    problems: list[str] = []
    batches: list[Images] = []
    for pixels, _ in prepared_batches([folder], card.image, problems=problems):
        batches.append(pixels)
        if sum(map(len, batches)) >= sum(BATCHES):
            break
    if not batches:
        raise DataError("the folder has no readable image", where=Setting("images", str(folder)), problems=problems)
    return np.concatenate(batches)[: sum(BATCHES)]


def _from_store(card: WeightsCard, settings: Settings) -> tuple[Images, str]:
    """Return evenly spaced images of val (of train if there is no val), and their dataset and split."""
    name = card.trained_on.get("name", "")
    if not name:
        raise _no_images("the weights name no dataset to check on")
    try:
        store = open_store(settings.data_dir, name)
    except DataError as error:
        raise _no_images(f"{error.message}, and the check needs its images", first=error.hint[:1]) from error
    images = _gate_set(store, card)
    rows = np.linspace(0, len(images) - 1, min(len(images), sum(BATCHES))).astype(np.int64)
    chosen = replace(images, index=images.index[rows])
    (pixels, _), *_ = eval_batches(chosen, card.image, batch_size=len(chosen))
    return pixels, f"{name}/{images.split}"


def _gate_set(store: Store, card: WeightsCard) -> ImageSet:
    try:
        return open_eval_set(store, "val", val_split=card.split)
    except DataError:  # no val, or train has changed: any real image can show a difference between two runtimes
        return open_eval_set(store, "train", val_split=None)


def _no_images(message: str, *, first: Sequence[Hint] = ()) -> InputError:
    hint = [
        *first,
        Setting("images", "DIR", "checks on your own images"),
        Setting("gate", "synthetic", "checks on noise, and the file says so"),
    ]
    return InputError(message, hint=hint)
