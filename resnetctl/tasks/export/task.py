"""`export`: write an ONNX file if onnxruntime, running these bytes, agrees with torch.

A file that takes pictures as they are must also give the pixels that `predict` would give, bit for bit.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Unpack, get_args

from resnetctl import registry
from resnetctl.data.store import open_store
from resnetctl.deploy.exporters import gate as exporter_gate
from resnetctl.deploy.onnx_card import INPUTS, OPSET, Input
from resnetctl.deploy.onnx_checks import check
from resnetctl.deploy.onnx_session import from_bytes
from resnetctl.deploy.parity import BATCHES, Parity, compare_answers, compare_batches
from resnetctl.deploy.raw.contract import require_raw
from resnetctl.deploy.raw.gate import pixel_problems
from resnetctl.engine.metrics import Predictor
from resnetctl.engine.predictors import net_predictor, torch_predictor
from resnetctl.errors import CheckFailed, UsageError, WeightsError
from resnetctl.exporting import Bundle
from resnetctl.hints import Call, Setting
from resnetctl.report.base import Report
from resnetctl.system import storage
from resnetctl.system.settings import Settings
from resnetctl.system.signals import stop_later
from resnetctl.tasks.export import int8 as int8_form
from resnetctl.tasks.export.form import Form, Gate, Kind
from resnetctl.tasks.export.subjects import Subject, chosen, require_one
from resnetctl.tasks.targets import Target, resolve
from resnetctl.weights.file import Header, load_net, load_network, newest
from resnetctl.weights.plugins import require_plugins

if TYPE_CHECKING:
    from resnetctl.compress.int8 import Int8Report


@dataclass(frozen=True, kw_only=True)
class ExportReport(Report):
    """The written file, and the images that it was checked on.

    `int8`: what int8 costs and gains, for such a file. `head`: its name; "" for a classifier.
    `reads_numbers`: whether it reads numbers beside each image. `names_data`: whether it names its dataset.
    """

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
    int8: Int8Report | None = None
    head: str = ""
    reads_numbers: bool = False
    names_data: bool = True
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
            "int8": self.int8 and self.int8.to_json(),
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
        form: `data`: another dataset to check on. `input`: `raw` puts the preprocessing into the file,
            `RUN/export/model-raw.onnx`, which takes pictures of any size. `to`: the name of an exporter, which writes a
            folder, `RUN/export/NAME`. `assets`: a folder with files of other programs that the exporter needs. `int8`:
            write `RUN/export/model-int8.onnx`, as `compress.int8` makes it from the checked float32 file.

    Raises:
        UsageError: `gate` or `input` is unknown, `int8` does not go with the other arguments, `out` exists or cannot be
            written, or `target` is an ONNX file.
        InputError: the target is missing, or there are no images to check on.
        CheckFailed: two runtimes disagree, a raw file has other pixels, or int8 is too inaccurate or slow; nothing is
            written.
        PluginError: the exporter is missing or broken.
        WorkFailed: torch cannot express the network in ONNX.
    """
    input, to, int8 = form.get("input", "float"), form.get("to"), form.get("int8")
    if int8 is not None:
        int8_form.require_possible(int8, input=input, to=to, gate=gate)
    _require_known(gate, input, to)
    if int8 is None:
        require_one(form.get("data"), images=images, gate=gate)
    resolved = resolve(target, settings)
    if resolved.kind == "onnx":
        raise UsageError("this is an ONNX file already", where=str(resolved.path), hint="name a run or a weights file")
    place, kind = Path(out) if out is not None else None, input if int8 is None else "int8"
    destination = _destination(resolved, place, kind) if to is None else _folder(resolved, place, to)
    header = resolved.header
    require_plugins(header.card, header.path)
    card = header.card
    if card.head is not None and (input == "raw" or to is not None or int8 is not None):
        named = "input" if input == "raw" else "to" if to is not None else "int8"
        raise UsageError(
            f"a network with the head '{card.head.name}' is exported as an ONNX file of floats only",
            where=Setting(named),
            hint=Call("export", (header.path,), {"onnx": True}),
        )
    if input == "raw":
        require_raw(card.image)
    store = None if (data := form.get("data")) is None else open_store(settings.data_dir, data)
    if store is None and int8 is not None:
        store = int8_form.open_dataset(card, settings)
    subject = chosen(card, settings, images=images, gate=gate, input=input, store=store)
    checked = _checked(header, subject)
    report = ExportReport(
        path=destination,
        bytes=len(checked.data),
        sha256=hashlib.sha256(checked.data).hexdigest(),
        parity=checked.parity,
        gate=subject.about,
        input=input,
        head="" if card.head is None else card.head.name,
        reads_numbers=card.vector is not None,
        names_data="name" in card.trained_on,
        notices=resolved.notices,
    )
    if to is not None:
        evals = {} if resolved.run is None else resolved.run.evals()
        bundle = Bundle(
            card=card, onnx=checked.data, input=input, weights=header.path, evals=evals, assets=form.get("assets")
        )
        return _exported(report, to, bundle, subject=subject, reference=None if gate == "none" else checked.reference)
    written = checked.data
    if int8 is not None and store is not None:
        written, gained = int8_form.quantised(written, header, store=store, about=subject.about, settings=int8)
        report = _in_int8(report, written, gained, notices=int8_form.notices(gained, store=store, card=card))
    _write(resolved, destination, written, kind=None if out is not None else kind)
    return report


