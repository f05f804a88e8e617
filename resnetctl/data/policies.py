"""The augmentation policies of the core. They work on whole batches at once, on the device, in uint8.

A policy gets images `(N, C, R, R)` with R = `image.resize` and returns `(N, C, S, S)` with S = `image.size`. Random
numbers come from torch's global generator of the batch's device. No policy changes its input. Padding is black; hidden
squares get the mean colour.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor

from resnetctl import registry
from resnetctl.config.arguments import keywords, own_arguments, refusable, with_arguments
from resnetctl.config.options import POLICY_IN_FILE
from resnetctl.data.preprocess import crop, flip, hide, resample
from resnetctl.errors import ConfigError
from resnetctl.hints import Call, Setting
from resnetctl.spec import Batch, ImageSpec, Kept, Policy, Scalar, Transform, TruthKind

Range = tuple[float, float]
ALL: tuple[Kept, ...] = ("boxes", "masks", "tags", "vectors")
BOX_SCALE = (0.08, 1.0)  # share of the image area in a box, Szegedy et al. 2015, section 6
BOX_RATIO = (3 / 4, 4 / 3)  # width over height of a box
BOX_TRIES = 10  # as many as in torchvision; if no box lies inside the image, the whole image is used


def augmentation(
    name: str,
    image: ImageSpec,
    *,
    num_classes: int,
    mirror: bool,
    args: Mapping[str, Scalar] | None = None,
    truth: TruthKind = "labels",
) -> Transform:
    """Return the function that the policy `name` applies to every training batch. Arguments as in `build`.

    Raises:
        ConfigError: as in `build`, the policy does not have one of the arguments, or it cannot move the `truth`.
        PluginError: no usable policy has this name. A call of the returned function raises it too, when the policy of a
            plugin fails or returns something else than a batch of this form; the error names the distribution.
    """
    policy = registry.get("policy", name)
    require_moves(policy, truth)
    _require_no_name(name, policy, args or {})
    given = keywords(policy.build, shared={}, args=args or {}, key="augment", title=f"policy '{name}'")
    with refusable("policy", name, function=policy.build, args=given, key="augment"):
        transform = build(policy, image, num_classes=num_classes, mirror=mirror, args=given)
    if not registry.distribution_of("policy", name):
        return transform

    def augment(batch: Batch) -> Batch:
        with with_arguments("policy", name, args=given):
            with registry.guarded("policy", name):
                augmented = transform(batch)
            if problem := _wrong_form(batch, augmented, image):
                raise registry.fault("policy", name, problem=problem)
        return augmented

    return augment


def _require_no_name(name: str, policy: Policy, args: Mapping[str, Scalar]) -> None:
    """Raise `ConfigError` for the name of a policy among the arguments, as in `[optim]`, unless it is one of them."""
    for word in ("name", "policy"):
        if isinstance(args.get(word), str) and word not in own_arguments(policy.build, ()):
            rest = {key: value for key, value in args.items() if key != word}
            raise ConfigError(
                f"the key 'augment' names the policy; augment.{word} is read as an argument of '{name}'",
                keys=[f"augment.{key}" for key in args],
                hint=[
                    Setting("augment", args[word]),
                    *(Setting(f"augment.{key}", value) for key, value in rest.items()),
                    POLICY_IN_FILE.replace("NAME", str(args[word])),
                ],
            )


def require_moves(policy: Policy, kept: Kept) -> None:
    """Raise `ConfigError` when the policy does not keep a truth, or the numbers of the images, right."""
    if kept != "labels" and kept not in policy.moves:
        verb = "keep the numbers of the images right" if kept == "vectors" else f"move {kept} with the image"
        raise ConfigError(
            f"policy '{policy.name}' cannot {verb}",
            where=Setting("augment"),
            hint=[Setting("augment", "standard"), Call("plugins list", settings={"kind": "policy"})],
        )


def build(
    policy: Policy, image: ImageSpec, *, num_classes: int, mirror: bool, args: Mapping[str, Any] | None = None
) -> Transform:
    """Return the function that `policy` applies to every training batch.

    Args:
        mirror: whether a mirrored image of this dataset keeps its class (`defaults["mirror"]` of its card).
        args: keyword arguments of its builder.

    Raises:
        ConfigError: the policy mirrors, has no unmirrored form, and the dataset forbids mirroring.
        ValueError: the builder refuses a value.
    """
    if mirror or not policy.mirrors:
        return policy.build(image, num_classes, **(args or {}))
    if policy.unmirrored is None:
        raise ConfigError(
            f"policy '{policy.name}' mirrors images, and this dataset says that mirroring changes their class",
            where=Setting("augment"),
            hint=[Setting("augment", "shift"), Call("plugins list", settings={"kind": "policy"})],
        )
    return policy.unmirrored(image, num_classes, **(args or {}))


def complaints(batch: Batch, answer: Any, *, image: ImageSpec, classes: int) -> dict[str, str]:
    """Return the faults of the batch that a policy returned for `batch`, by "shapes", "dtype" and "targets".

    A policy returns as many images as it gets, `(N, C, S, S)` uint8 or float32 in 0..255. Its targets are classes
    `(N,)` int64, or shares `(N, classes)` float32 that sum to 1.
    """
    if problem := _wrong_form(batch, answer, image):
        return {"shapes": problem}
    count = len(batch.images)
    texts = {"dtype": _wrong_images(answer.images), "targets": _wrong_targets(answer.targets, count, classes)}
    return {aspect: text for aspect, text in texts.items() if text}


def _wrong_form(batch: Batch, answer: Any, image: ImageSpec) -> str:
    """Return what is wrong with the type or the shape of a policy's answer. Reads no pixel, so it costs no time."""
    if not isinstance(answer, Batch):
        return f"it gives a {type(answer).__name__}"
    shape = (len(batch.images), image.channels, image.size, image.size)
    given = tuple(getattr(answer.images, "shape", ()))
    if given != shape:
        return f"{given} images, not {shape}"
    if batch.truth is not None and (
        type(answer.truth) is not type(batch.truth) or len(answer.truth) != len(batch.truth)
    ):
        return f"{type(answer.truth).__name__} of the images, not the {batch.truth.kind} that it got"
    got, wanted = (tuple(getattr(each.vectors, "shape", ())) for each in (answer, batch))
    if got != wanted:
        return f"its vectors have shape {got}, those of the batch have {wanted}"
    return ""


