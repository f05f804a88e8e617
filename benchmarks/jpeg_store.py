"""A store of files against a plain Pillow loop and against the raw store, and an index of ImageNet's size.

    python benchmarks/jpeg_store.py [--photos FOLDER] [--rounds 9]

Without a folder it makes photos: smooth structure with noise, JPEG of quality 90, of 256 x 256 and of 500 x 375 pixels;
both are stored at 256. The rows of both forms must be equal before anything is timed. The ways take turns, and images
per CPU second count the CPU time of all threads, so a busy machine changes ratios little.
"""

from __future__ import annotations

import argparse
import io
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import machine
import numpy as np
from PIL import Image

from resnetctl.data.images import square
from resnetctl.data.ingest.images import ingest
from resnetctl.data.reading.plain_jpeg import plain_shape, space_for
from resnetctl.data.reading.sniff import open_source
from resnetctl.data.storage import rows
from resnetctl.data.storage.files import Files, index_bytes, read_index
from resnetctl.data.storage.options import Options
from resnetctl.data.storage.rows import FileImages
from resnetctl.data.storage.shards import shard_path
from resnetctl.data.store import Store, open_store
from resnetctl.spec import Storage
from resnetctl.system.machine import keep_freed_memory

SIDE, BATCH = 256, 64
IMAGENET = 1_281_167  # images of its train split
BYTES = 110_000  # of one file there, on average


def main() -> None:
    """Measure both sizes of photos, or a folder, then the index."""
    parser = argparse.ArgumentParser(description="the store of files: decoding, adding, opening")
    parser.add_argument("--photos", type=Path, help="a folder with a folder of photos per class")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--index", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.index:
        time_index(args.index)
        return
    keep_freed_memory()  # as training does: otherwise new pages for each batch cost as much as a part of the decoding
    print(f"{machine.hardware()}; {machine.versions('pillow', 'simplejpeg', 'numpy')}")
    print(f"{machine.copy():.1f} GB/s copy, load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as place:
        scratch = Path(place)
        folders = [args.photos] if args.photos else [make_photos(scratch, shape) for shape in ((256, 256), (500, 375))]
        for folder in folders:
            compare(folder, scratch / "data", rounds=args.rounds)
        open_index(scratch / "imagenet")


def compare(folder: Path, data_dir: Path, *, rounds: int) -> None:
    """Store a folder in both forms, require equal rows, and time ways to read them in turns."""
    raw, files = (add(folder, data_dir, storage) for storage in ("raw", "jpeg"))
    pixels, images = raw.split("train").images, files.split("train").images
    assert isinstance(images, FileImages)
    assert all(np.array_equal(ours, its) for ours, its in zip(images, pixels, strict=True)), "the rows differ"
    total = sum(files.card.splits.values())
    print(f"\n{folder.name}: {total:,} images, {size(files) / 1e6:.1f} MB as files, {size(raw) / 1e6:.1f} MB raw")
    chosen = np.random.default_rng(0).permutation(len(pixels))[:BATCH]
    originals = [images._files.read(row) for row in chosen.tolist()]
    fast, threads = rows.exact_decoder(), rows.cores_granted()

    def store(decoder: object, count: int) -> Callable[[], object]:
        def read() -> None:
            rows.exact_decoder, images._threads = lambda: decoder, count
            images[chosen]

        return read

    decoded = space_for((len(chosen), SIDE, SIDE, 3))

    def alone() -> None:
        for data, image in zip(originals, decoded, strict=True):
            fast(data, image)

    is_plain = fast is not None and {plain_shape(data) for data in originals} == {(SIDE, SIDE, 3)}
    ways: dict[str, Callable[[], object]] = {
        "Pillow loop": lambda: np.stack([plain(data) for data in originals]),
        **({"simplejpeg alone": alone} if is_plain else {}),
        "store, Pillow": store(None, 1),
        "store, simplejpeg": store(fast, 1),
        f"store, simplejpeg, {threads} threads": store(fast, threads),
        "raw store": lambda: np.take(pixels, chosen, axis=0),
    }
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds + 1):
        for name, way in ways.items():
            begun = time.process_time()
            way()
            found[name].append(len(chosen) / (time.process_time() - begun))
    print(f"{'images per CPU second':32} {'median':>8} {'quartiles':>17}  {'to the loop':>11} {'quartiles':>11}")
    for name, rates in found.items():
        ratios = [rate / loop for rate, loop in zip(rates[1:], found["Pillow loop"][1:], strict=True)]
        low, middle, high = statistics.quantiles(rates[1:], n=4, method="inclusive")
        few, ratio, many = statistics.quantiles(ratios, n=4, method="inclusive")
        print(f"{name:32} {middle:8,.0f} {low:8,.0f}-{high:8,.0f}  {ratio:10.2f}x {few:5.2f}-{many:5.2f}")


