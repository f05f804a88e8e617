"""Measure the start-up of the command, as multiples of `python -c pass`.

    python benchmarks/startup.py [--rounds 7] [--callgrind] [--model MODEL.onnx --weights NET.safetensors IMAGE]

Each round runs every line once, in turn, in processes of its own, and takes ratios within the round; CPU seconds of the
child are counted. `--callgrind` counts instructions with valgrind, which no neighbour disturbs.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import statistics
import subprocess
import sys

from augmentation import hardware

SELF = ["-m", "resnetctl"]
LINES = {
    "python -c pass": ["-c", "pass"],
    "--version": [*SELF, "--version"],
    "--help": [*SELF, "--help"],
    "train --help": [*SELF, "train", "--help"],
    "plugins list": [*SELF, "plugins", "list"],
}


def main() -> None:
    """Print a table of ratios."""
    parser = argparse.ArgumentParser(description="start-up: multiples of a bare python")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--callgrind", action="store_true")
    parser.add_argument("--model", help="ONNX file")
    parser.add_argument("--weights", help="weights file of the same network")
    parser.add_argument("image", nargs="?")
    args = parser.parse_args()
    lines = dict(LINES)
    if args.image:
        lines["predict WEIGHTS"] = [*SELF, "predict", args.weights, args.image]
        lines["predict ONNX"] = [*SELF, "predict", args.model, args.image]
    print(f"{hardware()}; Python {sys.version.split()[0]}; {args.rounds} rounds")
    times: dict[str, list[float]] = {name: [] for name in lines}
    for number in range(args.rounds + 1):
        for name, line in lines.items():
            spent = seconds(line)
            if number:  # the first round fills the caches
                times[name].append(spent)
    for name, values in times.items():
        ratios = [one / other for one, other in zip(values, times["python -c pass"], strict=True)]
        low, _, high = statistics.quantiles(ratios, n=4)
        counted = f"{instructions(lines[name]):8.0f} M" if args.callgrind and "predict" not in name else ""
        middle, ratio = statistics.median(values), statistics.median(ratios)
        print(
            f"{name:16} {middle:6.3f} s {ratio:6.1f}x ({low:.1f} - {high:.1f}) {counted}",
            flush=True,
        )
    if args.image:
        pairs = zip(times["predict ONNX"], times["predict WEIGHTS"], strict=True)
        ratios = [one / other for one, other in pairs]
        low, _, high = statistics.quantiles(ratios, n=4)
        print(
            f"predict ONNX / predict WEIGHTS: {statistics.median(ratios):.2f} ({min(ratios):.2f} - {max(ratios):.2f})"
        )


def seconds(line: list[str]) -> float:
    """Return the user and system seconds of one process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *line], check=True, stdout=subprocess.DEVNULL, env=environment())
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def instructions(line: list[str]) -> float:
    """Return millions of instructions, counted by valgrind."""
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", sys.executable, *line]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment())
    found = re.search(r"refs:\s+([\d,]+)", done.stderr)
    assert found is not None, done.stderr
    return int(found[1].replace(",", "")) / 1e6


def environment() -> dict[str, str]:
    """Return this environment without variables that stop Python from storing compiled modules."""
    return {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}


if __name__ == "__main__":
    main()
