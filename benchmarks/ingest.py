"""`data add` by one process and by a worker for each core, in turn, on a folder of photos and on an archive.

    python benchmarks/ingest.py cifar10-jpeg.tar.xz [--pairs 5] [--photos 400]

The ways take turns in pairs, each run a process of its own, so that a busy moment of the machine hits them alike; the
first pair's stores are compared, byte by byte. Printed are medians and the quartiles of the ratio within a pair, CPU
seconds of the command's process and of its workers, the load, and the peak memory of the whole process tree, also for
a tenth of the images. CPU seconds bound what the wall clock can show on idle cores: no run ends before its busiest
process, nor before all its work divided by the cores.

The photos are made here: 1600 x 1200, smooth structure with noise, JPEG of quality 90; a tenth of them are different.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from resnetctl.data.reading.sniff import open_source
from resnetctl.system.machine import cores_granted

PROGRAM = """
import json, os, sys
from resnetctl.__main__ import main
code = main(sys.argv[1:])
times = os.times()
print(json.dumps([code, times.user + times.system, times.children_user + times.children_system]))
"""


@dataclass(frozen=True)
class Run:
    """One `data add`: seconds on the wall, CPU seconds of the process and of its workers, peak bytes of all."""

    wall: float
    own: float
    workers: float
    peak: int


def main() -> None:
    """Measure the photos, then the archive."""
    parser = argparse.ArgumentParser(description="data add: one process and several")
    parser.add_argument("archive", type=Path, help="cifar10-jpeg.tar.xz, or another archive of images")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--photos", type=int, default=400, help="photos in the folder, a multiple of 10")
    args = parser.parse_args()
    cores = cores_granted()
    print(f"{cores} cores granted, Pillow {Image.__version__}, {rates()}")
    with tempfile.TemporaryDirectory() as place:
        scratch = Path(place)
        photos = make_photos(scratch / "photos", args.photos)
        few_photos = make_photos(scratch / "few", args.photos // 10)
        compare(photos, few_photos, scratch, cores=cores, pairs=args.pairs)
        few_files = tenth(args.archive, scratch / "few.tar.xz")
        compare(args.archive, few_files, scratch, cores=cores, pairs=args.pairs)


def compare(source: Path, few: Path, scratch: Path, *, cores: int, pairs: int) -> None:
    """Measure pairs and check that both ways give the same bytes; `few` is a tenth of `source`."""
    print(f"\n{source.name}: {open_source(source).total:,} images")
    print(f"pair {'1: wall':>9} {'CPU':>7} {f'{cores}: wall':>9} {'CPU':>7} {'workers':>8} {'ratio':>6} {'load':>5}")
    found = []
    for number in range(1, pairs + 1):
        one, several = add(source, scratch, 1), add(source, scratch, cores)
        found.append((one, several))
        print(
            f"{number:4} {one.wall:8.2f}s {one.own:6.2f}s {several.wall:8.2f}s {several.own:6.2f}s "
            f"{several.workers:7.2f}s {one.wall / several.wall:5.2f}x {os.getloadavg()[0]:5.1f}",
            flush=True,
        )
        assert stored(scratch, 1) == stored(scratch, cores), "the stores differ"
    summarise(found, cores)
    for count, runs in zip((1, cores), zip(*found, strict=True), strict=True):
        peaks = [add(few, scratch, count).peak, max(run.peak for run in runs)]
        print(f"peak memory, {count}: {peaks[0] / 2**20:.0f} MiB for a tenth, {peaks[1] / 2**20:.0f} MiB for all")


def summarise(found: list[tuple[Run, Run]], cores: int) -> None:
    """Return medians, the ratio with quartiles, and the ratio that CPU seconds would allow on idle cores."""
    ratios = [one.wall / several.wall for one, several in found]
    low, middle, high = statistics.quantiles(ratios, n=4, method="inclusive")
    bounds = [one.own / max(run.own, (run.own + run.workers) / cores) for one, run in found]
    wall = [statistics.median(run.wall for run in way) for way in zip(*found, strict=True)]
    print(f"median {wall[0]:.2f}s and {wall[1]:.2f}s; ratio {middle:.2f}x, quartiles {low:.2f}x to {high:.2f}x")
    print(f"by CPU seconds, on {cores} idle cores: at most {statistics.median(bounds):.2f}x")


def add(source: Path, scratch: Path, threads: int) -> Run:
    """Run one `data add` in its own process."""
    environment = os.environ | {"RESNETCTL_THREADS": str(threads), "RESNETCTL_DATA_DIR": str(scratch / "store")}
    command = [sys.executable, "-c", PROGRAM, "data", "add", str(source), "--name", f"by-{threads}", "--replace"]
    begun = time.perf_counter()
    process = subprocess.Popen(
        [*command, "--json"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    peaks = [0]
    watcher = threading.Thread(target=watch, args=(process, peaks))
    watcher.start()
    out, said = process.communicate()
    wall = time.perf_counter() - begun
    watcher.join()
    assert process.returncode == 0, said
    code, own, workers = json.loads(out.splitlines()[-1])
    assert code == 0, said
    return Run(wall, own, workers, max(peaks))


def watch(process: subprocess.Popen[str], peaks: list[int]) -> None:
    """Sample the memory of a process and its children five times a second; shared pages count once."""
    while process.poll() is None:
        peaks.append(sum(map(proportional, [process.pid, *children(process.pid)])))
        time.sleep(0.2)


def children(pid: int) -> list[int]:
    """Return the child processes of `pid`."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def proportional(pid: int) -> int:
    """Return the bytes of memory of a process; a shared page is divided by the processes that share it."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def stored(scratch: Path, threads: int) -> dict[str, bytes]:
    """Return every file of a store, without the dataset's name in the card."""
    folder = scratch / "store" / f"by-{threads}"
    found = {path.name: path.read_bytes() for path in folder.iterdir()}
    found["card.json"] = found["card.json"].replace(folder.name.encode(), b"NAME")
    return found


