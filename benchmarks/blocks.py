"""resnet20 with each block: cost, speed and accuracy side by side. Writes the tables of `blocks.md`.

    python benchmarks/blocks.py --archive cifar10-jpeg.tar.xz

Trains each block under each seed on 5,000 images of CIFAR-10 as JPEG (the first 500 of each class), five epochs of the
recipe `fast`, one thread, and measures on the 10,000 of test. Finished runs in `--out` are not trained again, so it can
be stopped and started. `--blocks` takes a part; the other blocks keep the accuracy that the page has. Both speeds are
measured in the end, in turns: a machine is not as fast at one hour as at the next.
"""

import argparse
import dataclasses
import json
import re
import statistics
import sys
import tarfile
import tempfile
import time
from collections import Counter, deque
from pathlib import Path
from typing import Any

import machine
import numpy as np

DATA, PER_CLASS, EPOCHS = "cifar10-jpeg-5k", 500, 5
IMAGE = re.compile(r"(?:^|/)(train|test)/([^/]+)/[^/]+\.jpg$")
BEGIN, END = "<!-- blocks: begin -->", "<!-- blocks: end -->"
ROUNDS, CALLS = 30, 20  # latency: rounds over all networks, calls of each in a round
TURNS, STEPS = 7, 3  # training: rounds over all blocks, steps of each in a round
ACCURACY = re.compile(r"^\| `(\w+)` \|.*\| ([^|]+) \|$", re.MULTILINE)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """One block: `speeds` in training images a CPU second and `latency` in s, of each round; `accuracy` as told."""

    block: str
    params: int
    flops: int
    speeds: list[float]
    latency: list[float]
    accuracy: str


def main() -> None:
    """Train what is missing, measure, replace the table."""
    options = _options()
    store_subset(options.archive)
    for seed in range(options.seeds):
        for block in options.blocks or blocks():
            train(block, seed, out=options.out)
    page = options.page.read_text(encoding="utf-8")
    text = table(measured(accuracies(options.out, page, seeds=options.seeds)), seeds=options.seeds)
    options.page.write_text(replaced(page, text), encoding="utf-8")
    print(text)


def blocks() -> list[str]:
    """Return the names of all installed blocks, the core's first."""
    from resnetctl import registry

    def order(name: str) -> tuple[bool, str]:
        return bool(registry.distribution_of("block", name)), name

    return sorted(registry.names("block"), key=order)


def store_subset(archive: Path) -> None:
    """Store the dataset if it is missing: `PER_CLASS` training images of each class, and the whole test split."""
    from resnetctl.system import settings
    from resnetctl.tasks import datasets
    from resnetctl.tasks.data.add import AddRequest, add

    mine = settings.load()
    if datasets.is_stored(DATA, mine):
        return
    with tempfile.TemporaryDirectory() as folder:
        smaller = Path(folder) / f"{DATA}.tar"
        _copy_subset(archive, smaller)
        deque(add(AddRequest(path=smaller, name=DATA), mine), maxlen=0)


def train(block: str, seed: int, *, out: Path) -> None:
    """Train and measure resnet20 with `block` if its run has no `bench.json` yet; write the figures there."""
    import resnetctl as rc

    name = f"{block}-{seed}"
    record = out / name / "bench.json"
    if record.exists():
        return
    print(f"training {name}", file=sys.stderr)
    run = rc.train(
        recipe="fast", arch="resnet20", block=block, data=DATA, epochs=EPOCHS, seed=seed, threads=1, name=name, out=out,
        set={"val_fraction": 0.0, "keep": "last"},
    )  # fmt: skip
    record.write_text(json.dumps({"top1": rc.evaluate(run).report.top1}) + "\n", encoding="utf-8")


def accuracies(out: Path, page: str, *, seeds: int) -> dict[str, str]:
    """Return the top-1 text of each block, from its runs if all are there, else from the table in `page`."""
    found = {}
    told = dict(ACCURACY.findall(page)) if f"{seeds} seeds" in page else {}
    for block in blocks():
        records = [out / f"{block}-{seed}" / "bench.json" for seed in range(seeds)]
        if all(record.exists() for record in records):
            found[block] = _accuracy([json.loads(record.read_text(encoding="utf-8"))["top1"] for record in records])
        elif block in told:
            found[block] = told[block]
    return found


