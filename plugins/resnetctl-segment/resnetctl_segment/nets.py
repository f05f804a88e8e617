"""What all segmentation networks share: padding, the loss, and the map of classes."""

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

IGNORE = 255  # value of a mask where no class is known


class SegmentationNet(nn.Module):
    """Images to logits of each pixel. A subclass computes them from padded images, in `scores`.

    Attributes:
        backbone: the part that images go through first.
        notices: sentences for the user.
    """

    backbone: Any

    def __init__(self, *, classes: int, dice: float, balance: float) -> None:
        super().__init__()
        if classes < 1 or dice < 0 or not 0 <= balance <= 1:
            raise ValueError(f"classes {classes}, dice {dice} or balance {balance} is out of its range")
        self.classes = classes
        self.dice, self.balance = dice, balance
        self.notices: tuple[str, ...] = ()

    def scores(self, images: Tensor) -> Tensor:
        """Return logits `(N, classes, h, w)` of images whose sides the largest reduction divides."""
        raise NotImplementedError

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits `(N, classes, H, W)` of normalised images `(N, C, H, W)`.

        Images are padded at the right and at the bottom by their last pixels, so their sides may be any.
        """
        height, width = images.shape[2:]
        multiple = max(self.backbone.reductions.values())
        right, below = -width % multiple, -height % multiple
        padded = F.pad(images, (0, right, 0, below), mode="replicate") if right or below else images
        logits = F.interpolate(self.scores(padded), size=padded.shape[2:], mode="bilinear")
        return logits[..., :height, :width] if right or below else logits

    def loss(self, images: Tensor, truth: Any) -> dict[str, Tensor]:
        """Return the losses, to be added up; `truth.masks` is uint8 `(N, H, W)`. Pixels with 255 do not count."""
        entropy, dice = losses(self(images), truth.masks, balance=self.balance, with_dice=self.dice > 0)
        return {"cross_entropy": entropy, "dice": self.dice * dice} if self.dice else {"cross_entropy": entropy}

    def decode(self, logits: Tensor) -> tuple[Tensor]:
        """Return the class of each pixel, int64 `(N, H, W)`."""
        return (logits.argmax(1),)


def losses(logits: Tensor, masks: Tensor, *, balance: float = 0.0, with_dice: bool = True) -> tuple[Tensor, Tensor]:
    """Return the mean cross-entropy of the pixels that count, and the Dice loss; both are 0 if no pixel counts.

    In the mean each pixel has the weight `area ** -balance`, where `area` is the number of pixels of its class in the
    batch: 0 weighs all pixels the same, 1 all classes. The Dice loss is 1 minus the mean Dice coefficient of the
    classes in the masks (Milletari et al. 2016, arXiv:1606.04797), summed over all images of the batch. There every
    class counts the same, however few pixels it has.

    Args:
        logits: `(N, classes, H, W)`.
        masks: uint8 `(N, H, W)`, 255 where no class is known.
        balance: 0 to 1.
        with_dice: False: the second loss is 0, and takes no time.
    """
    classes = logits.shape[1]
    known = masks != IGNORE
    targets = masks.long().masked_fill(~known, 0)
    logs = logits.float().log_softmax(1)  # in bfloat16, a sum of probabilities would stop growing near 256
    right = logs.gather(1, targets.unsqueeze(1)).squeeze(1) * known  # of the true class of each pixel
    area = targets[known].bincount(minlength=classes)  # pixels of each class
    weights = area.clamp(min=1).to(logs.dtype) ** -balance
    entropy = -(right * weights[targets]).sum() / (weights * area).sum().clamp(min=1e-6)
    if not with_dice:
        return entropy, entropy.new_zeros(())
    # sums of each class: the probability where it is right, and the probability anywhere
    overlap = logs.new_zeros(classes).index_add(0, targets.flatten(), (right.exp() * known).flatten())
    anywhere = (logs.exp() * known.unsqueeze(1)).sum((0, 2, 3))
    is_there = area > 0
    coefficients = 2 * overlap / (anywhere + area).clamp(min=1e-6)
    return entropy, ((1 - coefficients) * is_there).sum() / is_there.sum().clamp(min=1)
