"""Compare resnetctl with other programs in turns: same pictures, network, batch size and augmentation.

    pip install -r benchmarks/requirements.txt
    resnetctl data add cifar10-jpeg.tar.xz --name cifar10-jpeg
    python benchmarks/compare.py

writes `benchmarks/speed.md` and `speed.json` (25 minutes on two quiet cores). Each program is one process that waits
within a step of its training until its turn comes; all run on the same cores. Before anything is timed their logits
and augmentations are compared, and a difference ends the run. Linux: the load of others is read from /proc.

`accuracy_for_time.py` compares what each program learns in the same time by a recipe of its own.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import machine
import numpy as np
import report
from programs import parity
from programs.task import Task

HERE = Path(__file__).parent
RIVALS = ("reference", "timm", "lightning", "keras")
CONTROLS = ("reference with our network", "resnetctl with spinning threads")
BATCH = 128
CODED = 8192  # pictures that carry their coordinates


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One turn of a program: `seconds` of wall, `cpu` seconds of its processes, cores that others kept busy."""

    images: int
    seconds: float
    cpu: float
    foreign: float


class Running:
    """A program that trains in its own process, one sample per request."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self._process = start("steady", task)

    def ready(self) -> "Running":
        """Wait for the warm-up. Raises `SystemExit` when the program ends instead."""
        self._answer()
        return self

    def sample(self, seconds: float) -> Sample:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{seconds}\n")
        self._process.stdin.flush()
        return Sample(**self._answer())

    def close(self) -> None:
        self._process.communicate()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.task.label} ended with exit code {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer


def main() -> None:
    """Check, choose variants, measure and write the page."""
    options = _options()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.cores])
    os.environ["OMP_NUM_THREADS"] = str(options.cores)
    with tempfile.TemporaryDirectory(prefix="resnetctl-compare-") as folder:
        found = measure(options, Path(folder))
    text = report.page(found)
    options.out.write_text(text, encoding="utf-8")
    options.out.with_suffix(".json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(text)


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Return all figures of the page as JSON."""
    tasks = {
        arch: {name: _task(name, arch, options=options, folder=folder) for name in ("resnetctl", *options.programs)}
        for arch in options.arch
    }
    prepare(tasks, folder, small=options.small)
    first = tasks[options.arch[0]]
    checks = {arch: check(list(mine.values()), folder) for arch, mine in tasks.items()}
    chosen = {name: best(task, options) for name, task in first.items()}
    for arch, mine in tasks.items():
        tasks[arch] = {name: replace(task, variant=chosen[name]) for name, task in mine.items()}
    return {
        "about": about(options),
        "variants": chosen,
        "parity": checks,
        "steady": {arch: steady(list(mine.values()), options) for arch, mine in tasks.items()},
        "epoch": epochs(list(tasks[options.arch[0]].values()), options.epochs),
        "shares": {arch: shares(mine["resnetctl"], options.rounds) for arch, mine in tasks.items()},
        "augmentation": augmentation(options.rounds),
    }


def about(options: argparse.Namespace) -> dict[str, Any]:
    """Return the command, the machine and the versions."""
    names = ("torch", "torchvision", "numpy", "pillow", "resnetctl", "timm", "lightning", "keras")
    given = " ".join(word for word in sys.argv[1:] if not word.startswith("/"))
    return {
        "command": f"python benchmarks/compare.py {given}".strip(),
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "hardware": machine.hardware(),
        "versions": machine.versions(*names),
        "threads": options.cores,
        "batch": BATCH,
        "rounds": options.rounds,
        "seconds": options.seconds,
        "data": options.data,
        "small": options.small,
    }


def prepare(tasks: dict[str, dict[str, Task]], folder: Path, *, small: int) -> None:
    """Store the coded and the few pictures, and the first weights of each arch as resnetctl draws them."""
    for mine in tasks.values():
        first_weights(mine["resnetctl"])
    images, labels = mine["resnetctl"].pictures()
    classes = int(labels.max()) + 1
    store_pictures(folder, "coded", zip(parity.coded(CODED), np.arange(CODED) % classes, strict=True), classes=classes)
    store_pictures(folder, "small", zip(images[:small], labels[:small], strict=True), classes=classes)