def _wrong_images(images: Tensor) -> str:
    if images.dtype not in (torch.uint8, torch.float32):
        return f"images are {images.dtype}"
    low, high = images.float().aminmax()
    if low >= 0 and 8 < high <= 255:
        return ""
    return f"images are in {low:.4g}..{high:.4g}, and must be in 0..255"


def _wrong_targets(targets: Tensor, count: int, classes: int) -> str:
    kind, shape = targets.dtype, tuple(targets.shape)
    if shape == (count,) and kind == torch.int64:
        return "" if bool(((targets >= 0) & (targets < classes)).all()) else "a class is out of range"
    if shape != (count, classes) or kind != torch.float32:
        return f"targets are {kind} {shape}"
    if not bool((targets >= 0).all()):
        return "a share is negative"
    total = targets.sum(1)
    return "" if torch.allclose(total, torch.ones_like(total), atol=1e-5) else f"shares sum to {total[0]:.4g}"


def draw_boxes(
    count: int, side: int, *, device: torch.device, scale: Range = BOX_SCALE, ratio: Range = BOX_RATIO
) -> Tensor:
    """Draw boxes like torchvision's `RandomResizedCrop`, from square images of `side` pixels.

    Ten candidates per image are drawn at once, with uniform area and log-uniform ratio. The first inside the image is
    used, or the whole image if there is none. Its place is uniform.

    Returns:
        int64 `(4, count)`: top, left, height, width.
    """
    area = side * side * torch.empty(count, BOX_TRIES, device=device).uniform_(*scale)
    ratios = torch.empty(count, BOX_TRIES, device=device).uniform_(*map(math.log, ratio)).exp()
    height, width = (area / ratios).sqrt().round().long(), (area * ratios).sqrt().round().long()
    is_inside = (height > 0) & (height <= side) & (width > 0) & (width <= side)
    first = is_inside.int().argmax(dim=1, keepdim=True)
    whole = ~is_inside.any(dim=1)
    sides = torch.stack([kind.gather(1, first).squeeze(1).masked_fill(whole, side) for kind in (height, width)])
    corners = (torch.rand(2, count, device=device) * (side - sides + 1)).long().minimum(side - sides)
    return torch.cat([corners, sides])


def _corners(batch: Batch, spare: int) -> Tensor:
    """Return uniform tops and lefts in 0..spare, `(2, N)`."""
    return torch.randint(spare + 1, (2, len(batch.images)), device=batch.images.device)


def _alternate(batch: Batch) -> Tensor:
    """Choose half of the images in one epoch and the other half in the next, bool `(N,)`.

    With independent coin flips, a quarter of the images look the same three epochs in a row. Alternating shows both
    forms equally often, and networks need fewer epochs: Jordan 2024, arXiv:2404.00498.
    """
    return (batch.index + batch.epoch) % 2 == 0


def _cropped(batch: Batch, corners: Tensor, *, size: int, pad: int) -> Batch:
    """Return the batch with a window of each picture, and its boxes or masks. Arguments as in `crop`."""
    truth = batch.truth and batch.truth.crop(corners, size=size, pad=pad)
    return replace(batch, images=crop(batch.images, corners, size=size, pad=pad), truth=truth)


def _flipped(batch: Batch, chosen: Tensor) -> Batch:
    """Return the batch with the chosen pictures mirrored, and their boxes or masks."""
    truth = batch.truth and batch.truth.flip(chosen, width=batch.images.shape[3])
    return replace(batch, images=flip(batch.images, chosen), truth=truth)


