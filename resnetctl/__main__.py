"""The command `resnetctl`, also `python -m resnetctl`."""

import contextlib
import os
import sys
from collections.abc import Sequence

from resnetctl import __version__


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code. `--version` answers before anything else is imported."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments in (["--version"], ["-V"]) and sys.stdout is not None:
        with contextlib.suppress(OSError):  # a full disk is told below
            print(f"resnetctl {__version__}", flush=True)
            return 0
    # read by OpenMP when torch is loaded: idle threads that spin steal the cores of whoever works (small nets: 2x)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from resnetctl.cli.boundary import run

    return run(arguments)


if __name__ == "__main__":
    sys.exit(main())
