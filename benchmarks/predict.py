"""Compare the loops of `eval` and `predict` on decoded images with a bare onnxruntime session.

    python benchmarks/predict.py MODEL.onnx [--data cifar10-jpeg] [--rounds 9]

Bare is `session.run` of the same session on float32 batches that lie ready. Each loop gets uint8 images and does all
that the command does after decoding: cast, scale, run, count or sort. `eval` is timed a second time with what reads and
proves the stored images. Both take turns within a round, in the same process, on the same session and images, after the
logits were compared; the ratio is taken within each round. CPU seconds are counted, which neighbours disturb less than
wall seconds.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from augmentation import hardware

from resnetctl.data.splits import ImageSet, eval_batches, open_eval_set
from resnetctl.data.store import open_store
from resnetctl.deploy import onnx_session
from resnetctl.engine.metrics import measure
from resnetctl.system import settings
from resnetctl.tasks.predict import classified
from resnetctl.tasks.targets import Opened


def main() -> None:
    """Measure both loops at batch 128 and 1."""
    parser = argparse.ArgumentParser(description="prediction: share of a bare onnxruntime session")
    parser.add_argument("model", type=Path)
    parser.add_argument("--data", default="cifar10-jpeg")
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=9)
    args = parser.parse_args()
    model = onnx_session.from_bytes(onnx_session.read_bytes(args.model), str(args.model), threads=1)
    opened = Opened(card=model.card.weights, digest="", predict=model.logits)
    images = open_eval_set(open_store(settings.load().data_dir, args.data), "test", val_split=None)
    print(
        f"{hardware()}; one thread; {args.images} images of {args.data}; {args.rounds} rounds; SGEMM {sgemm():.0f} GF/s"
    )
    print(f"{'loop':26} {'batch':>5} {'bare/s':>8} {'ours/s':>8} {'share':>7} {'quartiles':>14}")
    for batch in (128, 1):
        report(model, opened, first(images, args.images), batch=batch, rounds=args.rounds)


def first(images: ImageSet, count: int) -> ImageSet:
    """Return the first `count` images."""
    return ImageSet(**{**vars(images), "index": images.index[:count]})


def report(model: onnx_session.OnnxModel, opened: Opened, images: ImageSet, *, batch: int, rounds: int) -> None:
    """Compare logits, then time the loops against the bare session."""
    prepared = list(eval_batches(images, opened.card.image, batch_size=batch))
    batches = [pixels for pixels, _ in prepared]
    named = [(pixels, [Path("x")] * len(pixels)) for pixels in batches]
    ready = [
        np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)).astype(np.float32) / np.float32(255) for pixels in batches
    ]
    session = model._session
    for pixels, floats in zip(batches, ready, strict=True):
        assert np.array_equal(model.logits(pixels), session.run(["logits"], {"pixel_values": floats})[0]), "no parity"

    def bare() -> None:
        for floats in ready:
            session.run(["logits"], {"pixel_values": floats})

    def evaluated() -> None:
        measure(opened.predict, prepared, classes=opened.card.classes)

    def evaluated_from_store() -> None:
        measure(opened.predict, eval_batches(images, opened.card.image, batch_size=batch), classes=opened.card.classes)

    def predicted() -> None:
        assert sum(1 for _ in classified(opened, named, top=1)) == len(images)

    loops = {"eval": evaluated, "eval, read from the store": evaluated_from_store, "predict": predicted}
    for name, loop in loops.items():
        pairs = [(seconds(bare), seconds(loop)) for _ in range(rounds + 1)][1:]
        shares = [one / other for one, other in pairs]
        low, _, high = statistics.quantiles(shares, n=4)
        speeds = [len(images) / statistics.median(side) for side in zip(*pairs, strict=True)]
        middle = statistics.median(shares)
        print(
            f"{name:26} {batch:5} {speeds[0]:8.0f} {speeds[1]:8.0f} {middle:7.1%} {low:6.1%} - {high:.1%}", flush=True
        )


def seconds(work: Callable[[], None]) -> float:
    """Return the CPU seconds of one call."""
    begun = time.process_time()
    work()
    return time.process_time() - begun


def sgemm(size: int = 1024, repeats: Sequence[int] = range(5)) -> float:
    """Return the best GFLOP/s of a float32 matrix product in numpy, on the threads that the environment sets."""
    matrix = np.ones((size, size), np.float32)
    return max(2 * size**3 / seconds(lambda: np.dot(matrix, matrix)) / 1e9 for _ in repeats)


if __name__ == "__main__":
    main()
