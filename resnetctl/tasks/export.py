"""`export`: write an ONNX file if onnxruntime, running these bytes, agrees with torch.

A file that takes pictures as they are must also give the pixels that `predict` would give, bit for bit.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, TypedDict, Unpack, get_args

import numpy as np

from resnetctl import registry
from resnetctl.data.image_files import prepared_batches
from resnetctl.data.splits import ImageSet, eval_batches, open_eval_set
from resnetctl.data.store import Store, open_store
from resnetctl.deploy.exporters import gate as exporter_gate
from resnetctl.deploy.onnx_card import INPUTS, OPSET, Input
from resnetctl.deploy.onnx_checks import check
from resnetctl.deploy.onnx_session import from_bytes
from resnetctl.deploy.parity import BATCHES, Parity, compare_batches, in_batches, noise
from resnetctl.deploy.raw.contract import require_raw
from resnetctl.deploy.raw.gate import about as made_up_facts
from resnetctl.deploy.raw.gate import batches as originals_in_batches
from resnetctl.deploy.raw.gate import pixel_problems
from resnetctl.deploy.raw.originals import of_folder, of_store
from resnetctl.engine.metrics import Images, Predictor
from resnetctl.engine.predictors import torch_predictor
from resnetctl.errors import CheckFailed, DataError, InputError, UsageError, WeightsError
from resnetctl.exporting import Bundle
from resnetctl.hints import Hint, Setting
from resnetctl.report.base import Report
from resnetctl.spec import ImageSpec, WeightsCard
from resnetctl.system import storage
from resnetctl.system.settings import Settings
from resnetctl.system.signals import stop_later
from resnetctl.tasks.targets import Target, resolve
from resnetctl.weights.file import Header, load_network, read_header

Gate = Literal["real", "synthetic", "none"]


class Form(TypedDict, total=False):
    """What is written: an ONNX file with this `input`, or what the exporter `to` makes of it."""

    input: Input
    to: str


@dataclass(frozen=True, kw_only=True)
class ExportReport(Report):
    """The written file, and the images that it was checked on."""

    schema: ClassVar[str] = "resnetctl.export/1"
    path: Path
    bytes: int
    sha256: str
    parity: Parity | None
    gate: Mapping[str, Any]
    opset: int = OPSET
    input: Input = "float"
    exporter: str | None = None
    files: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()

    def body(self) -> dict[str, Any]:
        """Return the facts of the file, then the facts of the check."""
        return {
            "path": str(self.path),
            "opset": self.opset,
            "bytes": self.bytes,
            "sha256": self.sha256,
            "max_abs_diff": self.parity and self.parity.max_abs_diff,
            "tolerance": self.parity and self.parity.tolerance,
            "agreement": self.parity and self.parity.agreement,
            "batches": list(BATCHES),
            "gate": dict(self.gate),
            "input": self.input,
            "exporter": self.exporter,
            "files": list(self.files),
            "notices": list(self.notices),
        }


def export(
    target: str | Path | None,
    *,
    settings: Settings,
    out: str | Path | None = None,
    images: str | Path | None = None,
    gate: Gate = "real",
    **form: Unpack[Form],
) -> ExportReport:
    """Write the ONNX file of a run or a weights file, or the folder of an exporter, checked on real images.

    Args:
        out: the file or folder to write, which must not exist; by default `RUN/export/model.onnx`, or next to the
            weights.
        images: a folder of images to check on; by default val of the dataset that the weights name.
        gate: `synthetic` checks on noise, and the file's metadata says so. `none`, for an exporter that cannot open its
            files here: they are not checked, and say so.
        form: `input`: `raw` puts the preprocessing into the file, `RUN/export/model-raw.onnx`, which takes pictures of
            any size. `to`: the name of an exporter, which writes a folder, `RUN/export/NAME`.

    Raises:
        UsageError: `gate` or `input` is unknown, `out` exists or cannot be written, or `target` is an ONNX
            file.
        InputError: the target is missing, or there are no images to check on.
        CheckFailed: two runtimes disagree, or a raw file has other pixels; nothing is written.
        PluginError: the exporter is missing or broken.
        WorkFailed: torch cannot express the network in ONNX.
    """
    input, to = form.get("input", "float"), form.get("to")
    _require_known(gate, input, to)
    resolved = resolve(target, settings)
    if resolved.kind == "onnx":
        raise UsageError("this is an ONNX file already", where=str(resolved.path), hint="name a run or a weights file")
    place = Path(out) if out is not None else None
    destination = _destination(resolved, place, input) if to is None else _folder(resolved, place, to)
    header = read_header(resolved.path)
    card = header.card
    if input == "raw":
        require_raw(card.image)
    if gate != "real":
        subject = _synthetic(card.image, input)
    elif images is not None:
        subject = _from_folder(Path(images), card, input)
    else:
        subject = _from_store(card, settings, input)
    checked = _checked(header, subject)
    report = ExportReport(
        path=destination,
        bytes=len(checked.data),
        sha256=hashlib.sha256(checked.data).hexdigest(),
        parity=checked.parity,
        gate=subject.about,
        input=input,
        notices=resolved.notices,
    )
    if to is not None:
        evals = {} if resolved.run is None else resolved.run.evals()
        bundle = Bundle(card=card, onnx=checked.data, input=input, weights=header.path, evals=evals)
        return _exported(report, to, bundle, subject=subject, reference=None if gate == "none" else checked.reference)
    _write(resolved, destination, checked.data, input=None if out is not None else input)
    return report


def _require_known(gate: str, input: str, to: str | None) -> None:
    """Raise `UsageError` for an unknown gate, input or exporter, before the work."""
    if gate not in get_args(Gate):
        raise UsageError(f"{gate!r} is no gate", where=Setting("gate"), hint=" or ".join(get_args(Gate)))
    if input not in INPUTS:
        raise UsageError(f"{input!r} is no input", where=Setting("input"), hint=" or ".join(INPUTS))
    if to is not None:
        registry.get("exporter", to)
    elif gate == "none":
        raise UsageError("an ONNX file is always checked", where=Setting("gate"), hint=Setting("gate", "synthetic"))


def _exported(
    report: ExportReport, to: str, bundle: Bundle, *, subject: _Subject, reference: Predictor | None
) -> ExportReport:
    """Let the exporter write its folder, which gets its name only after the check. Without a `reference`: unchecked."""
    about, parity, card = {"kind": "none", "images": 0}, None, bundle.card
    with storage.staged_folder(report.path) as folder:
        files = exporter_gate.fill(to, bundle, folder=folder)
        if reference is not None:
            about, batches = dict(subject.about), subject.batches(card.image)
            classes = len(card.classes)
            parity = exporter_gate.check(to, folder, reference=reference, batches=batches, classes=classes)
        exporter_gate.describe(to, bundle, folder=folder, gate=about)
        size, digest = sum((folder / file).stat().st_size for file in files), exporter_gate.digest(folder)
    names = tuple(file.as_posix() for file in files)
    return replace(report, bytes=size, sha256=digest, parity=parity, gate=about, exporter=to, files=names)


def _folder(target: Target, out: Path | None, to: str) -> Path:
    """Return the folder that the exporter will fill. Raises `UsageError` before the work if it cannot be written."""
    beside = target.path.with_name(f"{target.path.stem}-{to}")
    own = beside if target.run is None else target.run.path / "export" / to
    path = own if out is None else out
    if path.exists() or path.is_symlink():
        raise UsageError("the output exists", where=str(path), hint="name another folder, or remove this one")
    storage.require_writable(path.parent, hint=Setting("out", "DIR", note="writes to another place"))
    return path


@dataclass(frozen=True, kw_only=True)
class _Subject:
    """The images of the check: `pool` (N, S, S, C) for `float`, `originals` (H, W, C) for `raw`; and what they are."""

    about: Mapping[str, Any]
    pool: Images | None = None
    originals: Sequence[Images] = ()

    def batches(self, image: ImageSpec) -> Iterator[tuple[Images, Images]]:
        """Yield the images for torch, and those for the exported file, in batches of `BATCHES`."""
        if self.pool is not None:
            return in_batches(self.pool)
        return originals_in_batches(self.originals, image)


@dataclass(frozen=True, kw_only=True)
class _Checked:
    """An ONNX file that passed the check, and what it was compared with."""

    data: bytes
    parity: Parity
    reference: Predictor


def _checked(header: Header, subject: _Subject) -> _Checked:
    """Return the bytes that passed the check. Torch loads here, after all that can fail without it."""
    import torch

    from resnetctl.deploy.onnx_writer import to_bytes
    from resnetctl.deploy.raw.writer import preprocessing_alone, with_preprocessing

    model, card = load_network(header), header.card
    with stop_later():
        data = to_bytes(model, card, weights_sha256=header.sha256, gate=subject.about)
    if subject.pool is None:
        data = with_preprocessing(data, card.image)
        alone = preprocessing_alone(data, card.image)
        _require_equal_pixels(data, pixel_problems(alone, card.image, pictures=subject.originals), header.path)
    reference = torch_predictor(model, card.image, device=torch.device("cpu"))
    exported = from_bytes(data, "the exported model")
    batches = subject.batches(card.image)
    parity = compare_batches(reference, exported.outputs, batches=batches, temperature=card.temperature)
    if parity.problems:
        raise CheckFailed(
            "onnxruntime does not agree with torch; no file was written",
            problems=parity.problems,
            where=str(header.path),
            hint="report this with the versions that 'pip list' shows for torch, onnxscript and onnxruntime",
        )
    return _Checked(data=data, parity=parity, reference=reference)


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
    side = image.size if input == "float" else image.resize
    return _subject(noise(side, image.channels), {"kind": "synthetic"}, input)


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
