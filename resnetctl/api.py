"""The verbs as functions, for notebooks and scripts: `import resnetctl as rc; rc.train(data="digits")`.

Keyword arguments are named as the command line's flags. The functions return reports. Only training shows its progress.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack, cast

from resnetctl import stream
from resnetctl.backbones import backbone as backbone
from resnetctl.config.draft import draft
from resnetctl.config.schema import BenchConfig
from resnetctl.deploy.onnx_card import Input
from resnetctl.engine.gates import Limits
from resnetctl.errors import warn_caller
from resnetctl.facts import Finished, Notice
from resnetctl.hints import in_python
from resnetctl.predictor import PictureResult, Predictor, Target
from resnetctl.progress import watched
from resnetctl.run import Run
from resnetctl.run import runs as runs
from resnetctl.spec import MAX_PIXELS, Split, WeightsCard
from resnetctl.system import settings as machine
from resnetctl.tasks import targets
from resnetctl.tasks.bench.report import BenchReport
from resnetctl.tasks.evaluate import EvalOutcome
from resnetctl.tasks.explain import ExplainOptions, ExplainReport
from resnetctl.tasks.export import ExportReport, Gate, More
from resnetctl.tasks.report.document import ReportOptions, TrustReport
from resnetctl.weights.file import load_model

if TYPE_CHECKING:
    from resnetctl.data.image_files import Picture
    from resnetctl.models.resnet import ResNet
    from resnetctl.tasks.compress import CompressReport
    from resnetctl.tasks.sweep.results import SweepReport


def train(
    *,
    recipe: str | None = None,
    config: str | Path | None = None,
    name: str | None = None,
    out: str | Path | None = None,
    set: Mapping[str, Any] | None = None,
    progress: bool | None = None,
    **flags: Any,
) -> Run:
    """Train from scratch: `train(data="digits", arch="resnet20", epochs=5)`.

    Args:
        recipe: a packaged recipe, such as `"fast"`.
        config: a TOML file with config keys; it is stronger than the recipe.
        name: the run folder's name.
        out: the folder that will hold the run folder.
        set: config keys that have no argument of their own: `{"optim.nesterov": False}`.
        progress: False is silent. None shows the epochs in a terminal and in a notebook; True shows them everywhere.
        flags: config values, named like their flags. In addition, `budget="10min"` trains as many epochs as this wall
            time allows, and `tune=True` chooses the threads by timing.

    Raises:
        UsageError, ConfigError: an argument is wrong; nothing was fetched or written.
        DataError, PluginError, WorkFailed: as the command `train`.
    """
    return _drain(stream.train(recipe=recipe, config=config, name=name, out=out, set=set, **flags), progress=progress)


def finetune(
    weights: Target = None,
    *,
    data: str,
    out: str | Path | None = None,
    set: Mapping[str, Any] | None = None,
    progress: bool | None = None,
    **flags: Any,
) -> Run:
    """Train on from trained weights: `finetune("torchvision:resnet18", data="./photos", epochs=5)`.

    Args:
        weights: a run, a weights file or `"torchvision:resnet18"`. None: the newest run.
        data: dataset name, folder, archive or CSV.
        out, set, progress, flags: as in `train`; `recipe`, `config` and `name` work as there, too.

    Raises as `train`, and `WeightsError` for weights that cannot be used.
    """
    return _drain(stream.finetune(weights, data=data, out=out, set=set, **flags), progress=progress)


def resume(
    run: str | PathLike[str] = "last",
    epochs: int | None = None,
    *,
    exact: bool = False,
    device: str | None = None,
    progress: bool | None = None,
) -> Run:
    """Go on with a run from its newest whole checkpoint: `resume("last")`, or `resume("last", epochs=30)`.

    Args:
        run: a run, its folder or its name.
        epochs: a new length. A finished run goes on only with more epochs than it has.
        exact: refuse if the result could differ from that of an uninterrupted run.
        device: a device other than the run's own.
        progress: as in `train`.

    Raises:
        UsageError: the run is in use, or an exact resume is not possible here.
        InputError: there is no such run, or it cannot be read.
    """
    return _drain(stream.resume(run, epochs, exact=exact, device=device), progress=progress)


def evaluate(
    target: Target = None,
    *,
    data: str | None = None,
    split: Split = "test",
    device: str | None = None,
    per_image: str | Path | None = None,
    **limits: Unpack[Limits],
) -> EvalOutcome:
    """Measure a run, a weights file or an ONNX file on one split. For a network with a head it is a `NetOutcome`.

    Args:
        target: a run, its name, or a file. None: the newest run.
        data: dataset name, folder, archive or CSV; by default the dataset of the training.
        split: `test`, `val` or `train`; val replaces a missing test.
        device: `cpu`, `cuda` or `mps`.
        per_image: CSV file to write, with what each image was given, the largest loss first.
        limits: fractions in 0..1: `min_accuracy`, `min_balanced_accuracy`, `min_per_class` (of every class) and
            `min_lower` (lower end of the 95 % interval). The result's `require()` raises `CheckFailed` below them.

    Raises:
        UsageError, InputError: as the command `eval`.
    """
    from resnetctl.tasks.evaluate import evaluate as task

    settings = machine.load()
    outcome = task(
        targets.text(target), settings=settings, data=data, split=split, device=device, per_image=per_image, **limits
    )
    for notice in outcome.notices:
        warn_caller(notice)
    return cast(EvalOutcome, outcome)


def report(target: Target = None, *, device: str | None = None, **options: Unpack[ReportOptions]) -> TrustReport:
    """Return calibration, prediction sets, abstaining and a comparison of a run, a weights file or an ONNX file.

    Args:
        target: a run, its name, or a file. None: the newest run.
        device: `cpu`, `cuda` or `mps`.
        options: `data` and `split` as in `evaluate`, but train cannot be judged; `against`, another model with the same
            classes, compared on the same images; `ood`, datasets of another kind, and `noise`; `corruption`, kinds of
            corrupted images; `cifar_c`, a folder of published ones; `quick`, to leave them out; `calibrate`, a new
            weights file to write, with temperature and prediction sets in its card.

    Raises:
        UsageError, InputError, WorkFailed: as the command `report`.
    """
    from resnetctl.tasks.report.report import report as task

    settings = machine.load()
    settings = settings if device is None else replace(settings, device=device)
    if "against" in options:
        options["against"] = targets.text(options["against"])
    return task(targets.text(target), settings=settings, **options)


def explain(
    target: Target,
    images: str | PathLike[str] | Iterable[str | PathLike[str]],
    *,
    device: str | None = None,
    **options: Unpack[ExplainOptions],
) -> ExplainReport:
    """Write maps of what a run or a weights file looked at: a picture and an array for each image.

    Args:
        images: paths of images and folders.
        options: `method`, `gradcam`, `hirescam` or `layercam`; `stage`, by default the last; `class_`, by default the
            predicted one of each image; `out`, the folder.

    Raises:
        UsageError, InputError: as the command `explain`.
    """
    from resnetctl.tasks.explain import explain as task

    settings = machine.load()
    settings = settings if device is None else replace(settings, device=device)
    paths = [images] if isinstance(images, str | PathLike) else images
    return task(targets.text(target), [Path(item) for item in paths], settings=settings, **options)


def export(
    target: Target = None,
    *,
    out: str | Path | None = None,
    images: str | Path | None = None,
    gate: Gate = "real",
    input: Input = "float",
    to: str | None = None,
    **more: Unpack[More],
) -> ExportReport:
    """Write a checked ONNX file, or the folder of an exporter. Errors as the command `export`.

    Args:
        target: a run, its name, or a weights file. None: the newest run.
        out: the file to write, by default in the run's folder.
        images: a folder of images to check on, by default val of the training's dataset.
        gate: `synthetic` checks on noise; `none` does not check what an exporter wrote.
        input: `raw` puts the preprocessing into the file, which then takes uint8 pictures of any size.
        to: name of an exporter, such as `triton`; then `out` is a folder.
        more: `int8=True` writes int8, checked against float32 on val. With it: `data` (a dataset other than the
            training's), `calibrate` (images), `max_drop` (percent points) and `allow_slower`. For an
            exporter: `assets`, a folder with files of other programs that it needs.
    """
    from resnetctl.tasks.export import export as task
    from resnetctl.tasks.export import form_of

    form = form_of(input, to, **more)
    report = task(targets.text(target), settings=machine.load(), out=out, images=images, gate=gate, **form)
    for notice in report.notices:
        warn_caller(notice)
    return report


def compress(
    target: Target = None,
    *,
    out: str | Path,
    keep_blocks: Sequence[int] | None = None,
    speedup: float | None = None,
    data: str | None = None,
) -> "CompressReport":
    """Write the weights of a network with fewer blocks. Errors as the command `compress`.

    Args:
        target: a run, its name, or a weights file. None: the newest run.
        out: the weights file to write.
        keep_blocks: the blocks that each stage keeps; or else
        speedup: how many times as fast single images must become on this machine.
        data: the dataset to choose and measure on; by default that of the training.
    """
    from resnetctl.tasks.compress import Cut
    from resnetctl.tasks.compress import compress as task

    cut = Cut(keep_blocks=None if keep_blocks is None else tuple(keep_blocks), speedup=speedup)
    report = task(targets.text(target), settings=machine.load(), out=out, cut=cut, data=data)
    for notice in report.notices:
        warn_caller(notice)
    return report


def predict(
    target: Target,
    images: "Picture | Iterable[Picture]",
    *,
    top: int = 1,
    set: float | None = None,
    max_pixels: int = MAX_PIXELS,
) -> list[PictureResult]:
    """Classify pictures; return `{"file", "predictions": [{"class", "probability"}], "problem"}` for each, in order.

    Arguments and errors as `Predictor`, which is faster for many calls. A picture that cannot be read raises nothing:
    its `problem` is a text, and its `predictions` are empty.
    """
    return Predictor(target, top=top, set=set, max_pixels=max_pixels)(images)


def bench(
    *,
    recipe: str | None = None,
    config: str | Path | None = None,
    set: Mapping[str, Any] | None = None,
    compiled: bool = False,
    **flags: Any,
) -> BenchReport:
    """Time this machine on the run that `train` with these arguments would start. `data` defaults to the digits.

    `compiled` also times torch.compile, which takes a minute or more. Other arguments and errors as `train`.
    """
    from resnetctl.tasks.bench.bench import bench as task

    layers = stream.layers(stream.keywords(BenchConfig, flags), recipe=recipe, config=config, set=set)
    settings = machine.load()
    work = task(draft(BenchConfig, layers, settings=settings), settings, compiled=compiled)
    while True:
        try:
            next(work)
        except StopIteration as end:
            report: BenchReport = end.value
            return report


def sweep(
    file: str | PathLike[str], *, name: str | None = None, out: str | Path | None = None, halving: int = 0
) -> "SweepReport":
    """Train the runs that a TOML file describes, or go on with a group; return what came out.

    Arguments and errors as the command `sweep`. The report's `plot()` returns an SVG.
    """
    from resnetctl.tasks import resume, train
    from resnetctl.tasks.sweep import points, results, work

    settings, place = machine.load(), None if out is None else Path(out)
    group = points.open_group(file, settings, name=name, out=place, halving=halving)
    list(work.work(group, settings, trainer=work.Trainer(start=train.train, resume=resume.resume)))
    return results.show(group)


def load(target: Target = None) -> "tuple[ResNet, WeightsCard]":
    """Return the trained `torch.nn.Module` in eval mode and its card: `model, card = rc.load("runs/last")`."""
    return load_model(targets.resolve(targets.text(target), machine.load()).path)


def _drain(facts: "stream.Facts", *, progress: bool | None) -> Run:
    finished: Finished | None = None
    for fact in watched(facts, show=progress):
        if isinstance(fact, Notice):
            warn_caller("\n  try  ".join([fact.text, *map(in_python, fact.hint)]))
        elif isinstance(fact, Finished):
            finished = fact
    assert finished is not None, "the last fact of a run"
    return Run(path=finished.run, summary=finished.summary)
