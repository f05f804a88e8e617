"""Policies equal slow references for the same random numbers, which are distributed as in the papers."""

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from torchvision.transforms import RandomResizedCrop
from torchvision.transforms.v2 import functional as reference

from resnetctl import registry
from resnetctl.data import policies, preprocess
from resnetctl.data.preprocess import normalise
from resnetctl.errors import ConfigError
from resnetctl.hints import Setting
from resnetctl.spec import Batch, Boxes, ImageSpec, Masks, Policy, Scalar, Transform

POLICIES = {
    policy.name: policy
    for policy in (policies.none, policies.standard, policies.standard_cutout, policies.shift, policies.resized_crop)
}
SHAPES = [(32, 3, 32), (8, 1, 8), (8, 3, 8), (9, 2, 11), (24, 3, 32), (4, 1, 4)]


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def spec(size: int = 32, channels: int = 3, resize: int = 0) -> ImageSpec:
    return ImageSpec(size=size, channels=channels, mean=(0.4,) * channels, std=(0.25,) * channels, resize=resize)


def make(image: ImageSpec, count: int = 40) -> Batch:
    pixels = torch.randint(1, 256, (count, image.resize, image.resize, image.channels), dtype=torch.uint8)
    return Batch(
        images=pixels.permute(0, 3, 1, 2),
        targets=torch.arange(count) % 7,
        index=torch.arange(count) * 3,
        epoch=2,
        step=11,
    )


def apply(policy: Policy, batch: Batch, image: ImageSpec, *, mirror: bool = True, seed: int = 1) -> Batch:
    torch.manual_seed(seed)
    return policies.build(policy, image, num_classes=7, mirror=mirror)(batch)


# ---- the contract of every policy


@pytest.mark.parametrize(("size", "channels", "resize"), SHAPES)
@pytest.mark.parametrize("name", POLICIES)
def test_every_policy_keeps_the_contract(name: str, size: int, channels: int, resize: int) -> None:
    image = spec(size, channels, resize)
    batch = make(image)
    before = batch.images.clone()
    out = apply(POLICIES[name], batch, image)
    assert out.images.shape == (40, channels, size, size)
    assert out.images.dtype == torch.uint8
    assert out.images.stride()[2:] == (batch.images.stride(2) if name == "none" else size * channels, channels)
    assert torch.equal(batch.images, before)
    assert torch.equal(out.targets, batch.targets)
    assert torch.equal(out.index, batch.index)
    assert (out.epoch, out.step) == (2, 11)


@pytest.mark.parametrize("name", POLICIES)
def test_a_seed_gives_one_result(name: str) -> None:
    image = spec()
    batch = make(image)
    first = apply(POLICIES[name], batch, image, seed=5).images
    other = apply(POLICIES[name], batch, image, seed=6).images
    assert torch.equal(first, apply(POLICIES[name], batch, image, seed=5).images)
    assert torch.equal(first, other) == (name == "none")


@pytest.mark.parametrize("name", [name for name in POLICIES if name != "none"])
def test_a_single_image_and_mixed_targets_are_accepted(name: str) -> None:
    image = spec(8)
    batch = make(image, 1)
    soft = Batch(images=batch.images, targets=torch.full((1, 7), 1 / 7), index=batch.index, epoch=0, step=0)
    assert torch.equal(apply(POLICIES[name], soft, image).targets, soft.targets)


def test_datasets_are_registered_under_their_names() -> None:
    for name, policy in POLICIES.items():
        assert registry.get("policy", name) is policy
        assert policy.summary
        assert policy.name == name


def test_augmentation_builds_the_registered_policy() -> None:
    image = spec(8)
    batch = make(image)
    augment = policies.augmentation("standard", image, num_classes=7, mirror=False)
    torch.manual_seed(1)
    assert torch.equal(augment(batch).images, apply(policies.standard, batch, image, mirror=False).images)


# ---- mirroring


