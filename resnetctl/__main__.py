"""The command `resnetctl`, also `python -m resnetctl`."""

import contextlib
import os
import sys
from collections.abc import Sequence

from resnetctl import __version__

# pydantic asks all installed distributions for plugins of its own, and fails when one of them has no name
NO_PYDANTIC_PLUGINS = ("PYDANTIC_DISABLE_PLUGINS", "__all__")
OPENMP = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "700"}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code. `--version` answers before anything else is imported."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments in (["--version"], ["-V"]) and sys.stdout is not None:
        with contextlib.suppress(OSError):  # the code below reports e.g. a full disk
            print(f"resnetctl {__version__}", flush=True)
            return 0
    rest_threads()
    os.environ.setdefault(*NO_PYDANTIC_PLUGINS)
    from resnetctl.cli.boundary import exit_code

    return exit_code(lambda: carry_out(arguments), arguments)


def carry_out(arguments: Sequence[str]) -> object:
    """Print the requested help screen, or run the Typer app. Returns an exit code; raises what a verb raises.

    Help screens come from the table of verbs, because building Typer's parser first would take longer.
    """
    from resnetctl.cli.screen import help, streams
    from resnetctl.cli.verbs import ROOT

    screen = help.requested(ROOT, arguments)
    if screen is not None:
        streams.result(screen)
        return 0
    from typer.main import get_command

    from resnetctl.cli.apps import app_for

    return get_command(app_for(ROOT, arguments)).main(list(arguments), ROOT.name, standalone_mode=False)


def rest_threads() -> None:
    """Tell OpenMP how idle threads wait, unless the user has chosen. OpenMP reads it when torch is loaded.

    Spinning threads take cores from working ones; threads that sleep at once wake up late. With torch's own OpenMP
    (GNU's) they then spin for about 20 us, from one operator to the next; others let them sleep: benchmarks/threads.md.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        for name, value in OPENMP.items():
            os.environ.setdefault(name, value)


if __name__ == "__main__":
    sys.exit(main())
