"""The options of `compress`: a pydantic model, as those of the other verbs."""

from pathlib import Path

from resnetctl.cli.parser.common import Common, argument
from resnetctl.config.options import USED, option


class CompressOptions(Common):
    target: str | None = argument("Run or weights file", metavar="TARGET", default=None, complete="run")
    keep_blocks: str | None = option(None, "Blocks that each stage keeps, e.g. 5,5,5", metavar="N,N,N", panel=USED)
    channels: float | None = option(None, "Share of the inner channels that stays, e.g. 0.5", metavar="X", panel=USED)
    speedup: float | None = option(None, "Make single images X times as fast here", metavar="X", panel=USED)
    student: str | None = option(
        None,
        "A smaller network that competes with the cut one",
        metavar="RUN|ARCH",
        panel=USED,
        complete="run",
    )
    target_ms: float | None = option(None, "Let single images take at most X ms here", metavar="X", panel=USED)
    size: str | None = option(None, "Largest size of the ONNX file, e.g. 500kB", metavar="SIZE", panel=USED)
    int8: bool = option(False, "Quantise the file too", panel=USED)
    max_drop: float | None = option(None, "Points of val accuracy to lose (with a goal: 1)", metavar="X", panel=USED)
    budget: str | None = option(None, "Wall time in total, over all calls, e.g. 30min", metavar="TIME", panel=USED)
    finetune: str | None = option(None, "Train afterwards, for 5epochs or 10min", metavar="LENGTH", panel=USED)
    name: str | None = option(None, "Name of the run; alone, go on with it", short="-n", metavar="NAME", panel=USED)
    out: Path | None = option(None, "Write a weights file instead of a run", short="-o", metavar="FILE", panel=USED)
    data: str | None = option(
        None,
        "Dataset to measure on (default: that of TARGET)",
        short="-d",
        metavar="NAME",
        panel=USED,
        complete="dataset",
    )
    sets: list[str] = option(
        [],
        "With --finetune: a config key, e.g. lr=0.01",
        flag="--set",
        metavar="KEY=VALUE",
        panel=USED,
    )
