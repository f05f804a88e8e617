"""Format a training run as text: header, table of epochs, live lines and summary."""

import os
import shlex
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resnetctl.cli.screen import tables
from resnetctl.cli.screen.progress import bar, sparkline
from resnetctl.wording import counted

if TYPE_CHECKING:
    from resnetctl.facts import EpochTimed, Started

Columns = tuple[tuple[str, int], ...]
EPOCH: Columns = (("epoch", 6),)
PIXELS: Columns = (("px", 5),)  # while images grow
WITH_VAL: Columns = (("lr", 8), ("train loss", 12), ("val loss", 10), ("val acc", 9), ("best", 9))
WITHOUT_VAL: Columns = (("lr", 8), ("train loss", 12), ("train acc", 11))
CLOCK: Columns = (("img/s", 9), ("time", 9))
STAR = "  *"
# Left out in this order until the table is narrow enough; the rest needs 40 characters.
DROPPED = ("img/s", "best", "px", "val loss", "lr")
HINT = " Ctrl-C saves and stops (again: stops at once)"


@dataclass(kw_only=True)
class History:
    """The numbers of the epochs so far, for the table and the trends."""

    started: "Started"
    train_loss: list[float] = field(default_factory=list)
    val_top1: list[float] = field(default_factory=list)

    @property
    def best(self) -> float | None:
        """The best val accuracy, including epochs before a resume."""
        before = [] if self.started.best is None else [self.started.best]
        return max([*before, *self.val_top1], default=None)

    def add(self, fact: "EpochTimed") -> None:
        result = fact.result
        self.train_loss.append(result.train_loss)
        if result.val is not None:
            self.val_top1.append(_standing(result.val))


def header(started: "Started", verb: str, *, width: int) -> list[str]:
    """Return the first lines: network, data, device, seed, folder, images, 16-bit precision, config."""
    config = started.config
    threads = f" ({counted(config.threads, 'thread')})" if config.device == "cpu" else ""
    parts = [
        f"resnetctl {verb}  {started.arch.name}{f' + {started.block}' if started.block else ''}"
        f"{f' + {started.head}' if started.head else ''} on {config.data}",
        f"{tables.count(started.params)} params",
        f"{config.device}{threads}",
        f"seed {config.seed}",
    ]
    place = f"{tables.short(started.run)}" if started.run is not None else "dry run"
    val = f" + {tables.count(started.val_images)} val" if started.val_images else ""
    first = f"{started.sides[0][1]} to " if len(started.sides) > 1 else ""
    images = f"{tables.count(started.train_images)}{val} images, {first}{started.image_size} px"
    weights = getattr(config, "weights", "")
    begun = [f"from {_source(weights)}"] if weights else []
    distill = config.distill
    taught = [f"taught by {started.teacher}, {_source(distill.teacher)} ({distill.method})"] if started.teacher else []
    rough = [config.precision] if config.precision in ("bf16", "fp16") else []
    more = [place, *begun, *taught, images, *rough, f"config from {config_sources(started.origins)}"]
    return [*_flowed(parts, width), *_flowed(more, width)]


def _source(weights: str) -> str:
    """Return the name of weights that are a file or torchvision's."""
    return weights if weights.startswith("torchvision:") else tables.short(Path(weights))


def config_sources(origins: Mapping[str, str]) -> str:
    """Return the sources of the config in short: `recipe fast + resnetctl.toml + 2 flags`."""
    sources = set(origins.values())
    recipes = sorted(origin for origin in sources if origin.startswith("recipe "))
    files = sorted({origin.rpartition(":")[0] for origin in sources if origin.rpartition(":")[2].isdigit()})
    by_flag = [origin for origin in sources if origin.startswith("flag ") or origin in ("budget", "resume")]
    flags = len(by_flag)  # count origins, because one flag may set two keys
    sets = sum(origin == "--set" for origin in origins.values())
    parts = [*recipes, *map(os.path.basename, files)]
    parts += [f"{sets} --set"] if sets else []
    parts += [counted(flags, "flag")] if flags else []
    return " + ".join(parts) or "defaults"


def columns(started: "Started", width: int) -> Columns:
    """Return the columns that need at most `width` characters: an epoch is one line."""
    growing = PIXELS if len(started.sides) > 1 else ()
    shown = (*EPOCH, *growing, *(WITH_VAL if started.val_images else WITHOUT_VAL), *CLOCK)
    if started.head:  # no accuracy of train, no loss of val
        number = accuracy_name(started)
        named = {"val acc": (number, max(9, len(number) + 2))}
        shown = tuple(named.get(name, (name, size)) for name, size in shown if name not in ("val loss", "train acc"))
    for name in DROPPED:
        if sum(size for _, size in shown) + len(STAR) > width:
            shown = tuple(column for column in shown if column[0] != name)
    return shown


def accuracy_name(started: "Started") -> str:
    """Return the title of the number that chooses the best epoch."""
    return "val acc" if started.primary == "top1" else started.primary


def _standing(report: Any) -> float:
    return float(report.top1 if hasattr(report, "top1") else report.primary.value)


