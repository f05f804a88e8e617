"""The rules of an augmentation policy."""

import inspect
import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from resnetctl.data.policies import complaints
from resnetctl.spec import Batch, ImageSpec, Policy
from resnetctl.testing.findings import Rule, Skipped, expect

CLASSES = 10
SPECS = (
    ImageSpec(size=32),
    ImageSpec(size=24, resize=32),
    ImageSpec(size=8, channels=1, mean=(0.5,), std=(0.25,)),
)
COUNTS = (1, 2, 7, 32)
DRAWS = 1_000
SEEDS = 5  # so that a change which is made to few batches is seen
OTHER = 17  # places to an image that has no part in a mixture
SIGMAS = 5.0  # by chance once in two million
FOLLOWS = 0.75  # correlation of shares and pixels: 1 for a mixture, about 0.5 for one of a wrong partner's class
BLANK = 1.0  # levels: an image with a smaller deviation shows nothing

Transform = Callable[[Batch], Batch]


def batch(image: ImageSpec, count: int) -> Batch:
    """Smooth random pictures at `image.resize`, channels-last, as the loader gives them."""
    coarse = torch.rand(count, image.channels, 4, 4)
    fine = torch.nn.functional.interpolate(coarse, image.resize, mode="bilinear") * 255
    return Batch(
        images=fine.to(torch.uint8).contiguous(memory_format=torch.channels_last),
        targets=torch.arange(count) % CLASSES,
        index=torch.arange(count) + 100,
        epoch=1,
        step=3,
    )


def builders(policy: Policy) -> list[Any]:
    """The builder, and the one without mirroring where there is one."""
    return [policy.build] + ([policy.unmirrored] if policy.unmirrored is not None else [])


def runs(policy: Policy) -> Iterator[tuple[ImageSpec, Batch, Batch]]:
    """Every builder on every spec and count: what goes in and what comes out."""
    for build in builders(policy):
        for image in SPECS:
            transform = build(image, CLASSES)
            for count in COUNTS:
                given = batch(image, count)
                yield image, given, transform(given)


def sound(policy: Policy, aspect: str) -> Iterator[tuple[Batch, Batch]]:
    """What goes in and what comes out, as long as nothing is wrong with this aspect of it."""
    for image, given, found in runs(policy):
        wrong = complaints(given, found, image=image, classes=CLASSES).get(aspect, "")
        expect(not wrong, wrong)
        yield given, found


def draw(transform: Transform, given: Batch, *, seed: int) -> Batch:
    """One draw under a seed of torch's generator alone."""
    torch.manual_seed(seed)
    return transform(given)


def signature(policy: Policy) -> str:
    """A `Policy` whose builder takes (image, num_classes) and gives a function."""
    expect(isinstance(policy, Policy), f"it is a {type(policy).__name__}")
    expect(bool(policy.name and policy.summary.strip()), "name or summary is empty")
    for build in builders(policy):
        inspect.signature(build).bind(SPECS[0], CLASSES)
        expect(callable(build(SPECS[0], CLASSES)), f"{build!r} gives no function")
    return policy.name


def shapes(policy: Policy) -> str:
    """As many images as came, at `image.size`."""
    return f"{sum(1 for _ in sound(policy, 'shapes'))} batches"


def dtype(policy: Policy) -> str:
    """uint8 or float32, finite and in 0..255; float images use that range."""
    kinds = {str(found.images.dtype).removeprefix("torch.") for _, found in sound(policy, "dtype")}
    return ", ".join(sorted(kinds)) + " in 0..255"


def targets(policy: Policy) -> str:
    """Class numbers `(N,)` int64, mostly those that came, or shares `(N, K)` float32 that sum to one."""
    kinds, kept = set(), []
    for given, found in sound(policy, "targets"):
        hard = found.targets.ndim == 1
        kinds.add("classes" if hard else "shares")
        if hard:
            kept.append(found.targets == given.targets)
    share = torch.cat(kept).float().mean().item() if kept else 1.0
    expect(share > 0.5, f"{share:.0%} of the images have the class that they came with")
    return ", ".join(sorted(kinds))


def counters(policy: Policy) -> str:
    """`index`, `epoch` and `step` come back as they were."""
    for _, given, found in runs(policy):
        expect(torch.equal(given.index, found.index), "index changed")
        expect((given.epoch, given.step) == (found.epoch, found.step), "epoch or step changed")
    return "kept"


