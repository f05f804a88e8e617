"""The network: pooled features of the image and a small network on the numbers, joined late, then one linear layer."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Concat(nn.Module):
    """Both parts side by side: features `(N, C)` and `(N, W)` to `(N, C + W)`."""

    def __init__(self, features: int, width: int) -> None:
        super().__init__()
        self.width = features + width

    def forward(self, image: Tensor, numbers: Tensor) -> Tensor:
        """Return the joined features."""
        return torch.cat([image, numbers], 1)


class Gate(nn.Module):
    """A weighted mean of both parts, with weights of its own for each image and feature: `(N, W)`.

    Gated multimodal unit, Arevalo et al. 2017, section 3.1, arXiv:1702.01992.
    """

    def __init__(self, features: int, width: int) -> None:
        super().__init__()
        self.width = width
        self.image = nn.Linear(features, width)
        self.numbers = nn.Linear(width, width)
        self.gate = nn.Linear(features + width, width)

    def forward(self, image: Tensor, numbers: Tensor) -> Tensor:
        """Return the joined features."""
        share = self.gate(torch.cat([image, numbers], 1)).sigmoid()  # 1: the image alone, 0: the numbers alone
        return share * self.image(image).tanh() + (1 - share) * self.numbers(numbers).tanh()


WAYS: dict[str, type[Concat] | type[Gate]] = {"concat": Concat, "gate": Gate}


class FusedNet(nn.Module):
    """Images and their numbers to one logit for each class.

    Args:
        columns: how many numbers come with an image.
        how: `concat` or `gate`.
        width: features that the numbers become.
        dropout: share of the joined features that is dropped in training, 0 to below 1.
        smoothing: share of each target that is spread evenly over all classes, 0 to below 1.
    """

    def __init__(
        self, backbone: Any, *, classes: int, columns: int, how: str, width: int, dropout: float, smoothing: float
    ) -> None:
        super().__init__()
        if how not in WAYS:
            raise ValueError(f"how is '{how}', not {' or '.join(WAYS)}")
        if classes < 2 or width < 1 or not 0 <= dropout < 1 or not 0 <= smoothing < 1:
            raise ValueError(
                f"classes {classes}, width {width}, dropout {dropout} or smoothing {smoothing} is out of its range"
            )
        self._last = list(backbone.channels)[-1]
        features = backbone.channels[self._last]
        self.backbone = backbone.select((self._last,))
        self.numbers = nn.Sequential(nn.Linear(columns, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())
        self.join = WAYS[how](features, width)
        self.smoothing = smoothing
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(self.join.width, classes)

    def forward(self, images: Tensor, vectors: Tensor) -> Tensor:
        """Return the logits `(N, classes)` of normalised images `(N, C, H, W)` and standardised numbers `(N, D)`."""
        pooled = self.backbone(images)[self._last].mean((2, 3))
        logits: Tensor = self.fc(self.dropout(self.join(pooled, self.numbers(vectors))))
        return logits

    def loss(self, images: Tensor, truth: Any, vectors: Tensor) -> dict[str, Tensor]:
        """Return the mean cross-entropy; `truth.labels` are classes `(N,)`, or shares `(N, classes)` after mixing."""
        logits = self(images, vectors).float()
        return {"cross_entropy": F.cross_entropy(logits, truth.labels, label_smoothing=self.smoothing)}

    def decode(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits, and the probability of each class, `(N, classes)` both."""
        return logits, logits.softmax(1)
