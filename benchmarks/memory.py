"""Measure the memory of training above that of a process that has only imported torch.

    python benchmarks/memory.py [--arch resnet20] [--data cifar10-jpeg] [--batch-size 128] [--steps 8]

A child trains a few steps into a throw-away folder; its `RssAnon` (anonymous pages: the store is mapped from its file
and is not in it) is read every 20 ms and the peak kept. The same is done with a child that imports torch and sleeps.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from augmentation import hardware

IMPORT = ["-c", "import torch, time; time.sleep(1)"]


def main() -> None:
    """Print both peaks and the difference, in MB."""
    parser = argparse.ArgumentParser(description="memory of training above torch")
    parser.add_argument("--arch", default="resnet20")
    parser.add_argument("--data", default="cifar10-jpeg")
    parser.add_argument("--batch-size", default="128")
    parser.add_argument("--steps", default="8")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        line = ["-m", "resnetctl", "train", "--arch", args.arch, "--data", args.data, "--batch-size", args.batch_size]
        line += ["--set", f"steps={args.steps}", "--set", "val_fraction=0"]
        environment = {**os.environ, "RESNETCTL_RUNS_DIR": folder}
        base, train = peak(IMPORT, environment), peak(line, environment)
    print(f"{hardware()}; {args.arch}, batch {args.batch_size}, {args.steps} steps on {args.data}")
    print(
        f"torch imported {base:.0f} MB, training {train:.0f} MB, difference {train - base:.0f} MB of anonymous memory"
    )


def peak(line: list[str], environment: dict[str, str]) -> float:
    """Return the largest RssAnon of a process, in MB of 10^6 bytes."""
    child = subprocess.Popen([sys.executable, *line], env=environment, stdout=subprocess.DEVNULL)
    highest = 0
    while child.poll() is None:
        found = re.search(r"RssAnon:\s+(\d+) kB", Path(f"/proc/{child.pid}/status").read_text())
        highest = max(highest, int(found[1]) if found else 0)
        time.sleep(0.02)
    if child.returncode:
        raise SystemExit(f"{' '.join(line)} ended with {child.returncode}")
    return highest * 1024 / 1e6


if __name__ == "__main__":
    main()
