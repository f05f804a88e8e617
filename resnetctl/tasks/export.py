"""`export`: write an ONNX file if onnxruntime, running these bytes, agrees with torch.

A file that takes pictures as they are must also give the pixels that `predict` would give, bit for bit.
"""

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
from resnetctl.deploy.onnx_card import INPUTS, Input
from resnetctl.deploy.onnx_checks import check
from resnetctl.deploy.onnx_session import from_bytes
from resnetctl.deploy.parity import BATCHES, Parity, compare, compare_batches
from resnetctl.deploy.raw.contract import require_raw
from resnetctl.deploy.raw.gate import about as made_up_facts
from resnetctl.deploy.raw.gate import batches as originals_in_batches
from resnetctl.deploy.raw.gate import pixel_problems
from resnetctl.deploy.raw.originals import of_folder, of_store
from resnetctl.engine.metrics import Images
from resnetctl.engine.predictors import torch_predictor
from resnetctl.errors import CheckFailed, DataError, InputError, UsageError, WeightsError
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
    input: Input = "float"
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
            "input": self.input,
            "notices": list(self.notices),
        }


def export(
    target: str | Path | None,
    *,
    settings: Settings,
    out: str | Path | None = None,
    images: str | Path | None = None,
    gate: Gate = "real",
    input: Input = "float",
) -> ExportReport:
    """Write the ONNX file of a run or a weights file, checked on real images.

    Args:
        out: the file to write, which must not exist; by default `RUN/export/model.onnx`, or next to the weights.
        images: a folder of images to check on; by default val of the dataset that the weights name.
        gate: `synthetic` checks on noise, and the file's metadata says so.
        input: `raw` puts the preprocessing into the file, `RUN/export/model-raw.onnx`. It takes pictures of any size.

    Raises:
        UsageError: `gate` is neither `real` nor `synthetic`, `out` exists or cannot be written, or `target` is an ONNX
            file.
        InputError: the target is missing, or there are no images to check on.
        CheckFailed: the two runtimes disagree, or a raw file has other pixels; nothing is written.
        WorkFailed: torch cannot express the network in ONNX.
    """
    if gate not in get_args(Gate):
        raise UsageError(f"{gate!r} is no gate", where=Setting("gate"), hint=" or ".join(get_args(Gate)))
    if input not in INPUTS:
        raise UsageError(f"{input!r} is no input", where=Setting("input"), hint=" or ".join(INPUTS))
    resolved = resolve(target, settings)
    if resolved.kind == "onnx":
        raise UsageError("this is an ONNX file already", where=str(resolved.path), hint="name a run or a weights file")
    destination = _destination(resolved, Path(out) if out is not None else None, input)
    header = read_header(resolved.path)
    card = header.card
    if input == "raw":
        require_raw(card.image)
    if gate == "synthetic":
        subject = _synthetic(card.image, input)
    elif images is not None:
        subject = _from_folder(Path(images), card, input)
    else:
        subject = _from_store(card, settings, input)
    data, parity, opset = _checked(header, subject)
    _write(resolved, destination, data, input=None if out is not None else input)
    return ExportReport(
        path=destination,
        opset=opset,
        bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        parity=parity,
        gate=subject.about,
        input=input,
        notices=resolved.notices,
    )


@dataclass(frozen=True, kw_only=True)
class _Subject:
    """The images of the check: `pool` (N, S, S, C) for `float`, `originals` (H, W, C) for `raw`; and what they are."""

    about: Mapping[str, Any]
    pool: Images | None = None
    originals: Sequence[Images] = ()


def _checked(header: Header, subject: _Subject) -> tuple[bytes, Parity, int]:
    """Return the bytes that passed the check. Torch loads here, after all that can fail without it."""
    import torch

    from resnetctl.deploy.onnx_writer import OPSET, to_bytes
    from resnetctl.deploy.raw.writer import preprocessing_alone, with_preprocessing

    model, card = load_network(header), header.card
    with stop_later():
        data = to_bytes(model, card, weights_sha256=header.sha256, gate=subject.about)
    reference = torch_predictor(model, card.image, device=torch.device("cpu"))
    if subject.pool is not None:
        parity = compare(reference, from_bytes(data, "the exported model"), pool=subject.pool)
    else:
        data = with_preprocessing(data, card.image)
        alone = preprocessing_alone(data, card.image)
        _require_equal_pixels(data, pixel_problems(alone, card.image, pictures=subject.originals), header.path)
        batches = originals_in_batches(subject.originals, card.image)
        parity = compare_batches(reference, from_bytes(data, "the exported model"), batches=batches)
    if parity.problems:
        raise CheckFailed(
            "onnxruntime does not agree with torch; no file was written",
            problems=parity.problems,
            where=str(header.path),
            hint="report this with the versions that 'pip list' shows for torch, onnxscript and onnxruntime",
        )
    return data, parity, OPSET


