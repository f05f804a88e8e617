"""The verbs as functions, for notebooks and scripts: `import resnetctl as rc; rc.train(data="digits")`.

They take the flags of the command line as keyword arguments, show nothing, and return reports.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resnetctl.config.duration import seconds
from resnetctl.config.layers import Layer, from_file, from_recipe, layer, together
from resnetctl.config.options import flags
from resnetctl.config.schema import BenchConfig, FinetuneConfig, TrainConfig
from resnetctl.errors import UsageError, suggest
from resnetctl.facts import Finished
from resnetctl.spec import WeightsCard
from resnetctl.system import settings as machine
from resnetctl.tasks import targets
from resnetctl.tasks.bench.report import BenchReport
from resnetctl.tasks.evaluate import EvalOutcome
from resnetctl.tasks.export import ExportReport
from resnetctl.training.report import TrainReport
from resnetctl.weights.file import load_model

if TYPE_CHECKING:
    from resnetctl.models.resnet import ResNet


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
    """Train from scratch: `train(data="digits", arch="resnet20", epochs=5)`. Raises what the command would.

    Instead of epochs, `budget="10min"` fits them to a wall time; `tune=True` lets trials choose the threads.
    """
    from resnetctl.tasks.train import TrainRequest
    from resnetctl.tasks.train import train as task

    trials = _trials(flags)
    said = together(layer(dict(set or {}), "set"), _keywords(TrainConfig, flags))
    request = TrainRequest(
        layers=[*_files(recipe, config), said], name=name, out=Path(out) if out is not None else None, **trials
    )
    return _drain(task(request, machine.load()))


def finetune(
    weights: "str | Path | Run | None" = None,
    *,
    data: str,
    recipe: str | None = None,
    config: str | Path | None = None,
    name: str | None = None,
    set: Mapping[str, Any] | None = None,
    **flags: Any,
) -> Run:
    """Train on from a run, a file or `"torchvision:resnet18"`; the newest run unless given. Else as `train`."""
    from resnetctl.tasks.finetune import finetune as task
    from resnetctl.tasks.train import TrainRequest

    trials = _trials(flags)
    given = {"data": data} | ({} if weights is None else {"weights": _text(weights)})
    said = together(layer(dict(set or {}), "set"), _keywords(FinetuneConfig, flags | given))
    layers = [*_files(recipe, config), said]
    return _drain(task(TrainRequest(layers=layers, name=name, **trials), machine.load()))


def evaluate(target: "str | Path | Run | None" = None, **options: Any) -> EvalOutcome:
    """Measure a run, a weights file or an ONNX file. Options: `data`, `split`, `min_accuracy`, `device`."""
    from resnetctl.tasks.evaluate import evaluate as task

    return task(_text(target), settings=machine.load(), **options)


def export(target: "str | Path | Run | None" = None, **options: Any) -> ExportReport:
    """Write a checked ONNX file. Options: `out`, `images`, `gate`."""
    from resnetctl.tasks.export import export as task

    return task(_text(target), settings=machine.load(), **options)


def predict(target: "str | Path | Run | None", images: Sequence[str | Path], *, top: int = 1) -> list[dict[str, Any]]:
    """Classify image files: a list of `{"file", "predictions": [{"class", "probability"}]}`."""
    from resnetctl.tasks.predict import predict as task

    outcome = task(_text(target), [Path(image) for image in images], top=top, settings=machine.load())
    return [item.to_json() for item in outcome.results]


def bench(
    *,
    recipe: str | None = None,
    config: str | Path | None = None,
    set: Mapping[str, Any] | None = None,
    compiled: bool = False,
    **flags: Any,
) -> BenchReport:
    """Time this machine on what `train` with these arguments would do; on the digits unless given `data`."""
    from resnetctl.tasks.bench.bench import bench as task

    said = together(layer(dict(set or {}), "set"), _keywords(BenchConfig, flags))
    work = task([*_files(recipe, config), said], machine.load(), compiled=compiled)
    while True:
        try:
            next(work)
        except StopIteration as end:
            report: BenchReport = end.value
            return report


def load(target: "str | Path | Run | None" = None) -> "tuple[ResNet, WeightsCard]":
    """The trained `torch.nn.Module` in eval mode with its card: `model, card = rc.load("runs/last")`."""
    return load_model(targets.resolve(_text(target), machine.load()).path)


def _trials(flags: dict[str, Any]) -> dict[str, Any]:
    """Take the flags that no config has out of `flags`. Raises `UsageError` when the budget is no time."""
    budget = flags.pop("budget", None)
    try:
        return {"budget": 0.0 if budget is None else seconds(budget), "tune": bool(flags.pop("tune", False))}
    except (TypeError, ValueError) as error:
        raise UsageError(f"budget {error}") from None


def _files(recipe: str | None, config: str | Path | None) -> list[Layer]:
    return ([from_recipe(recipe)] if recipe else []) + ([from_file(Path(config))] if config else [])


def _keywords(model: type[TrainConfig], given: Mapping[str, Any]) -> Layer:
    keys = {flag.flag.removeprefix("--").replace("-", "_"): flag.key for flag in flags(model)}
    unknown = [name for name in given if name not in keys]
    if unknown:
        raise UsageError(f"unknown argument '{unknown[0]}'", hint=suggest(unknown[0], keys))
    return Layer(
        {keys[name]: value for name, value in given.items()}, {keys[name]: f"argument {name}" for name in given}
    )


def _text(target: "str | Path | Run | None") -> str | None:
    return None if target is None else str(target.path if isinstance(target, Run) else target)


def _drain(facts: Iterable[object]) -> Run:
    finished = [fact for fact in facts if isinstance(fact, Finished)]
    return Run(path=finished[-1].run, summary=finished[-1].summary)
