"""The rules of an exporter."""

import contextlib
import inspect
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from resnetctl.deploy.onnx_card import Input
from resnetctl.deploy.onnx_writer import to_bytes
from resnetctl.deploy.parity import compare_batches, in_batches
from resnetctl.deploy.raw.writer import with_preprocessing
from resnetctl.engine.metrics import Predictor, probabilities
from resnetctl.engine.predictors import torch_predictor
from resnetctl.errors import InputError
from resnetctl.exporting import Bundle
from resnetctl.models.resnet import ResNet, build
from resnetctl.spec import Arch, ImageSpec, WeightsCard
from resnetctl.testing.findings import Rule, Skipped, expect
from resnetctl.weights import file as weights_file
from resnetctl.wording import counted

ARCH = Arch(name="small", block="basic", depths=(1, 1), widths=(4, 8), stem="cifar")
IMAGE = ImageSpec(size=16)
CLASSES = ("cat", 'a "quoted" dog', "two\nlines", "ζωγραφιά")  # names that a careless format breaks on


@dataclass(frozen=True, kw_only=True)
class Subject:
    """An exporter with a small network to export, and an empty folder to work in."""

    exporter: Any
    bundle: Bundle
    reference: Predictor
    room: Path

    def written(self, name: str) -> tuple[Path, set[Path]]:
        """Let the exporter write into a new folder; return it, and the files that the exporter lists.

        An `InputError` says that this machine lacks what the exporter needs, because the bundle is sound.
        """
        folder = self.room / name
        folder.mkdir()
        try:
            listed = self.exporter.write(self.bundle, folder)
        except InputError as error:
            raise Skipped(f"it cannot write on this machine: {error.message}") from error
        return folder, {folder / path for path in listed}


@contextlib.contextmanager
def prepared(exporter: Any, source: Path | None = None) -> Iterator[Subject]:
    """Yield the exporter as the argument of the rules, with a bundle of a small random network."""
    model, card, onnx = _small()
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder, "small.safetensors")
        weights.write_bytes(weights_file.to_bytes(model.state_dict(), card))
        input: Input = getattr(exporter, "input", "float")
        data = with_preprocessing(onnx, IMAGE) if input == "raw" else onnx
        bundle = Bundle(card=card, onnx=data, input=input, weights=weights)
        reference = torch_predictor(model, IMAGE, device=torch.device("cpu"))
        yield Subject(exporter=exporter, bundle=bundle, reference=reference, room=Path(folder))


@cache
def _small() -> tuple[ResNet, WeightsCard, bytes]:
    """Return a small random network, its card and its ONNX file; torch takes seconds to export even that."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build(ARCH, classes=len(CLASSES), image=IMAGE).eval()
    card = WeightsCard(arch=ARCH, classes=CLASSES, image=IMAGE)
    return model, card, to_bytes(model, card, weights_sha256="", gate={"kind": "synthetic", "images": 74})


def signature(subject: Subject) -> str:
    """The entry is an instance with `name`, `summary`, `write(bundle, folder)` and `open(folder)`."""
    exporter = subject.exporter
    expect(not isinstance(exporter, type), "it is a class, not an instance")
    expect(bool(exporter.name and exporter.summary.strip()), "name or summary is empty")
    for name, wanted in (("write", ["bundle", "folder"]), ("open", ["folder"])):
        parameters = list(inspect.signature(getattr(exporter, name)).parameters)
        expect(parameters == wanted, f"{name}({', '.join(parameters)})")
    return "write(bundle, folder), open(folder)"


def files(subject: Subject) -> str:
    """`write` returns exactly the files that it wrote, all inside the folder, and no links."""
    folder, listed = subject.written("files")
    written = {path for path in folder.rglob("*") if not path.is_dir()}
    expect(bool(written), "it wrote no file")
    expect(listed == written, f"it lists {counted(len(listed), 'file')} and wrote {len(written)}")
    expect(not any(path.is_symlink() for path in written), "it wrote a link")
    return counted(len(written), "file")


def determinism(subject: Subject) -> str:
    """The same bundle gives the same bytes in every folder."""
    contents = [
        {path.relative_to(folder): path.read_bytes() for path in sorted(listed)}
        for folder, listed in (subject.written("first"), subject.written("second"))
    ]
    changed = [str(path) for path, data in contents[0].items() if contents[1].get(path) != data]
    expect(not changed and len(contents[0]) == len(contents[1]), f"written twice, these differ: {', '.join(changed)}")
    return f"{sum(map(len, contents[0].values())):,} bytes, twice the same"


def agreement(subject: Subject) -> str:
    """What `open` returns predicts as torch does, for batches of 1, 2, 7 and 64 images."""
    folder, _ = subject.written("opened")
    predict = subject.exporter.open(folder)
    if predict is None:
        raise Skipped("open returns None: users of this exporter need gate=none")
    pool = np.random.default_rng(0).integers(0, 256, (74, IMAGE.size, IMAGE.size, 3), dtype=np.uint8)
    logits = np.asarray(predict(pool))
    expect(logits.dtype == np.float32, f"it predicts {logits.dtype}")
    expect(logits.shape == (74, len(CLASSES)), f"it predicts {logits.shape} for 74 images")

    def outputs(images: Any) -> list[Any]:
        answers = np.asarray(predict(images))
        return [answers, probabilities(answers).astype(np.float32)]

    parity = compare_batches(subject.reference, outputs, batches=in_batches(pool))
    expect(not parity.problems, "; ".join(parity.problems))
    return f"differences up to {parity.max_abs_diff:.1e}"


def reads(subject: Subject) -> str:
    """`open` predicts with the files: without them it fails."""
    folder, listed = subject.written("emptied")
    if subject.exporter.open(folder) is None:
        raise Skipped("open returns None: users of this exporter need gate=none")
    for path in listed:
        path.unlink()
    try:
        opened = subject.exporter.open(folder)
    except Exception as error:  # as it should
        return f"without its files: {type(error).__name__}"
    expect(opened is None, "it opens a folder without its files")
    return "without its files: None"


RULES = {
    "signature": Rule(
        wants="an instance with name, summary, write(bundle, folder) and open(folder)",
        judge=signature,
        fix="register an instance; see `resnetctl.exporting.Exporter`",
    ),
    "files": Rule(
        wants="a list of exactly the files that it wrote into the folder",
        judge=files,
        fix="return every path that write creates, write only inside the folder, and create no links",
    ),
    "determinism": Rule(
        wants="the same bytes for the same bundle",
        judge=determinism,
        fix="write no time, path, random number or set: two exports of one network must be equal",
    ),
    "agreement": Rule(
        wants="predictions as torch's, for every batch size",
        judge=agreement,
        fix="return float32 logits (B, K) for uint8 images (B, S, S, C); scale them as the format needs, and freeze no "
        "batch size",
    ),
    "reads": Rule(
        wants="predictions from the files, not from memory",
        judge=reads,
        fix="keep nothing from write: read everything in open, and let a missing file raise",
    ),
}
