"""Tiny heads for boxes and masks, which train in seconds, and runs with them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from support import dense, numbered
from support.jobs import to_train
from torch import Tensor, nn
from torch.nn import functional as F

from resnetctl import registry, runs
from resnetctl.cli.parser.flag_layers import from_sets
from resnetctl.facts import Finished
from resnetctl.spec import Boxes, ImageSpec, Labels, Masks, Tags, VectorSpec
from resnetctl.system import settings
from resnetctl.tasks.train import train


class SegNet(nn.Module):
    """One linear layer on the last features, enlarged."""

    def __init__(self, backbone: Any, classes: int, size: int, width: int) -> None:
        super().__init__()
        self.backbone, self.size = backbone, size
        name = list(backbone.channels)[-1]
        self.last = name
        self.mix = nn.Conv2d(backbone.channels[name], width, 1)
        self.out = nn.Conv2d(width, classes, 1)

    def forward(self, images: Tensor) -> Tensor:
        small = self.out(F.relu(self.mix(self.backbone(images)[self.last])))
        return F.interpolate(small, size=images.shape[2:], mode="bilinear")

    def loss(self, images: Tensor, truth: Masks) -> dict[str, Tensor]:
        return {"pixels": F.cross_entropy(self(images).float(), truth.masks.long(), ignore_index=255)}

    def decode(self, raw: Tensor) -> tuple[Tensor, ...]:
        return (raw.argmax(1),)


class DetNet(nn.Module):
    """Each cell of the last features proposes one box."""

    def __init__(self, backbone: Any, classes: int, base: float) -> None:
        super().__init__()
        self.backbone, self.base, self.classes = backbone, base, classes
        self.last = list(backbone.channels)[-1]
        self.stride = backbone.reductions[self.last]
        self.out = nn.Conv2d(backbone.channels[self.last], classes + 4, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        return self.out(self.backbone(images)[self.last])

    def loss(self, images: Tensor, truth: Boxes) -> dict[str, Tensor]:
        raw = self(images).float()
        corners = truth.boxes.view(-1, 2, 2)
        centres, sides = corners.mean(1), corners[:, 1] - corners[:, 0]
        cells = (centres / self.stride).long().clamp(max=raw.shape[3] - 1)
        wanted = torch.zeros_like(raw[:, : self.classes])
        wanted[truth.owners, truth.labels, cells[:, 1], cells[:, 0]] = 1
        found = raw[truth.owners, self.classes :, cells[:, 1], cells[:, 0]]
        true = torch.cat([centres / self.stride - cells - 0.5, (sides / self.base).log()], 1)
        score = F.binary_cross_entropy_with_logits(raw[:, : self.classes], wanted, reduction="sum")
        return {"score": score / len(images), "box": F.l1_loss(found, true, reduction="sum") / len(images)}

    def decode(self, raw: Tensor) -> tuple[Tensor, ...]:
        rows = torch.arange(raw.shape[2], device=raw.device) + 0.5
        columns = torch.arange(raw.shape[3], device=raw.device) + 0.5
        across = (raw[:, self.classes] + columns[None, None]) * self.stride
        down = (raw[:, self.classes + 1] + rows[None, :, None]) * self.stride
        half = raw[:, self.classes + 2 :].clamp(-3, 3).exp() * self.base / 2
        sides = [across - half[:, 0], down - half[:, 1], across + half[:, 0], down + half[:, 1]]
        best, labels = raw[:, : self.classes].max(1)  # before the sigmoid, which has many equal values near 0 and 1
        return torch.stack(sides, -1).flatten(1, 2), best.sigmoid().flatten(1), labels.flatten(1)


class TagsNet(nn.Module):
    """One linear layer on the means of the last features."""

    def __init__(self, backbone: Any, classes: int) -> None:
        super().__init__()
        self.backbone, self.last = backbone, list(backbone.channels)[-1]
        self.out = nn.Linear(backbone.channels[self.last], classes)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.out(self.backbone(images)[self.last].mean((2, 3)))
        return logits

    def loss(self, images: Tensor, truth: Tags) -> dict[str, Tensor]:
        return {"tags": F.binary_cross_entropy_with_logits(self(images).float(), truth.tags.float())}

    def decode(self, raw: Tensor) -> tuple[Tensor, ...]:
        return (raw.sigmoid(),)


class FuseNet(nn.Module):
    """One linear layer on the means of the last features and on the numbers of the image."""

    def __init__(self, backbone: Any, classes: int, columns: int) -> None:
        super().__init__()
        self.backbone, self.last = backbone, list(backbone.channels)[-1]
        self.out = nn.Linear(backbone.channels[self.last] + columns, classes)

    def forward(self, images: Tensor, vectors: Tensor) -> Tensor:
        logits: Tensor = self.out(torch.cat([self.backbone(images)[self.last].mean((2, 3)), vectors], 1))
        return logits

    def loss(self, images: Tensor, truth: Labels, vectors: Tensor) -> dict[str, Tensor]:
        return {"classes": F.cross_entropy(self(images, vectors).float(), truth.labels)}

    def decode(self, raw: Tensor) -> tuple[Tensor, ...]:
        return raw, raw.softmax(1)


class TinyFuse:
    name, task, summary, reads_vector = "tiny_fuse", "classify", "a linear layer on features and numbers", True

    def build(self, backbone: Any, *, classes: int, image: ImageSpec, vector: VectorSpec) -> nn.Module:
        return FuseNet(backbone, classes, len(vector.columns))


class TinyTags:
    name, task, summary = "tiny_tags", "multilabel", "a sigmoid for each class"

    def build(self, backbone: Any, *, classes: int, image: ImageSpec) -> nn.Module:
        return TagsNet(backbone, classes)


class TinySeg:
    name, task, summary = "tiny_seg", "segment", "a linear layer"

    def build(self, backbone: Any, *, classes: int, image: ImageSpec, width: int = 16) -> nn.Module:
        if width < 1:
            raise ValueError("width must be positive")
        return SegNet(backbone, classes, image.size, width)


class TinyDet:
    name, task, summary = "tiny_det", "detect", "a box a cell"

    def build(self, backbone: Any, *, classes: int, image: ImageSpec, base: float = 8.0) -> nn.Module:
        return DetNet(backbone, classes, base)

    def fit_anchors(self, boxes: Tensor, labels: Tensor, image: ImageSpec) -> dict[str, Any]:
        """The mean side of the boxes is the anchor."""
        return {"base": round(float((boxes[:, 2:] - boxes[:, :2]).mean()), 3)}


@contextmanager
def registered() -> Iterator[None]:
    """Register the heads within a `with` statement."""
    with registry.overlay("head", tiny_seg=TinySeg(), tiny_det=TinyDet(), tiny_tags=TinyTags(), tiny_fuse=TinyFuse()):
        yield


KINDS: dict[str, tuple[str, Any]] = {
    "boxes": ("tiny_det", dense.voc),
    "masks": ("tiny_seg", dense.masked),
    "tags": ("tiny_tags", dense.tagged),
    "numbers": ("tiny_fuse", None),
}


def stored(kind: str, folder: Path, *, count: int = 24) -> None:
    """Add scenes with boxes, masks or tags to the store as `scenes`, or pictures with numbers (`support.numbered`)."""
    if kind == "numbers":
        numbered.stored(folder, count=count)
        return
    dense.added(KINDS[kind][1](folder / kind, count), settings.load().data_dir)


def run(kind: str, *sets: str, name: str = "one") -> runs.RunDir:
    """Train a tiny head on `scenes` to the end; return the run's folder."""
    head = KINDS[kind][0]
    base = ["data=scenes", "model.arch=resnet20", f"model.head={head}", "batch_size=8", "epochs=2"]
    facts = train(to_train(from_sets([*base, *sets]), name=name), settings.load())
    finished = [fact for fact in facts if isinstance(fact, Finished)]
    return runs.RunDir(finished[0].run)
