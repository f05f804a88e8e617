"""Measure training on one CUDA device in at most eight minutes: a table of `gpu.md`.

    python benchmarks/gpu.py --data cifar10-jpeg --out gpu.jsonl
    python benchmarks/gpu.py --device cpu --tiny          # a smoke test without a GPU; its numbers mean nothing

Each part runs in a process of its own with a deadline, so that a hang or a broken context costs one part. A part
appends its rows to `--out` as they come; the table is printed last. Parts that speak of speed are left out if the
outputs of the GPU are wrong.
"""

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import machine
import numpy as np
import torch

from resnetctl import registry, runs
from resnetctl.cli.parser.flag_layers import from_sets
from resnetctl.config.draft import RunRequest, draft
from resnetctl.config.layers import from_recipe
from resnetctl.config.schema import TrainConfig
from resnetctl.data.store import build, open_store
from resnetctl.engine.hardware.device import WORKSPACE
from resnetctl.engine.loop import StepResult, fit
from resnetctl.facts import EpochTimed
from resnetctl.models.resnet import build as build_net
from resnetctl.spec import DatasetCard, ImageSpec
from resnetctl.system import settings
from resnetctl.system.signals import Stop
from resnetctl.tasks.resume import resume
from resnetctl.tasks.train import train
from resnetctl.training.job import Job, fresh_model, fresh_state, prepare
from resnetctl.training.plan import make_plan, validate
from resnetctl.training.recorder import checkpoint_bytes

