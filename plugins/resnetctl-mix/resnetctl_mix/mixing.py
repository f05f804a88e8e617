"""Mix each image with the previous image of the batch, by its own share.

Any partner is a random partner, because the order of a batch is random.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor


def mixup(images: Tensor, *, alpha: float = 1.0) -> tuple[Tensor, Tensor]:
    """Blend images by one share each, from Beta(alpha, alpha) (Zhang et al. 2017, arXiv:1710.09412).

    Maps images uint8 `(N, C, S, S)` to float32, and to the share of each that is left, `(N,)`.
    """
    share = draw_shares(images, alpha=alpha)
    return blend(images, before(images), share), share


def cutmix(images: Tensor, *, alpha: float = 1.0) -> tuple[Tensor, Tensor]:
    """Paste a box of the partner into each image, shares from Beta(alpha, alpha) (Yun et al. 2019, arXiv:1905.04899).

    Maps images uint8 `(N, C, S, S)` to uint8, and to the share of each that is left by the pasted area, `(N,)`.
    """
    box = draw_boxes(draw_shares(images, alpha=alpha), size=images.shape[2])
    return paste(images, box), kept(box, size=images.shape[2])


def mixup_cutmix(images: Tensor, *, alpha: float = 1.0) -> tuple[Tensor, Tensor]:
    """Mix half of the images by `mixup`, the others by `cutmix`.

    Maps images uint8 `(N, C, S, S)` to float32, and to the share of each that is left, `(N,)`.
    """
    size, partners, share = images.shape[2], before(images), draw_shares(images, alpha=alpha)
    blended = torch.rand_like(share) < 0.5
    # blended images get an empty box, and the others the share 1, so each image is mixed only once
    box = draw_boxes(share.masked_fill(blended, 1), size=size)
    mixed = blend(paste(images, box), partners, share.masked_fill(~blended, 1))
    return mixed, torch.where(blended, share, kept(box, size=size))


def mix_vectors(vectors: Tensor, share: Tensor) -> Tensor:
    """Return the numbers `(N, D)` float32 of images that are mixed with the previous one by `share` `(N,)`."""
    return torch.lerp(vectors.roll(1, 0), vectors, share[:, None])


def draw_shares(images: Tensor, *, alpha: float = 1.0) -> Tensor:
    """Draw one share for each image, float32 `(N,)`, from Beta(alpha, alpha): uniform in 0..1 for 1."""
    if alpha == 1:
        return torch.rand(len(images), device=images.device)
    shape = torch.full((len(images),), alpha, device=images.device)
    return torch.distributions.Beta(shape, shape, validate_args=False).sample()  # type: ignore[no-any-return]


def blend(images: Tensor, partners: Tensor, share: Tensor) -> Tensor:
    """Return `share * images + (1 - share) * partners`: uint8 `(N, C, H, W)` and shares `(N,)` to float32 in 0..255."""
    return torch.lerp(partners.float(), images.float(), share[:, None, None, None])


def paste(images: Tensor, box: tuple[Tensor, Tensor]) -> Tensor:
    """Copy a box of the previous image into each image, at the same position.

    Works with bit operations instead of `torch.where`, on words of eight bytes if rows are a multiple of them, because
    CPUs do these many bytes at once.

    Args:
        images: uint8 `(N, C, S, S)`, fastest in channels-last strides.
        box: two int64 `(2, N)`: first row and column, and the row and column after the last.

    Returns:
        A new uint8 tensor `(N, C, S, S)`, channels-last.
    """
    count, channels, size, _ = images.shape
    pixels = images.permute(0, 2, 3, 1).flatten(2)
    change = torch.empty_like(pixels)
    torch.bitwise_xor(pixels[1:], pixels[:-1], out=change[1:])
    torch.bitwise_xor(pixels[:1], pixels[-1:], out=change[:1])
    word, wide = (torch.int64, 8) if size * channels % 8 == 0 else (torch.uint8, 1)
    (top, left), (bottom, right) = box
    words = change.view(word)
    words.bitwise_and_(_between(left, right, size=size, repeat=channels).view(word)[:, None])
    words.bitwise_and_(_between(top, bottom, size=size, repeat=wide).view(word)[:, :, None])
    return change.bitwise_xor_(pixels).view(count, size, size, channels).permute(0, 3, 1, 2)


def draw_boxes(share: Tensor, *, size: int) -> tuple[Tensor, Tensor]:
    """Draw boxes that cover `1 - share` of a square image unless a border clips them; their centres are uniform.

    Yun et al. 2019, section 3.1 (arXiv:1905.04899), with torchvision's rounding of half a side to whole pixels.

    Returns:
        Two int64 `(2, N)`: first row and column, and the row and column after the last.
    """
    half = (0.5 * (1 - share).sqrt() * size).long()
    centre = torch.randint(size, (2, len(share)), device=share.device)
    return (centre - half).clamp_(min=0), (centre + half).clamp_(max=size)


def kept(box: tuple[Tensor, Tensor], *, size: int) -> Tensor:
    """Return the share of each image outside its box, float32 `(N,)`."""
    height, width = (box[1] - box[0]).unbind()
    return 1 - height * width / size**2


def mix_targets(targets: Tensor, share: Tensor, *, num_classes: int) -> Tensor:
    """Return soft targets `(N, num_classes)` float32 from classes `(N,)` or from soft targets."""
    if targets.ndim == 2:
        return torch.lerp(targets.roll(1, 0).float(), targets.float(), share[:, None])
    soft = torch.zeros(len(targets), num_classes, device=targets.device)
    both = torch.stack([targets, targets.roll(1)], dim=1)
    return soft.scatter_add_(1, both, torch.stack([share, 1 - share], dim=1))


def before(images: Tensor) -> Tensor:
    """Return each image's partner, the previous image, with the same strides."""
    return images.permute(0, 2, 3, 1).roll(1, 0).permute(0, 3, 1, 2)


def _between(first: Tensor, after: Tensor, *, size: int, repeat: int) -> Tensor:
    """Return masks uint8 `(N, size * repeat)`: 255 from `first` up to before `after`, each value `repeat` times."""
    masks = _masks(size, repeat, first.device)
    return masks.index_select(0, after).bitwise_xor_(masks.index_select(0, first))


@cache
def _masks(size: int, repeat: int, device: torch.device) -> Tensor:
    """Return `size + 1` lines: line k is 255 before k and 0 from k on, each value `repeat` times.

    Looking up a line is faster than comparing positions.
    """
    with torch.inference_mode(False):
        position = torch.arange(size, device=device).repeat_interleave(repeat)
        return (position < torch.arange(size + 1, device=device)[:, None]).to(torch.uint8).neg_()
