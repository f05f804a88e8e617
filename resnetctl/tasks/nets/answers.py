"""What `eval`, `predict` and `export` share about networks with a head: open them, and bring answers back to pictures.

Shapes: N images, S pixels a side of the network's input, K detections.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from resnetctl import registry
from resnetctl.data.dense.geometry import Placement, mask_back, placement
from resnetctl.engine.hardware.device import pick_device
from resnetctl.engine.hardware.precision import Precision, pick_precision
from resnetctl.engine.hardware.threads import pick_threads
from resnetctl.engine.meters.detect import require_finite
from resnetctl.spec import ImageSpec, Task, TruthKind, WeightsCard
from resnetctl.system.settings import Settings
from resnetctl.tasks.targets import Target, digest_in, digest_of, require_own_precision, start_onnx
from resnetctl.weights.file import load_net, newest
from resnetctl.weights.plugins import explaining

if TYPE_CHECKING:
    import torch

    from resnetctl.engine.predictors import NetPredictor

Arrays = tuple[NDArray[Any], ...]
# The dimensions of the outputs, in order: boxes, scores and labels; maps of classes; probabilities of classes that an
# image may have together; logits, and probabilities of classes of which an image has one. See `spec.Net`.
FORMS: Mapping[tuple[int, ...], TruthKind] = {(3, 2, 2): "boxes", (3,): "masks", (2,): "tags", (2, 2): "labels"}


@dataclass(frozen=True, kw_only=True)
class Answering:
    """A network with a head: `answer` maps uint8 images (N, S, S, C) to the outputs of its task.

    A network that reads numbers gets them as second argument, float32 (N, D). `digest`: as in `Opened`.
    """

    card: WeightsCard
    digest: str
    task: Task
    answer: NetPredictor

    @property
    def form(self) -> TruthKind | None:
        """The kind of the task's truth, if the outputs have its form; None: only its meter reads them."""
        form = FORMS.get(tuple(len(output.shape) for output in self.task.outputs))
        return form if form == self.task.truth else None


def open_net(
    target: Target,
    settings: Settings,
    *,
    device: str | None = None,
    keep_threads: bool = False,
    precision: str = "fp32",
) -> Answering:
    """Load a network with a head, from weights or an ONNX file. Arguments and errors as `targets.open_target`."""
    if target.kind == "weights":
        where = pick_device(device or settings.device)
        how = pick_precision(precision, where)
        return _open_weights(target, settings, device=where, keep_threads=keep_threads, precision=how)
    require_own_precision(precision)
    model = start_onnx(target.path, settings)
    card, task = model.card.weights, registry.get("task", model.card.weights.task)
    digest = digest_of(card, model.card.weights_sha256)
    return Answering(card=card, digest=digest, task=task, answer=model.answer)


def _open_weights(
    target: Target, settings: Settings, *, device: torch.device, keep_threads: bool, precision: Precision
) -> Answering:
    import torch

    from resnetctl.engine.predictors import net_predictor

    net, header = newest(target.header, load_net)
    card = header.card
    if not keep_threads:
        torch.set_num_threads(pick_threads(settings.threads, arch=card.arch, size=card.image.size))
    answer = net_predictor(net.to(device), card.image, device=device, precision=precision, vector=card.vector)
    digest = digest_in(precision, card, sha256=header.sha256)
    return Answering(card=card, digest=digest, task=registry.get("task", card.task), answer=explaining(answer, header))


def places(sizes: NDArray[np.int64], image: ImageSpec) -> list[Placement]:
    """Return where pictures of these (width, height) lie in a square of `image`."""
    return [placement(*map(int, size), side=image.resize, fit=image.fit) for size in sizes]


def boxes_in_pictures(prediction: Arrays, where: Sequence[Placement], *, scale: float = 1.0) -> Arrays:
    """Return detections in pixels of their pictures, clipped at the borders; without area they lose their class.

    `scale` is the side of the placements divided by that of the network's input. Raises `WorkFailed` for numbers that
    are not finite: a box of NaN would look like one without area.
    """
    boxes, scores, labels = prediction
    require_finite(boxes[labels >= 0], scores[labels >= 0])
    moved = np.stack([place.back(own * scale) for place, own in zip(where, boxes.astype(np.float32), strict=True)])
    is_flat = ~(moved[..., 2:] > moved[..., :2]).all(-1)
    return moved, np.where(is_flat, 0, scores), np.where(is_flat, -1, labels)


def masks_in_pictures(prediction: Arrays, where: Sequence[Placement]) -> list[NDArray[np.uint8]]:
    """Return maps of classes in the size of their pictures. The maps have the side of the placements."""
    return [mask_back(own, place) for place, own in zip(where, prediction[0], strict=True)]


def enlarged(maps: NDArray[Any], side: int) -> NDArray[Any]:
    """Return maps of classes (N, S, S) with `side` pixels a side, by the nearest pixel."""
    rows = ((np.arange(side) + 0.5) * maps.shape[1] / side).astype(np.int64)
    return maps[:, rows[:, None], rows]
