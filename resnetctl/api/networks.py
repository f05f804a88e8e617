"""The verbs for a trained network, as functions: measure, explain, predict, compress, export, load."""

from collections.abc import Iterable
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar, Unpack, cast

from resnetctl import stream
from resnetctl.config.arguments import require_known
from resnetctl.config.calls import checked
from resnetctl.deploy.onnx_card import Input
from resnetctl.engine.hardware.torch_state import leaving_torch
from resnetctl.errors import warn_caller
from resnetctl.predictor import OfHeads, OfOneCall, PictureResult, Predictor, Target
from resnetctl.progress import told
from resnetctl.report.outcomes import Measurement
from resnetctl.spec import MAX_PIXELS, Split, WeightsCard
from resnetctl.system import settings as machine
from resnetctl.tasks import targets
from resnetctl.tasks.evaluate import EvalOutcome, How
from resnetctl.tasks.explain import ExplainOptions, ExplainReport
from resnetctl.tasks.export import ExportReport, Gate, More
from resnetctl.tasks.report.document import ReportOptions, TrustReport
from resnetctl.weights.file import load_network, newest

if TYPE_CHECKING:
    from resnetctl.data.image_files import Picture
    from resnetctl.models.resnet import ResNet
    from resnetctl.tasks.compress import CompressReport, OrderOptions


class _HasNotices(Protocol):
    @property
    def notices(self) -> tuple[str, ...]: ...


Noticed = TypeVar("Noticed", bound=_HasNotices)


@checked()
@leaving_torch
def evaluate(
    target: Target = None,
    *,
    data: Target = None,
    split: Split = "test",
    device: str | None = None,
    per_image: str | Path | None = None,
    **how: Unpack[How],
) -> EvalOutcome:
    """Measure a run, a weights file or an ONNX file on one split. For a network with a head it is a `NetOutcome`.

    Args:
        target: a run, its name, or a file. None: the newest run.
        data: dataset name, folder, archive or CSV; by default the dataset of the training.
        split: `test`, `val` or `train`; val replaces a missing test.
        device: `cpu`, `cuda` or `mps`.
        per_image: CSV file to write, with what each image was given, the worst first.
        how: `tta="flip"` averages the logits of each image and its mirror image. Limits are fractions in 0..1:
            `min_primary` (`top1`, `map50`, `miou`), `min_accuracy`, `min_balanced_accuracy`, `min_per_class` (of every
            class) and `min_lower` (lower end of the 95 % interval). The result's `require()` raises `CheckFailed` below
            them. What cannot be written after the measuring is a warning, and `unwritten`, which `require()` raises.

    Raises:
        UsageError, InputError: as the command `eval`.
    """
    from resnetctl.tasks.evaluate import evaluate as task

    require_known(how, evaluate, options=How)
    settings, data = machine.load(), targets.text(data)
    outcome = task(
        targets.text(target), settings=settings, data=data, split=split, device=device, per_image=per_image, **how
    )
    return _warned(cast(EvalOutcome, outcome))


@checked()
@leaving_torch
def report(target: Target = None, *, device: str | None = None, **options: Unpack[ReportOptions]) -> TrustReport:
    """Return calibration, prediction sets, abstaining and a comparison of a run, a weights file or an ONNX file.

    For a network with a head it is a `NetReport`: numbers by class, and the pictures that it answers worst and best.

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

    require_known(options, report, options=ReportOptions)
    settings = machine.load()
    settings = settings if device is None else replace(settings, device=device)
    if "against" in options:
        options["against"] = targets.text(options["against"])
    return _warned(cast(TrustReport, task(targets.text(target), settings=settings, **options)))


@checked()
@leaving_torch
def explain(
    target: Target,
    images: str | PathLike[str] | Iterable[str | PathLike[str]],
    *,
    device: str | None = None,
    **options: Unpack[ExplainOptions],
) -> ExplainReport:
    """Write maps of what a run or a weights file looked at: a picture and an array for each image.

    A file that cannot be read is a warning, and a line of `problems`.

    Args:
        images: paths of images and folders.
        options: `method`, `gradcam`, `hirescam` or `layercam`; `stage`, by default the last; `class_`, by default the
            predicted one of each image; `out`, the folder.

    Raises:
        UsageError, InputError: as the command `explain`.
        DataError: no image can be read.
    """
    from resnetctl.tasks.explain import explain as task

    require_known(options, explain, options=ExplainOptions)
    settings = machine.load()
    settings = settings if device is None else replace(settings, device=device)
    paths = [images] if isinstance(images, str | PathLike) else images
    found = _warned(task(targets.text(target), [Path(item) for item in paths], settings=settings, **options))
    if found.problems and not found.results:
        found.require()
    for problem in found.problems:
        warn_caller(problem)
    return found


@checked()
@leaving_torch
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
        more: `data`: a dataset other than the training's to check on. `int8=True` writes int8, checked against float32
            on val. With it: `calibrate` (images), `max_drop` (percent points) and `allow_slower`. For an exporter:
            `assets`, a folder with files of other programs that it needs.
    """
    from resnetctl.tasks.export import export as task
    from resnetctl.tasks.export import form_of

    require_known(more, export, options=More)
    form = form_of(input, to, **more)
    return _warned(task(targets.text(target), settings=machine.load(), out=out, images=images, gate=gate, **form))


