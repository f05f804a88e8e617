"""resnetctl: from images to a deployed residual network, every step proved.

The verbs of the command line are functions here too, imported on first use::

    import resnetctl as rc

    run = rc.train(data="digits", epochs=5)
    report = rc.evaluate(run)
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False  # importing typing would double what `import resnetctl` costs
if TYPE_CHECKING:
    from resnetctl import errors as errors
    from resnetctl import facts as facts
    from resnetctl import spec as spec
    from resnetctl import stream
    from resnetctl.api import (
        backbone,
        bench,
        compress,
        evaluate,
        explain,
        export,
        find_lr,
        finetune,
        load,
        predict,
        report,
        resume,
        runs,
        sweep,
        train,
    )
    from resnetctl.predictor import Predictor
    from resnetctl.run import Run

__version__ = "0.1.0"
__all__ = [
    "Predictor",
    "Run",
    "__version__",
    "backbone",
    "bench",
    "compress",
    "evaluate",
    "explain",
    "export",
    "find_lr",
    "finetune",
    "load",
    "predict",
    "report",
    "resume",
    "runs",
    "stream",
    "sweep",
    "train",
]
MODULES = ("errors", "facts", "spec")  # reached as `rc.errors`; no functions, so `import *` leaves them out


def __dir__() -> list[str]:
    return [*__all__, *MODULES]


if not TYPE_CHECKING:  # a type checker knows the names above, and reports all others

    def __getattr__(name: str) -> object:
        if name in __dir__():
            from importlib import import_module

            if name in MODULES:  # the import makes it an attribute of the package
                return import_module(f"resnetctl.{name}")
            return getattr(import_module("resnetctl.api"), name)
        raise AttributeError(f"module 'resnetctl' has no attribute {name!r}")

    def _verb(name: str) -> property:
        """Return a property that gives the verb, and ignores the sub-package that Python stores under its name."""
        return property(lambda package: __getattr__(name), lambda package, module: None)

    class _Package(type(sys)):
        """The package. `resnetctl.report` is the verb, although a sub-package has the same name.

        Python stores an imported sub-package as an attribute of its parent, which would hide the verb. A property comes
        before attributes. `from resnetctl.report.base import Report` is not affected.
        """

        report, compress = _verb("report"), _verb("compress")

    sys.modules[__name__].__class__ = _Package