def first_weights(task: Task) -> None:
    """Write the task's initial weights, as `resnetctl train` draws them."""
    from programs import ours
    from safetensors.numpy import save_file

    state = ours.first_model(task).state_dict()
    save_file({name: value.numpy() for name, value in state.items()}, task.weights)


def check(tasks: Sequence[Task], folder: Path) -> dict[str, dict[str, float]]:
    """Compare logits and augmentation with the first task. Raises `SystemExit` if they differ."""
    pictures = folder / "pictures.npy"
    np.save(pictures, tasks[0].pictures()[0][:BATCH])
    expected, found = None, {}
    for task in tasks:
        logits, counts = outputs(replace(task, data_dir=str(folder), data="coded"), pictures)
        expected = logits if expected is None else expected
        facts = {"logits": parity.relative(logits, expected), "augmentation": parity.distance(counts)}
        log(f"parity of {task.label}, {task.arch}: {facts}")
        if facts["logits"] > parity.TOLERANCE or facts["augmentation"] > parity.SIGMAS:
            raise SystemExit(f"{task.label} does not compute the same, so there is nothing to compare")
        found[task.program] = facts
    return found


def outputs(task: Task, pictures: Path) -> tuple[Any, Any]:
    """Return the logits of the pictures in a file, and how often each shift occurs in the coded pictures."""
    files = [pictures.with_name(name) for name in ("logits.npy", "inputs.npy")]
    with start("parity", task) as process:
        process.communicate("\n".join(map(str, (pictures, *files))))
    if process.returncode:
        raise SystemExit(f"{task.label} ended with exit code {process.returncode}\n{_errors(task)}")
    logits, inputs = (np.load(file) for file in files)
    return logits, parity.moves(inputs, *task.normalisation())


def best(task: Task, options: argparse.Namespace) -> str:
    """Return the fastest variant of a program, by wall time."""
    variants = _variants(task.program, options.cores)
    if len(variants) == 1 or not options.trials:
        return variants[0]
    speeds: dict[str, float] = dict.fromkeys(variants, 0.0)
    with running([replace(task, variant=variant) for variant in variants]) as programs:
        for _ in range(options.trials):
            for program in programs:
                sample = program.sample(options.seconds)
                speeds[program.task.variant] += sample.images / sample.seconds
    log(
        f"{task.program}: " + ", ".join(f"{key} {value / options.trials:.0f} images/s" for key, value in speeds.items())
    )
    return max(speeds, key=lambda key: speeds[key])


def steady(tasks: Sequence[Task], options: argparse.Namespace) -> dict[str, Any]:
    """Take one sample per program and round, in turn, and the machine's peak rates in between."""
    from programs import ours

    samples: dict[str, list[dict[str, float]]] = {task.program: [] for task in tasks}
    peaks: list[dict[str, float]] = []
    with running(tasks) as programs:
        for number in range(options.rounds):
            peaks.append({"sgemm": machine.sgemm(), "copy": machine.copy()})
            for program in programs:
                sample = program.sample(options.seconds)
                samples[program.task.program].append(vars(sample))
            rates = (f"{name} {taken[-1]['images'] / taken[-1]['seconds']:.0f}" for name, taken in samples.items())
            log(f"{tasks[0].arch} round {number + 1}: " + ", ".join(rates))
    return {"samples": samples, "peaks": peaks, "flops": ours.flops(tasks[0])}


def epochs(tasks: Sequence[Task], rounds: int) -> dict[str, list[float]]:
    """Return the seconds of a whole process that trains one epoch of few pictures."""
    found: dict[str, list[float]] = {task.program: [] for task in tasks if task.program not in CONTROLS}
    for number in range(rounds):
        for task in tasks:
            if task.program in found:
                found[task.program].append(_epoch(task, number))
        log(f"epoch {number + 1}: " + ", ".join(f"{name} {taken[-1]:.1f} s" for name, taken in found.items()))
    return found


def shares(task: Task, rounds: int) -> list[float]:
    """Return the input pipeline's share of a step."""
    with start("shares", task) as process:
        answer, _ = process.communicate(f"{rounds}\n")
    values: list[float] = json.loads(answer)
    return values