def table_head(columns: Columns) -> list[str]:
    """Return the first two lines of the table."""
    text = "".join(name.rjust(size) for name, size in columns)
    return [text, " " + "─" * (len(text) - 1)]


def epoch_line(fact: "EpochTimed", history: History, *, columns: Columns) -> str:
    """Return the line of an epoch; a star marks the best so far. `history` includes the epoch.

    `lr` is the learning rate at the start of the epoch.
    """
    result, val = fact.result, fact.result.val
    cells = {
        "epoch": str(result.epoch),
        "px": str(history.started.side(result.step - 1)),
        "lr": tables.rate(result.first_lr),
        "train loss": f"{result.train_loss:.3f}",
        "train acc": "" if result.train_top1 is None else tables.percent(result.train_top1),
        "img/s": tables.count(fact.images_per_second) if fact.images_per_second else "-",
        "time": tables.brief(fact.seconds),
    }
    if val is not None:
        cells |= {
            "val loss": f"{val.loss:.3f}" if hasattr(val, "loss") else "",
            accuracy_name(history.started): tables.percent(_standing(val)),
            "best": tables.percent(history.best),
        }
    text = "".join(cells[name].rjust(size) for name, size in columns)
    return text + STAR * (result.is_best and val is not None)


def live_lines(history: History, step: int, *, loss: float, eta: float | None, width: int) -> list[str]:
    """Return the lines under the table: progress, trends, how to stop. `step` is the number of finished steps."""
    started = history.started
    per_epoch = started.steps_per_epoch
    epochs = -(-started.steps // per_epoch)
    epoch = (max(step, 1) - 1) // per_epoch
    within, length = step - epoch * per_epoch, min(per_epoch, started.steps - epoch * per_epoch)
    left, right = f"epoch {epoch + 1}/{epochs} ", f" {within}/{length} loss {loss:.3f}"
    ending = f" ETA {tables.clock(eta)}" if eta is not None else ""
    room = min(width, 80) - len(left) - len(right) - len(ending) - 1
    if room < 0:  # leave out the loss, keep the remaining time
        right, room = f" {within}/{length}", room + len(f" loss {loss:.3f}")
    return [left + bar(within / length, room) + right + ending, *_trends(history, width), HINT]


def summary_lines(run: Path, summary: Mapping[str, Any], *, width: int) -> list[str]:
    """Return the last lines: accuracy, files and the next commands, which are never wrapped."""
    from resnetctl.runs import RunDir

    best, last = summary.get("best"), summary.get("last") or {}
    shipped = best if summary.get("kept") == "best" and best else last
    title = f"Done in {tables.duration(summary['seconds'])}"
    if shipped:
        title += f"   {summary['kept']} epoch {shipped['epoch']} of {summary['epochs']}"
    early = "   stopped early" if summary.get("stopped_early") else ""
    lines = [title + early, ""]
    for name, text in _accuracies(summary, shipped):
        lines += textwrap.wrap(f"  {name:<15} {text}", width, subsequent_indent=" " * 18, break_on_hyphens=False)
    place, weights = tables.short(run), RunDir(run).weights
    lines.append(f"  {'wrote':<15} {place}/")
    place = shlex.quote(place)
    if weights.exists():
        lines.append(f"  {'':<15} {weights.name} {tables.size(weights.stat().st_size)}")
    return [*lines, "", "Next", f"  resnetctl eval {place}", f"  resnetctl export {place} --onnx"]


def _flowed(parts: Sequence[str], width: int) -> list[str]:
    """Return the parts next to each other, on as many lines as they need."""
    lines = [parts[0]]
    for part in parts[1:]:
        if len(lines[-1]) + 3 + len(part) <= width:
            lines[-1] += "   " + part
        else:
            lines.append(part)
    return lines


def _trends(history: History, width: int) -> list[str]:
    parts = []
    if history.val_top1:
        parts.append(
            f"{accuracy_name(history.started)} {sparkline(history.val_top1, 16)} {tables.percent(history.val_top1[-1])}"
        )
    if history.train_loss:
        parts.append(f"train loss {sparkline(history.train_loss, 16)} {history.train_loss[-1]:.3f}")
    return [" " + line for line in _flowed(parts, width - 2)] if parts else []


def _accuracies(summary: Mapping[str, Any], shipped: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
    if not shipped:
        return []
    if "primary" in summary:
        key = f"val_{summary['primary']}"
        value, low, high = (shipped.get(f"{key}{end}") for end in ("", "_low", "_high"))
        between = "" if low is None or high is None else f"95 % interval {tables.interval(low, high)}, "
        text = (
            "there is no val split"
            if value is None
            else f"{tables.percent(value)}   ({between}{counted(summary['val_images'], 'image')})"
        )
        return [(f"val {summary['primary']}", text)]
    if "val_top1" not in shipped:
        return [("train accuracy", f"{tables.percent(shipped['train_top1'])}   (there is no val split)")]
    from resnetctl.engine.metrics import wilson

    images, top1 = summary["val_images"], shipped["val_top1"]
    low, high = wilson(round(top1 * images), images)
    text = f"{tables.percent(top1)}   (95 % interval {tables.interval(low, high)}, {counted(images, 'image')})"
    return [("val accuracy", text)]
