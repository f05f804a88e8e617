"""`bench`: time training and prediction next to baselines of the machine, and find faster settings.

All measurements run in turns, in one process, on the real code: `fit` trains, a predictor predicts.
"""

import dataclasses
import statistics
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from resnetctl.config.defaults import other_block
from resnetctl.config.draft import Draft
from resnetctl.config.origins import located
from resnetctl.config.schema import BenchConfig, ProgressiveConfig
from resnetctl.data.splits import EVAL_BATCH, eval_batches
from resnetctl.data.store import open_store
from resnetctl.deploy import onnx_session
from resnetctl.deploy.parity import compare
from resnetctl.deploy.raw.contract import is_raw
from resnetctl.engine.hardware.device import pick_device
from resnetctl.engine.hardware.precision import pick_precision
from resnetctl.engine.loop import TrainState
from resnetctl.engine.metrics import Predictor
from resnetctl.engine.predictors import shipped_predictor, torch_predictor
from resnetctl.engine.schedule import work
from resnetctl.engine.stopwatch import FEWEST, Spread, Way, interleave, ratios, spread
from resnetctl.errors import ResnetctlError, UsageError
from resnetctl.facts import Doing, Notice, Progress
from resnetctl.hints import Hint, Setting
from resnetctl.models.resnet import ResNet, count_params
from resnetctl.spec import Arch
from resnetctl.system.machine import OtherLoad, PeakMemory, cores_granted, processor
from resnetctl.system.settings import Settings
from resnetctl.tasks import datasets, sources
from resnetctl.tasks.bench import baselines
from resnetctl.tasks.bench.report import BenchReport, Machine, Part, Subject, Training, Tried
from resnetctl.training.job import Job, fresh_model, fresh_state, prepare
from resnetctl.training.timing.budget import seconds_of
from resnetctl.training.timing.pace import PARTS, TimedStep, TimedSteps, at_threads, pace
from resnetctl.wording import counted

SAMPLE = 0.2  # seconds a sample
SECONDS, START_UP_SECONDS = 30.0, 12.0  # in total
BATCHES = (EVAL_BATCH, 1)  # images a prediction
RAW = "onnxruntime-raw"  # the exported network with its preprocessing
NEEDED = TRAIN, SGEMM, COPY = "train", "sgemm", "copy"  # never left out, even if time is short

Facts = Generator[Notice | Progress, None, BenchReport]


@dataclass(kw_only=True)
class Bench:
    """The measurements of one `bench`.

    Attributes:
        ways: the functions to time, by name.
        options: for each alternative to the run's own settings, how to choose it.
        steps: the timed steps of the run's own settings.
        left_out: measurements that failed, with the reason.
    """

    job: Job
    timer: TimedSteps
    state: TrainState
    ways: dict[str, Way] = field(default_factory=dict)
    options: dict[str, Hint] = field(default_factory=dict)
    steps: list[TimedStep] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    def add(self, name: str, way: Way, *, threads: int = 0) -> None:
        """Add a function to time, with `threads` threads (0: the run's number)."""
        self.ways[name] = at_threads(threads or self.job.config.threads, way)

    def train(self) -> float:
        """Return images per second of the run's own steps, and keep the steps."""
        taken = self.timer.steps(SAMPLE)
        self.steps += taken
        return sum(step.images for step in taken) / sum(step.seconds for step in taken)


def bench(draft: Draft[BenchConfig], settings: Settings, *, compiled: bool = False) -> Facts:
    """Time the training run that `draft` describes; yield facts and return the report.

    Args:
        compiled: time torch.compile too, which takes a minute or more to compile.

    Raises:
        UsageError: this machine has no such device; nothing is fetched then.
        DataError: the data is not available.
    """
    pick_device(draft.config.device)
    teacher = sources.open_teacher(draft.config.distill, settings)
    name = yield from datasets.ensure(draft.config.data, settings)
    with located(draft.asked.origins):
        job = prepare(draft, open_store(settings.data_dir, name), teacher=teacher)
    if job.head is not None:
        raise UsageError(f"bench measures classifiers, not head '{job.head.name}'", where=Setting("model.head"))
    began, busy, peak = time.monotonic(), OtherLoad(), PeakMemory()
    if draft.left_out:
        yield Notice(f"bench trains every layer, from scratch: it leaves out {', '.join(draft.left_out)}")
    yield Doing(f"timing {_named(job.arch)} on {job.store.card.name}, in turns; a minute or so")
    with located(draft.asked.origins):
        state = fresh_state(job, fresh_model(job))
    timing = Bench(job=job, timer=TimedSteps(job, state, watch=True), state=state)
    timing.timer.steps(SAMPLE)
    memory = {"training": peak.grown(), "process": peak.highest()}
    flops = _flops(timing.timer)
    _add_own_training(timing)
    _add_other_threads(timing)
    _add_predictions(timing)
    _add_other_configs(timing, compiled=compiled)
    rates = interleave(timing.ways, seconds=SECONDS, needed=len(NEEDED))
    torch.set_num_threads(job.config.threads)
    start_up = baselines.start_up(seconds=START_UP_SECONDS, rounds=FEWEST)
    missing = [name for name in (*timing.ways, *baselines.START_UP) if name not in (*rates, *start_up)]
    return BenchReport(
        subject=_subject(job),
        training=_training(timing, rates, flops),
        prediction={name: spread(values) for name, values in rates.items() if " batch " in name},
        onnx_ratio=_onnx_ratios(rates),
        tried=tuple(_tried(timing, rates)),
        start_up=start_up,
        memory={name: value for name, value in memory.items() if value is not None},
        machine=_machine(rates, busy),
        left_out=(*timing.left_out, *(f"{name}: no time" for name in missing)),
        seconds=time.monotonic() - began,
    )