def _require_equal_pixels(data: bytes, problems: list[str], where: Path) -> None:
    """Raise `CheckFailed` when the strict reader refuses the file, or when its pixels differ."""
    try:
        check(data, "the exported model")
    except WeightsError as error:
        problems = [error.message, *error.problems, *problems]
    if problems:
        raise CheckFailed(
            "the file prepares pictures in another way than this package; no file was written",
            problems=problems,
            where=str(where),
            hint="report this with the versions that 'pip list' shows for pillow, onnx and onnxruntime",
        )


def _destination(target: Target, out: Path | None, input: Input) -> Path:
    """Return the output path. Raises `UsageError` before the work if it cannot be written."""
    if out is None and target.run is not None:
        path = target.run.raw_onnx if input == "raw" else target.run.onnx
        storage.require_writable(path.parent, hint=Setting("out", "FILE", note="writes to another place"))
        return path
    beside = target.path.with_name(f"{target.path.stem}{'-raw' if input == 'raw' else ''}.onnx")
    path = beside if out is None else out
    if path.exists() or path.is_symlink():
        raise UsageError("the output exists", where=str(path), hint=[Setting("out", "OTHER"), "or remove the file"])
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise UsageError("the output's folder is missing or not writable", where=str(path.parent))
    return path


def _write(target: Target, path: Path, data: bytes, *, input: Input | None) -> None:
    """Write the file; with an `input`, into the run as its own."""
    if input is not None and target.run is not None:
        target.run.write_onnx(data, raw=input == "raw")
    else:
        storage.write(path, data)


def _synthetic(image: ImageSpec, input: Input) -> _Subject:
    """Return uint8 noise (74, S, S, C), the same every time; for `raw`, the made-up pictures alone."""
    generator = np.random.Generator(np.random.PCG64(rng.derive(0, "synthetic gate")))
    side = image.size if input == "float" else image.resize
    noise = generator.integers(0, 256, (sum(BATCHES), side, side, image.channels), dtype=np.uint8)
    return _subject(noise, {"kind": "synthetic"}, input)


def _subject(images: Sequence[Images] | Images, source: Mapping[str, Any], input: Input) -> _Subject:
    about = {**source, "images": len(images)}
    if input == "float":
        return _Subject(about=about, pool=np.asarray(images))
    return _Subject(about={**about, **made_up_facts()}, originals=list(images))


def _from_folder(folder: Path, card: WeightsCard, input: Input) -> _Subject:
    if not folder.exists():
        raise DataError("there is no such folder", where=Setting("images", str(folder)))
    problems: list[str] = []
    if input == "raw":
        images = of_folder(folder, card.image.channels, count=sum(BATCHES), problems=problems)
    else:
        images = []
        for pixels, _ in prepared_batches([folder], card.image, problems=problems):
            images.extend(pixels)
            if len(images) >= sum(BATCHES):
                break
    if not images:
        raise DataError("the folder has no readable image", where=Setting("images", str(folder)), problems=problems)
    return _subject(images[: sum(BATCHES)], {"kind": "real", "source": "images"}, input)


def _from_store(card: WeightsCard, settings: Settings, input: Input) -> _Subject:
    """Return evenly spaced images of val (of train if there is no val)."""
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
    source = {"kind": "real", "source": f"{name}/{images.split}"}
    if input == "raw":
        pictures, originals = of_store(store, chosen, channels=card.image.channels)
        return _subject(pictures, {**source, "originals": originals}, input)
    (pixels, _), *_ = eval_batches(chosen, card.image, batch_size=len(chosen))
    return _subject(pixels, source, input)


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
