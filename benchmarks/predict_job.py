"""Compare `predict --csv` with a loop that is written by hand: Pillow and onnxruntime in two processes.

    python benchmarks/predict_job.py MODEL.onnx [--images 5000] [--rounds 5] [--processes 2]

Both read the same JPEGs of 500x375 pixels, made up once, and write class and probability of each into a CSV file. The
hand-written loop divides the files among its processes; each opens, resizes and crops as the model needs, and predicts
batches of 64 with a session of one thread. Both are new processes, start included, and take turns within a round. An
untimed run of `predict` comes first, so that Python has the bytecode that an installation writes. The classes must be
the same. Wall seconds and the CPU seconds of all processes are counted; the ratio is taken within each round, and above
1 `predict` is faster.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

SIZE = (500, 375)
BATCH = 64


def main() -> None:
    """Print one line for each round, and the medians."""
    parser = argparse.ArgumentParser(description="predict --csv against a hand-written loop")
    parser.add_argument("model", type=Path)
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--by-hand", type=Path, nargs=2, help=argparse.SUPPRESS)  # photos and CSV file
    args = parser.parse_args()
    if args.by_hand:
        by_hand(args.model, *args.by_hand, processes=args.processes)
        return
    import machine

    print(f"{machine.hardware()}; {machine.versions('pillow', 'onnxruntime', 'numpy')}; {args.images} images")
    with tempfile.TemporaryDirectory() as folder:
        photos = make_photos(Path(folder) / "photos", args.images)
        compare(args, photos, Path(folder))


def make_photos(folder: Path, count: int) -> Path:
    """Write JPEGs whose size and detail are those of photos: 40 to 60 kB each."""
    folder.mkdir()
    generator = np.random.default_rng(0)
    for number in range(count):
        small = Image.fromarray(generator.integers(0, 256, (47, 63, 3), dtype=np.uint8))
        small.resize(SIZE, Image.Resampling.BICUBIC).save(folder / f"{number:05}.jpg", quality=90)
    return folder


def compare(args: argparse.Namespace, photos: Path, folder: Path) -> None:
    """Time both programs in turns."""
    ours, theirs = folder / "ours.csv", folder / "theirs.csv"
    model = args.model.resolve()
    programs = {
        "predict": ["-m", "resnetctl", "predict", model, photos, "--csv", ours],
        "by hand": [__file__, model, "--by-hand", photos, theirs, "--processes", args.processes],
    }
    timed(programs["predict"])  # writes bytecode, as pip does when it installs
    ratios = []
    for number in range(args.rounds):
        times = {}
        for name in sorted(programs, reverse=bool(number % 2)):
            (ours if name == "predict" else theirs).unlink(missing_ok=True)
            times[name] = timed(programs[name])
        same = agreement(ours, theirs)
        ratios.append([times["by hand"][part] / times["predict"][part] for part in (0, 1)])
        shown = ", ".join(f"{name} {wall:.1f} s ({cpu:.1f} s CPU)" for name, (wall, cpu) in times.items())
        print(f"round {number + 1}: {shown}; {same:.2%} of the classes equal", flush=True)
    for name, values in zip(("wall", "CPU"), zip(*ratios, strict=True), strict=True):
        print(f"{name}: median {statistics.median(values):.2f}, {min(values):.2f} to {max(values):.2f}")


def timed(command: list[object]) -> tuple[float, float]:
    """Return the wall seconds and the CPU seconds of a program and its processes."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run([sys.executable, *map(str, command)], check=True, capture_output=True, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.monotonic() - begun, cpu


def agreement(ours: Path, theirs: Path) -> float:
    """Return the share of images with the same class in both tables."""
    tables = []
    for path in (ours, theirs):
        with path.open(newline="") as file:
            tables.append({row["file"]: row["class"] for row in csv.DictReader(file)})
    assert tables[0].keys() == tables[1].keys(), "the tables have other images"
    return sum(tables[1][name] == label for name, label in tables[0].items()) / len(tables[0])


def by_hand(model: Path, photos: Path, table: Path, *, processes: int) -> None:
    """Classify the photos as a person would write it in an hour."""
    files = sorted(map(str, photos.iterdir()))
    shares = [files[start::processes] for start in range(processes)]
    with ProcessPoolExecutor(processes) as pool, table.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "class", "probability"])
        for rows in pool.map(_classify, [str(model)] * processes, shares):
            writer.writerows(rows)


def _classify(model: str, files: list[str]) -> list[tuple[str, str, float]]:
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    card = json.loads(session.get_modelmeta().custom_metadata_map["resnetctl.card"])
    image, classes = card["image"], card["classes"]
    rows: list[tuple[str, str, float]] = []
    for start in range(0, len(files), BATCH):
        names = files[start : start + BATCH]
        pixels = np.stack([_prepared(name, image) for name in names]).astype(np.float32) / np.float32(255)
        (shares,) = session.run(["probabilities"], {"pixel_values": pixels})
        best = shares.argmax(1)
        rows += [
            (name, classes[label], float(row[label])) for name, label, row in zip(names, best, shares, strict=True)
        ]
    return rows


def _prepared(name: str, image: dict[str, int]) -> np.ndarray:
    """Return a photo as (C, S, S): the central square, resized, its centre cropped."""
    with Image.open(name) as photo:
        pixels = photo.convert("L" if image["channels"] == 1 else "RGB")
    side, margin = image["resize"], (image["resize"] - image["size"]) // 2
    left, top = (pixels.width - min(pixels.size)) / 2, (pixels.height - min(pixels.size)) / 2
    box = (left, top, left + min(pixels.size), top + min(pixels.size))
    small = np.asarray(pixels.resize((side, side), Image.Resampling.BILINEAR, box=box)).reshape(side, side, -1)
    end = margin + image["size"]
    return small[margin:end, margin:end].transpose(2, 0, 1)


if __name__ == "__main__":
    main()