def make_photos(folder: Path, count: int) -> Path:
    """Write `count` JPEG files in two classes; a tenth of them are different."""
    chance = np.random.default_rng(0)
    for label in ("left", "right"):
        (folder / label).mkdir(parents=True)
    for number in range(count // 10):
        rough = Image.fromarray(chance.integers(0, 256, (18, 24, 3), dtype=np.uint8))
        smooth = np.asarray(rough.resize((1600, 1200), Image.Resampling.BICUBIC), np.float32)
        noisy = smooth + chance.normal(0, 6, smooth.shape)
        file = folder / ("left", "right")[number % 2] / f"{number}-0.jpg"
        Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(file, quality=90)
        for copy in range(1, 10):
            shutil.copy(file, file.with_name(f"{number}-{copy}.jpg"))
    return folder


def tenth(archive: Path, target: Path) -> Path:
    """Return an archive with every tenth image of an archive."""
    with tarfile.open(target, "w:xz") as out:
        for number, item in enumerate(open_source(archive).items()):
            if number % 10 == 0:
                data = item.read()
                info = tarfile.TarInfo(item.name)
                info.size = len(data)
                out.addfile(info, io.BytesIO(data))
    return target


def rates() -> str:
    """Return the machine's current rates of a matrix product and of a memory copy."""
    a = np.ones((1024, 1024), np.float32)
    b = np.ones(2**26, np.uint8)
    product = min(timed(lambda: a @ a) for _ in range(5))
    copied = min(timed(lambda: b.copy()) for _ in range(5))
    return f"SGEMM {2 * 1024**3 / product / 1e9:.0f} GFLOP/s, copy {2 * 2**26 / copied / 1e9:.1f} GB/s"


def timed(work: Callable[[], object]) -> float:
    """Return the seconds that `work` takes."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


if __name__ == "__main__":
    main()
