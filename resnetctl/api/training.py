"""The verbs that train, as functions: `train`, `finetune`, `resume`, `sweep`, and the trials `bench` and `find_lr`."""

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resnetctl import stream
from resnetctl.config.calls import checked
from resnetctl.config.draft import draft
from resnetctl.config.schema import BenchConfig, TrainConfig
from resnetctl.engine.hardware.torch_state import leaving_torch
from resnetctl.facts import Finished, result_of
from resnetctl.predictor import Target
from resnetctl.progress import told, watched
from resnetctl.run import Run
from resnetctl.system import settings as machine
from resnetctl.tasks.bench.report import BenchReport

if TYPE_CHECKING:
    from resnetctl.tasks.sweep.results import SweepReport
    from resnetctl.training.timing.lr_search import LrReport


@checked(options=stream.run_arguments)
@leaving_torch
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


@checked(options=stream.run_arguments)
@leaving_torch
def finetune(
    weights: Target = None,
    *,
    data: Target = None,
    out: str | Path | None = None,
    set: Mapping[str, Any] | None = None,
    progress: bool | None = None,
    **flags: Any,
) -> Run:
    """Train on from trained weights: `finetune("torchvision:resnet18", data="./photos", epochs=5)`.

    Args:
        weights: a run, a weights file or `"torchvision:resnet18"`. None: the newest run.
        data: dataset name, folder, archive or CSV; `config` may name it instead.
        out, set, progress, flags: as in `train`; `recipe`, `config` and `name` work as there, too.

    Raises as `train`, and `WeightsError` for weights that cannot be used.
    """
    return _drain(stream.finetune(weights, data=data, out=out, set=set, **flags), progress=progress)


@checked()
@leaving_torch
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


@checked()
@leaving_torch
def bench(
    *,
    recipe: str | None = None,
    config: str | Path | None = None,
    set: Mapping[str, Any] | None = None,
    compiled: bool = False,
    progress: bool | None = None,
    **flags: Any,
) -> BenchReport:
    """Time this machine on the run that `train` with these arguments would start. `data` defaults to the digits.

    `compiled` also times torch.compile, which takes a minute or more. Other arguments and errors as `train`. The
    trial has no epoch to show.
    """
    from resnetctl.tasks.bench.bench import bench as task

    layers = stream.layers(stream.keywords(BenchConfig, flags), recipe=recipe, config=config, set=set)
    settings = machine.load()
    facts = task(draft(BenchConfig, layers, settings=settings), settings, compiled=compiled)
    report: BenchReport = result_of(watched(facts, show=progress))
    return report


@checked()
@leaving_torch
def find_lr(
    *,
    recipe: str | None = None,
    config: str | Path | None = None,
    set: Mapping[str, Any] | None = None,
    progress: bool | None = None,
    **flags: Any,
) -> "LrReport":
    """Try rising learning rates on the run that `train` with these arguments would start; write no run.

    The report has the `proposal`, the `points` of the curve, and `plot()`, which a notebook draws. Arguments and
    errors as `train`. The search has no epoch to show.
    """
    from resnetctl.tasks.train import find_lr as task

    layers = stream.layers(stream.keywords(TrainConfig, flags), recipe=recipe, config=config, set=set)
    settings = machine.load()
    report: LrReport = result_of(watched(task(draft(TrainConfig, layers, settings=settings), settings), show=progress))
    return report


@checked()
@leaving_torch
def sweep(
    file: str | PathLike[str],
    *,
    name: str | None = None,
    out: str | Path | None = None,
    halving: int = 0,
    progress: bool | None = None,
) -> "SweepReport":
    """Train the runs that a TOML file describes, or go on with a group; return what came out.

    Arguments and errors as the command `sweep`; `progress` as in `train`, with the epochs of the run that is trained.
    The report's `plot()` draws it in a notebook.
    """
    from resnetctl.tasks import resume, train
    from resnetctl.tasks.sweep import opened, results, work
    from resnetctl.training.launch import Trainer

    settings, place = machine.load(), None if out is None else Path(out)
    group = opened.open_group(file, settings, name=name, out=place, halving=halving)
    trainer = Trainer(start=train.train, resume=resume.resume)
    for _ in watched(stream.interruptible(work.work(group, settings, trainer=trainer)), show=progress):
        pass
    return results.show(group)


def _drain(facts: "stream.Facts", *, progress: bool | None) -> Run:
    finished = [fact for fact in told(facts, progress=progress) if isinstance(fact, Finished)]
    return Run(path=finished[-1].run, summary=finished[-1].summary)