def test_build_picks_the_form_without_mirroring() -> None:
    image = spec()
    batch = make(image, 200)
    for policy in POLICIES.values():
        assert policy.mirrors == (policy.unmirrored is not None)
    with_mirror = apply(policies.standard, batch, image, mirror=True).images
    without = apply(policies.standard, batch, image, mirror=False).images
    # the corners are drawn first, so both forms cut the same windows
    turned = (with_mirror != without).flatten(1).any(dim=1)
    assert torch.equal(with_mirror[turned], without[turned].flip(3))
    assert 70 < int(turned.sum()) < 130


@pytest.mark.parametrize("policy", [policies.standard, policies.resized_crop])
def test_an_image_is_mirrored_in_one_of_two_epochs(policy: Policy) -> None:
    """This holds at every place in the batch; half of the images are mirrored first, half second."""
    image = spec(size=8)
    ramp = torch.linspace(40, 215, 8).to(torch.uint8).expand(6, 3, 8, 8).contiguous(memory_format=torch.channels_last)
    turned = []
    for epoch, order in ((4, [0, 1, 2, 3, 4, 5]), (5, [5, 0, 4, 1, 3, 2])):
        batch = Batch(images=ramp, targets=torch.zeros(6), index=torch.tensor(order), epoch=epoch, step=9)
        pixels = apply(policy, batch, image).images.float()
        facing = pixels[..., 3:5].mean(2).mean(1).diff(dim=1).squeeze(1) < 0
        turned.append({row for row, mirrored in zip(order, facing.tolist(), strict=True) if mirrored})
    assert turned[0] | turned[1] == set(range(6))
    assert len(turned[0]) == len(turned[1]) == 3


def test_a_policy_that_must_mirror_is_refused_when_the_dataset_forbids_mirroring() -> None:
    plain = Policy(name="flippy", build=policies.standard.build, mirrors=True)
    policies.build(plain, spec(), num_classes=7, mirror=True)
    with pytest.raises(ConfigError, match="'flippy' mirrors images") as caught:
        policies.build(plain, spec(), num_classes=7, mirror=False)
    assert caught.value.hint


def test_flip_mirrors_only_the_chosen_images() -> None:
    images = make(spec(6), 8).images
    chosen = torch.tensor([True, False] * 4)
    expected = torch.stack(
        [image.flip(2) if turn else image for image, turn in zip(images, chosen.tolist(), strict=True)]
    )
    assert torch.equal(policies.flip(images.clone(memory_format=torch.preserve_format), chosen), expected)
    none = torch.zeros(8, dtype=torch.bool)
    assert torch.equal(policies.flip(images.clone(memory_format=torch.preserve_format), none), images)


# ---- crops


@pytest.mark.parametrize("pad", [0, 1, 4])
@pytest.mark.parametrize(("side", "size", "channels"), [(32, 32, 3), (8, 8, 1), (11, 9, 2), (32, 24, 3)])
def test_crop_equals_a_slow_reference(side: int, size: int, channels: int, pad: int) -> None:
    images = make(spec(side, channels), 60).images
    spare = side + 2 * pad - size
    corners = torch.randint(0, spare + 1, (2, 60))
    corners[:, :3] = torch.tensor([[0, spare, spare], [spare, 0, spare]])  # the outermost windows too
    corners[:, -1] = spare  # and the last window in memory
    out = policies.crop(images, corners, size=size, pad=pad)
    padded = torch.nn.functional.pad(images, (pad,) * 4)
    for number, (row, column) in enumerate(corners.T.tolist()):
        assert torch.equal(out[number], padded[number, :, row : row + size, column : column + size])


def test_crop_accepts_any_strides() -> None:
    images = make(spec(16), 5).images
    corners = torch.randint(0, 5, (2, 5))
    expected = policies.crop(images, corners, size=16, pad=2)
    assert torch.equal(policies.crop(images.contiguous(), corners, size=16, pad=2), expected)


