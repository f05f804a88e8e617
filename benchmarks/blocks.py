"""resnet20 with each block: cost, speed and accuracy side by side. Writes the tables of `blocks.md`.

    python benchmarks/blocks.py --archive cifar10-jpeg.tar.xz

Trains each block under each seed on 5,000 images of CIFAR-10 as JPEG (the first 500 of each class), five epochs of the
recipe `fast`, one thread, and measures on the 10,000 of test. Finished runs in `--out` are not trained again, so it can
be stopped and started; `--blocks` takes a part, and the table holds every block that has all its runs.
"""

import argparse
import dataclasses
import json
import platform
import re
import statistics
import sys
import tarfile
import tempfile
import time
from collections import Counter, deque
from pathlib import Path
from typing import Any

import numpy as np

DATA, PER_CLASS, EPOCHS = "cifar10-jpeg-5k", 500, 5
IMAGE = re.compile(r"(?:^|/)(train|test)/([^/]+)/[^/]+\.jpg$")
BEGIN, END = "<!-- blocks: begin -->", "<!-- blocks: end -->"
ROUNDS, CALLS = 30, 20  # latency: rounds over all networks, calls of each in a round


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """One block; for each seed `speeds` (training images a CPU second), `accuracies` (fractions); `latency` in s."""

    block: str
    params: int
    flops: int
    speeds: list[float]
    latency: list[float]
    accuracies: list[float]


def main() -> None:
    """Train what is missing, measure, replace the table."""
    options = _options()
    store_subset(options.archive)
    for seed in range(options.seeds):
        for block in options.blocks or blocks():
            train(block, seed, out=options.out)
    rows = measured(options.out, seeds=options.seeds)
    text = table(rows, seeds=options.seeds)
    options.page.write_text(replaced(options.page.read_text(encoding="utf-8"), text), encoding="utf-8")
    print(text)


def blocks() -> list[str]:
    """Names of all blocks that are installed, those of the core first."""
    from resnetctl import registry

    def order(name: str) -> tuple[bool, str]:
        return bool(registry.distribution_of("block", name)), name

    return sorted(registry.names("block"), key=order)


def store_subset(archive: Path) -> None:
    """Add the data set, unless it is there: `PER_CLASS` images of each class to train on, all of test."""
    from resnetctl import settings
    from resnetctl.tasks import data

    machine = settings.load()
    if data.is_stored(DATA, machine):
        return
    with tempfile.TemporaryDirectory() as folder:
        smaller = Path(folder) / f"{DATA}.tar"
        _copy_subset(archive, smaller)
        deque(data.add(data.AddRequest(path=smaller, name=DATA), machine), maxlen=0)


def train(block: str, seed: int, *, out: Path) -> None:
    """Train and measure resnet20 with `block`, unless that is done; the facts go into `bench.json` of its run."""
    import resnetctl as rc

    name = f"{block}-{seed}"
    record = out / name / "bench.json"
    if record.exists():
        return
    print(f"training {name}", file=sys.stderr)
    before = time.process_time()
    run = rc.train(
        recipe="fast", arch="resnet20", block=block, data=DATA, epochs=EPOCHS, seed=seed, threads=1, name=name, out=out,
        set={"val_fraction": 0.0, "keep": "last"},
    )  # fmt: skip
    seconds = time.process_time() - before
    top1 = rc.evaluate(run).report.top1
    rc.export(run)
    params, flops = cost(run.path)
    facts = {"block": block, "params": params, "flops": flops, "seconds": seconds, "top1": top1}
    record.write_text(json.dumps(facts) + "\n", encoding="utf-8")


