"""A network that is judged: its outputs on a split, from the run's store or from one pass."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from resnetctl.data.splits import EVAL_BATCH, ImageSet, eval_batches, split_digest
from resnetctl.data.store import Store
from resnetctl.engine.hardware.device import pick_device
from resnetctl.engine.hardware.threads import pick_threads
from resnetctl.engine.metrics import Images, Labels, Logits
from resnetctl.engine.predictors import FeaturePredictor, feature_predictor
from resnetctl.errors import UsageError
from resnetctl.spec import WeightsCard
from resnetctl.system.settings import Settings
from resnetctl.tasks.held_out import Looks, class_order, look, relabelled_batches
from resnetctl.tasks.targets import Target, described, start_onnx, takes_originals
from resnetctl.trust.evidence import Evidence, collect, from_bytes, to_bytes
from resnetctl.trust.pictures import corruptions
from resnetctl.trust.strangers import BANK, NOISE_COUNT, noise

if TYPE_CHECKING:
    from resnetctl.models.resnet import ResNet

HEX = 16  # digits of a digest in a file name


@dataclass(frozen=True, kw_only=True)
class Judge:
    """Collects the outputs of one target on the splits of a store; `said` gathers sentences for the user.

    With `as_stored`, the target takes stored images of any size and resizes them itself.
    """

    target: Target
    card: WeightsCard
    weights: str
    settings: Settings
    said: list[str]
    as_stored: bool = False

    def evidence(self, store: Store, images: ImageSet) -> Evidence:
        """Return the pass over `images`, with labels in the order of the outputs."""
        return self._pass(split_digest(images), len(images), self._batches(images, self._order(store)))

    def strangers(self, images: ImageSet) -> Evidence:
        """Return the pass over images of another kind; their labels mean nothing."""
        order = np.zeros(len(images.classes), np.int64)
        return self._pass(f"strange {split_digest(images)}", len(images), self._batches(images, order))

    def replaced(self, store: Store, images: ImageSet, *, key: str) -> Evidence:
        """Return the pass over images whose pixels are not those of the store; `key` says which they are."""
        batches = self._batches(images, self._order(store))
        return self._pass(f"{key} {split_digest(images)}", len(images), batches, has_features=False)

    def corrupted(self, store: Store, images: ImageSet, *, kind: str, severity: int) -> Evidence:
        """Return the pass over corrupted images, made from the prepared ones."""
        key = f"{corruptions.NAME} {kind} {severity} {split_digest(images)}"
        batches = self._corrupted(images, kind, severity, order=self._order(store))
        return self._pass(key, len(images), batches, has_features=False)

    def _corrupted(
        self, images: ImageSet, kind: str, severity: int, *, order: Labels
    ) -> Iterator[tuple[Images, Labels]]:
        start = 0
        for pixels, labels in self._batches(images, order):
            rows = images.index[start : start + len(pixels)]
            yield corruptions.corrupt(pixels, kind, severity=severity, rows=rows), labels
            start += len(pixels)

    def _order(self, store: Store) -> Labels:
        return class_order(store.card.classes, self.card.classes, name=store.card.name, path=self.target.path)

    def noise(self, images: ImageSet, kind: str) -> Evidence:
        """Return the pass over noise that is made from the first of `images`."""
        few = replace(images, index=images.index[:NOISE_COUNT])
        return self._pass(f"{kind} {split_digest(few)}", len(few), self._noise(few, kind))

    def pixels(self, images: ImageSet) -> Images:
        """Return the prepared images (N, S, S, C)."""
        return np.concatenate([batch for batch, _ in eval_batches(images, self.card.image)])

    def network(self) -> ResNet:
        """Return the network itself, on the CPU. An ONNX file has none."""
        from resnetctl.weights.file import load_network

        return load_network(self.target.header)

    def _batches(self, images: ImageSet, order: Labels) -> Iterator[tuple[Images, Labels]]:
        return relabelled_batches(images, self.card, order=order, as_stored=self.as_stored)

    def _noise(self, images: ImageSet, kind: str) -> Iterator[tuple[Images, Labels]]:
        pixels = np.concatenate([batch for batch, _ in eval_batches(images, self.card.image, as_stored=self.as_stored)])
        made = noise(kind, pixels)
        for start in range(0, len(made), EVAL_BATCH):
            part = made[start : start + EVAL_BATCH]
            yield part, np.zeros(len(part), np.int64)

    def _pass(
        self, key: str, count: int, batches: Iterator[tuple[Images, Labels]], *, has_features: bool = True
    ) -> Evidence:
        """Return the stored pass of this key, or run one and store it in the run.

        A network whose code was changed since is another one: its passes are not stored, and not read.
        """
        name = f"{self.weights[:HEX]}-{hashlib.sha256(key.encode()).hexdigest()[:HEX]}"
        name += ("-onnx" if self.target.kind == "onnx" else "") + ("-raw" if self.as_stored else "")
        run = None if self.target.edited else self.target.run
        if run is not None and run.pass_file(name).is_file():
            stored = from_bytes(run.pass_file(name).read_bytes(), count=count, classes=len(self.card.classes))
            if stored is not None:
                return stored
        result = collect(self._predictor, batches)
        result = result if has_features else replace(result, features=None)
        if run is not None:
            try:
                run.write_pass(name, to_bytes(result))
            except UsageError as error:
                self.said.append(f"the outputs were not stored, so the next report needs another pass: {error}")
        return result

    def look(self, store: Store, images: ImageSet, *, measured: Evidence) -> Looks | None:
        """Record that this model was judged on `images`."""
        numbers = measured.measured(self.card.classes)
        looks, said = look(store, images, weights=self.weights, target=self.target.path, report=numbers)
        self.said.extend(said)
        return looks

    @cached_property
    def _predictor(self) -> FeaturePredictor:
        if self.target.kind == "onnx":
            return _onnx_predictor(self.target.path, self.settings)
        import torch

        from resnetctl.weights.file import load_network

        where = pick_device(self.settings.device)
        net, card = load_network(self.target.header), self.card
        torch.set_num_threads(pick_threads(self.settings.threads, arch=card.arch, size=card.image.size))
        return feature_predictor(net, card.image, device=where)


def open_judge(target: Target, settings: Settings) -> Judge:
    """Return the judge of a run, a weights file or an ONNX file. Builds no network; raises `WeightsError`."""
    card, weights = described(target)
    said, as_stored = list(target.notices), takes_originals(target)
    return Judge(target=target, card=card, weights=weights, settings=settings, said=said, as_stored=as_stored)


def evenly(images: ImageSet, most: int = BANK) -> ImageSet:
    """Return at most `most` images of a set, evenly spaced, so that sorted classes are all there."""
    count = min(len(images), most)
    return replace(images, index=images.index[np.arange(count) * len(images) // count])


def _onnx_predictor(path: Path, settings: Settings) -> FeaturePredictor:
    model = start_onnx(path, settings)

    def predict(images: Images) -> tuple[Logits, None]:
        return model.logits(images), None

    return predict