def places(policy: Policy, image: ImageSpec, *, count: int = 4000) -> torch.Tensor:
    """Return how far the policy moved each image, `(count, 2)`, measured with a single bright pixel."""
    middle = image.resize // 2
    pixels = torch.zeros(count, image.resize, image.resize, 1, dtype=torch.uint8)
    pixels[:, middle, middle] = 255
    batch = Batch(
        images=pixels.permute(0, 3, 1, 2), targets=torch.zeros(count), index=torch.arange(count), epoch=0, step=0
    )
    moved = policies.build(policy, image, num_classes=2, mirror=False)(batch).images
    positions = moved[:, 0].nonzero()
    assert len(positions) == count
    return positions[:, 1:] - (middle - (image.resize - image.size) // 2)


@pytest.mark.parametrize("policy", [policies.standard, policies.shift], ids=lambda policy: policy.name)
@pytest.mark.parametrize(("size", "reach"), [(8, 1), (16, 2), (32, 4)])
def test_moves_are_uniform_up_to_an_eighth(policy: Policy, size: int, reach: int) -> None:
    moves = places(policy, spec(size, 1))
    kinds = (2 * reach + 1) ** 2
    pairs = (moves + reach) @ torch.tensor([2 * reach + 1, 1])
    counts = torch.bincount(pairs, minlength=kinds).double()
    assert moves.abs().max() == reach
    expected = 4000 / kinds
    chi_square = float(((counts - expected) ** 2 / expected).sum())
    assert chi_square < kinds - 1 + 5 * math.sqrt(2 * (kinds - 1))  # five standard deviations


def test_shift_moves_at_least_one_pixel_and_around_the_centre() -> None:
    assert places(policies.shift, spec(4, 1)).unique().tolist() == [-1, 0, 1]
    assert places(policies.shift, spec(16, 1, resize=24)).unique().tolist() == [-2, -1, 0, 1, 2]


def test_standard_crops_from_the_whole_resized_image() -> None:
    moves = places(policies.standard, spec(16, 1, resize=20))
    assert moves.unique().tolist() == [-4, -3, -2, -1, 0, 1, 2, 3, 4]  # two pixels of padding, two of the larger image


def test_none_crops_the_centre_as_evaluation_does() -> None:
    image = spec(8, resize=12)
    batch = make(image)
    assert torch.equal(apply(policies.none, batch, image).images, batch.images[:, :, 2:10, 2:10])


# ---- cutout


@pytest.mark.parametrize(("size", "side"), [(32, 16), (8, 4), (28, 14), (9, 4), (3, 1)])
def test_hide_equals_a_slow_reference(size: int, side: int) -> None:
    images = make(spec(size), 50).images
    corners = torch.randint(0, size, (2, 50)) - side // 2
    out = policies.hide(images, corners, side=side, fill=torch.tensor([1, 2, 3], dtype=torch.uint8))
    for number, (row, column) in enumerate(corners.T.tolist()):
        expected = images[number].clone()
        for channel in range(3):
            expected[channel, max(0, row) : row + side, max(0, column) : column + side] = channel + 1
        assert torch.equal(out[number], expected)


def test_cutout_hides_half_the_side_with_the_mean() -> None:
    image = spec()
    white = make(image, 3000)
    white.images.fill_(255)
    # without the black padding of the crop, only hidden pixels are not white
    out = apply(policies.standard_cutout, white, image).images
    hidden = (out == 102).all(dim=1)
    assert set(out.unique().tolist()) == {0, 102, 255}
    heights, widths = hidden.any(dim=2).sum(dim=1), hidden.any(dim=1).sum(dim=1)
    assert heights.max() == widths.max() == 16
    assert heights.min() == 8  # clipped at a border, DeVries and Taylor 2017
    whole = ((heights == 16) & (widths == 16)).double().mean()
    assert abs(float(whole) - (17 / 32) ** 2) < 0.03
    assert normalise(out[hidden[:, None].expand_as(out)].view(1, 3, 1, -1)[..., :1], image).abs().max() < 0.01


# ---- resized crops


def boxes(side: int, count: int = 4000) -> torch.Tensor:
    return policies.draw_boxes(count, side, device=torch.device("cpu"))


@pytest.mark.parametrize("side", [8, 32, 256])
def test_boxes_lie_inside_the_image(side: int) -> None:
    top, left, height, width = boxes(side)
    assert height.min() >= 1
    assert width.min() >= 1
    assert top.min() == 0 == left.min()
    assert (top + height).max() == side == (left + width).max()
    share = (height * width).double() / side**2
    assert share.min() > 0.08 - 2 / side
    assert share.max() <= 1
    if side >= 32:
        ratio = width.double() / height
        assert ratio.min() > 0.75 - 3 / side
        assert ratio.max() < 4 / 3 + 5 / side


@pytest.mark.parametrize("side", [32, 224])
def test_boxes_are_distributed_as_in_torchvision(side: int) -> None:
    canvas = torch.empty(1, side, side)
    theirs = torch.tensor(
        [RandomResizedCrop.get_params(canvas, [0.08, 1.0], [3 / 4, 4 / 3]) for _ in range(1000)]
    ).T.double()
    ours = boxes(side, 1000).double()
    for name, of in facts().items():
        gap = kolmogorov_smirnov(of(ours), of(theirs))
        assert gap < 0.087, f"{name}: {gap:.3f}"  # the 0.1 % point for two samples of 1,000


def facts() -> dict[str, Any]:
    """Statistics of boxes `(4, N)`: top, left, height, width."""
    return {
        "top": lambda box: box[0],
        "left": lambda box: box[1],
        "area": lambda box: box[2] * box[3],
        "ratio": lambda box: box[3] / box[2],
        "middle": lambda box: box[0] + box[2] / 2,
    }


def kolmogorov_smirnov(first: torch.Tensor, second: torch.Tensor) -> float:
    """The largest gap between two empirical distribution functions."""
    at = torch.cat([first, second]).sort().values
    shares = [torch.searchsorted(sample.sort().values, at, right=True) / len(sample) for sample in (first, second)]
    return float((shares[0] - shares[1]).abs().max())


def test_the_whole_image_is_used_when_no_box_lies_inside() -> None:
    wide = policies.draw_boxes(3, 16, device=torch.device("cpu"), scale=(0.9, 1.0), ratio=(50.0, 60.0))
    assert wide.tolist() == [[0] * 3, [0] * 3, [16] * 3, [16] * 3]


@pytest.mark.parametrize("size", [5, 24, 64])
def test_resample_equals_the_resized_crop_of_torchvision(size: int) -> None:
    images = make(spec(32), 30).images
    drawn = boxes(32, 30)
    ours = preprocess.resample(images, drawn, size=size).float()
    for number in range(30):
        place = drawn[:, number].tolist()
        theirs = reference.resized_crop(images[number].float(), *place, [size, size], antialias=True)
        assert (theirs - ours[number]).abs().max() <= 0.51  # ours is rounded to integers


def test_resample_of_the_whole_image_returns_it() -> None:
    images = make(spec(16), 4).images
    whole = torch.tensor([[0] * 4, [0] * 4, [16] * 4, [16] * 4])
    assert torch.equal(preprocess.resample(images, whole, size=16), images)


def test_resample_keeps_white_white() -> None:
    white = torch.full((20, 1, 32, 32), 255, dtype=torch.uint8)
    assert preprocess.resample(white, boxes(32, 20), size=24).unique().tolist() == [255]


@pytest.mark.parametrize(
    ("name", "args", "problem"),
    [
        ("shift", {"reach": 0.5}, ""),
        ("standard+cutout", {"side": 0.25}, ""),
        ("resized-crop", {"scale": 0.5, "ratio": 1}, ""),
        ("shift", {"reech": 0.5}, "'reech' is not an argument: did you mean 'reach'?"),
        ("standard", {"mirror": False}, "'mirror' is not an argument"),
        ("shift", {"reach": 0}, "reach is 0, not above 0"),
        ("standard+cutout", {"side": 1.5}, "side is 1.5, not above 0"),
        ("resized-crop", {"ratio": 0.5}, "ratio is 0.5, not 1 or more"),
    ],
)
def test_arguments_of_a_policy_are_used_or_refused(name: str, args: dict[str, Scalar], problem: str) -> None:
    image = ImageSpec(size=16)
    source = Batch(
        images=torch.arange(4 * 3 * 256).view(4, 3, 16, 16).remainder(256).to(torch.uint8),
        targets=torch.zeros(4, dtype=torch.int64), index=torch.arange(4), epoch=0, step=0,
    )  # fmt: skip

    def applied(given: dict[str, Scalar]) -> torch.Tensor:
        torch.manual_seed(0)
        return policies.augmentation(name, image, num_classes=2, mirror=True, args=given)(source).images

    if not problem:
        assert not torch.equal(applied(args), applied({}))
        return
    with pytest.raises(ConfigError) as caught:
        applied(args)
    assert problem in str(caught.value)


@pytest.mark.parametrize("word", ["name", "policy"])
def test_the_name_of_a_policy_among_its_arguments_is_shown_its_place(word: str) -> None:
    """People write it by analogy with `[optim]`."""
    with pytest.raises(ConfigError) as caught:
        policies.augmentation("shift", ImageSpec(size=8), num_classes=2, mirror=True, args={word: "erase", "side": 20})
    error = caught.value
    assert error.message == f"the key 'augment' names the policy; augment.{word} is read as an argument of 'shift'"
    assert error.keys == (f"augment.{word}", "augment.side")  # for file and line
    assert error.hint == (
        Setting("augment", "erase"),
        Setting("augment.side", 20),
        'in a file: augment = "erase" at the top level, and its arguments in the table [augment_args]',
    )


def test_an_argument_that_is_called_name_is_one() -> None:
    def build(image: ImageSpec, num_classes: int, *, name: str = "a") -> Transform:
        return lambda batch: replace(batch, images=batch.images + len(name))

    own = Policy(name="own", build=build, summary="adds the length of a name")
    with registry.overlay("policy", own=own):
        changed = policies.augmentation("own", ImageSpec(size=8), num_classes=2, mirror=True, args={"name": "abc"})
        images = torch.zeros(4, 3, 8, 8, dtype=torch.uint8)
        rows = torch.arange(4)
        assert changed(Batch(images=images, targets=rows, index=rows, epoch=0, step=0)).images.unique().tolist() == [3]


def test_the_defaults_of_the_arguments_are_the_papers() -> None:
    assert (policies.BOX_SCALE[0], 1 / policies.BOX_RATIO[1]) == (0.08, policies.BOX_RATIO[0])


@pytest.mark.parametrize("name", ["standard", "standard+cutout", "resized-crop"])
def test_a_dataset_that_forbids_mirroring_keeps_the_arguments(name: str) -> None:
    args: dict[str, Scalar] = {"standard+cutout": {"side": 0.25}, "resized-crop": {"scale": 0.9}}.get(name, {})
    left = torch.zeros(64, 1, 16, 16, dtype=torch.uint8)
    left[..., :4] = 200  # a bright left edge: mirrored images have it on the right
    source = Batch(images=left, targets=torch.zeros(64).long(), index=torch.arange(64), epoch=0, step=0)
    image = ImageSpec(size=16, channels=1, mean=(0.5,), std=(0.2,))
    torch.manual_seed(0)
    augment = policies.augmentation(name, image, num_classes=2, mirror=False, args=args)
    output = augment(source).images.float()
    brighter_left = output[..., :8].mean((1, 2, 3)) >= output[..., 8:].mean((1, 2, 3))
    assert brighter_left.float().mean() > 0.9


def _scene(side: int = 32) -> tuple[torch.Tensor, Boxes, Masks]:
    """Four pictures with one bright rectangle each, its box and its mask."""
    boxes = torch.tensor([[4.0, 6, 20, 14], [8, 8, 24, 24], [2, 16, 14, 30], [10, 4, 30, 12]])
    masks = torch.zeros(4, side, side, dtype=torch.uint8)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes.int().tolist(), strict=True):
        mask[y1:y2, x1:x2] = 1
    images = (masks[..., None] * 200).expand(-1, -1, -1, 3).contiguous().permute(0, 3, 1, 2)
    return images, Boxes(offsets=torch.arange(5), boxes=boxes, labels=torch.arange(4)), Masks(masks=masks)