@cache
def _levels(mean: tuple[float, ...], device: torch.device) -> Tensor:
    """Return the uint8 colour that normalisation maps to (nearly) zero, `(C,)`. Cached: a copy stalls the device."""
    with torch.inference_mode(False):
        return torch.tensor([round(255 * value) for value in mean], dtype=torch.uint8, device=device)


def _none(image: ImageSpec, num_classes: int) -> Transform:
    start, end = (image.resize - image.size) // 2, (image.resize + image.size) // 2

    def central(batch: Batch) -> Batch:
        images, truth = batch.images[:, :, start:end, start:end], batch.truth
        if truth is not None:
            corners = torch.full((2, len(images)), start, device=images.device)
            truth = truth.crop(corners, size=image.size)
        return replace(batch, images=images, truth=truth)

    return central


def _standard(image: ImageSpec, num_classes: int, *, mirror: bool) -> Transform:
    pad = image.size // 8
    spare = image.resize + 2 * pad - image.size

    def pad_and_crop(batch: Batch) -> Batch:
        cut = _cropped(batch, _corners(batch, spare), size=image.size, pad=pad)
        return _flipped(cut, _alternate(batch)) if mirror else cut

    return pad_and_crop


def _standard_cutout(image: ImageSpec, num_classes: int, *, mirror: bool, side: float = 0.5) -> Transform:
    """`side` is that of the hidden square, as a share of the image's."""
    _require_share("side", side)
    pixels = max(1, int(image.size * side))
    crop_first = _standard(image, num_classes, mirror=mirror)

    def crop_and_hide(batch: Batch) -> Batch:
        batch = crop_first(batch)
        corners = (
            _corners(batch, image.size - 1) - pixels // 2
        )  # the centre is uniform over the image, so borders clip many squares
        fill = _levels(image.mean, batch.images.device)
        return replace(batch, images=hide(batch.images, corners, side=pixels, fill=fill))

    return crop_and_hide


def _shift(image: ImageSpec, num_classes: int, *, reach: float = 0.125) -> Transform:
    """`reach` is the longest shift as a share of the side."""
    _require_share("reach", reach)
    pixels = max(1, int(image.size * reach))
    centre = (image.resize - image.size) // 2

    def shift_each(batch: Batch) -> Batch:
        corners = centre + _corners(batch, 2 * pixels)
        return _cropped(batch, corners, size=image.size, pad=pixels)

    return shift_each


def _resized_crop(
    image: ImageSpec, num_classes: int, *, mirror: bool, scale: float = BOX_SCALE[0], ratio: float = BOX_RATIO[1]
) -> Transform:
    """`scale` is the smallest area of a box as a share of the image's; `ratio` is the largest of width to height."""
    _require_share("scale", scale)
    if ratio < 1:
        raise ValueError(f"ratio is {ratio:g}, not 1 or more")

    def crop_and_scale(batch: Batch) -> Batch:
        count, device = len(batch.images), batch.images.device
        boxes = draw_boxes(count, image.resize, device=device, scale=(scale, BOX_SCALE[1]), ratio=(1 / ratio, ratio))
        truth = batch.truth and batch.truth.resample(boxes, size=image.size)
        scaled = replace(batch, images=resample(batch.images, boxes, size=image.size), truth=truth)
        return _flipped(scaled, _alternate(batch)) if mirror else scaled

    return crop_and_scale


def _require_share(name: str, value: float) -> None:
    if not 0 < value <= 1:
        raise ValueError(f"{name} is {value:g}, not above 0 and at most 1")


def _mirroring(
    name: str, build: Callable[..., Transform], *, summary: str, paper: str, moves: tuple[Kept, ...] = ALL
) -> Policy:
    """Return the policy of a `build` function that has a `mirror` argument."""
    return Policy(
        name=name,
        build=partial(build, mirror=True),
        unmirrored=partial(build, mirror=False),
        mirrors=True,
        summary=summary,
        paper=paper,
        moves=moves,
    )


none = Policy(name="none", build=_none, summary="the central crop, as in evaluation", moves=ALL)
standard = _mirroring(
    "standard",
    _standard,
    summary="pad size//8, crop at random, mirror every other epoch where the dataset allows it",
    paper="He et al. 2015, section 4.2, arXiv:1512.03385",
)
standard_cutout = _mirroring(
    "standard+cutout",
    _standard_cutout,
    summary="standard, then hide a square of half the side (16 pixels at 32)",
    paper="DeVries and Taylor 2017, section 4.1, arXiv:1708.04552",
    moves=("vectors",),  # what it hides of boxes, masks and tags would still be true
)
shift = Policy(name="shift", build=_shift, summary="move by up to size//8 pixels each way, never mirror", moves=ALL)
resized_crop = _mirroring(
    "resized-crop",
    _resized_crop,
    summary="a box of 8 to 100 % of the image, scaled to size; mirror where the dataset allows it",
    paper="Szegedy et al. 2015, section 6, arXiv:1409.4842",
)