def measured(accuracy: dict[str, str]) -> list[Row]:
    """Return a row for each block, with its speeds measured now."""
    jobs = {block: job(block) for block in accuracy}
    with tempfile.TemporaryDirectory() as folder:
        files = {block: exported(made, Path(folder, f"{block}.onnx")) for block, made in jobs.items()}
        times = latencies(files)
    rates = speeds(jobs)
    rows = []
    for block, made in jobs.items():
        params, flops = cost(made)
        rows.append(
            Row(
                block=block,
                params=params,
                flops=flops,
                speeds=rates[block],
                latency=times[block],
                accuracy=accuracy[block],
            )
        )
    return rows


def job(block: str) -> Any:
    """Return the settled job of resnet20 with `block`."""
    from resnetctl.cli.parser.flag_layers import from_sets
    from resnetctl.config.draft import draft
    from resnetctl.config.layers import from_recipe
    from resnetctl.config.schema import TrainConfig
    from resnetctl.data.store import open_store
    from resnetctl.system import settings
    from resnetctl.training.job import prepare

    sets = from_sets([f"data={DATA}", f"model.block={block}", "threads=1", "val_fraction=0", "precision=fp32"])
    machine = settings.load()
    asked = draft(TrainConfig, [from_recipe("fast"), sets], settings=machine)
    return prepare(asked, open_store(machine.data_dir, DATA))


def cost(made: Any) -> tuple[int, int]:
    """Return the parameters, and the FLOPs for one image: two per multiply-add of convolutions and linear layers."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from resnetctl.training.job import fresh_model

    model = fresh_model(made).eval()
    image = torch.zeros(1, made.image.channels, made.image.size, made.image.size)
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        model(image)
    return sum(parameter.numel() for parameter in model.parameters()), int(counter.get_total_flops())


def exported(made: Any, file: Path) -> Path:
    """Export a network with random weights; its latency does not depend on them."""
    from resnetctl.deploy.onnx_writer import to_bytes
    from resnetctl.training.job import fresh_model

    file.write_bytes(to_bytes(fresh_model(made).eval(), made.card({}), weights_sha256="", gate={}))
    return file


def speeds(jobs: dict[str, Any]) -> dict[str, list[float]]:
    """Return training images per CPU second of each block, the best step of each round; the blocks take turns."""
    from resnetctl.training.job import fresh_model, fresh_state
    from resnetctl.training.timing.pace import TimedSteps

    trials = {block: TimedSteps(made, fresh_state(made, fresh_model(made))) for block, made in jobs.items()}
    found: dict[str, list[float]] = {block: [] for block in jobs}
    for _ in range(TURNS + 1):
        for block, trial in trials.items():
            found[block].append(max(_rate(trial) for _ in range(STEPS)))
    return {block: rounds[1:] for block, rounds in found.items()}  # the first round warms up


def _rate(trial: Any) -> float:
    before = time.process_time()
    images = trial.step().images
    return float(images / (time.process_time() - before))


def latencies(files: dict[str, Path]) -> dict[str, list[float]]:
    """Return onnxruntime's seconds per image on one thread, the median of each round; the networks take turns."""
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
    """Return Markdown: one line per block, then hardware and versions."""
    head = [
        "| block | parameters | MFLOPs | training, images/CPU s (quartiles) | latency, ms (quartiles) | top-1, % |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    note = f"{machine.hardware()}; {machine.versions('torch', 'onnxruntime')}; {seeds} seeds."
    return "\n".join([*head, *map(_line, rows), "", note])


def replaced(page: str, text: str) -> str:
    """Return `page` with `text` between the marks. Raises `ValueError` if they are missing."""
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


def _accuracy(top1: list[float]) -> str:
    percents = [100 * fraction for fraction in top1]
    spread = f" ± {statistics.stdev(percents):.2f}" if len(percents) > 1 else ""
    return f"{statistics.mean(percents):.2f}{spread}"


def _line(row: Row) -> str:
    low, middle, high = (1e3 * value for value in statistics.quantiles(row.latency, n=4))
    slow, rate, fast = statistics.quantiles(row.speeds, n=4)
    return (
        f"| `{row.block}` | {row.params:,} | {row.flops / 1e6:.1f} | {rate:.0f} ({slow:.0f}-{fast:.0f}) "
        f"| {middle:.2f} ({low:.2f}-{high:.2f}) | {row.accuracy} |"
    )


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
