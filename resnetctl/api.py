"""The verbs as functions, for notebooks and scripts: `import resnetctl as rc; rc.train(data="digits")`.

Keyword arguments have the names of the command line's flags. The functions print nothing and return reports.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from resnetctl.config.draft import RunRequest, draft
from resnetctl.config.duration import seconds
from resnetctl.config.layers import Layer, from_file, from_recipe, layer, together
from resnetctl.config.options import flags
from resnetctl.config.schema import BenchConfig, FinetuneConfig, TrainConfig
from resnetctl.engine.gates import Limits
from resnetctl.errors import UsageError, warn_caller
from resnetctl.facts import Finished, Notice
from resnetctl.hints import Call, Setting, suggest
from resnetctl.predictor import PictureResult, Predictor, Target
from resnetctl.spec import MAX_PIXELS, Split, WeightsCard
from resnetctl.system import settings as machine
from resnetctl.tasks import targets
from resnetctl.tasks.bench.report import BenchReport
from resnetctl.tasks.evaluate import EvalOutcome
from resnetctl.tasks.export import ExportReport, Gate
from resnetctl.training.report import TrainReport
from resnetctl.weights.file import load_model

if TYPE_CHECKING:
    from resnetctl.data.image_files import Picture
    from resnetctl.models.resnet import ResNet


RUN_ARGUMENTS = ("budget", "config", "name", "out", "recipe", "set", "tune")  # of `train`, which are no config keys


@dataclass(frozen=True, kw_only=True)
class Run(TrainReport):
    """A finished run: its folder, and the content of `summary.json`."""

    path: Path

    def __fspath__(self) -> str:
        return str(self.path)


def train(
    *,
    recipe: str | None = None,
    config: str | Path | None = None,
    name: str | None = None,
    out: str | Path | None = None,
    set: Mapping[str, Any] | None = None,
    **flags: Any,
) -> Run:
    """Train from scratch: `train(data="digits", arch="resnet20", epochs=5)`.

    Args:
        recipe: a packaged recipe, such as `"fast"`.
        config: a TOML file with config keys; it is stronger than the recipe.
        name: the run folder's name.
        out: the folder that will hold the run folder.
        set: config keys that have no argument of their own: `{"optim.nesterov": False}`.
        flags: config values, named like their flags. In addition, `budget="10min"` trains as many epochs as this wall
            time allows, and `tune=True` chooses the threads by timing.

    Raises:
        UsageError, ConfigError: an argument is wrong; nothing was fetched or written.
        DataError, PluginError, WorkFailed: as the command `train`.
    """
    from resnetctl.tasks.train import train as task

    request = _request(flags, name=name, out=out)
    layers = _layers(recipe, config, set, _keywords(TrainConfig, flags))
    settings = machine.load()
    return _drain(task(draft(TrainConfig, layers, settings=settings, request=request), settings))


def finetune(
    weights: Target = None,
    *,
    data: str,
    out: str | Path | None = None,
    set: Mapping[str, Any] | None = None,
    **flags: Any,
) -> Run:
    """Train on from trained weights: `finetune("torchvision:resnet18", data="./photos", epochs=5)`.

    Args:
        weights: a run, a weights file or `"torchvision:resnet18"`. None: the newest run.
        data: dataset name, folder, archive or CSV.
        out, set, flags: as in `train`; `recipe`, `config` and `name` work as there, too.

    Raises as `train`, and `WeightsError` for weights that cannot be used.
    """
    from resnetctl.tasks.finetune import finetune as task

    request = _request(flags, name=flags.pop("name", None), out=out)
    recipe, config = flags.pop("recipe", None), flags.pop("config", None)
    fixed = {"data": data} | ({} if weights is None else {"weights": targets.text(weights)})
    layers = _layers(recipe, config, set, _keywords(FinetuneConfig, flags | fixed))
    settings = machine.load()
    return _drain(task(draft(FinetuneConfig, layers, settings=settings, request=request), settings))


def resume(
    run: "str | Path | Run" = "last", epochs: int | None = None, *, exact: bool = False, device: str | None = None
) -> Run:
    """Go on with a run from its newest whole checkpoint: `resume("last")`, or `resume("last", epochs=30)`.

    Args:
        run: a run, its folder or its name.
        epochs: a new length. A finished run goes on only with more epochs than it has.
        exact: refuse if the result could differ from that of an uninterrupted run.
        device: a device other than the run's own.

    Raises:
        UsageError: the run is in use, or an exact resume is not possible here.
        InputError: there is no such run, or it cannot be read.
    """
    from resnetctl.tasks.resume import resume as task

    target = str(targets.text(run))
    return _drain(task(target, settings=machine.load(), epochs=epochs, exact=exact, device=device))


def evaluate(
    target: Target = None,
    *,
    data: str | None = None,
    split: Split = "test",
    device: str | None = None,
    per_image: str | Path | None = None,
    **limits: Unpack[Limits],
) -> EvalOutcome:
    """Measure a run, a weights file or an ONNX file on one split.

    Args:
        target: a run, its name, or a file. None: the newest run.
        data: a stored dataset; by default the one of the training.
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
    return task(
        targets.text(target), settings=settings, data=data, split=split, device=device, per_image=per_image, **limits
    )