@pytest.mark.parametrize("name", ["none", "standard", "shift", "resized-crop"])
@pytest.mark.parametrize("resize", [32, 40])
def test_boxes_and_masks_move_as_the_pixels_under_them(name: str, resize: int) -> None:
    images, boxes, masks = _scene(resize)
    image = ImageSpec(size=32, resize=resize)
    rows = torch.arange(4)
    for epoch in range(4):
        moved = []
        for truth in (boxes, masks):
            transform = policies.augmentation(name, image, num_classes=2, mirror=True, truth=truth.kind)
            torch.manual_seed(epoch)
            batch = Batch(images=images, targets=rows, index=rows, epoch=epoch, step=0, truth=truth)
            moved.append(transform(batch))
        assert torch.equal(moved[0].images, moved[1].images)
        bright, mask = moved[1].images[:, 0] > 100, moved[1].truth
        assert isinstance(mask, Masks)
        known = mask.masks != 255
        assert (bright[known] == (mask.masks[known] == 1)).float().mean() > 0.97
        found = moved[0].truth
        assert isinstance(found, Boxes)
        for (corners, _), picture in zip(found.split(), bright, strict=True):
            for x1, y1, x2, y2 in corners.tolist():
                inside = picture[round(y1 + 1) : round(y2 - 1), round(x1 + 1) : round(x2 - 1)]
                assert inside.float().mean() > 0.9 or not inside.numel()
                assert picture.sum() <= (x2 - x1 + 2) * (y2 - y1 + 2)