def augmentation(rounds: int) -> dict[str, Any]:
    """Return the figures of `augmentation.py` on one core."""
    command = [sys.executable, str(HERE / "augmentation.py"), "--rounds", str(rounds), "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@contextmanager
def running(tasks: Sequence[Task]) -> Iterator[list[Running]]:
    """Start the programs and warm them up one after the other."""
    programs: list[Running] = []
    try:
        for task in tasks:
            programs.append(Running(task))
            programs[-1].ready()
        yield programs
    finally:
        for program in programs:
            program.close()


def start(mode: str, task: Task) -> subprocess.Popen[str]:
    """Start the program's process, with stderr in a file next to its runs."""
    Path(task.runs).mkdir(exist_ok=True)
    with Path(task.runs, f"{task.label}.log").open("a") as errors:
        command = [sys.executable, str(HERE / "worker.py"), mode, task.to_json()]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True)


def store_pictures(folder: Path, name: str, pairs: Iterable[tuple[Any, Any]], *, classes: int) -> None:
    """Write a dataset `name` with a train split only: uint8 `(32, 32, 3)` pictures, each with its label."""
    from resnetctl.data import store
    from resnetctl.spec import DatasetCard, ImageSpec

    image = ImageSpec(size=32, mean=(0.0,) * 3, std=(1.0,) * 3)
    draft = DatasetCard(name=name, classes=tuple(map(str, range(classes))), image=image, splits={})
    with store.build(folder, name, draft=draft) as builder:
        for place, (picture, label) in enumerate(pairs):
            builder.add_array("train", np.ascontiguousarray(picture), label=str(label), name=str(place))


def log(text: str) -> None:
    """Print the progress."""
    print(text, file=sys.stderr, flush=True)


def _task(name: str, arch: str, *, options: argparse.Namespace, folder: Path) -> Task:
    return Task(
        program=name,
        variant=_variants(name, options.cores)[0],
        arch=arch,
        data_dir=str(options.data_dir),
        data=options.data,
        weights=str(folder / f"{arch}.safetensors"),
        runs=str(folder / "runs"),
        batch=BATCH,
        threads=options.cores,
    )


def _variants(name: str, cores: int) -> list[str]:
    if name.startswith("resnetctl"):
        return [""]
    if name == "keras":
        return ["channels_first", "channels_last"]
    return [f"{count} workers" for count in range(cores + 1)]


def _errors(task: Task) -> str:
    return "\n".join(Path(task.runs, f"{task.label}.log").read_text(errors="replace").splitlines()[-20:])


def _epoch(task: Task, number: int) -> float:
    task = replace(task, data_dir=str(Path(task.weights).parent), data="small")
    begun = time.perf_counter()
    if task.program == "resnetctl":
        _command(task, f"epoch-{number}")
    else:
        with start("epoch", task) as process:
            process.communicate()
        if process.returncode:
            raise SystemExit(f"{task.label} ended with exit code {process.returncode}\n{_errors(task)}")
    return time.perf_counter() - begun


def _command(task: Task, name: str) -> None:
    words = f"--arch {task.arch} --data {task.data} --epochs 1 --val-fraction 0 --threads {task.threads} --name {name}"
    words += " --precision fp32"
    settings = {"RESNETCTL_DATA_DIR": task.data_dir, "RESNETCTL_RUNS_DIR": task.runs}
    command = [sys.executable, "-m", "resnetctl", "train", *words.split()]
    subprocess.run(command, env=os.environ | settings, check=True, capture_output=True)


def _options() -> argparse.Namespace:
    from resnetctl.system import settings

    parser = argparse.ArgumentParser(description="resnetctl against programs that we did not write")
    parser.add_argument("--data", default="cifar10-jpeg", help="stored dataset of 32x32 pictures")
    parser.add_argument("--data-dir", type=Path, default=settings.load().data_dir)
    parser.add_argument("--arch", nargs="+", default=["resnet20", "resnet56"])
    parser.add_argument("--programs", nargs="*", default=[*RIVALS, *CONTROLS], choices=[*RIVALS, *CONTROLS])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=5.0, help="of one sample, at least")
    parser.add_argument("--trials", type=int, default=2, help="samples to choose worker counts by, 0 takes no workers")
    parser.add_argument("--epochs", type=int, default=3, help="rounds of the first epoch")
    parser.add_argument("--small", type=int, default=5000, help="pictures of the first epoch")
    parser.add_argument("--cores", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--out", type=Path, default=HERE / "speed.md")
    return parser.parse_args()


if __name__ == "__main__":
    main()
