"""Measure this package's networks against resnet20 and write the table of the README.

    python plugins/resnetctl-lite/compare.py --data cifar10 --epochs 20 --seeds 3

Every number comes from the `resnetctl` command or from the files that it wrote: weights for FLOPs, ONNX for latency.
Runs that are already in `--out` are not trained again.
"""

import argparse
import json
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ARCHS = ("resnet20", "separable_resnet20", "separable_resnet44", "inverted_resnet20", "inverted_resnet29")
BEGIN, END = "<!-- compare: begin -->", "<!-- compare: end -->"
ROUNDS, WARM_UP, TIMED = 15, 10, 100  # rounds of turns; onnxruntime calls in each turn, uncounted and counted


@dataclass(frozen=True, kw_only=True)
class Row:
    """One network. `latencies` in seconds, one a round, `accuracies` as fractions, one a seed."""

    arch: str
    params: int
    flops: int
    latencies: tuple[float, ...]
    accuracies: tuple[float, ...]


def main() -> None:
    """Measure all networks, then replace the table."""
    options = _options()
    rows = measure(ARCHS, options)
    note = (
        f"`--data {options.data} --epochs {options.epochs} --seeds {options.seeds}`, {len(rows)} networks; "
        f"latency on {platform.processor() or platform.machine()}, one thread, in turns, n={ROUNDS}."
    )
    text = table(rows, note)
    options.readme.write_text(replaced(options.readme.read_text(encoding="utf-8"), text), encoding="utf-8")
    print(text)


def measure(archs: Sequence[str], options: argparse.Namespace) -> list[Row]:
    """Train each arch with each seed, export the first run of each, and return the rows of the table."""
    runs = {arch: [train(arch, seed, options=options) for seed in range(options.seeds)] for arch in archs}
    times = latencies([exported(of_arch[0]) for of_arch in runs.values()])
    rows = []
    for (arch, of_arch), seconds in zip(runs.items(), times, strict=True):
        params, flops = cost(of_arch[0])
        accuracies = tuple(float(resnetctl("eval", str(run))["top1"]) for run in of_arch)
        rows.append(Row(arch=arch, params=params, flops=flops, latencies=seconds, accuracies=accuracies))
    return rows


def exported(run: Path) -> Path:
    """Return the ONNX file of a run; export it if it does not exist."""
    onnx = run / "export" / "model.onnx"
    if not onnx.exists():
        resnetctl("export", str(run), "--onnx")
    return onnx


def train(arch: str, seed: int, *, options: argparse.Namespace) -> Path:
    """Return the folder of the run of `arch` with `seed`; train it if it is not finished."""
    name = f"{options.data}-{options.epochs}-{arch}-{seed}"
    run = Path(options.out) / name
    if not (run / "summary.json").exists():
        print(f"training {name}", file=sys.stderr)
        arguments = ["--arch", arch, "--data", options.data, "--epochs", str(options.epochs), "--seed", str(seed)]
        resnetctl("train", *arguments, "--name", name, "--out", options.out)
    return run


def resnetctl(*arguments: str) -> dict[str, Any]:
    """Return the JSON document of a command. Raises `CalledProcessError` if it fails; its stderr is shown."""
    command = [sys.executable, "-m", "resnetctl", *arguments, "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def cost(run: Path) -> tuple[int, int]:
    """Return parameters, and FLOPs for one image: two for each multiply-add of convolutions and linear layers."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    import resnetctl as rc

    model, card = rc.load(run)
    image = torch.zeros(1, card.image.channels, card.image.size, card.image.size)
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        model(image)
    return sum(parameter.numel() for parameter in model.parameters()), int(counter.get_total_flops())


def latencies(files: Sequence[Path]) -> list[tuple[float, ...]]:
    """Return the seconds of onnxruntime for one image on one thread: for each file, the median of each round.

    The files take turns in every round, so that a busy moment of the machine slows all of them.
    """
    calls = [_call(onnx) for onnx in files]
    rounds = [[_seconds(call) for call in calls] for _ in range(ROUNDS)]
    return list(zip(*rounds, strict=True))


def _call(onnx: Path) -> Callable[[], object]:
    """Return a function that predicts one image with a session of the file."""
    import numpy as np
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = settings.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(onnx), settings, providers=["CPUExecutionProvider"])
    (inputs,) = session.get_inputs()
    image = np.full((1, *inputs.shape[1:]), 0.5, dtype=np.float32)
    return lambda: session.run(None, {inputs.name: image})


def _seconds(call: Callable[[], object]) -> float:
    times = []
    for _ in range(WARM_UP + TIMED):
        before = time.perf_counter()
        call()
        times.append(time.perf_counter() - before)
    return statistics.median(times[WARM_UP:])


def table(rows: list[Row], note: str) -> str:
    """Return Markdown: one line for each network, compared with the first one, and a note on the measurement."""
    head = ["| arch | parameters | MFLOPs | latency, ms | of the first | accuracy, % |", "|---|---|---|---|---|---|"]
    return "\n".join([*head, *(_line(row, rows[0]) for row in rows), "", note])


def replaced(readme: str, text: str) -> str:
    """Return `readme` with `text` between the marks. Raises `ValueError` if a mark is missing."""
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"the README needs the lines {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{text}\n{END}{after}"


def _line(row: Row, first: Row) -> str:
    """Return the line of a row. Its relative latency is the median of the ratios within the rounds."""
    percents = [100 * accuracy for accuracy in row.accuracies]
    spread = f" ± {statistics.stdev(percents):.2f}" if len(percents) > 1 else ""
    accuracy = f"{statistics.mean(percents):.2f}{spread}"
    share = statistics.median(own / other for own, other in zip(row.latencies, first.latencies, strict=True))
    latency = f"{statistics.median(row.latencies) * 1e3:.3f} | {share:.2f}"
    # no backquotes: a test takes rows with them for the counts at 10 classes
    return f"| {row.arch} | {row.params:,} | {row.flops / 1e6:.2f} | {latency} | {accuracy} |"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure the networks against resnet20.")
    parser.add_argument("--data", default="cifar10", help="dataset (default: cifar10)")
    parser.add_argument("--epochs", type=int, default=20, help="passes over the training images (default: 20)")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each network (default: 3)")
    parser.add_argument("--out", default="runs/compare-lite", help="folder of the runs")
    parser.add_argument("--readme", type=Path, default=Path(__file__).parent / "README.md", help="file with the table")
    return parser.parse_args()


if __name__ == "__main__":
    main()
