"""The rules of an augmentation policy."""

import inspect
import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from resnetctl.data.policies import complaints
from resnetctl.spec import Batch, ImageSpec, Policy, Transform
from resnetctl.testing.findings import Rule, Skipped, expect
from resnetctl.testing.schedules import settable
from resnetctl.testing.waits import ACCELERATOR, require_capturable, require_no_wait

CLASSES = 10
SPECS = (
    ImageSpec(size=32),
    ImageSpec(size=24, resize=32),
    ImageSpec(size=8, channels=1, mean=(0.5,), std=(0.25,)),
)
COUNTS = (1, 2, 7, 32)
DRAWS = 1_000
SEEDS = 5  # several, because some policies change few batches
OTHER = 17  # positions away in the batch: an image that takes no part in a mixture
SIGMAS = 5.0  # chance alone exceeds it once in two million
FOLLOWS = 0.75  # correlation of shares and pixels: 1 if correct, about 0.5 with the class of a wrong partner
BLANK = 1.0  # levels; an image with a smaller standard deviation is blank


def batch(image: ImageSpec, count: int) -> Batch:
    """Return smooth random pictures at `image.resize`, channels-last, as the loader returns them."""
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
    """Return the builder, and the one without mirroring if the policy has it."""
    return [policy.build] + ([policy.unmirrored] if policy.unmirrored is not None else [])


def runs(policy: Policy) -> Iterator[tuple[ImageSpec, Batch, Batch]]:
    """Yield (spec, input, output) for every builder, spec and count."""
    for build in builders(policy):
        for image in SPECS:
            transform = build(image, CLASSES)
            for count in COUNTS:
                source = batch(image, count)
                yield image, source, transform(source)


def sound(policy: Policy, aspect: str) -> Iterator[tuple[Batch, Batch]]:
    """Yield (input, output), and raise `Broken` if `complaints` has one about this aspect."""
    for image, source, output in runs(policy):
        wrong = complaints(source, output, image=image, classes=CLASSES).get(aspect, "")
        expect(not wrong, wrong)
        yield source, output


def draw(transform: Transform, source: Batch, *, seed: int) -> Batch:
    """Apply the policy once, with only torch's generator seeded."""
    torch.default_generator.manual_seed(seed)  # torch.manual_seed also notes a traceback for CUDA, half a millisecond
    return transform(source)


def signature(policy: Policy) -> str:
    """The entry is a `Policy` whose builder takes (image, num_classes) and returns a function."""
    expect(isinstance(policy, Policy), f"it is a {type(policy).__name__}")
    expect(bool(policy.name and policy.summary.strip()), "name or summary is empty")
    for build in builders(policy):
        inspect.signature(build).bind(SPECS[0], CLASSES)
        _, _, *others = inspect.signature(build).parameters.values()
        free = [item for item in others if item.name not in getattr(build, "keywords", {})]
        expect(not settable(free), f"these arguments are not keywords with a default: {settable(free)}")
        expect(callable(build(SPECS[0], CLASSES)), f"{build!r} returns no function")
    return policy.name


def shapes(policy: Policy) -> str:
    """The output has as many images as the input, at `image.size`."""
    return f"{sum(1 for _ in sound(policy, 'shapes'))} batches"


def dtype(policy: Policy) -> str:
    """Images are uint8 or float32, finite and in 0..255; float images use that range."""
    kinds = {str(output.images.dtype).removeprefix("torch.") for _, output in sound(policy, "dtype")}
    return ", ".join(sorted(kinds)) + " in 0..255"


def targets(policy: Policy) -> str:
    """Targets are class numbers `(N,)` int64, mostly unchanged, or shares `(N, K)` float32 that sum to one."""
    kinds, kept = set(), []
    for source, output in sound(policy, "targets"):
        hard = output.targets.ndim == 1
        kinds.add("classes" if hard else "shares")
        if hard:
            kept.append(output.targets == source.targets)
    share = torch.cat(kept).float().mean().item() if kept else 1.0
    expect(share > 0.5, f"{share:.0%} of the images keep their class")
    return ", ".join(sorted(kinds))