def _named(arch: Arch) -> str:
    """Return the name of an arch, with the block that the config put in place of its own: `resnet20 + bottleneck`."""
    block = other_block(arch.name, arch.block)
    return f"{arch.name} + {block}" if block else arch.name


def _add_own_training(timing: Bench) -> None:
    """Add the run's own training and the baselines."""
    device = timing.job.device
    timing.add(TRAIN, timing.train)
    timing.add(SGEMM, partial(baselines.repeated, baselines.sgemm(device), seconds=SAMPLE))
    timing.add(COPY, partial(baselines.repeated, baselines.copy(device), seconds=SAMPLE))


def _add_other_threads(timing: Bench) -> None:
    """Add training with one thread and with all granted cores."""
    if timing.job.device.type == "cpu":
        for threads in sorted({1, cores_granted()} - {timing.job.config.threads}):
            name = f"with {counted(threads, 'thread')}"
            timing.options[name] = Setting("threads", threads)
            timing.add(name, partial(timing.timer.rate, SAMPLE), threads=threads)


def _add_predictions(timing: Bench) -> None:
    """Add prediction with both runtimes, for a large batch and for one image."""
    job = timing.job
    images, stored = (
        next(eval_batches(job.val or job.train, job.image, batch_size=EVAL_BATCH, as_stored=as_stored))[0]
        for as_stored in (False, True)
    )
    for runtime, predict in _predictors(timing, images):
        for size in BATCHES:
            batch = (stored if runtime == RAW else images)[:size]
            work = partial(_predicted, predict, batch)
            timing.add(f"{runtime} batch {len(batch)}", partial(baselines.repeated, work, seconds=SAMPLE))


def _predictors(timing: Bench, images: Any) -> Iterator[tuple[str, Predictor]]:
    """Yield torch's predictor and, if the two agree, onnxruntime's: for prepared images, then for stored ones."""
    from resnetctl.deploy.onnx_writer import to_bytes
    from resnetctl.deploy.raw.writer import with_preprocessing

    job = timing.job
    model, shipped = (fresh_model(job) for _ in range(2))
    assert isinstance(shipped, ResNet), "bench refuses heads"
    for net in (model, shipped):
        net.load_state_dict(timing.state.model.state_dict())
    reference = torch_predictor(model, job.image, device=torch.device("cpu"))
    yield "torch", shipped_predictor(shipped, job.image, device=job.device)
    try:
        data = to_bytes(model.eval(), job.card({}), weights_sha256="", gate={})
        exported = onnx_session.from_bytes(data, "the exported network", threads=job.config.threads)
        problems = compare(reference, exported, pool=images).problems
    except ResnetctlError as error:
        problems = (error.message,)
    if problems:
        timing.left_out.append(f"onnxruntime: {problems[0]}")
    else:
        yield "onnxruntime", exported.logits
        if is_raw(job.image):
            raw = with_preprocessing(data, job.image)
            yield RAW, onnx_session.from_bytes(raw, "the exported network", threads=job.config.threads).logits


def _predicted(predict: Predictor, images: Any) -> float:
    return float(len(predict(images)))