def _in_int8(report: ExportReport, data: bytes, gained: Int8Report, *, notices: Iterable[str]) -> ExportReport:
    """Return the report of the int8 file that was made of the reported float32 file."""
    digest = hashlib.sha256(data).hexdigest()
    return replace(report, bytes=len(data), sha256=digest, int8=gained, notices=(*report.notices, *notices))


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
    report: ExportReport, to: str, bundle: Bundle, *, subject: Subject, reference: Predictor | None
) -> ExportReport:
    """Let the exporter write its folder, which gets its name only after the check. Without a `reference`: unchecked."""
    about, parity, card = {"kind": "none", "images": 0}, None, bundle.card
    with exporter_gate.staged(to, report.path, is_checked=reference is not None) as folder:
        files = exporter_gate.fill(to, bundle, folder=folder)
        if reference is not None:
            about, batches = dict(subject.about), subject.batches(card.image)
            classes = len(card.classes)
            parity = exporter_gate.check(to, folder, reference=reference, batches=batches, classes=classes)
        exporter_gate.describe(to, bundle, folder=folder, gate=about)
        size, digest = sum((folder / file).stat().st_size for file in files), exporter_gate.digest(folder)
    names = tuple(file.as_posix() for file in files)
    if report.path.is_file():
        names, digest = (report.path.name,), storage.sha256(report.path)
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
class _Checked:
    """An ONNX file that passed the check, and what it was compared with."""

    data: bytes
    parity: Parity
    reference: Predictor | None = None  # of a classifier


def _checked(header: Header, subject: Subject) -> _Checked:
    """Return the bytes that passed the check. Torch loads here, after all that can fail without it."""
    import torch

    from resnetctl.deploy.onnx_writer import to_bytes
    from resnetctl.deploy.raw.writer import preprocessing_alone, with_preprocessing

    if header.card.head is not None:
        return _checked_net(header, subject)
    model, header = newest(header, load_network)
    card = header.card
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
    _require_parity(parity, header)
    return _Checked(data=data, parity=parity, reference=reference)


def _checked_net(header: Header, subject: Subject) -> _Checked:
    """As `_checked`, for a network with a head: answers are compared as its task says."""
    import torch

    from resnetctl.deploy.onnx_writer import to_bytes

    net, header = newest(header, load_net)
    card = header.card
    with stop_later():
        data = to_bytes(net, card, weights_sha256=header.sha256, gate=subject.about)
    exported = from_bytes(data, "the exported model")
    reference = net_predictor(net, card.image, device=torch.device("cpu"), vector=card.vector)
    task = registry.get("task", card.task)
    parity = compare_answers(reference, exported.answer, batches=subject.inputs(), task=task)
    _require_parity(parity, header)
    return _Checked(data=data, parity=parity)


def _require_parity(parity: Parity, header: Header) -> None:
    """Raise `CheckFailed` when onnxruntime does not agree with torch."""
    if parity.problems:
        raise CheckFailed(
            "onnxruntime does not agree with torch; no file was written",
            problems=parity.problems,
            where=str(header.path),
            hint="report this with the versions that 'pip list' shows for torch, onnxscript and onnxruntime",
        )


def _require_equal_pixels(data: bytes, problems: list[str], where: Path) -> None:
    """Raise `CheckFailed` when the strict reader refuses the file, or when its pixels differ."""
    try:
        check(data, "the exported model")
    except WeightsError as error:
        problems = [error.message, *error.problems, *problems]
    if problems:
        raise CheckFailed(
            "the file prepares images in another way than this package; no file was written",
            problems=problems,
            where=str(where),
            hint="report this with the versions that 'pip list' shows for pillow, onnx and onnxruntime",
        )


def _destination(target: Target, out: Path | None, kind: Kind) -> Path:
    """Return the output path. Raises `UsageError` before the work if it cannot be written."""
    if out is None and target.run is not None:
        path = {"float": target.run.onnx, "raw": target.run.raw_onnx, "int8": target.run.int8_onnx}[kind]
        storage.require_writable(path.parent, hint=Setting("out", "FILE", note="writes to another place"))
        storage.sweep_abandoned(path.parent)
        return path
    beside = target.path.with_name(f"{target.path.stem}{'' if kind == 'float' else f'-{kind}'}.onnx")
    path = beside if out is None else out
    if path.exists() or path.is_symlink():
        raise UsageError("the output exists", where=str(path), hint=[Setting("out", "OTHER"), "or remove the file"])
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise UsageError("the output's folder is missing or not writable", where=str(path.parent))
    return path


def _write(target: Target, path: Path, data: bytes, *, kind: Kind | None) -> None:
    """Write the file; with a `kind`, into the run as its own."""
    if kind is not None and target.run is not None:
        target.run.write_onnx(data, raw=kind == "raw", int8=kind == "int8")
    else:
        storage.write(path, data)
