"""`train`, and `train --resume`."""

from typing import TYPE_CHECKING

from resnetctl.cli.parser.command import OF_DATA_ADD, Command, Parsed
from resnetctl.cli.parser.common import Common
from resnetctl.cli.parser.drafts import draft
from resnetctl.cli.parser.option_models import RunOptions, TrainOptions
from resnetctl.cli.processes import train_in_processes
from resnetctl.cli.screen import streams, tables
from resnetctl.cli.screen.loading import load_torch
from resnetctl.config.options import flags
from resnetctl.config.schema import TrainConfig
from resnetctl.errors import UsageError
from resnetctl.hints import Setting

if TYPE_CHECKING:
    from resnetctl.config.draft import Draft
    from resnetctl.engine.distributed import Team
    from resnetctl.training.launch import Facts
    from resnetctl.training.timing.lr_search import LrReport

RESUMABLE = {"epochs", "device", "exact"}


def run(parsed: Parsed[TrainOptions]) -> None:
    """Run `train`."""
    if parsed.options.find_lr:
        find_lr(parsed)
        return
    if parsed.options.resume is not None:
        go_on(parsed, parsed.options.resume)
        return
    if parsed.options.plot is not None:
        raise UsageError("--plot needs --find-lr", hint="resnetctl train --find-lr --plot lr.svg")
    run_draft = draft(parsed, TrainConfig)  # report mistakes before PyTorch is loaded
    if parsed.options.seeds and not parsed.options.dry_run:
        _train_seeds(parsed.options, run_draft)
        return

    def work(team: "Team") -> "Facts":
        from resnetctl.system import settings
        from resnetctl.tasks.train import train

        return train(run_draft, settings.load(), team=team)

    train_in_processes(parsed.options, work, shards=lambda: run_draft.config.shards, verb="train")


def _train_seeds(options: TrainOptions, run_draft: "Draft[TrainConfig]") -> None:
    """Make a group of runs that differ in their seed, and train them."""
    chosen = {
        "--processes": options.processes,
        "--budget": options.budget,
        "--tune": options.tune,
        "--track": options.track,
    }
    for flag, value in chosen.items():
        if value:
            raise UsageError(f"{flag} is for one run, not for several seeds", where="--seeds")
    from resnetctl.cli.groups import work_on
    from resnetctl.system import settings
    from resnetctl.tasks.sweep.seeds import plan_seeds

    work_on(plan_seeds(run_draft, settings.load(), seeds=options.seeds), as_json=options.as_json)


def find_lr(parsed: Parsed[TrainOptions]) -> None:
    """Run `train --find-lr`: print the curve and a proposal."""
    options = parsed.options
    if options.resume is not None:
        raise UsageError("--find-lr looks before a run begins", where="--resume", hint="leave one of them out")
    extra = {
        "--name": options.name, "--out": options.out, "--seeds": options.seeds, "--budget": options.budget,
        "--tune": options.tune, "--track": options.track, "--processes": options.processes,
        "--dry-run": options.dry_run,
    }  # fmt: skip
    chosen = [flag for flag, value in extra.items() if value]
    if chosen:
        raise UsageError(f"--find-lr writes no run: remove {', '.join(chosen)}", where="--find-lr")
    run_draft = draft(parsed, TrainConfig)
    load_torch()
    from resnetctl.cli.screen.progress import watch
    from resnetctl.system import settings, storage
    from resnetctl.tasks.train import find_lr as task

    if options.plot is not None:
        storage.require_own(options.plot, b"<svg", hint=Setting("plot", "OTHER"))
    report = watch(task(run_draft, settings.load()))
    if options.plot is not None:
        storage.write(options.plot, report.plot()["find-lr.svg"])
    if options.as_json:
        streams.report(report)
    else:
        _show_lr(report)
    if options.plot is not None:
        streams.say(streams.one_line(f"wrote {options.plot}"))


def _show_lr(report: "LrReport") -> None:
    rows = [(f"{point.lr:.2g}", f"{point.loss:.3f}", f"{point.smooth:.3f}") for point in report.rows_of_table()]
    tables.table(("lr", "loss", "smooth"), rows)
    streams.result("")
    ended = f" ({report.stopped} at {report.points[-1].lr:.2g})" * bool(report.stopped)
    streams.result(f"the loss is lowest at lr {report.lowest:.2g}{ended}")
    if report.proposal is None:
        streams.result("no proposal: the loss hardly falls at any learning rate")
    else:
        streams.result(f"proposal: --lr {report.proposal:g}, for {report.optimizer} and batches of {report.batch_size}")


def go_on(parsed: Parsed[TrainOptions], target: str) -> None:
    """Run `train --resume`. Raises `UsageError` for any option of a new run."""
    _only_resumable(parsed)

    def shards() -> int:
        from resnetctl.runs import find
        from resnetctl.system import settings

        return find(target, settings.load().runs_dir).read_config().shards

    def work(team: "Team") -> "Facts":
        from resnetctl.system import settings
        from resnetctl.tasks.resume import resume

        return resume(
            target,
            epochs=parsed.values.get("epochs"),
            exact=bool(parsed.values.get("exact")),
            device=parsed.values.get("device"),
            settings=settings.load(),
            team=team,
        )

    train_in_processes(parsed.options, work, shards=shards, verb="train --resume")


def _only_resumable(parsed: Parsed[TrainOptions]) -> None:
    options = parsed.options
    extra = [parsed.names[key] for key in parsed.values if key not in RESUMABLE]
    free = {*Common.model_fields, "processes", "reduce"}
    of_new_runs = (flag for flag in flags(RunOptions) if flag.key not in free)
    extra += [flag.flag for flag in of_new_runs if getattr(options, flag.key)]
    if extra:
        raise UsageError(
            f"a resumed run keeps its own config: remove {', '.join(extra)}",
            where="--resume",
            hint="only --epochs, --exact, --device, --processes and --reduce can be given",
        )


COMMAND = Command(
    name="train",
    summary="Train a network from scratch. Writes one new run folder.",
    run=run,
    options=TrainOptions,
    config=TrainConfig,
    examples=(
        ("resnetctl train --data digits", "no download, a minute"),
        ("resnetctl train --arch resnet56 --recipe strong", "CIFAR-10, 200 epochs"),
        ("resnetctl train --data ./photos --dry-run", "check everything, time a few steps"),
        ("resnetctl train --config runs/last/config.toml", "repeat a run of train"),
        ("resnetctl train --resume last", "resume the newest run"),
    ),
    elsewhere=OF_DATA_ADD,
    notes=("Photos: images above 64 px. For your data: resnetctl config show",),
)
