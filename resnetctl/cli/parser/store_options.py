"""The options of the commands for what is kept: data sets, weights, plugins and runs."""

from pathlib import Path
from typing import Literal

from resnetctl.cli.parser.common import Common, argument
from resnetctl.config.options import USED, option
from resnetctl.registry import Kind
from resnetctl.spec import MAX_PIXELS, Fit, Storage


class DataGetOptions(Common):
    name: str = argument("Dataset, or the address of a published one", metavar="NAME", complete="dataset")
    source: Path | None = option(
        None, "Use your own copy, archive or unpacked", flag="--from", metavar="PATH", panel=USED
    )
    remote: bool = option(False, "Leave the images on the server, and fetch shards when they are read", panel=USED)
    replace: bool = option(False, "Build it again", panel=USED)


class DataAddOptions(Common):
    path: Path = argument("Folder, archive or CSV", metavar="PATH")
    name: str | None = option(None, "Name in the store (default: from PATH)", short="-n", metavar="NAME", panel=USED)
    size: int | None = option(None, "Store and train at N x N pixels", metavar="N", panel=USED, ge=1, le=4096)
    fit: Fit | Literal["auto"] = option(
        "auto", "How to make images square (auto: crop, and pad where there are boxes or masks)", panel=USED
    )
    on_bad_image: Literal["error", "skip"] = option("error", "Unreadable image: stop, or leave it out", panel=USED)
    max_pixels: int = option(MAX_PIXELS, "Images with more pixels are unreadable", panel=USED, ge=1, metavar="N")
    storage: Storage | Literal["auto"] = option(
        "auto",
        "Store pixels (raw), or files to decode at each read (jpeg); auto: files if the disk is small",
        panel=USED,
    )
    shuffle: bool = option(False, "Store images in a mixed order, the same each time (for remote data)", panel="Data")
    shard_mb: int = option(1024, "jpeg: most MiB of a shard, a file with many images", panel="Data", ge=1, le=1024)
    strict: bool = option(False, "A box without area, or a column of one value, is an error", panel=USED)
    vectors: Path | None = option(
        None, "Numbers of each image: CSV with the column path, or .npy", metavar="FILE", panel=USED
    )
    image_labels: bool = option(False, "Take the classes of boxes as labels of their images", panel=USED)
    replace: bool = option(False, "Replace the dataset of this name", panel=USED)


class DataNameOptions(Common):
    name: str = argument("Dataset", metavar="NAME", complete="dataset")


class DataRemoveOptions(DataNameOptions):
    yes: bool = option(False, "Do not ask", short="-y", panel=USED)


class DataShowOptions(DataNameOptions):
    sheet: Path | None = option(None, "Write a contact sheet", metavar="FILE.png", panel=USED)


class DataCheckOptions(Common):
    target: str = argument("Dataset, folder, archive or CSV", metavar="NAME|PATH", complete="dataset")
    near: bool = option(False, "Search near-duplicates of test images in train", panel=USED)


class WeightsShowOptions(Common):
    target: str | None = argument("Run or weights file", metavar="TARGET", default=None, complete="run")


class WeightsImportOptions(Common):
    file: Path = argument("State dict: .pth .th .pt or safetensors", metavar="FILE")
    arch: str = option(..., "Architecture of the weights", short="-a", metavar="NAME", panel=USED, complete="arch")
    block: str | None = option(
        None, "Block of the weights, if the arch has another", metavar="NAME", panel=USED, complete="block"
    )
    sets: list[str] = option(
        [], "A key of the model: --set model.block_args.shortcut=B", flag="--set", metavar="KEY=VALUE", panel=USED
    )
    out: Path = option(..., "File to write", short="-o", metavar="FILE", panel=USED)
    data: str | None = option(
        None, "Dataset with the class names", short="-d", metavar="NAME", panel=USED, complete="dataset"
    )
    classes: Path | None = option(None, "Class names, one a line, in output order", metavar="FILE", panel=USED)
    size: int | None = option(None, "Image size, in pixels", metavar="N", panel=USED, ge=1)
    mean: str | None = option(None, "Channel means, e.g. 0.485,0.456,0.406", metavar="R,G,B", panel=USED)
    std: str | None = option(None, "Channel standard deviations, e.g. 0.229,0.224,0.225", metavar="R,G,B", panel=USED)


class PluginsListOptions(Common):
    kind: Kind | None = option(None, "List this kind only", panel=USED)
    check: bool = option(False, "Import each plugin, report broken ones", panel=USED)


class PluginsShowOptions(Common):
    name: str = argument("Name, or dist:name", metavar="NAME", complete="plugin")
    kind: Kind | None = option(None, "Kind, when several kinds have this name", panel=USED)


class PluginsCheckOptions(Common):
    target: str | None = argument(
        "Distribution, NAME or dist:name (default: all)",
        metavar="DIST|NAME",
        default=None,
        complete="plugin",
    )


class PluginsNewOptions(Common):
    name: str = argument("Name of the distribution, e.g. my-block", metavar="NAME")
    kind: Kind = option("block", "Kind of plugin", panel=USED)
    out: Path = option(Path(), "Folder to create it in", short="-o", metavar="DIR", panel=USED)


class RunsListOptions(Common):
    sort: str = option("", "Sort by a column or a config key, e.g. val_top1 or lr", metavar="KEY", panel=USED)
    reverse: bool = option(False, "Turn the order round", panel=USED)
    where: list[str] = option([], "Only runs with this value, e.g. seed=0", metavar="KEY=VALUE", panel=USED)


class RunsExportOptions(RunsListOptions):
    csv: bool = option(False, "Write CSV (the default)", panel=USED)
    out: Path | None = option(None, "File to write (default: stdout)", short="-o", metavar="FILE", panel=USED)


class RunsCompareOptions(Common):
    runs: list[str] = argument("Runs, patterns such as 'lr-*', or a group", metavar="RUN...", complete="run")


class RunsDiffOptions(Common):
    one: str = argument("Run", metavar="A", complete="run")
    other: str = argument("The other run", metavar="B", complete="run")


class RunsRemoveOptions(Common):
    runs: list[str] = argument(
        "Runs or groups to delete, also patterns such as 'trial-*'", metavar="RUN...", complete="run"
    )
    yes: bool = option(False, "Do not ask", short="-y", panel=USED)


class RunsShowOptions(Common):
    run: str = argument("Run", metavar="RUN", default="last", complete="run")


class RunsPlotOptions(RunsShowOptions):
    out: Path | None = option(None, "Folder to write (default: RUN-curves)", short="-o", metavar="DIR", panel=USED)