def counters(policy: Policy) -> str:
    """`index`, `epoch` and `step` do not change."""
    for _, source, output in runs(policy):
        expect(torch.equal(source.index, output.index), "index changed")
        expect((source.epoch, source.step) == (output.epoch, output.step), "epoch or step changed")
    return "kept"


def untouched(policy: Policy) -> str:
    """The policy does not change its input."""
    for build in builders(policy):
        for image in SPECS:
            transform, source = build(image, CLASSES), batch(image, 16)
            kept = source.images.clone(), source.targets.clone(), source.index.clone()
            for seed in range(5):
                draw(transform, source, seed=seed)
            for name, before in zip(("images", "targets", "index"), kept, strict=True):
                expect(torch.equal(getattr(source, name), before), f"it changed the {name} of its input")
    return "input unchanged"


def determinism(policy: Policy) -> str:
    """The output depends on torch's seed, not on other generators, earlier batches or the clock."""
    others = random.getstate(), _numpy_state()
    for build in builders(policy):
        for image in SPECS:
            transform, source = build(image, CLASSES), batch(image, 16)
            for seed in range(SEEDS):
                first, after = draw(transform, source, seed=seed), torch.get_rng_state()
                draw(transform, source, seed=seed + 1)
                expect(not torch.equal(after, torch.get_rng_state()), "it seeds torch's generator itself")
                expect(others == (random.getstate(), _numpy_state()), "it draws from random or numpy.random")
                again, fresh = draw(transform, source, seed=seed), draw(build(image, CLASSES), source, seed=seed)
                for other, when in ((again, "after another batch"), (fresh, "built anew")):
                    same = torch.equal(first.images, other.images) and torch.equal(first.targets, other.targets)
                    expect(same, f"one seed gives two results: {when}")
    return "a function of torch's seed"


