"""Train in this process, in its place among others that a launcher started, or start others and wait for them."""

import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from resnetctl.cli.parser.option_models import RunOptions
from resnetctl.cli.screen.loading import load_torch
from resnetctl.config.shards import most_processes, require_division
from resnetctl.errors import NonFinite, PeerFailed, Stopped, UsageError
from resnetctl.system import launcher, ranks
from resnetctl.system.machine import cores_granted

if TYPE_CHECKING:
    from resnetctl.engine.distributed import Team
    from resnetctl.training.launch import Facts


def train_in_processes(
    options: RunOptions, work: "Callable[[Team], Facts]", *, shards: Callable[[], int], verb: str
) -> None:
    """Show the facts of `work`. Process 0 shows them and writes the run; the others stay silent unless they fail.

    Args:
        work: returns the facts of one process of a team; it may import PyTorch.
        shards: returns the shards of the run.

    Raises:
        UsageError: the processes cannot share the shards, or time steps.
        SystemExit: with the exit code of other processes.
    """
    is_launched = launcher.follow_launcher()
    own = ranks.place()
    count = own.size if own is not None else _wanted(options.processes, shards)
    if count > 1 and (options.budget or options.tune):
        name = "budget" if options.budget else "tune"
        raise UsageError(f"--{name} times steps of one process", where="--processes", hint="remove one of them")
    if own is None and count > 1 and not options.dry_run:
        raise SystemExit(launcher.launch(count))
    load_torch()
    from resnetctl.cli.screen.live import follow
    from resnetctl.engine.distributed import Team, join, leave

    if own is None:
        follow(work(Team()), verb=verb, as_json=options.as_json)
        return
    try:
        facts = work(join(own, reduce=options.reduce))
        if own.rank == 0:
            follow(facts, verb=verb, as_json=options.as_json)
        else:
            _exhaust(facts)
    except (PeerFailed, NonFinite, Stopped) as error:
        is_told = isinstance(error, PeerFailed) and (error.is_reported or is_launched)
        if own.rank or is_told:  # process 0 tells, or the process that failed, or the launcher
            raise SystemExit(error.exit_code) from None
        raise
    finally:
        leave()


def _exhaust(facts: Iterable[object]) -> None:
    for _ in facts:
        pass


def _wanted(processes: str | None, shards: Callable[[], int]) -> int:
    """Return the number of processes to start: that of the flag, or with `auto` one for each GPU, else for each core.

    Raises `UsageError` if it is no number or cannot share the shards.
    """
    if processes is None:
        return 1
    if processes == "auto":
        load_torch()
        return most_processes(shards(), sys.modules["torch"].cuda.device_count() or cores_granted())
    if not processes.isdecimal() or not int(processes):
        raise UsageError(f"'{processes}' is no number of processes", where="--processes", hint="1 or more, or auto")
    require_division(shards(), int(processes))
    return int(processes)
