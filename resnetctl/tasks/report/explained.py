"""Maps of some wrong and some right images: what the network looked at."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnetctl.data.splits import ImageSet
from resnetctl.data.store import Store
from resnetctl.engine.metrics import probabilities
from resnetctl.report.overlay import laid_over
from resnetctl.report.pictures import thumbnail
from resnetctl.spec import Card
from resnetctl.tasks.judge import Judge
from resnetctl.tasks.near import row_names
from resnetctl.trust.evidence import Evidence
from resnetctl.trust.pictures.maps import MapScore, class_maps, enlarged, normalised, scores

EACH = 6  # wrong images, and right ones


@dataclass(frozen=True, kw_only=True)
class MappedImage(Card):
    """An image with a map of its predicted class, with the scores of the map."""

    name: str
    label: str
    predicted: str
    probability: float
    score: MapScore


@dataclass(frozen=True, kw_only=True)
class Maps:
    """Grad-CAM of the last stage for wrong images, the most confident ones, then for right ones.

    `pictures` has the image and the map over it, as files, for each of `images`.
    """

    stage: str
    images: tuple[MappedImage, ...]
    pictures: tuple[tuple[bytes, bytes], ...]

    def to_json(self) -> dict[str, Any]:
        """Return the method, the stage, and the images with the scores of their maps."""
        images = []
        for item in self.images:
            values = item.to_json()
            images.append({**{key: value for key, value in values.items() if key != "score"}, **values["score"]})
        return {"method": "gradcam", "stage": self.stage, "images": images}


def explained(judge: Judge, measured: Evidence, *, images: ImageSet, store: Store, temperature: float) -> Maps | None:
    """Return maps of up to `EACH` wrong and `EACH` right images; None for an ONNX file, which gives no gradients."""
    if judge.target.kind == "onnx":
        return None
    import torch

    shares = probabilities(measured.logits, temperature=temperature)
    places = _chosen(shares, measured.correct)
    predicted = measured.logits.argmax(axis=1)[places]
    pixels = judge.pixels(replace(images, index=images.index[places]))
    net = judge.network().eval()
    labels, inputs = torch.from_numpy(predicted), normalised(pixels, judge.card.image, device=torch.device("cpu"))
    maps, _ = class_maps(net, inputs, labels=labels)
    wide, classes = enlarged(maps, judge.card.image.size), judge.card.classes
    names = row_names(store, images, rows=images.index[places])
    judged = scores(net, inputs, labels=labels, maps=maps)
    return Maps(
        stage=net.stages[-1],
        images=tuple(
            MappedImage(
                name=names[row],
                label=classes[measured.labels[place]],
                predicted=classes[predicted[row]],
                probability=float(shares[place, predicted[row]]),
                score=judged[row],
            )
            for row, place in enumerate(places)
        ),
        pictures=tuple(
            (thumbnail(image), thumbnail(laid_over(image, shown))) for image, shown in zip(pixels, wide, strict=True)
        ),
    )


def _chosen(shares: NDArray[np.float64], correct: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the places of the most confident wrong images, then of right images, evenly spaced."""
    wrong, right = np.flatnonzero(~correct), np.flatnonzero(correct)
    surest = wrong[np.argsort(-shares.max(axis=1)[wrong], kind="stable")][:EACH]
    count = min(EACH, len(right))
    return np.concatenate([surest, right[np.arange(count) * len(right) // max(count, 1)]])