def untouched(policy: Policy) -> str:
    """The batch that came is as it was."""
    for build in builders(policy):
        for image in SPECS:
            transform, given = build(image, CLASSES), batch(image, 16)
            kept = given.images.clone(), given.targets.clone(), given.index.clone()
            for seed in range(5):
                draw(transform, given, seed=seed)
            for name, before in zip(("images", "targets", "index"), kept, strict=True):
                expect(torch.equal(getattr(given, name), before), f"it changed the {name} that it was given")
    return "input as it was"


def determinism(policy: Policy) -> str:
    """A draw is a function of torch's seed: not of other generators, of earlier batches, or of the clock."""
    others = random.getstate(), _numpy_state()
    for build in builders(policy):
        for image in SPECS:
            transform, given = build(image, CLASSES), batch(image, 16)
            for seed in range(SEEDS):
                first, after = draw(transform, given, seed=seed), torch.get_rng_state()
                draw(transform, given, seed=seed + 1)
                expect(not torch.equal(after, torch.get_rng_state()), "it seeds torch's generator itself")
                expect(others == (random.getstate(), _numpy_state()), "it draws from random or numpy.random")
                again, fresh = draw(transform, given, seed=seed), draw(build(image, CLASSES), given, seed=seed)
                for other, what in ((again, "after another batch"), (fresh, "built anew")):
                    same = torch.equal(first.images, other.images) and torch.equal(first.targets, other.targets)
                    expect(same, f"one seed gives two results: {what}")
    return "a function of torch's seed"