def _add_other_configs(timing: Bench, *, compiled: bool) -> None:
    """Add training with other batch sizes, in bf16 or fp32 and, with `compiled`, torch.compile."""
    job, config = timing.job, timing.job.config
    for size in (config.batch_size // 2, config.batch_size * 2):
        if 2 <= size <= len(job.train):
            name = f"with batches of {size}"
            timing.options[name] = Setting("batch_size", size, "changes the experiment: lr may have to change too")
            timing.add(name, _rate_of(job, batch_size=size))
    other = {"fp32": "bf16", "bf16": "fp32"}.get(config.precision, "")
    if other == "fp32" or (other == "bf16" and _has_bf16(job.device)):
        timing.options[f"with {other}"] = Setting("precision", other)
        timing.add(f"with {other}", _rate_of(job, precision=other))
    if compiled:
        _add_compiled(timing)


def _rate_of(job: Job, **changes: Any) -> Way:
    """Return a function that times the same job with other config values."""
    other = dataclasses.replace(job, config=job.config.model_copy(update=changes))
    return partial(TimedSteps(other, fresh_state(other, fresh_model(other))).rate, SAMPLE)


def _add_compiled(timing: Bench) -> None:
    job, began = timing.job, time.monotonic()
    state = fresh_state(job, fresh_model(job))
    state.model = torch.compile(state.model)  # type: ignore[assignment]  # a module all the same
    timer = TimedSteps(job, state)
    try:
        timer.step()
    except Exception as error:  # compilers raise many kinds of errors
        timing.left_out.append(f"torch.compile: {str(error).strip().partition(chr(10))[0]}")
        return
    timing.options["with torch.compile"] = f"`train` has no option for it; the first step took {_since(began)}"
    timing.add("with torch.compile", partial(timer.rate, SAMPLE))


def _since(began: float) -> str:
    return f"{time.monotonic() - began:.0f} s"


def _has_bf16(device: torch.device) -> bool:
    try:
        return pick_precision("bf16", device) == "bf16"
    except UsageError:
        return False


def _flops(timer: TimedSteps) -> float:
    """Return FLOP per image of a training step, counted in real steps: convolutions and matrix multiplications."""
    with FlopCounterMode(display=False) as counter:
        images = timer.step().images
    return float(counter.get_total_flops() / (images * timer.queued))


def _subject(job: Job) -> Subject:
    config = job.config
    return Subject(
        arch=job.arch.name,
        data=job.store.card.name,
        image_size=job.image.size,
        params=count_params(job.arch, classes=len(job.classes), channels=job.image.channels),
        batch_size=config.batch_size,
        device=config.device,
        threads=config.threads,
        precision=config.precision,
        train_images=len(job.train),
        val_images=len(job.val) if job.val is not None else 0,
        steps=job.steps,
    )


def _training(timing: Bench, rates: dict[str, list[float]], flops: float) -> Training:
    job, speed = timing.job, spread(rates[TRAIN])
    images = min(job.config.batch_size, len(job.train))
    full = dataclasses.replace(job, config=job.config.model_copy(update={"progressive": ProgressiveConfig()}))
    ends = pace(full, timing.state, seconds=SAMPLE)
    whole = dataclasses.replace(ends, step=images / speed.median)
    growing = work(job.sides, start=0, stop=job.steps) / (job.steps * job.image.size**2)
    shares = [rate * flops / 1e9 for rate in rates[TRAIN]]
    return Training(
        images_per_second=speed,
        flops_per_image=flops,
        share_of_sgemm=ratios(shares, rates[SGEMM]),
        epoch_seconds=whole.epoch(len(job.train) / images),
        run_seconds=seconds_of(job, dataclasses.replace(whole, step=whole.step * growing)),
        parts=_parts(timing.steps),
    )


def _parts(steps: Sequence[TimedStep]) -> dict[str, Part]:
    watched = [step.parts for step in steps if step.parts]
    medians = [statistics.median(column) for column in zip(*watched, strict=True)]
    return {
        name: Part(seconds=seconds, share=seconds / sum(medians))
        for name, seconds in zip(PARTS, medians, strict=bool(watched))
    }


def _onnx_ratios(rates: dict[str, list[float]]) -> dict[str, Spread]:
    """Return the ratios of onnxruntime to torch by batch, round by round."""
    pairs = {name: name.replace("onnxruntime", "torch") for name in rates if name.startswith("onnxruntime ")}
    return {name.partition(" ")[2]: ratios(rates[name], rates[other]) for name, other in pairs.items()}


def _tried(timing: Bench, rates: dict[str, list[float]]) -> Iterator[Tried]:
    for name, option in timing.options.items():
        if name in rates:
            ratio = ratios(rates[name], rates[TRAIN])
            yield Tried(what=name, option=option, images_per_second=spread(rates[name]), ratio=ratio)


def _machine(rates: dict[str, list[float]], busy: OtherLoad) -> Machine:
    return Machine(
        processor=processor(),
        cores=cores_granted(),
        torch=torch.__version__,
        sgemm_gflops=spread(rates[SGEMM]),
        copy_gb_per_second=spread(rates[COPY]),
        foreign_cores=busy.cores(),
    )
