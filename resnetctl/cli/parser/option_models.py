"""The options of the commands that train, measure and ship, as far as they are no config keys."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator

from resnetctl.cli.parser.common import Common, argument
from resnetctl.config.duration import seconds
from resnetctl.config.options import USED, option
from resnetctl.spec import MAX_PIXELS


class LayerOptions(Common):
    """Sources of config values besides flags."""

    recipe: str = option(
        "",
        "Recipe: fast, sprint, strong, paper, finetune, or a plugin's",
        metavar="NAME",
        panel=USED,
        complete="recipe",
    )
    config_file: Path | None = option(
        None, "TOML file with any config key", flag="--config", short="-c", metavar="FILE", panel=USED
    )
    sets: list[str] = option(
        [], "Any config key, e.g. --set optim.nesterov=false", flag="--set", metavar="KEY=VALUE", panel=USED
    )


class RunOptions(LayerOptions):
    """Name, place and length of a run."""

    name: str | None = option(None, "Name of the run folder", short="-n", metavar="NAME", panel=USED)
    out: Path | None = option(None, "Folder for run folders", short="-o", metavar="DIR", panel="Run")
    dry_run: bool = option(False, "Check everything, time a few steps, write nothing", panel=USED)
    budget: Annotated[float, BeforeValidator(seconds)] = option(
        0.0, "Train as many epochs as this wall time allows: 90s, 1h30min", metavar="TIME", panel=USED
    )
    tune: bool = option(False, "Time a few steps to choose the number of threads", panel="Machine")
    track: list[str] = option(
        [],
        "Write the run for a tracker too, e.g. tensorboard; repeatable",
        metavar="NAME",
        panel="Run",
        complete="tracker",
    )
    processes: str | None = option(
        None,
        "Processes that share the shards on this machine (auto: one a core or GPU)",
        metavar="N|auto",
        panel="Machine",
    )
    reduce: Literal["auto", "ordered", "fast"] = option(
        "auto", "Sum gradients in shard order (same bytes for any processes) or fast", panel="Machine"
    )


class TrainOptions(RunOptions):
    resume: str | None = option(
        None, "Resume a stopped run, e.g. --resume last", metavar="RUN", panel=USED, complete="run"
    )
    find_lr: bool = option(False, "Try rising learning rates for about two minutes, and propose one", panel="Run")
    plot: Path | None = option(None, "With --find-lr: write the curve", metavar="FILE.svg", panel="Run")
    seeds: int = option(
        0, "Train N runs with different seeds, as the group --name (0: one run)", metavar="N", panel="Run", ge=0
    )


class FinetuneOptions(RunOptions):
    target: str | None = argument("Run or weights file to start from", metavar="RUN|FILE", default=None, complete="run")


class ConfigShowOptions(LayerOptions):
    verb: str = argument("train, finetune, or a run that exists", metavar="VERB|RUN", default="train", complete="run")


class BenchOptions(LayerOptions):
    """Options of `bench`, besides the flags of `train` that describe the run."""

    compiled: bool = option(False, "Time torch.compile too (takes a minute more)", flag="--compile", panel=USED)


class Measuring(Common):
    """Options of verbs that run a trained network."""

    threads: int | None = option(
        None, "CPU threads (0: automatic; default: RESNETCTL_THREADS)", panel="Machine", ge=0, le=256, metavar="N"
    )


class EvalOptions(Measuring):
    target: str | None = argument("Run, weights or ONNX file", metavar="TARGET", default=None, complete="run")
    data: str | None = option(
        None,
        "Dataset name, folder, archive or CSV (default: the one trained on)",
        short="-d",
        metavar="NAME|PATH",
        panel=USED,
        complete="dataset",
    )
    split: Literal["test", "val", "train"] = option("test", "Split to measure", panel=USED)
    per_image: Path | None = option(None, "Write each image's prediction and loss (CSV)", metavar="FILE", panel=USED)
    tta: Literal["none", "flip"] = option(
        "none", "With flip: average the logits of each image and its mirror image", panel="Machine"
    )
    min_primary: float | None = option(
        None,
        "Exit 5 when the task's main number (top1, map50, miou, map) is below X",
        metavar="X",
        panel=USED,
    )
    min_accuracy: float | None = option(None, "Exit 5 when the accuracy is below X, e.g. 0.9", metavar="X", panel=USED)
    min_balanced_accuracy: float | None = option(
        None, "Exit 5 when the mean class accuracy is below X", metavar="X", panel=USED
    )
    min_per_class: float | None = option(
        None, "Exit 5 when the accuracy, ap50 or iou of a class is below X", metavar="X", panel=USED
    )
    min_lower: float | None = option(
        None, "Exit 5 when the lower end of the 95 % interval is below X", metavar="X", panel=USED
    )
    device: str | None = option(None, "auto, cpu, cuda, cuda:1, mps", panel=USED)


class ReportOptions(Measuring):
    target: str | None = argument("Run, weights or ONNX file", metavar="TARGET", default=None, complete="run")
    data: str | None = option(
        None, "Dataset (default: the one trained on)", short="-d", metavar="NAME", panel=USED, complete="dataset"
    )
    split: Literal["test", "val"] = option("test", "Split to measure", panel=USED)
    against: str | None = option(
        None, "Compare with this run or file on the same images", metavar="TARGET", panel=USED, complete="run"
    )
    ood: list[str] = option(
        [],
        "Dataset with images of another kind, or noise; can be repeated",
        metavar="NAME",
        panel=USED,
        complete="dataset",
    )
    quick: bool = option(False, "Leave out corrupted images, strangers, duplicates and maps", panel=USED)
    corruption: list[str] = option([], "Kind of corruption, or all; can be repeated", metavar="KIND", panel=USED)
    cifar_c: Path | None = option(None, "Folder with the files of CIFAR-10-C", metavar="DIR", panel=USED)
    calibrate: Path | None = option(
        None, "Write the weights with temperature and prediction sets", metavar="FILE", panel=USED
    )
    html: Path | None = option(None, "Write one page that needs no network", metavar="FILE", panel=USED)
    plots: Path | None = option(None, "Write each plot as an SVG file", metavar="DIR", panel=USED)
    device: str | None = option(None, "auto, cpu, cuda, cuda:1, mps", panel=USED)


class PredictOptions(Measuring):
    target: str = argument("Run, weights or ONNX file", metavar="TARGET", complete="run")
    images: list[Path] = argument("Image files, folders, archives, or patterns such as '*/*.jpg'", metavar="IMAGE...")
    top: int = option(1, "Print the K most likely classes", panel=USED, ge=1, metavar="K")
    level: float | None = option(
        None,
        "Print a prediction set with this coverage, e.g. 0.9",
        flag="--set",
        metavar="LEVEL",
        panel=USED,
    )
    csv: Path | None = option(None, "Write a row for each image; goes on after a stop", metavar="FILE", panel=USED)
    jsonl: bool = option(False, "Print one JSON object a line, as soon as it is known", panel=USED)
    move: Path | None = option(None, "Move each file into DIR/CLASS; none is replaced", metavar="DIR", panel=USED)
    batch: int = option(64, "Images that the network sees at once", ge=1, metavar="N")
    min_score: float | None = option(
        None,
        "Hide lower scores (default: 0.3 for boxes, the threshold of its class for labels)",
        panel=USED,
        metavar="X",
        ge=0,
        le=1,
    )
    out: Path | None = option(
        None, "Heads: folder for images with boxes, or for masks (PNG)", short="-o", metavar="DIR", panel=USED
    )
    vectors: Path | None = option(
        None, "Numbers of each image, for a network that reads them", metavar="FILE", panel=USED
    )
    precision: Literal["fp32", "bf16", "auto"] = option("fp32", "auto: bf16 where it is faster; ONNX files: fp32")
    max_pixels: int = option(MAX_PIXELS, "Refuse images with more pixels", panel=USED, ge=1, metavar="N")


class ExplainOptions(Common):
    target: str = argument("Run or weights file", metavar="TARGET", complete="run")
    images: list[Path] = argument("Image files, or folders of them", metavar="IMAGE...")
    method: Literal["gradcam", "hirescam", "layercam"] = option("gradcam", "How maps are computed", panel=USED)
    stage: str | None = option(None, "Stage to look at (default: the last)", metavar="STAGE", panel=USED)
    class_: str | None = option(
        None, "Class of the maps (default: the predicted one)", flag="--class", metavar="NAME", panel=USED
    )
    out: Path = option(Path("maps"), "Folder for maps as images and arrays", short="-o", metavar="DIR", panel=USED)
    device: str | None = option(None, "auto, cpu, cuda, cuda:1, mps", panel=USED)


class ExportOptions(Common):
    target: str | None = argument("Run or weights file", metavar="TARGET", default=None, complete="run")
    onnx: bool = option(False, "Write ONNX", panel=USED)
    web: bool = option(False, "Write one HTML page that classifies images offline", panel=USED)
    triton: Path | None = option(None, "Write a model for a Triton repository", metavar="DIR", panel=USED)
    hub: Path | None = option(None, "Write a folder for timm, transformers and the hub", metavar="DIR", panel=USED)
    to: str | None = option(
        None,
        "Write with an exporter: triton, hub, or a plugin's",
        metavar="NAME",
        panel=USED,
        complete="exporter",
    )
    input: Literal["float", "raw"] = option(
        "float", "Take prepared images, or images as they are (raw: uint8, any size)", panel=USED
    )
    out: Path | None = option(
        None, "File or folder to write (default: inside the run)", short="-o", metavar="PATH", panel=USED
    )
    data: str | None = option(
        None, "Dataset to check on (default: the one trained on)", short="-d", metavar="NAME", panel=USED
    )
    images: Path | None = option(None, "Check on the images in this folder", metavar="DIR", panel=USED)
    gate: Literal["real", "synthetic", "none"] = option(
        "real", "Check on real images or on noise; none: do not check what an exporter wrote", panel=USED
    )
    int8: bool = option(False, "Write int8: smaller, mostly faster, checked on val", panel=USED)
    calibrate: int | None = option(
        None,
        "With --int8: images of train to measure ranges on (default: 256)",
        metavar="N",
        panel="Quantisation",
        ge=1,
    )
    max_drop: float | None = option(
        None,
        "With --int8: exit 5 when accuracy falls by more points (default: 0.5)",
        metavar="X",
        panel="Quantisation",
        ge=0,
    )
    allow_slower: bool = option(False, "With --int8: write it even if it is slower here", panel="Quantisation")
    ort_web: Path | None = option(
        None, "With --web: the folder dist of your copy of onnxruntime-web", flag="--ort-web", metavar="DIR"
    )