def plain(data: bytes) -> np.ndarray:
    """Return what a data loader without a store computes: open, convert, and make square."""
    return square(Image.open(io.BytesIO(data)).convert("RGB"), 3, resize=SIDE)


def add(folder: Path, data_dir: Path, storage: Storage) -> Store:
    """Store a folder in one process, and print the CPU seconds."""
    begun = time.process_time()
    options = Options(size=SIDE, storage=storage, replace=True)
    list(ingest(data_dir, storage, source=open_source(folder), options=options))
    store, spent = open_store(data_dir, storage), time.process_time() - begun
    print(f"data add {folder.name} as {storage}: {sum(store.card.splits.values()) / spent:,.0f} images per CPU second")
    return store


def size(store: Store) -> int:
    """Return the bytes of the images of a store and of their digests."""
    return sum(path.stat().st_size for path in store.path.iterdir() if path.suffix in (".bin", ".safetensors"))


def open_index(folder: Path) -> None:
    """Write an index of ImageNet's size beside empty shards of 1 GiB, and open it in a process of its own."""
    folder.mkdir()
    index = folder / "train.safetensors"
    offsets = np.arange(IMAGENET + 1) * BYTES
    starts = np.append(offsets[: -1 : 2**30 // BYTES], offsets[-1])
    for number, bytes_of_shard in enumerate(np.diff(starts).tolist()):
        with shard_path(index, number).open("wb") as shard:
            shard.truncate(bytes_of_shard)
    numbers = np.arange(IMAGENET)
    index.write_bytes(index_bytes([offsets, starts, numbers, numbers % 1000], bytes(32 * IMAGENET), about={}))
    print(f"\nindex of {IMAGENET:,} rows, {index.stat().st_size / 1e6:.0f} MB, {len(starts) - 1} shards")
    subprocess.run([sys.executable, __file__, "--index", str(index)], check=True)


def time_index(index: Path) -> None:
    """Open an index five times; print wall and CPU seconds, and how far the memory of the process grew."""
    before, walls, spent = memory("VmRSS"), [], []
    for _ in range(5):
        begun, used = time.perf_counter(), time.process_time()
        assert len(Files(index, read_index(index))) == IMAGENET
        walls.append(time.perf_counter() - begun)
        spent.append(time.process_time() - used)
    grown, load = memory("VmHWM") - before, os.getloadavg()[0]
    print(f"opens in {statistics.median(walls):.2f} s ({min(walls):.2f}-{max(walls):.2f}, n=5),", end=" ")
    print(f"{statistics.median(spent):.2f} CPU s; peak memory +{grown:.0f} MiB, load {load:.1f}")


def memory(name: str) -> float:
    """Return a number of this process's memory in MiB: VmRSS is now, VmHWM the peak."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024


def make_photos(scratch: Path, shape: tuple[int, int], count: int = 240) -> Path:
    """Write JPEG files of (width, height) in two classes."""
    chance, (width, height) = np.random.default_rng(0), shape
    folder = scratch / f"{width}x{height}"
    for number in range(count):
        rough = Image.fromarray(chance.integers(0, 256, (height // 11, width // 11, 3), dtype=np.uint8))
        smooth = np.asarray(rough.resize(shape, Image.Resampling.BICUBIC), np.float32)
        noisy = smooth + chance.normal(0, 6, smooth.shape)
        file = folder / ("left", "right")[number % 2] / f"{number}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(file, quality=90)
    return folder


if __name__ == "__main__":
    main()