@checked(options=stream.order_options)
@leaving_torch
def compress(
    target: Target = None,
    *,
    out: str | Path | None = None,
    name: str | None = None,
    progress: bool | None = None,
    **order: "Unpack[OrderOptions]",
) -> "CompressReport":
    """Make a network smaller: `compress("last", speedup=2, finetune="5epochs", name="small")`. Errors as the command.

    Args:
        target: a run, its name, or a weights file. None: the newest run.
        out: write a weights file, without training; otherwise the result is a run.
        name: the name of the run. A run that was stopped goes on.
        progress: as in `train`.
        order: `keep_blocks`, the blocks that each stage keeps; `channels`, the share of inner channels that stays; or
            `speedup`, how many times as fast single images must become on this machine. `student`, a run, a weights
            file or an arch that competes with the cut network. `finetune`, how long to train then, and `set`, config
            keys of this training. `data`, the dataset to choose, measure and train on, by default that of the
            training. With `target_ms`, `size` ("500kB"), `int8`, `max_drop` (percent points) or `budget` ("30min", of
            all calls together), the result is a checked ONNX file that keeps these limits.
    """
    from resnetctl.tasks.compress import OrderOptions

    require_known(order, compress, options=OrderOptions)
    if out is not None:
        report = stream.cut(target, out, name=name, **order)
    else:
        *_, last = told(stream.compress(target, name=name, **order), progress=progress)
        report = cast("CompressReport", last)
    return _warned(report)


@checked(except_for=["images"])
def predict(
    target: Target,
    images: "Picture | Iterable[Picture]",
    *,
    top: int = 1,
    set: float | None = None,
    max_pixels: int = MAX_PIXELS,
    **of_heads: Unpack[OfOneCall],
) -> list[PictureResult]:
    """Return `{"file", "predictions": [{"class", "probability"}], "problem"}` for each picture, in order.

    A detector gives `boxes`, a segmenter a `mask`: see `PictureResult`. Arguments and errors as `Predictor`, which is
    faster for many calls, and `vectors` as in its call. A picture that cannot be read raises nothing: its `problem` is
    a text, and the rest is empty.
    """
    require_known(of_heads, predict, options=OfOneCall)
    vectors = of_heads.pop("vectors", None)
    return Predictor(target, top=top, set=set, max_pixels=max_pixels, **cast("OfHeads", of_heads))(
        images, vectors=vectors
    )


@checked()
@leaving_torch
def load(target: Target = None) -> "tuple[ResNet, WeightsCard]":
    """Return the trained `torch.nn.Module` in eval mode and its card: `model, card = rc.load("runs/last")`."""
    net, header = newest(targets.resolve(targets.text(target), machine.load()).header, load_network)
    return net, header.card


def _warned(outcome: Noticed) -> Noticed:
    """Return what a verb found, and warn of its notices and of what it could not write."""
    for notice in outcome.notices:
        warn_caller(notice)
    if isinstance(outcome, Measurement) and outcome.unwritten is not None:
        warn_caller(str(outcome.unwritten))
    return outcome
