"""What one pass of a network over a split gives: logits, features and labels, and their file."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from resnetctl.engine.meters.scores import CHEAP, ClassRanking, Scores
from resnetctl.engine.metrics import EvalReport, Images, Labels, measure
from resnetctl.engine.predictors import FeaturePredictor
from resnetctl.errors import DataError, WorkFailed


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """The outputs of a network on N images, in the order of the split.

    Attributes:
        logits: (N, K) float32.
        labels: (N,) int64, in the order of the network's classes.
        features: (N, D) float16, the last stage averaged over all pixels; None for an ONNX file, which has no such
            output.
    """

    logits: NDArray[np.float32]
    labels: Labels
    features: NDArray[np.float16] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def correct(self) -> NDArray[np.bool_]:
        """Which images are right, (N,). The first class wins a tie, as in `eval`."""
        result: NDArray[np.bool_] = self.logits.argmax(axis=1) == self.labels
        return result

    def rankings(self, classes: tuple[str, ...], *, temperature: float) -> tuple[ClassRanking, ...] | None:
        """Return how well each class is ranked, as in `eval`; None above `CHEAP` probabilities."""
        if self.logits.size > CHEAP:
            return None
        scores = Scores(classes, temperature)
        scores.add(self.logits, self.labels)
        return scores.rankings()

    def measured(self, classes: tuple[str, ...]) -> EvalReport:
        """Return the metrics of `eval`, with times of 0: no network ran."""
        # a predictor whose images are the logits themselves
        report = measure(lambda rows: rows, [(self.logits, self.labels)], classes=classes)  # type: ignore[arg-type, return-value, list-item]
        return replace(report, seconds=0.0, images_per_second=0.0)


def collect(predict: FeaturePredictor, batches: Iterable[tuple[Images, Labels]]) -> Evidence:
    """Run one pass over all batches.

    Raises:
        DataError: there are no images.
        WorkFailed: a logit or a feature is not finite.
    """
    logits, features, labels = [], [], []
    for images, truth in batches:
        outputs, pooled = predict(images)
        if not np.isfinite(outputs).all() or (pooled is not None and not np.isfinite(pooled).all()):
            raise WorkFailed("the model's output is not finite: its weights or its input are broken")
        logits.append(outputs)
        labels.append(truth)
        if pooled is not None:
            limit = np.finfo(np.float16).max
            features.append(np.clip(pooled, -limit, limit).astype(np.float16))
    if not logits:
        raise DataError("there are no images to measure")
    return Evidence(
        logits=np.concatenate(logits),
        labels=np.concatenate(labels),
        features=np.concatenate(features) if features else None,
    )


def to_bytes(evidence: Evidence) -> bytes:
    """Return the safetensors file of a pass."""
    from safetensors.numpy import save

    tensors: dict[str, NDArray[np.generic]] = {"logits": evidence.logits, "labels": evidence.labels}
    if evidence.features is not None:
        tensors["features"] = evidence.features
    return bytes(save({name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}))


def from_bytes(data: bytes, *, count: int, classes: int) -> Evidence | None:
    """Return the pass in a file; None when the file is damaged or does not hold `count` images of `classes` classes."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        tensors = load(data)
        evidence = Evidence(logits=tensors["logits"], labels=tensors["labels"], features=tensors.get("features"))
    except (SafetensorError, KeyError, ValueError, TypeError):
        return None
    is_whole = evidence.logits.shape == (count, classes) and evidence.labels.shape == (count,)
    return evidence if is_whole and bool(np.isfinite(evidence.logits).all()) else None
