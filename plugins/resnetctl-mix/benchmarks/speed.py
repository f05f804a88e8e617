"""Measure the speed of the policies on one core, and of torchvision v2 in the same run.

    python plugins/resnetctl-mix/benchmarks/speed.py [--size 32] [--batch 128] [--rounds 9]

Automatic augmentation: pad, crop, mirror and augment one batch, against the same v2 transforms called per image on the
same uint8 images. Mixing: images and targets of one batch, against `v2.MixUp` on a float batch (it takes no uint8) and
`v2.CutMix` on both; ours always starts from uint8. Both take turns within each round, so that a busy moment of the
machine slows both. The table has medians, quartiles, and the median of the ratios within the rounds. The time is CPU
time of the thread, so that waiting for a core does not count.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from resnetctl_mix import mixing, policies
from torch import Tensor
from torchvision.transforms import v2

from resnetctl.spec import Batch, ImageSpec, Policy

CLASSES = 10
Run = Callable[[], object]


def main() -> None:
    """Measure all policies and print one table."""
    parser = argparse.ArgumentParser(description="augmentation policies: images per core-second")
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=9)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    print(f"{hardware()}; torch {torch.__version__}, one thread, {args.size} px, batch {args.batch}, n={args.rounds}\n")
    print("| policy | torchvision v2, images/s | quartiles | this plugin, images/s | quartiles | ratio |")
    print("|---|---:|---:|---:|---:|---:|")
    with torch.inference_mode():
        pixels = torch.randint(0, 256, (args.batch, args.size, args.size, 3), dtype=torch.uint8).permute(0, 3, 1, 2)
        labels = torch.randint(0, CLASSES, (args.batch,))
        for name, (theirs, ours) in ways(pixels, labels).items():
            print(row(name, theirs, ours, count=args.batch, rounds=args.rounds))


def ways(pixels: Tensor, labels: Tensor) -> dict[str, tuple[Run, Run]]:
    """Return for each policy two functions that augment the batch once: torchvision's and ours."""
    size = pixels.shape[2]
    standard = [v2.RandomCrop(size, padding=size // 8), v2.RandomHorizontalFlip()]
    pairs: dict[str, tuple[Run, Run]] = {}
    for policy, theirs in (
        (policies.randaugment, v2.RandAugment()),
        (policies.trivialaugment, v2.TrivialAugmentWide()),
        (policies.autoaugment_cifar, v2.AutoAugment(v2.AutoAugmentPolicy.CIFAR10)),
    ):
        pairs[policy.name] = each(v2.Compose([*standard, theirs]), pixels), whole(policy, pixels, labels)
    real = pixels.float()
    mixup, cutmix = v2.MixUp(num_classes=CLASSES), v2.CutMix(num_classes=CLASSES)
    pairs["mixup, only the mixing; v2 on float"] = (
        lambda: mixup(real, labels),
        lambda: with_targets(mixing.mixup, pixels, labels),
    )
    pairs["cutmix, only the mixing; v2 on float"] = (
        lambda: cutmix(real, labels),
        lambda: with_targets(mixing.cutmix, pixels, labels),
    )
    pairs["cutmix, only the mixing; v2 on uint8"] = (
        lambda: cutmix(pixels, labels),
        lambda: with_targets(mixing.cutmix, pixels, labels),
    )
    return pairs


def with_targets(mix: Callable[[Tensor], tuple[Tensor, Tensor]], pixels: Tensor, labels: Tensor) -> Tensor:
    """Mix images and targets; return the images."""
    images, share = mix(pixels)
    mixing.mix_targets(labels, share, num_classes=CLASSES)
    return images


def each(transform: Callable[[Tensor], Tensor], pixels: Tensor) -> Run:
    """Return a function that calls `transform` on image after image."""
    return lambda: torch.stack([transform(image) for image in pixels])


def whole(policy: Policy, pixels: Tensor, labels: Tensor) -> Run:
    """Return a function that calls the policy on the batch."""
    apply = policy.build(ImageSpec(size=pixels.shape[2]), CLASSES)
    batch = Batch(images=pixels, targets=labels, index=labels, epoch=0, step=0)
    return lambda: apply(batch)


def row(name: str, theirs: Run, ours: Run, *, count: int, rounds: int) -> str:
    """Return one line of the table."""
    speeds = [(speed(theirs, count), speed(ours, count)) for _ in range(rounds + 1)][1:]  # the first warms up
    ratio = statistics.median(second / first for first, second in speeds)
    columns = []
    for values in zip(*speeds, strict=True):
        low, middle, high = statistics.quantiles(values, n=4)
        columns.append(f"{middle:,.0f} | {low:,.0f}-{high:,.0f}")
    return f"| {name} | {' | '.join(columns)} | {ratio:.1f} |"


def speed(run: Run, count: int, *, seconds: float = 0.1) -> float:
    """Return the images per core-second, measured over at least `seconds`."""
    start, passes = time.thread_time(), 0
    while (spent := time.thread_time() - start) < seconds:
        run()
        passes += 1
    return passes * count / spent


def hardware() -> str:
    """Return the processor's name and its number of cores."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.processor()}, {os.cpu_count()} cores"


if __name__ == "__main__":
    main()