def cost(run: Path) -> tuple[int, int]:
    """Parameters, and FLOPs for one image: two for each multiply-add of convolutions and linear layers."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    import resnetctl as rc

    model, card = rc.load(run)
    image = torch.zeros(1, card.image.channels, card.image.size, card.image.size)
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        model(image)
    return sum(parameter.numel() for parameter in model.parameters()), int(counter.get_total_flops())


def measured(out: Path, *, seeds: int) -> list[Row]:
    """A row for each block that has all its runs, cheapest block of the core first."""
    found: dict[str, list[dict[str, Any]]] = {}
    for block in blocks():
        records = [out / f"{block}-{seed}" / "bench.json" for seed in range(seeds)]
        if all(record.exists() for record in records):
            found[block] = [json.loads(record.read_text(encoding="utf-8")) for record in records]
    times = latencies({block: out / f"{block}-0" / "export" / "model.onnx" for block in found})
    return [
        Row(
            block=block,
            params=facts[0]["params"],
            flops=facts[0]["flops"],
            speeds=[EPOCHS * 10 * PER_CLASS / fact["seconds"] for fact in facts],
            latency=times[block],
            accuracies=[fact["top1"] for fact in facts],
        )
        for block, facts in found.items()
    ]


def latencies(files: dict[str, Path]) -> dict[str, list[float]]:
    """Seconds of onnxruntime for one image on one thread, the median of each round; the networks take turns."""
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = settings.inter_op_num_threads = 1
    sessions = {name: onnxruntime.InferenceSession(file.read_bytes(), settings) for name, file in files.items()}
    times: dict[str, list[float]] = {name: [] for name in files}
    for _ in range(ROUNDS + 1):
        for name, session in sessions.items():
            times[name].append(_median_call(session))
    return {name: rounds[1:] for name, rounds in times.items()}  # the first round warms up


def table(rows: list[Row], *, seeds: int) -> str:
    """Markdown: one line a block, and what it was measured with."""
    head = [
        "| block | parameters | MFLOPs | training, images a CPU second | latency, ms (quartiles) | top-1, % |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    note = f"{platform.machine()}, {_processor()}; {_versions()}; {seeds} seeds."
    return "\n".join([*head, *map(_line, rows), "", note])


def replaced(page: str, text: str) -> str:
    """`page` with `text` between the marks. Raises `ValueError` when they are not there."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"the page needs the lines {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{text}\n{END}{after}"


def _copy_subset(archive: Path, smaller: Path) -> None:
    taken: Counter[str] = Counter()
    with tarfile.open(archive) as source, tarfile.open(smaller, "w") as target:
        for member in source:
            match = IMAGE.search(member.name)
            if match is None or (match[1] == "train" and taken[match[2]] >= PER_CLASS):
                continue
            taken[match[2]] += match[1] == "train"
            target.addfile(member, source.extractfile(member))


def _median_call(session: Any) -> float:
    (given,) = session.get_inputs()
    image = np.full((1, *given.shape[1:]), 0.5, dtype=np.float32)
    times = []
    for _ in range(CALLS):
        before = time.perf_counter()
        session.run(None, {given.name: image})
        times.append(time.perf_counter() - before)
    return statistics.median(times)


def _line(row: Row) -> str:
    percents = [100 * accuracy for accuracy in row.accuracies]
    spread = f" ± {statistics.stdev(percents):.2f}" if len(percents) > 1 else ""
    low, middle, high = (1e3 * value for value in statistics.quantiles(row.latency, n=4))
    return (
        f"| `{row.block}` | {row.params:,} | {row.flops / 1e6:.1f} | {statistics.median(row.speeds):.0f} "
        f"| {middle:.2f} ({low:.2f}-{high:.2f}) | {statistics.mean(percents):.2f}{spread} |"
    )


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    names = re.findall(r"model name\s*:\s*(.+)", info.read_text(encoding="utf-8")) if info.exists() else []
    return f"{len(names)} cores of {names[0]}" if names else platform.processor()


def _versions() -> str:
    import onnxruntime
    import torch

    return f"Python {platform.python_version()}, torch {torch.__version__}, onnxruntime {onnxruntime.__version__}"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="resnet20 with each block.")
    parser.add_argument("--archive", type=Path, required=True, help="cifar10-jpeg.tar.xz")
    parser.add_argument("--blocks", nargs="*", help="names (default: every block that is installed)")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each block (default: 3)")
    parser.add_argument("--out", type=Path, default=Path("runs/blocks"), help="folder of the runs")
    page = Path(__file__).with_name("blocks.md")
    parser.add_argument("--page", type=Path, default=page, help="file with the table")
    return parser.parse_args()


if __name__ == "__main__":
    main()
