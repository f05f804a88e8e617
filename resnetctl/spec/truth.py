"""What is true of the images of a batch: labels, boxes, masks or tags. Policies move boxes and masks with the picture.

Imports no torch until a method needs it. Shapes: N images, M boxes of all images, H rows, W columns, S pixels a side.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, get_args

if TYPE_CHECKING:
    import torch
    from torch import Tensor

TruthKind = Literal["labels", "boxes", "masks", "tags"]
TRUTHS: tuple[TruthKind, ...] = get_args(TruthKind)
WHOLE_PICTURE: tuple[TruthKind, ...] = ("labels", "tags")  # truths without a place in the picture
Kept = Literal["labels", "boxes", "masks", "tags", "vectors"]  # what a policy keeps right: a truth, or the numbers
IGNORE = 255  # value of a mask where no class is known: no loss, no metric
KEPT_SHARE = 0.25  # of a box's area; a box of which less is left after a crop is dropped


class Unmoved:
    """A truth of the whole picture, which stays as it is when a policy moves it."""

    def flip(self, chosen: Tensor, *, width: int) -> Self:
        """Return the truth as it is; so do the other methods that move a picture."""
        return self

    def crop(self, corners: Tensor, *, size: int, pad: int = 0) -> Self:
        """Return the truth as it is."""
        return self

    def resample(self, windows: Tensor, *, size: int) -> Self:
        """Return the truth as it is."""
        return self

    def resize(self, side: int, *, size: int) -> Self:
        """Return the truth as it is."""
        return self


@dataclass(frozen=True, kw_only=True)
class Labels(Unmoved):
    """One class per image: `labels` int64 `(N,)`; in training float32 `(N, classes)` after a policy mixed images."""

    kind: ClassVar[TruthKind] = "labels"
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, index: Tensor) -> Labels:
        """Return the labels of the images in `index`, int64 `(n,)`."""
        return Labels(labels=self.labels[index])

    def to(self, device: torch.device | str) -> Labels:
        """Return the labels on `device`."""
        return Labels(labels=self.labels.to(device))


@dataclass(frozen=True, kw_only=True)
class Boxes:
    """The objects of each image.

    Attributes:
        offsets: int64 `(N + 1,)`; image i has the boxes `offsets[i]` to `offsets[i + 1]`. An image may have none.
        boxes: float32 `(M, 4)`, x1 y1 x2 y2 in pixels of the images, from the left and top border; x2 > x1, y2 > y1.
        labels: int64 `(M,)`, classes from 0.
    """

    kind: ClassVar[TruthKind] = "boxes"
    offsets: Tensor
    boxes: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def counts(self) -> Tensor:
        """The number of boxes of each image, int64 `(N,)`."""
        return self.offsets[1:] - self.offsets[:-1]

    @property
    def owners(self) -> Tensor:
        """The image of each box, int64 `(M,)`."""
        import torch

        images = torch.arange(len(self), device=self.offsets.device)
        return images.repeat_interleave(self.counts, output_size=len(self.boxes))

    def split(self) -> list[tuple[Tensor, Tensor]]:
        """Return (boxes, labels) of each image."""
        sizes = self.counts.tolist()
        return list(zip(self.boxes.split(sizes), self.labels.split(sizes), strict=True))  # type: ignore[no-untyped-call]

    def take(self, index: Tensor) -> Boxes:
        """Return the boxes of the images in `index`, int64 `(n,)`, in this order."""
        import torch

        index = index.to(self.offsets.device)
        counts, starts = self.counts[index], self.offsets[:-1][index]
        offsets = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
        # place of each box: the start of its image, then how far it lies behind the first box of this image
        within = torch.arange(int(offsets[-1]), device=counts.device) - offsets[:-1].repeat_interleave(counts)
        places = starts.repeat_interleave(counts) + within
        return Boxes(offsets=offsets, boxes=self.boxes[places], labels=self.labels[places])

    def to(self, device: torch.device | str) -> Boxes:
        """Return the boxes on `device`."""
        return Boxes(offsets=self.offsets.to(device), boxes=self.boxes.to(device), labels=self.labels.to(device))

    def flip(self, chosen: Tensor, *, width: int) -> Boxes:
        """Return the boxes with those of the `chosen` images, bool `(N,)`, mirrored left to right."""
        import torch

        x1, y1, x2, y2 = self.boxes.unbind(1)
        mirrored = torch.stack([width - x2, y1, width - x1, y2], 1)
        boxes = torch.where(chosen[self.owners][:, None], mirrored, self.boxes)
        return Boxes(offsets=self.offsets, boxes=boxes, labels=self.labels)

    def crop(self, corners: Tensor, *, size: int, pad: int = 0) -> Boxes:
        """Return the boxes inside a window of `size` pixels of each image.

        Args:
            corners: int64 `(2, N)`, top and left of the window in the image after padding with `pad` pixels.
        """
        shift = (pad - corners).float()  # down, right
        return self._moved(scale=shift.new_ones(2, len(self)), shift=shift, size=size)

    def resample(self, windows: Tensor, *, size: int) -> Boxes:
        """Return the boxes inside a window of each image that is scaled to `size` pixels.

        Args:
            windows: int64 `(4, N)`, top, left, height, width.
        """
        scale = size / windows[2:].float()
        return self._moved(scale=scale, shift=-windows[:2].float() * scale, size=size)

    def resize(self, side: int, *, size: int) -> Boxes:
        """Return the boxes of images of `side` pixels that are scaled to `size` pixels."""
        if side == size:
            return self
        return Boxes(offsets=self.offsets, boxes=self.boxes * (size / side), labels=self.labels)

    def _moved(self, *, scale: Tensor, shift: Tensor, size: int) -> Boxes:
        """Scale and shift the boxes of each image, clip them, and drop those of which too little is left.

        `scale` and `shift` are float32 `(2, N)`, for rows and columns.
        """
        import torch

        owners = self.owners
        factors, offsets = (values.flip(0).repeat(2, 1).t()[owners] for values in (scale, shift))  # x y x y
        whole = self.boxes * factors + offsets
        clipped = whole.clamp(0, size)
        kept = (_area(clipped) >= KEPT_SHARE * _area(whole)) & (clipped[:, 2:] - clipped[:, :2] >= 1).all(1)
        # a box below one pixel that was not cut stays: its image is small, not its visible part
        kept |= (clipped == whole).all(1)
        counts = torch.zeros_like(self.counts).index_add_(0, owners, kept.to(torch.int64))
        ends = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
        return Boxes(offsets=ends, boxes=clipped[kept], labels=self.labels[kept])


@dataclass(frozen=True, kw_only=True)
class Masks:
    """The class of each pixel: `masks` uint8 `(N, H, W)`, classes from 0; `IGNORE` where none is known."""

    kind: ClassVar[TruthKind] = "masks"
    masks: Tensor

    def __len__(self) -> int:
        return len(self.masks)

    def take(self, index: Tensor) -> Masks:
        """Return the masks of the images in `index`, int64 `(n,)`."""
        return Masks(masks=self.masks.index_select(0, index.to(self.masks.device)))

    def to(self, device: torch.device | str) -> Masks:
        """Return the masks on `device`."""
        return Masks(masks=self.masks.to(device))

    def flip(self, chosen: Tensor, *, width: int) -> Masks:
        """Return the masks with the `chosen` ones, bool `(N,)`, mirrored left to right."""
        import torch

        assert width == self.masks.shape[2], f"masks are {self.masks.shape[2]} pixels wide, not {width}"
        return Masks(masks=torch.where(chosen[:, None, None], self.masks.flip(2), self.masks))

    def crop(self, corners: Tensor, *, size: int, pad: int = 0) -> Masks:
        """Return a window of `size` pixels of each mask; what lies outside is `IGNORE`. Arguments as `Boxes.crop`."""
        import torch

        line = torch.arange(size, device=self.masks.device)
        rows, columns = (first[:, None] + line - pad for first in corners)
        return self._picked(rows, columns)

    def resample(self, windows: Tensor, *, size: int) -> Masks:
        """Return a window of each mask, scaled to `size` pixels by the nearest pixel. Arguments as `Boxes.resample`."""
        import torch

        line = (torch.arange(size, device=self.masks.device) + 0.5) / size
        rows, columns = (
            start[:, None] + (line * length[:, None]).long()
            for start, length in zip(windows[:2], windows[2:], strict=True)
        )
        return self._picked(rows, columns)

    def resize(self, side: int, *, size: int) -> Masks:
        """Return the masks of images of `side` pixels, scaled to `size` pixels by the nearest pixel."""
        import torch

        if side == size:
            return self
        places = ((torch.arange(size, device=self.masks.device) + 0.5) * side / size).long()
        return Masks(masks=self.masks.index_select(1, places).index_select(2, places))

    def _picked(self, rows: Tensor, columns: Tensor) -> Masks:
        """Return the pixels at `rows` and `columns` of each mask, int64 `(N, S)` both; `IGNORE` outside."""
        count, height, width = self.masks.shape
        size = rows.shape[1]
        outside = ((rows < 0) | (rows >= height))[:, :, None] | ((columns < 0) | (columns >= width))[:, None, :]
        places = rows.clamp(0, height - 1)[:, :, None] * width + columns.clamp(0, width - 1)[:, None, :]
        picked = self.masks.reshape(count, height * width).gather(1, places.view(count, size * size))
        return Masks(masks=picked.view(count, size, size).masked_fill(outside, IGNORE))


@dataclass(frozen=True, kw_only=True)
class Tags(Unmoved):
    """Any number of classes for each image: `tags` uint8 `(N, classes)`, 1 where an image has the class, else 0."""

    kind: ClassVar[TruthKind] = "tags"
    tags: Tensor

    def __len__(self) -> int:
        return len(self.tags)

    def take(self, index: Tensor) -> Tags:
        """Return the tags of the images in `index`, int64 `(n,)`."""
        return Tags(tags=self.tags[index.to(self.tags.device)])

    def to(self, device: torch.device | str) -> Tags:
        """Return the tags on `device`."""
        return Tags(tags=self.tags.to(device))


Truth = Labels | Boxes | Masks | Tags
SceneTruths = Boxes | Masks | Tags  # what the images of a dataset may have besides one label


def _area(boxes: Any) -> Any:
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
