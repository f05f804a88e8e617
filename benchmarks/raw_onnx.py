"""Compare the preprocessing inside a raw ONNX file with Pillow: pixels, cost, size and start.

    python benchmarks/raw_onnx.py pixels PHOTOS [--sizes 2000]
    python benchmarks/raw_onnx.py cost [--rounds 15]

`pixels` counts pictures whose pixels are bit-equal: every photo below the folder PHOTOS with three fits and three
filters, and pictures of noise of random sizes from 1 to 900 pixels. `cost` times `data.images.prepare_array`, which is
Pillow, and the graph in turns within a round, in one process on one thread, and takes the ratio within each round. CPU
seconds are counted, which neighbours disturb less than wall seconds.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import machine
import numpy as np
import onnxruntime
from onnx import TensorProto, helper

from resnetctl.data.image_files import listed
from resnetctl.data.images import prepare_array
from resnetctl.data.reading.decode import BadImage, Pixels
from resnetctl.deploy.raw.contract import preprocessing
from resnetctl.deploy.raw.writer import SIDES, protos
from resnetctl.spec import ImageSpec

FITS = ("crop", "pad", "squash")
FILTERS = ("bilinear", "bicubic", "lanczos")
IMAGE = {"size": 224, "resize": 256}
COSTS = ((375, 500), (500, 375), (1080, 1920), (3000, 4000))  # rows, columns


def main() -> None:
    """Run the part that the command line names."""
    parser = argparse.ArgumentParser(description="the preprocessing of raw ONNX files against Pillow")
    parser.add_argument("part", choices=("pixels", "cost"))
    parser.add_argument("photos", type=Path, nargs="?")
    parser.add_argument("--sizes", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=15)
    args = parser.parse_args()
    print(f"{machine.hardware()}; {machine.versions('pillow', 'onnxruntime', 'onnx', 'numpy')}")
    if args.part == "pixels":
        pixels(args.photos, args.sizes)
    else:
        cost(args.rounds)


def pixels(photos: Path | None, sizes: int) -> None:
    """Print the share of pictures that are bit-equal."""
    specs = [ImageSpec(**IMAGE, fit=fit, interpolation=name) for fit, name in itertools.product(FITS, FILTERS)]
    runs = [(spec, session(spec)) for spec in specs]
    if photos is not None:
        decoded = (item.decoded(3) for item in listed([photos], ignored=Counter()))
        results = [equal(run, picture, spec) for picture in decoded for spec, run in runs if not bad(picture)]
        print(f"photos x fits x filters: {sum(results):,} of {len(results):,} bit-equal")
    generator = np.random.default_rng(0)
    results = []
    for number, (height, width) in enumerate(generator.integers(1, 901, (sizes, 2)).tolist()):
        spec, run = runs[number % len(runs)]
        picture = generator.integers(0, 256, (height, width, 3), dtype=np.uint8)
        results.append(equal(run, picture, spec))
    print(f"made-up sizes: {sum(results):,} of {len(results):,} bit-equal")


def bad(picture: object) -> bool:
    """Return whether a file could not be read."""
    return isinstance(picture, BadImage)


def equal(run: onnxruntime.InferenceSession, picture: Pixels, spec: ImageSpec) -> bool:
    """Return whether the graph gives the pixels of the project."""
    wanted = prepare_array(picture, spec).transpose(2, 0, 1).astype(np.float32) / np.float32(255)
    return bool(np.array_equal(run.run(None, {"image": picture[None]})[0][0], wanted))


def cost(rounds: int) -> None:
    """Print size, start and CPU time."""
    spec = ImageSpec(**IMAGE)
    data = model(spec)
    starts = [timed(lambda: session(spec), clock=time.perf_counter) for _ in range(rounds)]
    print(f"{len(data):,} bytes, {len(preprocessing(spec).steps)} nodes, start {statistics.median(starts):.3f} s")
    run = session(spec)
    print(f"{'picture':>12} {'Pillow ms':>10} {'graph ms':>9} {'ratio':>6} {'quartiles':>12}")
    for height, width in COSTS:
        picture = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
        repeats = max(1, 4_000_000 // picture.size)
        pairs = [
            (
                timed(lambda picture=picture: prepare_array(picture, spec), repeats=repeats),
                timed(lambda picture=picture: run.run(None, {"image": picture[None]}), repeats=repeats),
            )
            for _ in range(rounds)
        ]
        low, middle, high = statistics.quantiles([ours / pillow for pillow, ours in pairs], n=4)
        pillow, ours = (1000 * statistics.median(column) for column in zip(*pairs, strict=True))
        print(f"{height:>6}x{width:<5} {pillow:>10.2f} {ours:>9.2f} {middle:>6.2f} {low:>6.2f}-{high:.2f}")


def timed(work: Callable[[], object], *, repeats: int = 1, clock: Callable[[], float] = time.process_time) -> float:
    """Return seconds a call, after a call that is not counted."""
    work()
    begun = clock()
    for _ in range(repeats):
        work()
    return (clock() - begun) / repeats


def model(spec: ImageSpec) -> bytes:
    """Return an ONNX file of the preprocessing alone."""
    nodes, constants = protos(preprocessing(spec))
    inputs = [helper.make_tensor_value_info("image", TensorProto.UINT8, SIDES)]
    sides = ["batch", spec.channels, spec.size, spec.size]
    outputs = [helper.make_tensor_value_info("pixel_values", TensorProto.FLOAT, sides)]
    graph = helper.make_graph(nodes, "preprocessing", inputs, outputs, constants)
    whole = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return bytes(whole.SerializeToString())


def session(spec: ImageSpec) -> onnxruntime.InferenceSession:
    """Return the preprocessing on one thread of onnxruntime."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model(spec), options, providers=["CPUExecutionProvider"])


if __name__ == "__main__":
    main()