def distribution(policy: Policy) -> str:
    """Over 1,000 draws: few blank images, each its own, the same chances at every place, no class favoured."""
    image = SPECS[0]
    changes, shares, likeness, blank = [], [], [], 0
    given = batch(image, 50)
    start = (image.resize - image.size) // 2
    centre = given.images[:, :, start : start + image.size, start : start + image.size].float()
    transform = policy.build(image, CLASSES)
    for seed in range(DRAWS // 50):
        # pictures go through every place, so that a place cannot be told from its picture
        order = torch.arange(50).roll(seed * 7)
        found = draw(transform, _ordered(given, order), seed=seed)
        pixels = found.images.float()
        blank += int((pixels.flatten(1).std(1) < BLANK).sum())
        changes.append((pixels - centre[order]).abs().flatten(1).mean(1))
        likeness.append(torch.stack([_alike(pixels, centre[order.roll(by)]) for by in (0, OTHER)]))
        shares.append(_shares(found.targets).mean(0))
    expect(blank <= DRAWS // 20, f"{blank} of {DRAWS:,} images are blank")
    own, other = torch.stack(likeness).mean((0, 2)).tolist()
    expect(own > other + 0.05, f"an image is as much like another one of the batch ({other:.2f}) as itself ({own:.2f})")
    apart = _places_apart(torch.stack(changes))
    expect(apart < SIGMAS, f"the first and the second half of a batch change differently ({apart:.1f} sigma)")
    lean = (torch.stack(shares).mean(0) - 1 / CLASSES).abs().max().item()
    expect(lean < 0.02, f"a class gets {lean:.1%} more or less than its share")
    return f"{DRAWS:,} draws, mean change {torch.stack(changes).mean():.1f} levels, {blank} blank"


def mirrors(policy: Policy) -> str:
    """Pictures are mirrored by policies that say so, and by no others."""
    image = SPECS[0]
    share = _mirrored(policy.build(image, CLASSES), image)
    if policy.mirrors:
        expect(share > 0.02, f"mirrors=True, and {share:.0%} of {DRAWS:,} were mirrored")
    else:
        expect(share < 0.35, f"mirrors=False, and {share:.0%} of {DRAWS:,} were mirrored")
    if policy.unmirrored is not None:
        rest = _mirrored(policy.unmirrored(image, CLASSES), image)
        expect(rest < 0.35, f"unmirrored, and {rest:.0%} of {DRAWS:,} were mirrored")
    return f"{share:.0%} of {DRAWS:,} mirrored"


def soft_targets(policy: Policy) -> str:
    """Shares follow the pixels: of black and white pictures, the whiter a mixture, the more it is of class white."""
    image = SPECS[0]
    given = batch(image, 50)
    white = torch.randperm(50) % 2  # no pattern, which a wrong partner could share with the right one
    pixels = (white * 255).to(torch.uint8)[:, None, None, None].expand_as(given.images)
    pixels = pixels.contiguous(memory_format=torch.channels_last)
    given = Batch(images=pixels, targets=white, index=given.index, epoch=0, step=0)
    transform = policy.build(image, 2)
    found = [draw(transform, given, seed=seed) for seed in range(DRAWS // 50)]
    if found[0].targets.ndim == 1:
        raise Skipped("its targets are classes")
    classes = found[0].targets.shape[1]
    expect(classes == 2, f"built for 2 classes it gives shares of {classes}")
    shares = torch.cat([one.targets[:, 1] for one in found])
    bright = torch.cat([one.images.float().flatten(1).mean(1) for one in found])
    together = torch.corrcoef(torch.stack([shares, bright]))[0, 1].item()
    expect(together > FOLLOWS, f"shares and pixels correlate by {together:.2f}")
    return f"shares and pixels correlate by {together:.2f}"


def _ordered(given: Batch, order: Tensor) -> Batch:
    images = given.images[order].contiguous(memory_format=torch.channels_last)
    return Batch(images=images, targets=given.targets[order], index=given.index[order], epoch=1, step=3)


def _shares(found: Tensor) -> Tensor:
    return found if found.ndim == 2 else torch.nn.functional.one_hot(found, CLASSES).float()


def _alike(images: Tensor, others: Tensor) -> Tensor:
    """Size of the correlation of each image with its counterpart, `(N,)`; a negative is alike, too."""
    one, two = (item.flatten(1) - item.flatten(1).mean(1, keepdim=True) for item in (images, others))
    return torch.nn.functional.cosine_similarity(one, two, dim=1).abs()


def _numpy_state() -> str:
    return str(np.random.get_state())


def _places_apart(changes: Tensor) -> float:
    """Halves of a batch, `changes` `(batches, N)`: difference of their means in standard errors."""
    half = changes.shape[1] // 2
    first, second = changes[:, :half].flatten(), changes[:, half:].flatten()
    error = (first.var() / len(first) + second.var() / len(second)).sqrt().clamp(min=1e-6)
    return ((first.mean() - second.mean()).abs() / error).item()


def _mirrored(transform: Transform, image: ImageSpec) -> float:
    """Of pictures that are dark left and bright right, the share that comes out the other way round."""
    ramp = torch.linspace(40, 215, image.resize).expand(50, image.channels, image.resize, image.resize)
    pixels = ramp.to(torch.uint8).contiguous(memory_format=torch.channels_last)
    given = Batch(images=pixels, targets=torch.zeros(50, dtype=torch.int64), index=torch.arange(50), epoch=0, step=0)
    count, middle = 0, image.size // 2
    for seed in range(DRAWS // 50):
        found = draw(transform, given, seed=seed).images.float()
        count += int((found[..., :middle].mean((1, 2, 3)) > found[..., -middle:].mean((1, 2, 3))).sum())
    return count / DRAWS


RULES = {
    "signature": Rule(
        wants="a Policy whose build(image, num_classes) gives a function",
        judge=signature,
        fix="Policy(name=..., build=..., summary=...), where build(image: ImageSpec, num_classes: int) returns "
        "a function from Batch to Batch",
    ),
    "shapes": Rule(
        wants="as many images as came, at image.size",
        judge=shapes,
        fix="images come at image.resize and go at image.size: crop or resize; keep batches of 1 and odd ones whole",
    ),
    "dtype": Rule(
        wants="uint8, or float32 in 0..255",
        judge=dtype,
        fix="do not scale to 0..1 or normalise, the core does it once; clamp to 0..255",
    ),
    "targets": Rule(
        wants="(N,) int64, or (N, num_classes) float32 that sums to one",
        judge=targets,
        fix="pass targets on, each with its image, or mix one_hot(targets, num_classes).float()",
    ),
    "counters": Rule(
        wants="index, epoch and step as they came",
        judge=counters,
        fix="dataclasses.replace(batch, images=..., targets=...)",
    ),
    "untouched": Rule(
        wants="an input that is as it was",
        judge=untouched,
        fix="clone before any in-place operation: the images may be a view of the store",
    ),
    "determinism": Rule(
        wants="a draw that is a function of torch's seed",
        judge=determinism,
        fix="draw with torch's global generator (torch.rand(..., device=batch.images.device)), not with random or "
        "numpy, and keep no state between batches: a resumed run must draw the same",
    ),
    "distribution": Rule(
        wants="1,000 draws that leave a picture at its place, treat all places alike and favour no class",
        judge=distribution,
        fix="draw for every image of the batch; keep their order; lower the strength; mix targets as the images are "
        "mixed",
    ),
    "mirrors": Rule(
        wants="mirroring as declared",
        judge=mirrors,
        fix="set mirrors=True, and give `unmirrored`, the same policy without mirroring",
    ),
    "soft_targets": Rule(
        wants="shares that follow the pixels",
        judge=soft_targets,
        fix="give each picture the share of its own class that it has in the mixture",
    ),
}
