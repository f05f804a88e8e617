"""The options of each command that are not config keys. Declared once, like config keys."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from resnetctl.cli.parser.common import Common
from resnetctl.config.duration import seconds
from resnetctl.config.options import USED, option
from resnetctl.registry import Kind
from resnetctl.spec import Fit


def argument(help: str, *, metavar: str, default: Any = ..., complete: str | None = None) -> Any:
    """A positional argument, required unless it has a default."""
    extra: dict[str, Any] = {"argument": True, "metavar": metavar, "panel": "Arguments", "complete": complete}
    return Field(default, description=help, json_schema_extra=extra)


class LayerOptions(Common):
    """Where config values come from, besides flags."""

    recipe: str = option(
        "", "Packaged recipe: fast, sprint, strong, paper, finetune", metavar="NAME", panel=USED, complete="recipe"
    )
    config_file: Path | None = option(
        None, "TOML file with any config key", flag="--config", short="-c", metavar="FILE", panel=USED
    )
    sets: list[str] = option(
        [], "Any config key, e.g. --set optim.nesterov=false", flag="--set", metavar="KEY=VALUE", panel=USED
    )


class RunOptions(LayerOptions):
    """What a run is called, and where it goes."""

    name: str | None = option(None, "Name of the run's folder", short="-n", metavar="NAME", panel=USED)
    out: Path | None = option(None, "Where run folders are made", short="-o", metavar="DIR", panel="Run")
    dry_run: bool = option(False, "Check, time one step, write nothing", panel=USED)
    budget: Annotated[float, BeforeValidator(seconds)] = option(
        0.0, "As many epochs as fit a wall time: 90s, 1h30min", metavar="TIME", panel=USED
    )
    tune: bool = option(False, "Let trials choose the number of threads", panel="Machine")


class TrainOptions(RunOptions):
    resume: str | None = option(
        None, "Go on with a stopped run, e.g. --resume last", metavar="RUN", panel=USED, complete="run"
    )
    exact: bool = option(False, "With --resume: refuse if not bit for bit the same", panel="Run")


class FinetuneOptions(RunOptions):
    target: str | None = argument("Run or weights file to start from", metavar="RUN|FILE", default=None, complete="run")


class ConfigShowOptions(LayerOptions):
    verb: Literal["train", "finetune"] = argument("train or finetune", metavar="VERB", default="train")


class BenchOptions(LayerOptions):
    """`bench`: what is timed is said with the flags of `train`."""

    compiled: bool = option(False, "Try torch.compile too: a minute more", flag="--compile", panel=USED)


class EvalOptions(Common):
    target: str | None = argument("Run, weights or ONNX file", metavar="TARGET", default=None, complete="run")
    data: str | None = option(
        None, "Dataset, when not the one trained on", short="-d", metavar="NAME", panel=USED, complete="dataset"
    )
    split: Literal["test", "val"] = option("test", "Which images", panel=USED)
    min_accuracy: float | None = option(None, "Exit 5 when top-1 is below, e.g. 0.9", metavar="X", panel=USED)
    device: str | None = option(None, "auto, cpu, cuda, cuda:1, mps", panel=USED)


class PredictOptions(Common):
    target: str = argument("Run, weights or ONNX file", metavar="TARGET", complete="run")
    images: list[Path] = argument("Image files, or folders of them", metavar="IMAGE...")
    top: int = option(1, "Classes to print for each image", panel=USED, ge=1, metavar="K")


class ExportOptions(Common):
    target: str | None = argument("Run or weights file", metavar="TARGET", default=None, complete="run")
    onnx: bool = option(False, "Write ONNX", panel=USED)
    out: Path | None = option(None, "File to write; a run has its own place", short="-o", metavar="FILE", panel=USED)
    images: Path | None = option(None, "Folder of images for the check", metavar="DIR", panel=USED)
    gate: Literal["real", "synthetic"] = option("real", "Check on real images, or on made-up ones", panel=USED)


class DataGetOptions(Common):
    name: str = argument("Dataset", metavar="NAME", complete="dataset")
    source: Path | None = option(None, "Your own copy, archive or unpacked", flag="--from", metavar="PATH", panel=USED)
    replace: bool = option(False, "Build it anew", panel=USED)


class DataAddOptions(Common):
    path: Path = argument("Folder, archive or CSV", metavar="PATH")
    name: str | None = option(None, "Name in the store, instead of the path's", short="-n", metavar="NAME", panel=USED)
    size: int | None = option(None, "Store and train at N x N pixels", metavar="N", panel=USED, ge=1, le=4096)
    fit: Fit = option("crop", "How images that are not square fit", panel=USED)
    on_bad_image: Literal["error", "skip"] = option("error", "Unreadable images: stop, or leave out", panel=USED)
    replace: bool = option(False, "Replace the dataset of that name", panel=USED)


class DataNameOptions(Common):
    name: str = argument("Dataset", metavar="NAME", complete="dataset")


class DataShowOptions(DataNameOptions):
    sheet: Path | None = option(None, "Write a contact sheet", metavar="FILE.png", panel=USED)


class DataCheckOptions(Common):
    target: str = argument("Dataset, folder, archive or CSV", metavar="NAME|PATH", complete="dataset")


class WeightsShowOptions(Common):
    target: str | None = argument("Run or weights file", metavar="TARGET", default=None, complete="run")


class WeightsImportOptions(Common):
    file: Path = argument("State dict: .pth .th .pt or safetensors", metavar="FILE")
    arch: str = option(..., "Architecture that it belongs to", short="-a", metavar="NAME", panel=USED, complete="arch")
    out: Path = option(..., "File to write", short="-o", metavar="FILE", panel=USED)
    data: str | None = option(
        None, "Dataset that names the classes", short="-d", metavar="NAME", panel=USED, complete="dataset"
    )
    classes: Path | None = option(None, "Class names, one a line, in output order", metavar="FILE", panel=USED)
    size: int | None = option(None, "Image size of the net", metavar="N", panel=USED, ge=1)
    mean: str | None = option(None, "Of the normalisation, in 0..1", metavar="R,G,B", panel=USED)
    std: str | None = option(None, "Of the normalisation, in 0..1", metavar="R,G,B", panel=USED)


class PluginsListOptions(Common):
    kind: Kind | None = option(None, "Only these", panel=USED)
    check: bool = option(False, "Import each one, report the broken", panel=USED)


class PluginsShowOptions(Common):
    name: str = argument("Name, or dist:name", metavar="NAME", complete="plugin")
    kind: Kind | None = option(None, "When the name is of several kinds", panel=USED)


class PluginsCheckOptions(Common):
    target: str | None = argument(
        "Distribution, NAME or dist:name; all of them unless given",
        metavar="DIST|NAME",
        default=None,
        complete="plugin",
    )


class PluginsNewOptions(Common):
    name: str = argument("Name of the distribution, e.g. my-block", metavar="NAME")
    kind: Kind = option("block", "What it registers", panel=USED)
    out: Path = option(Path(), "Folder to put it in", short="-o", metavar="DIR", panel=USED)


class RunsShowOptions(Common):
    run: str = argument("Run", metavar="RUN", default="last", complete="run")
