"""The network: global average pooling, dropout, and one linear layer with a sigmoid for each class."""

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn


class MultilabelNet(nn.Module):
    """Images to one logit for each class.

    Args:
        dropout: share of the pooled features that is dropped in training, 0 to below 1.
        smoothing: targets are `smoothing / 2` and `1 - smoothing / 2` instead of 0 and 1.
    """

    def __init__(self, backbone: Any, *, classes: int, dropout: float, smoothing: float) -> None:
        super().__init__()
        if classes < 1 or not 0 <= dropout < 1 or not 0 <= smoothing < 1:
            raise ValueError(f"classes {classes}, dropout {dropout} or smoothing {smoothing} is out of its range")
        self._last = list(backbone.channels)[-1]
        self.backbone = backbone.select((self._last,))
        self.smoothing = smoothing
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(backbone.channels[self._last], classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits `(N, classes)` of normalised images `(N, C, H, W)`."""
        pooled = self.backbone(images)[self._last].mean((2, 3))
        logits: Tensor = self.fc(self.dropout(pooled))
        return logits

    def loss(self, images: Tensor, truth: Any) -> dict[str, Tensor]:
        """Return the binary cross-entropy, the mean over images and classes; `truth.tags` is uint8 `(N, classes)`."""
        targets = truth.tags.float() * (1 - self.smoothing) + self.smoothing / 2
        return {"binary_cross_entropy": F.binary_cross_entropy_with_logits(self(images).float(), targets)}

    def decode(self, logits: Tensor) -> tuple[Tensor]:
        """Return the probability of each class, `(N, classes)`."""
        return (logits.sigmoid(),)