def test_a_policy_that_leaves_boxes_where_they_are_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"policy 'standard\+cutout' cannot move boxes with the image"):
        policies.augmentation("standard+cutout", ImageSpec(size=32), num_classes=2, mirror=True, truth="boxes")


def test_a_plugin_that_loses_the_boxes_is_named() -> None:
    images, boxes, _ = _scene()
    rows = torch.arange(4)
    batch = Batch(images=images, targets=rows, index=rows, epoch=0, step=0, truth=boxes)
    lost = policies.complaints(batch, replace(batch, truth=None), image=ImageSpec(size=32), classes=4)
    assert lost == {"shapes": "NoneType of the images, not the boxes that it got"}


def test_numbers_that_a_policy_loses_are_named() -> None:
    images, _, _ = _scene()
    rows = torch.arange(4)
    batch = Batch(images=images, targets=rows, index=rows, epoch=0, step=0, vectors=torch.zeros(4, 2))
    for given in (None, torch.zeros(4, 3)):
        lost = policies.complaints(batch, replace(batch, vectors=given), image=ImageSpec(size=32), classes=4)
        shape = () if given is None else (4, 3)
        assert lost == {"shapes": f"its vectors have shape {shape}, those of the batch have (4, 2)"}


@pytest.mark.parametrize(
    ("low", "high", "problem"),
    [
        (0.0, 255.0, ""),
        (0.0, 1.0, "images are in 0..1, and must be in 0..255"),
        (-2.5, 2.5, "images are in -2.5..2.5, and must be in 0..255"),
        (0.0, 300.0, "images are in 0..300, and must be in 0..255"),
    ],
)
def test_images_in_another_range_are_told_the_range_that_they_must_have(low: float, high: float, problem: str) -> None:
    pixels = torch.linspace(low, high, 3 * 32 * 32).view(1, 3, 32, 32)
    batch = Batch(images=pixels, targets=torch.tensor([0]), index=torch.tensor([0]), epoch=0, step=0)
    wrong = policies.complaints(batch, batch, image=ImageSpec(size=32), classes=4)
    assert "".join(wrong.values()) == problem