def export(
    target: Target = None,
    *,
    out: str | Path | None = None,
    images: str | Path | None = None,
    gate: Gate = "real",
) -> ExportReport:
    """Write a checked ONNX file. Errors as the command `export`.

    Args:
        target: a run, its name, or a weights file. None: the newest run.
        out: the file to write, by default in the run's folder.
        images: a folder of images to check on, by default val of the training's dataset.
        gate: `synthetic` checks on noise.
    """
    from resnetctl.tasks.export import export as task

    return task(targets.text(target), settings=machine.load(), out=out, images=images, gate=gate)


def predict(
    target: Target, images: "Picture | Iterable[Picture]", *, top: int = 1, max_pixels: int = MAX_PIXELS
) -> list[PictureResult]:
    """Classify pictures; return `{"file", "predictions": [{"class", "probability"}], "problem"}` for each, in order.

    Arguments and errors as `Predictor`, which is faster for many calls. A picture that cannot be read raises nothing:
    its `problem` is a text, and its `predictions` are empty.
    """
    return Predictor(target, top=top, max_pixels=max_pixels)(images)


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

    layers, settings = _layers(recipe, config, set, _keywords(BenchConfig, flags)), machine.load()
    work = task(draft(BenchConfig, layers, settings=settings), settings, compiled=compiled)
    while True:
        try:
            next(work)
        except StopIteration as end:
            report: BenchReport = end.value
            return report


def load(target: Target = None) -> "tuple[ResNet, WeightsCard]":
    """Return the trained `torch.nn.Module` in eval mode and its card: `model, card = rc.load("runs/last")`."""
    return load_model(targets.resolve(targets.text(target), machine.load()).path)


def _request(flags: dict[str, Any], *, name: str | None, out: str | Path | None) -> RunRequest:
    """Remove the arguments that are no config keys from `flags`. Raises `UsageError` when the budget is not a time."""
    budget, tune = flags.pop("budget", None), bool(flags.pop("tune", False))
    try:
        length = 0.0 if budget is None else seconds(budget)
    except (TypeError, ValueError) as error:
        raise UsageError(f"budget {error}", where=Setting("budget")) from None
    return RunRequest(name=name, out=None if out is None else Path(out), budget=length, tune=tune)


def _layers(
    recipe: str | None, config: str | Path | None, set: Mapping[str, Any] | None, keywords: Layer
) -> list[Layer]:
    """Return the layers, weakest first. `set` and keyword arguments are one layer; a keyword argument wins."""
    files = ([from_recipe(recipe)] if recipe else []) + ([from_file(Path(config))] if config else [])
    if set is not None and not isinstance(set, Mapping):
        raise UsageError("set takes a dict", where=Setting("set"), hint=Setting("set", {"optim.lr": 0.05}))
    return [*files, together(layer(dict(set or {}), "set"), keywords)]


def _keywords(model: type[TrainConfig], arguments: Mapping[str, Any]) -> Layer:
    """Return the layer of keyword arguments, named like the flags. Their origins read `argument lr`."""
    keys = {flag.flag.removeprefix("--").replace("-", "_"): flag.key for flag in flags(model)}
    unknown = [name for name in arguments if name not in keys]
    if "resume" in unknown:
        raise UsageError("training resumes by a function of its own", hint=Call("train", settings={"resume": "last"}))
    if unknown:
        raise UsageError(f"unknown argument '{unknown[0]}'", hint=suggest(unknown[0], [*keys, *RUN_ARGUMENTS]))
    values = {keys[name]: value for name, value in arguments.items()}
    return Layer(values, {keys[name]: f"argument {name}" for name in arguments})


def _drain(facts: Iterable[object]) -> Run:
    finished: Finished | None = None
    for fact in facts:
        if isinstance(fact, Notice):
            warn_caller(fact.text)
        elif isinstance(fact, Finished):
            finished = fact
    assert finished is not None, "the last fact of a run"
    return Run(path=finished.run, summary=finished.summary)