def distribution(policy: Policy) -> str:
    """In 1,000 draws few images are blank, none are swapped, and all positions and classes are treated alike."""
    image = SPECS[0]
    changes, shares, likeness, blank = [], [], [], 0
    source = batch(image, 50)
    start = (image.resize - image.size) // 2
    centre = source.images[:, :, start : start + image.size, start : start + image.size].float()
    transform = policy.build(image, CLASSES)
    for seed in range(DRAWS // 50):
        # rotate the pictures through the batch, so that no position always has the same picture
        order = torch.arange(50).roll(seed * 7)
        output = draw(transform, _ordered(source, order), seed=seed)
        pixels = output.images.float()
        blank += int((pixels.flatten(1).std(1) < BLANK).sum())
        changes.append((pixels - centre[order]).abs().flatten(1).mean(1))
        likeness.append(torch.stack([_alike(pixels, centre[order.roll(by)]) for by in (0, OTHER)]))
        shares.append(_shares(output.targets).mean(0))
    expect(blank <= DRAWS // 20, f"{blank} of {DRAWS:,} images are blank")
    own, other = torch.stack(likeness).mean((0, 2)).tolist()
    expect(own > other + 0.05, f"an image resembles another image ({other:.2f}) as much as itself ({own:.2f})")
    apart = _places_apart(torch.stack(changes))
    expect(apart < SIGMAS, f"the first and the second half of a batch change differently ({apart:.1f} sigma)")
    lean = (torch.stack(shares).mean(0) - 1 / CLASSES).abs().max().item()
    expect(lean < 0.02, f"a class gets {lean:.1%} more or less than its share")
    return f"{DRAWS:,} draws, mean change {torch.stack(changes).mean():.1f} levels, {blank} blank"


def mirrors(policy: Policy) -> str:
    """The policy mirrors pictures if it declares it, and only then."""
    image = SPECS[0]
    share = _mirrored(policy.build(image, CLASSES), image)
    as_declared = share > 0.02 if policy.mirrors else share < 0.35
    expect(as_declared, f"mirrors={policy.mirrors}, and {share:.0%} of {DRAWS:,} were mirrored")
    if policy.unmirrored is not None:
        rest = _mirrored(policy.unmirrored(image, CLASSES), image)
        expect(rest < 0.35, f"unmirrored, and {rest:.0%} of {DRAWS:,} were mirrored")
    return f"{share:.0%} of {DRAWS:,} mirrored"


def soft_targets(policy: Policy) -> str:
    """Soft targets follow the pixels: of black and white pictures, a whiter mixture has a larger share of white."""
    image = SPECS[0]
    source = batch(image, 50)
    white = torch.randperm(50) % 2  # random, because with a pattern a wrong partner could have the right class
    pixels = (white * 255).to(torch.uint8)[:, None, None, None].expand_as(source.images)
    pixels = pixels.contiguous(memory_format=torch.channels_last)
    source = Batch(images=pixels, targets=white, index=source.index, epoch=0, step=0)
    transform = policy.build(image, 2)
    outputs = [draw(transform, source, seed=seed) for seed in range(DRAWS // 50)]
    if outputs[0].targets.ndim == 1:
        raise Skipped("its targets are classes")
    classes = outputs[0].targets.shape[1]
    expect(classes == 2, f"built for 2 classes, it returns shares of {classes}")
    shares = torch.cat([one.targets[:, 1] for one in outputs])
    bright = torch.cat([one.images.float().flatten(1).mean(1) for one in outputs])
    together = torch.corrcoef(torch.stack([shares, bright]))[0, 1].item()
    expect(together > FOLLOWS, f"shares and pixels correlate by {together:.2f}")
    return f"shares and pixels correlate by {together:.2f}"


def waits(policy: Policy) -> str:
    """No transform makes the CPU wait for an accelerator: it reads no number, and copies nothing between the two."""
    given = batch(SPECS[0], 7)
    there = {name: getattr(given, name).to(ACCELERATOR) for name in ("images", "targets", "index")}
    for build in builders(policy):
        require_no_wait(build(SPECS[0], CLASSES), replace(given, **there))
    return "no wait"


def capturable(policy: Policy) -> str:
    """A CUDA graph may repeat the policy: no number of the CPU stays in it. Otherwise the policy runs eagerly."""
    return require_capturable(policy, [build(SPECS[0], CLASSES) for build in builders(policy)], image=SPECS[0])


def vectors(policy: Policy) -> str:
    """Numbers of the images follow their targets: one for each class, they equal the shares of the targets."""
    if "vectors" not in policy.moves:
        raise Skipped("it is refused for networks that read numbers")
    for build in builders(policy):
        transform, source = build(SPECS[0], CLASSES), batch(SPECS[0], 16)
        numbers = _shares(source.targets)
        for seed in range(SEEDS):
            output = draw(transform, replace(source, vectors=numbers.clone()), seed=seed)
            given = output.vectors
            same = given is not None and torch.allclose(given, _shares(output.targets), atol=1e-5)
            expect(same, "the numbers are mixed by other shares than the targets, or not at all")
    return "mixed as the targets, or as they were"


def _ordered(source: Batch, order: Tensor) -> Batch:
    images = source.images[order].contiguous(memory_format=torch.channels_last)
    return Batch(images=images, targets=source.targets[order], index=source.index[order], epoch=1, step=3)


def _shares(output: Tensor) -> Tensor:
    return output if output.ndim == 2 else torch.nn.functional.one_hot(output, CLASSES).float()


def _alike(images: Tensor, others: Tensor) -> Tensor:
    """Return the absolute correlation of each image with its counterpart, `(N,)`: an inverted image is alike, too."""
    one, two = (item.flatten(1) - item.flatten(1).mean(1, keepdim=True) for item in (images, others))
    return torch.nn.functional.cosine_similarity(one, two, dim=1).abs()


def _numpy_state() -> tuple[object, ...]:
    return tuple(bytes(np.asarray(part)) for part in np.random.get_state())


def _places_apart(changes: Tensor) -> float:
    """Return the difference between the means of a batch's halves, in standard errors; `changes` is `(batches, N)`."""
    half = changes.shape[1] // 2
    first, second = changes[:, :half].flatten(), changes[:, half:].flatten()
    error = (first.var() / len(first) + second.var() / len(second)).sqrt().clamp(min=1e-6)
    return ((first.mean() - second.mean()).abs() / error).item()


def _mirrored(transform: Transform, image: ImageSpec) -> float:
    """Return the share of mirrored pictures: they are dark on the left before, and bright on the left after."""
    ramp = torch.linspace(40, 215, image.resize).expand(50, image.channels, image.resize, image.resize)
    pixels = ramp.to(torch.uint8).contiguous(memory_format=torch.channels_last)
    source = Batch(images=pixels, targets=torch.zeros(50, dtype=torch.int64), index=torch.arange(50), epoch=0, step=0)
    count, middle = 0, image.size // 2
    for seed in range(DRAWS // 50):
        output = draw(transform, source, seed=seed).images.float()
        count += int((output[..., :middle].mean((1, 2, 3)) > output[..., -middle:].mean((1, 2, 3))).sum())
    return count / DRAWS


RULES = {
    "signature": Rule(
        wants="a Policy whose build(image, num_classes) returns a function",
        judge=signature,
        fix="Policy(name=..., build=..., summary=...), where build(image: ImageSpec, num_classes: int) returns "
        "a function from Batch to Batch",
    ),
    "shapes": Rule(
        wants="as many images as in the input, at image.size",
        judge=shapes,
        fix="crop or resize from image.resize to image.size, and keep every image of batches of any length",
    ),
    "dtype": Rule(
        wants="uint8, or float32 in 0..255",
        judge=dtype,
        fix="do not scale to 0..1 or normalise, because the core does it; clamp to 0..255",
    ),
    "targets": Rule(
        wants="(N,) int64, or (N, num_classes) float32 that sums to one",
        judge=targets,
        fix="return each image's target unchanged, or mix one_hot(targets, num_classes).float()",
    ),
    "counters": Rule(
        wants="index, epoch and step unchanged",
        judge=counters,
        fix="dataclasses.replace(batch, images=..., targets=...)",
    ),
    "untouched": Rule(
        wants="an unchanged input",
        judge=untouched,
        fix="clone before any in-place operation: the images may be a view of the store",
    ),
    "determinism": Rule(
        wants="output that depends on torch's seed alone",
        judge=determinism,
        fix="draw with torch's global generator (torch.rand(..., device=batch.images.device)), not with random or "
        "numpy, and keep no state between batches: a resumed run must draw the same",
    ),
    "distribution": Rule(
        wants="1,000 draws that keep each picture at its position, treat all positions alike and favour no class",
        judge=distribution,
        fix="draw for every image of the batch; keep their order; lower the strength; mix targets as the images are "
        "mixed",
    ),
    "mirrors": Rule(
        wants="mirroring as the policy declares it",
        judge=mirrors,
        fix="set mirrors=True, and set `unmirrored` to the builder of the same policy without mirroring",
    ),
    "soft_targets": Rule(
        wants="shares that follow the pixels",
        judge=soft_targets,
        fix="give each picture the share of its own class that it has in the mixture",
    ),
    "waits": Rule(
        wants="a step that does not wait for an accelerator",
        judge=waits,
        fix="choose with torch.where instead of a mask or .nonzero(), call no .item(), .tolist() or .cpu(), and draw "
        "on batch.images.device; where another way is faster on a CPU, ask images.device.type",
    ),
    "capturable": Rule(
        wants="a policy that a CUDA graph can repeat; otherwise it runs eagerly, which is slower",
        judge=capturable,
        fix="keep shapes the same, use batch.epoch and batch.step as tensors, and read no number of a tensor",
    ),
    "vectors": Rule(
        wants='numbers of the images that follow their targets, with moves=("vectors",)',
        judge=vectors,
        fix="mix batch.vectors by the shares of the targets where it is not None, or leave 'vectors' out of moves",
    ),
}
