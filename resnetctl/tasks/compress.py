"""`compress`: a network with fewer blocks, chosen by what they matter and timed on this machine."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch

from resnetctl import __version__
from resnetctl.compress import calibration
from resnetctl.compress.depths import (
    Depths,
    importance,
    kept_blocks,
    reestimate_norms,
    require_depths,
    without_blocks,
)
from resnetctl.compress.latency import speedups
from resnetctl.compress.speed_plan import LatencyTable, candidates, even_depths, measure_table
from resnetctl.data.splits import ImageSet, eval_batches
from resnetctl.data.store import Store, open_store
from resnetctl.deploy.onnx_session import OnnxModel, from_bytes
from resnetctl.deploy.onnx_writer import to_bytes as to_onnx
from resnetctl.engine.metrics import EvalReport, Images, measure
from resnetctl.engine.predictors import torch_predictor
from resnetctl.engine.stopwatch import Spread
from resnetctl.errors import CheckFailed, InputError, UsageError
from resnetctl.fields import plain
from resnetctl.hints import Setting
from resnetctl.models.resnet import ResNet
from resnetctl.report.base import Report
from resnetctl.spec import WeightsCard
from resnetctl.system import storage
from resnetctl.system.settings import Settings
from resnetctl.tasks.targets import resolve
from resnetctl.weights.file import load_network, read_header, to_bytes

SLIGHT = 1.1  # the smallest speed-up that a hint names
IMAGES = 512  # of val for the importance, and of train for the norms


@dataclass(frozen=True, kw_only=True)
class Cut:
    """What to remove: the blocks that each stage keeps, or how much faster the network must become. One of them."""

    keep_blocks: Depths | None = None
    speedup: float | None = None


@dataclass(frozen=True, kw_only=True)
class CompressReport(Report):
    """The smaller network, and what it costs and gains.

    Attributes:
        path: the written weights file.
        target: the weights that it was made from.
        before, after: blocks of each stage.
        removed: the importance of each removed block, in nats.
        table: measured latencies, when a speed-up was asked for.
        speedup: how many times as fast as the whole network on this machine, by images a batch.
        params: parameters before and after.
        accuracy: on val before and after, without training.
    """

    schema: ClassVar[str] = "resnetctl.compress/1"
    path: Path
    target: Path
    data: str
    before: Depths
    after: Depths
    removed: Mapping[str, float]
    table: LatencyTable | None
    speedup: Mapping[str, Spread]
    params: tuple[int, int]
    accuracy: tuple[EvalReport, EvalReport]
    notices: tuple[str, ...] = ()

    def body(self) -> dict[str, Any]:
        """Return every field; of the accuracies only the numbers."""
        keys = ("top1", "interval", "count")
        shown = [{key: report.to_json()[key] for key in keys} for report in self.accuracy]
        return {**plain(dataclasses.replace(self, accuracy=())), "accuracy": shown}  # type: ignore[arg-type]


def compress(
    target: str | Path | None, *, settings: Settings, out: str | Path, cut: Cut, data: str | None = None
) -> CompressReport:
    """Write the weights of a network with fewer blocks, which any other verb takes.

    Args:
        out: the weights file to write, which must not exist.
        data: the dataset to choose and measure on; by default that of the training.

    Raises:
        UsageError: `cut` names nothing, both ways, or blocks that the network has not; or `out` exists.
        InputError: the target or the dataset is missing, or their classes differ.
        CheckFailed: no number of blocks gives the speed-up.
        WorkFailed: torch cannot express the network in ONNX.
    """
    path = _free(Path(out))
    resolved = resolve(target, settings)
    if resolved.kind == "onnx":
        raise UsageError(
            "an ONNX file cannot be made smaller", where=str(resolved.path), hint="name a run or a weights file"
        )
    header = read_header(resolved.path)
    _require_cut(cut, header.card)
    store = _store(header.card, settings, data=data)
    work = _Work(load_network(header), header.card, store)
    keep, table = (cut.keep_blocks, None) if cut.keep_blocks is not None else work.planned(cut.speedup or 0)
    smaller, measured = work.made[keep] if keep in work.made else work.timed(keep)
    card = dataclasses.replace(
        header.card,
        arch=smaller.arch,
        metrics={},
        calibration=None,  # it was measured on the whole network
        teacher={},
        config_sha256="",
        version=__version__,
    )
    storage.make_folder(path.parent, parents=True)
    storage.write(path, to_bytes(smaller.state_dict(), card))
    return CompressReport(
        path=path,
        target=resolved.path,
        data=store.card.name,
        before=header.card.arch.depths,
        after=keep,
        removed=work.removed(keep),
        table=table,
        speedup={str(size): value for size, value in measured.items()},
        params=(_params(work.model), _params(smaller)),
        accuracy=(work.accuracy(work.model), work.accuracy(smaller)),
        notices=resolved.notices,
    )


class _Work:
    """A network with the images and the measures that its smaller versions are made by. `made`: those timed so far."""

    def __init__(self, model: ResNet, card: WeightsCard, store: Store) -> None:
        self.model = model
        self.made: dict[Depths, tuple[ResNet, dict[int, Spread]]] = {}
        self._card = card
        self._train, self._val = calibration.sets(store, card)
        self._order = calibration.class_order(store.card.classes, card.classes, name=store.card.name)
        self._seen = _images(self._train, card)
        self._scores = importance(model, _images(self._val, card), spec=card.image)
        self._whole = self._exported(model)

    def planned(self, speedup: float) -> tuple[Depths, LatencyTable]:
        """Return the most blocks that reach the speed-up for single images, measured, and the table of latencies."""
        depths = self.model.arch.depths
        table = measure_table(depths, self._seen, export=self._variant)
        reached = {}
        for keep in candidates(table, depths, speedup=speedup):
            reached[keep] = self.timed(keep)[1][1].median
            if reached[keep] >= speedup:
                return keep, table
        best = max(reached, key=lambda keep: reached[keep])
        raise CheckFailed(
            f"no number of blocks makes the network {speedup:g} times as fast on this machine; no file was written",
            problems=[f"{','.join(map(str, best))} blocks: {reached[best]:.2f} times as fast"],
            hint=Setting("speedup", int(10 * reached[best]) / 10) if reached[best] >= SLIGHT else (),
        )

    def timed(self, keep: Depths) -> tuple[ResNet, dict[int, Spread]]:
        """Return the network that keeps these blocks, and how many times as fast it is, by images a batch."""
        smaller = self._smaller(keep)
        reestimate_norms(smaller, self._seen, spec=self._card.image)
        measured = speedups(self._whole, {"smaller": self._exported(smaller)}, images=self._seen)["smaller"]
        self.made[keep] = smaller, measured
        return self.made[keep]

    def removed(self, keep: Depths) -> dict[str, float]:
        """Return the importance of the blocks that are not kept."""
        kept = kept_blocks(self.model.arch.depths, self._scores, keep=keep)
        stay = {f"layer{stage}.{place}" for stage, places in enumerate(kept, start=1) for place in places}
        return {name: score for name, score in self._scores.items() if name not in stay}

    def accuracy(self, model: ResNet) -> EvalReport:
        """Measure a network on val."""
        batches = ((images, self._order[labels]) for images, labels in eval_batches(self._val, self._card.image))
        return measure(
            torch_predictor(model, self._card.image, device=torch.device("cpu")), batches, classes=self._card.classes
        )

    def _smaller(self, keep: Depths) -> ResNet:
        kept = kept_blocks(self.model.arch.depths, self._scores, keep=keep)
        return without_blocks(self.model, kept, image=self._card.image)

    def _variant(self, keep: Depths) -> OnnxModel:
        return self._whole if keep == self.model.arch.depths else self._exported(self._smaller(keep))

    def _exported(self, model: ResNet) -> OnnxModel:
        card = dataclasses.replace(self._card, arch=model.arch)
        return from_bytes(to_onnx(model, card, weights_sha256="", gate={}), "the exported model")


def _images(images: ImageSet, card: WeightsCard) -> Images:
    return calibration.choose(images, card.image, count=min(IMAGES, len(images)))


def _require_cut(cut: Cut, card: WeightsCard) -> None:
    if (cut.keep_blocks is None) == (cut.speedup is None):
        raise UsageError(
            "give either the blocks to keep or a speed-up",
            hint=[Setting("keep_blocks", ",".join("1" for _ in card.arch.depths)), Setting("speedup", 2)],
        )
    if cut.keep_blocks is not None:
        require_depths(card.arch, cut.keep_blocks)
    elif cut.speedup is not None and not cut.speedup > 1:
        raise UsageError(f"a speed-up is more than 1, not {cut.speedup:g}", where=Setting("speedup"))
    elif not even_depths(card.arch.depths):
        raise UsageError("every stage of the network has one block, so none can be removed")


def _store(card: WeightsCard, settings: Settings, *, data: str | None) -> Store:
    name = data or card.trained_on.get("name", "")
    if not name:
        raise InputError("the weights name no dataset to measure on", hint=Setting("data", "NAME"))
    return open_store(settings.data_dir, name)


def _free(path: Path) -> Path:
    """Return the output path. Raises `UsageError` before the work if it cannot be written."""
    if path.exists() or path.is_symlink():
        raise UsageError("the output exists", where=str(path), hint=[Setting("out", "OTHER"), "or remove the file"])
    if path.suffix != ".safetensors":
        raise UsageError("the output is a weights file", where=str(path), hint=Setting("out", "small.safetensors"))
    storage.require_writable(path.parent, hint=Setting("out", "FILE"))
    return path


def _params(model: ResNet) -> int:
    return sum(parameter.numel() for parameter in model.parameters())
