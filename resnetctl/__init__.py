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
    from resnetctl import stream
    from resnetctl.api import (
        Run,
        bench,
        compress,
        evaluate,
        explain,
        export,
        finetune,
        load,
        predict,
        report,
        resume,
        runs,
        train,
    )
    from resnetctl.predictor import Predictor

__version__ = "0.1.0"
__all__ = [
    "Predictor",
    "Run",
    "__version__",
    "bench",
    "compress",
    "evaluate",
    "explain",
    "export",
    "finetune",
    "load",
    "predict",
    "report",
    "resume",
    "runs",
    "stream",
    "train",
]


def __dir__() -> list[str]:
    return __all__


if not TYPE_CHECKING:  # a type checker knows the names above, and reports all others

    def __getattr__(name: str) -> object:
        if name in __all__:
            from importlib import import_module

            return getattr(import_module("resnetctl.api"), name)
        raise AttributeError(f"module 'resnetctl' has no attribute {name!r}")

    class _Package(type(sys)):
        """The package. `resnetctl.report` is the verb, although a sub-package has the same name.

        Python stores an imported sub-package as an attribute of its parent, which would hide the verb. A property comes
        before attributes. `from resnetctl.report.base import Report` is not affected.
        """

        @property
        def report(self) -> object:
            return __getattr__("report")

        @report.setter
        def report(self, package: object) -> None:
            """Ignore the sub-package that Python stores here."""

    sys.modules[__name__].__class__ = _Package