ROUNDS = 5
EAGER, GRAPH = "graph=off", "graph=auto"
GRAPH_STEPS = 50
TINY = 120  # seconds of a part in a smoke test
EPOCH = 45_000  # images: an epoch of CIFAR-10 with a tenth held out
LOOSE = 1e-3  # of the largest logit: another order of sums in float32
BF16 = 0.05
SPEEDS = (  # arch, side in pixels, images, batch sizes
    ("resnet20", 32, 12_800, (128, 512)),
    ("resnet56", 32, 12_800, (128, 512)),
    ("resnet18", 32, 12_800, (128, 512)),
    ("wrn28_10", 32, 6_400, (128,)),
    ("resnet50", 224, 1_024, (128,)),
)
CONTESTANTS = (  # recipe, config keys, seeds
    ("fast", ("model.arch=resnet20",), 3),
    ("fast", ("model.arch=resnet18", "batch_size=512", "epochs=18", "lr=0.4"), 2),
    ("speedrun", ("model.arch=speednet", "batch_size=512"), 5),
)
Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What a part measures on. `work`: its folder for data and runs; `tiny`: a smoke test."""

    device: str
    data: str
    tiny: bool
    work: Path

    @property
    def sets(self) -> list[str]:
        """The config keys of every run."""
        return [f"device={self.device}", *(["threads=1"] if self.tiny else [])]

    def job(self, arch: str, *sets: str, data: str = "", recipe: str = "fast") -> Job:
        """Return a job on synthetic images, or on a dataset of the store."""
        name = data or "noise"
        layers = [from_recipe(recipe), from_sets([f"data={name}", *self.sets, *sets])]
        layers += [from_sets([f"model.arch={arch}"])] if arch else []
        folder = settings.load().data_dir if data else self.work
        return prepare(draft(TrainConfig, layers, settings=settings.load()), open_store(folder, name))

    def synthetic(self, side: int, images: int) -> None:
        """Write the dataset `noise` with random images, unless it has been written."""
        card = DatasetCard(
            name="noise", classes=tuple("0123456789"), image=ImageSpec(size=side), splits={"train": images, "test": 10},
            defaults={"augment": "standard"},
        )  # fmt: skip
        generator = np.random.default_rng(0)
        with build(self.work, "noise", draft=card, replace=True) as builder:
            for split, count in (("train", images), ("test", 10)):
                for row in range(count):
                    pixels = generator.integers(0, 256, (side, side, 3), dtype=np.uint8)
                    builder.add(split, pixels, label=str(row % 10), name=f"{split}/{row}", sha256="")

    def wait(self) -> None:
        """Wait until the device has done everything."""
        if self.device.startswith("cuda"):
            torch.cuda.synchronize()


def facts(bench: Bench) -> Iterator[Row]:
    """The device, the versions, and the floors: a matrix product and a copy."""
    name = torch.cuda.get_device_name() if bench.device.startswith("cuda") else machine.hardware()
    yield {"name": "device", "value": f"{name}; {machine.versions('torch', 'resnetctl')}; CUDA {torch.version.cuda}"}
    side = 256 if bench.tiny else 8192
    dtype = torch.float32 if bench.device == "cpu" else torch.bfloat16
    first = torch.rand(side, side, device=bench.device, dtype=dtype)
    best = min(_seconds(bench, lambda: first @ first) for _ in range(10))
    yield {"name": f"product of {side}x{side}, {dtype}", "value": f"{2 * side**3 / best / 1e12:.1f} TFLOP/s"}
    whole = torch.zeros((1 if bench.tiny else 512) * 2**20, dtype=torch.uint8, device=bench.device)
    twin = torch.empty_like(whole)
    best = min(_seconds(bench, lambda: twin.copy_(whole)) for _ in range(10))
    yield {"name": "copy, read and written", "value": f"{2 * whole.nbytes / best / 1e12:.3f} TB/s"}


def sync(bench: Bench) -> Iterator[Row]:
    """No step waits for the device, with any core policy, EMA and clipping."""
    bench.synthetic(8 if bench.tiny else 32, 256)
    names = [one.name for one in registry.all_entries() if (one.kind, one.distribution) == ("policy", "resnetctl")]
    for name in names:
        job = bench.job(
            "resnet20", f"augment={name}", "batch_size=32", "ema_decay=0.9", "grad_clip=1", "epochs=9", EAGER
        )
        state, plan = fresh_state(job, fresh_model(job)), replace(make_plan(job, Stop()), evaluate=None)
        steps = fit(state, plan)
        next(steps)  # constants are made in the first step
        with _no_waits(bench):
            outcome = "no wait" if len(list(itertools.islice(steps, 5))) == 5 else "too few steps"
        yield {"name": f"5 steps of {name}", "value": outcome if bench.device != "cpu" else "a CPU waits for nothing"}


def parity(bench: Bench) -> Iterator[Row]:
    """The logits of the device are those of the CPU."""
    torch.manual_seed(0)
    side = 8 if bench.tiny else 32
    net = build_net(registry.get("arch", "resnet20"), classes=10, image=ImageSpec(size=side)).eval()
    images = torch.randn(64, 3, side, side)
    torch.backends.cudnn.allow_tf32 = False
    with torch.no_grad():
        wanted = net(images)
        net = net.to(bench.device, memory_format=torch.channels_last)
        exact = net(images.to(bench.device)).cpu()
        with torch.autocast(bench.device.partition(":")[0], dtype=torch.bfloat16):
            rough = net(images.to(bench.device)).float().cpu()
    for name, logits, bound in (("float32 without TF32", exact, LOOSE), ("bfloat16", rough, BF16)):
        apart = float((logits - wanted).abs().max() / wanted.abs().max())
        yield {"name": name, "value": f"{apart:.1e} of the largest logit", "failed": apart > bound}


def graph(bench: Bench) -> Iterator[Row]:
    """Captured steps have the bits of eager ones: float32, EMA, clipping, and a small last batch in every epoch."""
    images, batch = (70, 32) if bench.tiny else (1_100, 128)
    bench.synthetic(8 if bench.tiny else 32, images)
    sets = ("precision=fp32", "exact=true", "ema_decay=0.9", "grad_clip=1", "label_smoothing=0.1", "warmup=1")
    ends = []
    for graph_set in (EAGER, EAGER, GRAPH):
        job = bench.job("resnet20", f"batch_size={batch}", "epochs=99", "augment=standard", *sets, graph_set)
        state, plan = fresh_state(job, fresh_model(job)), replace(make_plan(job, Stop()), evaluate=None)
        facts = (fact for fact in fit(state, plan) if isinstance(fact, StepResult))
        notes = [fact.note for fact in itertools.islice(facts, 5 if bench.tiny else GRAPH_STEPS) if fact.note]
        ends.append({name: value.cpu() for name, value in (state.model.state_dict() | state.ema.state_dict()).items()})
    repeats, same = (all(value.equal(ends[0][name]) for name, value in end.items()) for end in ends[1:])
    yield {"name": "eager against itself", "value": "same bits" if repeats else "other bits"}
    if bench.device != "cpu" and (notes or job.config.graph != "step"):  # then both runs were eager
        yield {"name": "capture", "value": f"refused: {notes[0] if notes else job.config.graph}", "refused": True}
        return
    where = f"graph={job.config.graph}"
    yield {"name": f"{where} against eager", "value": "same bits" if same else "other bits", "failed": not same}


def speed(bench: Bench) -> Iterator[Row]:
    """Images per second of training steps, eager and captured, five rounds in turns."""
    if bench.tiny:
        yield from _speeds(bench, (("resnet20", 8, 128, (32,)),))
    else:
        yield from _speeds(bench, SPEEDS)


def exact(bench: Bench) -> Iterator[Row]:
    """`exact`: what it costs, and whether killed runs end with the bytes of one that was not."""
    bench.synthetic(8 if bench.tiny else 32, 128 if bench.tiny else 5120)
    rates = []
    for sets in ((), ("exact=true", "precision=fp32")):  # the second one stays for this process
        job = bench.job("resnet20", "batch_size=32" if bench.tiny else "batch_size=128", "epochs=99", *sets)
        rates.append(statistics.median(_rates(bench, job, rounds=ROUNDS)))
    yield {"name": "cost of exact and float32", "value": f"{rates[1]:,.0f} of {rates[0]:,.0f} images/s"}
    whole = _weights(bench, "whole", stop_after=10**9)
    for after in (2, 7, 12)[: 1 if bench.tiny else 3]:
        _weights(bench, f"cut{after}", stop_after=after)
        list(resume(str(bench.work / f"cut{after}"), settings=_settings(bench)))
        same = runs.RunDir(bench.work / f"cut{after}").weights.read_bytes() == whole
        yield {"name": f"killed after {after} facts, resumed", "value": "same bytes" if same else "other bytes"}


def shares(bench: Bench) -> Iterator[Row]:
    """Evaluation and a checkpoint, as shares of an epoch."""
    bench.synthetic(8 if bench.tiny else 32, 128 if bench.tiny else 50_000)
    for arch in ("resnet20",) if bench.tiny else ("resnet20", "resnet18", "wrn28_10"):
        job = bench.job(arch, "batch_size=32" if bench.tiny else "batch_size=128", "epochs=99")
        epoch = len(job.train) / statistics.median(_rates(bench, job, rounds=2))
        state = fresh_state(job, fresh_model(job))
        validate(job, state.shipped)
        check = _seconds(bench, lambda job=job, state=state: validate(job, state.shipped))
        save = _seconds(bench, lambda job=job, state=state: checkpoint_bytes(job, state))
        value = f"{epoch:.2f} s; evaluation {check / epoch:.1%}, a checkpoint's bytes {save / epoch:.1%}"
        yield {"name": f"epoch of {arch}", "value": value}


def accuracy(bench: Bench) -> Iterator[Row]:
    """Val accuracy and the seconds of whole runs, start included."""
    if bench.tiny:
        bench.synthetic(8, 128)
    elif not (settings.load().data_dir / bench.data).exists():
        yield {"name": bench.data, "value": "left out: the dataset is not in the store"}
        return
    for recipe, sets, seeds in CONTESTANTS[:1] if bench.tiny else CONTESTANTS:
        if recipe not in ("fast", *registry.names("recipe")):
            yield {"name": recipe, "value": "left out: its plugin is not installed"}
            continue
        own = ("epochs=1", "batch_size=32") if bench.tiny else ()
        for seed in range(1 if bench.tiny else seeds):
            name = f"{recipe}-{sets[0].partition('=')[2]}-{seed}"
            begun, last = time.perf_counter(), None
            layers = [from_recipe(recipe), from_sets([*sets, *own, f"data={'noise' if bench.tiny else bench.data}"])]
            layers += [from_sets([*bench.sets, f"seed={seed}"])]
            request = RunRequest(name=name, out=bench.work)
            place = _settings(bench) if bench.tiny else settings.load()
            for fact in train(draft(TrainConfig, layers, settings=place, request=request), place):
                last = fact if isinstance(fact, EpochTimed) else last
            top1 = last.result.val.top1
            yield {"name": name, "value": f"{top1:.2%} of val in {time.perf_counter() - begun:.1f} s"}


def compiled(bench: Bench) -> Iterator[Row]:
    """torch.compile: its cold start, and after how many epochs it has paid for itself."""
    if bench.tiny:
        yield {"name": "torch.compile", "value": "left out of the smoke test: compiling takes a minute"}
        return
    bench.synthetic(32, 12_800)
    for arch in ("resnet20", "resnet18"):
        job = bench.job(arch, "batch_size=512", "epochs=99", EAGER)
        eager = statistics.median(_rates(bench, job, rounds=3))
        state = fresh_state(job, fresh_model(job))
        state.model.compile()
        steps = fit(state, replace(make_plan(job, Stop()), evaluate=None))
        cold = _seconds(bench, lambda steps=steps: list(itertools.islice(steps, 3)))
        fast = statistics.median(_rates_of(bench, steps, rounds=3))
        saved = EPOCH / eager - EPOCH / fast
        even = f"pays after {cold / saved:,.0f} epochs" if saved > 0 else "never pays"
        yield {"name": arch, "value": f"{fast / eager:.2f} of eager, cold start {cold:.0f} s: {even}"}


PARTS: dict[str, tuple[int, Callable[[Bench], Iterator[Row]]]] = {  # seconds, start of the process included
    "facts": (25, facts),
    "sync": (25, sync),
    "parity": (25, parity),
    "graph": (30, graph),
    "speed": (110, speed),
    "exact": (45, exact),
    "shares": (35, shares),
    "accuracy": (120, accuracy),
    "compile": (65, compiled),  # last: it can be given up
}
OF_SPEED = ("speed", "shares", "accuracy", "compile")


def main() -> int:
    """Run the parts, or one of them in this process. Return 1 if outputs are wrong, or a capture was refused."""
    options = _options()
    if not options.device.startswith("cuda") or torch.cuda.is_available():
        if options.part:
            run_part(options)
        else:
            run_all(options)
            return int(any(row.get("failed") or row.get("refused") for row in _rows(options.out)))
        return 0
    print("no CUDA device: nothing was measured (--device cpu --tiny is a smoke test)", file=sys.stderr)
    return 3


def run_part(options: argparse.Namespace) -> None:
    """Append the rows of one part to the file, as they come."""
    with tempfile.TemporaryDirectory() as work, options.out.open("a", encoding="utf-8") as file:
        bench = Bench(device=options.device, data=options.data, tiny=options.tiny, work=Path(work))
        for row in PARTS[options.part][1](bench):
            file.write(json.dumps({"part": options.part, **row}) + "\n")
            file.flush()


def run_all(options: argparse.Namespace) -> None:
    """Run every part in a process with a deadline, then print the table."""
    options.out.write_text("", encoding="utf-8")
    for part in options.parts.split(","):
        if part in OF_SPEED and any(row.get("failed") for row in _rows(options.out)):
            _append(options.out, {"part": part, "name": "left out", "value": "the outputs of this device are wrong"})
            continue
        command = [sys.executable, __file__, "--part", part, "--device", options.device, "--data", options.data]
        command += ["--out", str(options.out), *(["--tiny"] if options.tiny else [])]
        environment = os.environ | ({WORKSPACE: ":4096:8"} if part in ("exact", "graph") else {})
        begun = time.monotonic()
        try:
            code = subprocess.run(
                command, env=environment, timeout=TINY if options.tiny else PARTS[part][0], check=False
            ).returncode
        except subprocess.TimeoutExpired:
            code = -1
        ended = "at its deadline" if code == -1 else f"with code {code}"
        seconds = time.monotonic() - begun
        if code:
            _append(options.out, {"part": part, "name": "ended", "value": f"{ended}, after {seconds:.0f} s"})
    print(table(_rows(options.out)))


def table(rows: list[Row]) -> str:
    """Return all rows as a Markdown table."""
    lines = ["| part | what | |", "|---|---|---|"]
    return "\n".join([*lines, *(f"| {row['part']} | {row['name']} | {row['value']} |" for row in rows)])


def _speeds(bench: Bench, cases: tuple[tuple[str, int, int, tuple[int, ...]], ...]) -> Iterator[Row]:
    for (side, images), group in itertools.groupby(cases, key=lambda case: case[1:3]):
        bench.synthetic(side, images)
        for arch, number in ((case[0], batch) for case in group for batch in case[3]):
            sets = (f"batch_size={number}", "epochs=999", "augment=standard")
            jobs = [bench.job(arch, *sets, graph_set) for graph_set in (EAGER, GRAPH)]
            running, refusals = zip(*(_warm(job) for job in jobs), strict=True)
            turns = [[_rates_of(bench, steps, rounds=1)[0] for steps in running] for _ in range(ROUNDS)]
            for job, refusal, rates in zip(jobs, refusals, zip(*turns, strict=True), strict=True):
                rate, spread = statistics.median(rates), max(rates) - min(rates)
                value = f"{rate:,.0f} images/s (n={len(rates)}, range {spread / rate:.0%})"
                value += f", {EPOCH / rate:.2f} s an epoch, {_kernels(bench, job)} kernels a step"
                level = "eager: the capture was refused" if refusal else f"graph={job.config.graph}"
                what = f"{arch}, {side} px, batch {number}, {job.config.precision}, {level}"
                yield {"name": what, "value": value, "refused": bool(refusal)}


def _rates(bench: Bench, job: Job, *, rounds: int) -> list[float]:
    return _rates_of(bench, _warm(job)[0], rounds=rounds)


def _warm(job: Job) -> tuple[Iterator[Any], str]:
    """Return the steps of a job after an eager one and one whose graph is captured, and why it was not captured."""
    state, plan = fresh_state(job, fresh_model(job)), replace(make_plan(job, Stop()), evaluate=None)
    steps = fit(state, plan)
    notes = [fact.note for fact in itertools.islice(steps, 3) if isinstance(fact, StepResult)]
    return steps, "".join(notes)


def _rates_of(bench: Bench, steps: Iterator[Any], *, rounds: int) -> list[float]:
    """Return images per second of several rounds. The device is waited for once a round."""
    rates = []
    for _ in range(rounds):
        bench.wait()
        begun, images = time.perf_counter(), 0
        while time.perf_counter() - begun < (0.05 if bench.tiny else 0.5):
            images += sum(fact.images for fact in itertools.islice(steps, 10) if isinstance(fact, StepResult))
            bench.wait()
        rates.append(images / (time.perf_counter() - begun))
    return rates


def _kernels(bench: Bench, job: Job) -> int:
    """Return how many kernels the device runs in one step; 0 on a CPU."""
    if not bench.device.startswith("cuda"):
        return 0
    from torch.profiler import ProfilerActivity, profile

    steps = fit(fresh_state(job, fresh_model(job)), replace(make_plan(job, Stop()), evaluate=None))
    list(itertools.islice(steps, 3))
    with profile(activities=[ProfilerActivity.CUDA]) as seen:
        next(steps)
        bench.wait()
    return sum(event.device_type == torch.autograd.DeviceType.CUDA for event in seen.events())


def _weights(bench: Bench, name: str, *, stop_after: int) -> bytes:
    """Train a short exact run, closed after some facts; return its weights, if it came to an end."""
    batch, epochs = (32, 2) if bench.tiny else (512, 2)
    sets = ["data=noise", *bench.sets, "model.arch=resnet20", f"batch_size={batch}", f"epochs={epochs}"]
    layers = [from_recipe("fast"), from_sets([*sets, "exact=true", "precision=fp32"])]
    request = RunRequest(name=name, out=bench.work)
    place = _settings(bench)
    steps = train(draft(TrainConfig, layers, settings=place, request=request), place)
    list(itertools.islice(steps, stop_after))
    steps.close()
    path = runs.RunDir(bench.work / name).weights
    return path.read_bytes() if path.exists() else b""


def _settings(bench: Bench) -> settings.Settings:
    return replace(settings.load(), data_dir=bench.work, runs_dir=bench.work)


@contextmanager
def _no_waits(bench: Bench) -> Iterator[None]:
    if not bench.device.startswith("cuda"):
        yield
        return
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def _seconds(bench: Bench, work: Callable[[], object]) -> float:
    bench.wait()
    begun = time.perf_counter()
    work()
    bench.wait()
    return time.perf_counter() - begun


def _rows(path: Path) -> list[Row]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _append(path: Path, row: Row) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--data", default="cifar10-jpeg", help="dataset of the store for the part accuracy")
    parser.add_argument("--out", type=Path, default=Path("gpu.jsonl"))
    parser.add_argument("--tiny", action="store_true", help="small nets and few steps: a smoke test")
    parser.add_argument("--parts", default=",".join(PARTS), help="some parts, by comma")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
