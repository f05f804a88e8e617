"""Time the policies on one core, with Pillow and torchvision v2 called once per image in the same run.

    python benchmarks/augmentation.py [--images 512] [--rounds 7] [--json]

Every row ends where the model begins: crop, mirror, to float, normalise, one batch of 128. The three ways take turns
within each round, so that a busy moment of the machine hits them alike; printed are medians, the spread between the
quartiles, and the ratio within each round to Pillow's.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from machine import hardware
from PIL import Image
from torchvision import transforms as v1
from torchvision.transforms import v2

from resnetctl.data import policies
from resnetctl.data.preprocess import normalise
from resnetctl.spec import Batch, ImageSpec
from resnetctl.system.machine import keep_freed_memory

SIDE, BATCH = 32, 128
SPEC = ImageSpec(size=SIDE, mean=(0.49, 0.48, 0.45), std=(0.25, 0.24, 0.26))


def main() -> None:
    """Measure `standard` and `resized-crop`, print one table each."""
    parser = argparse.ArgumentParser(description="augmentation: images per second on one core")
    parser.add_argument("--images", type=int, default=512, help="images a round for the per-image ways")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", action="store_true", help="print the images/s of every round instead")
    args = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()  # as a run does
    pixels = np.random.default_rng(0).integers(0, 256, (args.images, SIDE, SIDE, 3), dtype=np.uint8)
    with torch.inference_mode():
        found = {
            policy.name: measure(ways(policy.name, pixels), count=args.images, rounds=args.rounds)
            for policy in (policies.standard, policies.resized_crop)
        }
    if args.json:
        print(json.dumps(found))
        return
    print(f"{hardware()}; torch {torch.__version__}, one thread, {SIDE} px, {args.rounds} rounds")
    for name, speeds in found.items():
        report(name, speeds)


def ways(name: str, pixels: np.ndarray) -> dict[str, Callable[[], None]]:
    """Return one pass over `pixels` in each of three ways."""
    pictures = [Image.fromarray(image) for image in pixels]
    tensors = torch.from_numpy(pixels).permute(0, 3, 1, 2)
    crop1 = v1.RandomCrop(SIDE, padding=SIDE // 8) if name == "standard" else v1.RandomResizedCrop(SIDE)
    crop2 = v2.RandomCrop(SIDE, padding=SIDE // 8) if name == "standard" else v2.RandomResizedCrop(SIDE)
    pil = v1.Compose([crop1, v1.RandomHorizontalFlip(), v1.ToTensor(), v1.Normalize(SPEC.mean, SPEC.std)])
    tensor = v2.Compose(
        [crop2, v2.RandomHorizontalFlip(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(SPEC.mean, SPEC.std)]
    )
    ours = policies.build(getattr(policies, name.replace("-", "_")), SPEC, num_classes=10, mirror=True)
    place = torch.arange(BATCH)

    def batched() -> None:
        for start in range(0, len(tensors), BATCH):
            images = tensors[start : start + BATCH]
            count = place[: len(images)]
            normalise(ours(Batch(images=images, targets=count, index=count, epoch=0, step=0)).images, SPEC)

    def each(items: list[Image.Image] | torch.Tensor, transform: Callable[..., torch.Tensor]) -> None:
        for start in range(0, len(items), BATCH):
            torch.stack([transform(item) for item in items[start : start + BATCH]])

    return {
        "Pillow, per image": lambda: each(pictures, pil),
        "torchvision v2 on uint8, per image": lambda: each(tensors, tensor),
        "resnetctl, per batch": batched,
    }


def measure(passes: dict[str, Callable[[], None]], *, count: int, rounds: int) -> dict[str, list[float]]:
    """Time the passes in turn. Return the images per second of each round."""
    speeds: dict[str, list[float]] = {way: [] for way in passes}
    for number in range(rounds + 1):
        for way, run in passes.items():
            repeats = 8 if way.startswith("resnetctl") else 1  # about as long as the others
            begun = time.perf_counter()
            for _ in range(repeats):
                run()
            if number:  # the first round warms up
                speeds[way].append(repeats * count / (time.perf_counter() - begun))
    return speeds


def report(name: str, speeds: dict[str, list[float]]) -> None:
    """Print a table of images per second."""
    print(f"\n{name:36} {'images/s':>10} {'quartiles':>19} {'to Pillow':>10}")
    base = speeds["Pillow, per image"]
    for way, values in speeds.items():
        low, _, high = statistics.quantiles(values, n=4)
        ratio = statistics.median(value / other for value, other in zip(values, base, strict=True))
        print(f"{way:36} {statistics.median(values):10,.0f} {low:9,.0f}-{high:9,.0f} {ratio:9.1f}x")


if __name__ == "__main__":
    main()
