"""The errors that resnetctl raises on purpose, and their exit codes.

::

    ResnetctlError            1
    ├── WorkFailed            1    a full disk, I/O
    │   ├── PeerFailed        1    another process of the same run failed
    │   └── NonFinite         1    a loss, a gradient, a pixel or a weight that is NaN or infinite
    ├── UsageError            2    a wrong flag, a locked run, an output that exists
    │   └── ConfigError       2    a wrong key or value in a config, with its origin
    ├── InputError            3    data, weights or a model: missing, unusable or hostile
    │   ├── DataError         3
    │   └── WeightsError      3
    ├── PluginError           4
    ├── CheckFailed           5    a check that the user asked for: accuracy, parity, plugins
    └── Stopped         130, 143   SIGINT, SIGTERM; the work was saved and can be resumed

An error says what happened (`message`), where (`where`: a file and line, a setting, a member of an archive) and what
to do (`hint`). Raise it where the cause is known. `cli` prints hints as shell commands, `str` as Python calls.
"""

import os
import sys
from collections.abc import Sequence
from types import FrameType

from resnetctl.hints import Call, Hint, Setting, in_python, in_shell

LIBRARIES = {"resnetctl", "torch", "torchvision", "numpy", "PIL", "onnxruntime", "onnxscript"} | sys.stdlib_module_names


class ResnetctlWarning(UserWarning):
    """A notice for a caller from Python; the command line prints the same text."""


class ResnetctlError(Exception):
    """Base class of all expected failures."""

    exit_code: int = 1

    def __init__(
        self,
        message: str,
        *,
        where: str | Setting | None = None,
        hint: Hint | Sequence[Hint] = (),
        problems: Sequence[str] = (),
        keys: Sequence[str] = (),
    ) -> None:
        """Store the message and its details.

        Args:
            message: what happened.
            where: the file and line, setting or archive member.
            hint: one suggestion or several.
            problems: all problems of one input, one line each.
            keys: the config keys that the error is about, for `config.origins` to find their places.
        """
        super().__init__(message)
        self.message = message
        self.where = where
        self.hint: tuple[Hint, ...] = (hint,) if isinstance(hint, str | Setting | Call) else tuple(hint)
        self.problems: tuple[str, ...] = tuple(problems)
        self.keys: tuple[str, ...] = tuple(keys)

    @property
    def headline(self) -> str:
        """Message and `where`, in one line."""
        return self.message if self.where is None else f"{self.message} ({in_python(self.where)})"

    def shell_line(self) -> str:
        """Return headline, problems and hints as one line, with hints as shell commands: for a script's stderr."""
        where = "" if self.where is None else f" ({in_shell(self.where)})"
        hints = [in_shell(hint) for hint in self.hint]
        asked = [hint for hint in hints if hint.endswith("?")]  # did you mean 'last'?
        ways = "; or ".join(hint for hint in hints if hint not in asked)
        line = "; ".join([f"{self.message}{where}", *self.problems, *asked, *([f"try {ways}"] if ways else [])])
        return " ".join(line.split())

    def __str__(self) -> str:
        """Return headline, problems and hints, with hints as Python calls."""
        problems = [f"  - {problem}" for problem in self.problems]
        marks = ["  try  ", *["       "] * len(self.hint)]
        hints = [mark + in_python(hint) for mark, hint in zip(marks, self.hint, strict=False)]
        return "\n".join([self.headline, *problems, *hints])


class WorkFailed(ResnetctlError):
    """The work itself failed: non-finite numbers, a full disk, I/O."""


class NonFinite(WorkFailed):
    """A loss, a gradient, a pixel or a weight is NaN or infinite. Earlier checkpoints are kept."""


class PeerFailed(WorkFailed):
    """Another process of the same run failed. `is_reported` says whether that process tells why."""

    def __init__(self, message: str, *, is_reported: bool = False) -> None:
        super().__init__(message)
        self.is_reported = is_reported


class UsageError(ResnetctlError):
    """The command or the call has a wrong argument, or cannot run in this state."""

    exit_code = 2


class ConfigError(UsageError):
    """A config key or value is wrong; `problems` has one line for each, with its origin."""


class InputError(ResnetctlError):
    """Input data or a model is missing, unusable or hostile."""

    exit_code = 3


class DataError(InputError):
    """A data source, an image or a store cannot be used."""


class WeightsError(InputError):
    """A weights file, a checkpoint or an ONNX model cannot be used."""


class PluginError(ResnetctlError):
    """A plugin is missing, broken or ambiguous; the message names distribution and version."""

    exit_code = 4


class CheckFailed(ResnetctlError):
    """A check that the user asked for failed."""

    exit_code = 5


class Stopped(ResnetctlError):
    """A signal stopped the work; its state was saved first. `signum` 2 or 15 gives exit code 130 or 143."""

    def __init__(self, message: str, *, signum: int, hint: Hint | Sequence[Hint] = ()) -> None:
        super().__init__(message, hint=hint)
        self.exit_code = 128 + signum


class Interrupted(KeyboardInterrupt):
    """Ctrl-C stopped a function of Python; what it did was saved. Like any Ctrl-C, `except Exception` lets it pass."""

    exit_code = 130  # of the command; Python itself ends with 1 if nobody catches a subclass of Ctrl-C

    def shell_line(self) -> str:
        """Return what was stopped, and how to go on, as one line for a script's stderr."""
        return " ".join(str(self).split())


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether Python, or torch on any device, could not get memory. Does not load torch."""
    out_of_memory = getattr(sys.modules.get("torch"), "OutOfMemoryError", MemoryError)
    on_cpu = isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)  # torch has no class for it
    return on_cpu or isinstance(error, MemoryError | out_of_memory)


def warn_caller(notice: str) -> None:
    """Warn of `notice`, at the line that called this package from outside."""
    import warnings

    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and str(frame.f_globals.get("__name__")).partition(".")[0] == __package__:
        level, frame = level + 1, frame.f_back
    warnings.warn(notice, ResnetctlWarning, stacklevel=level)


def line_of_caller(frame: FrameType | None, *, until: str) -> str:
    """Return the innermost line from `frame` outwards outside libraries, as `own_line`; "" at the module `until`."""
    while frame is not None and frame.f_globals.get("__name__") != until:
        if str(frame.f_globals.get("__name__")).partition(".")[0] not in LIBRARIES:
            return f"{_in_package(frame.f_code.co_filename)}:{frame.f_lineno}"
        frame = frame.f_back
    return ""


def own_line(error: BaseException) -> str:
    """Return the line of `own_place`, such as `my_block/blocks.py:57`; "" when there is none."""
    place = own_place(error)
    return f"{_in_package(place[0])}:{place[1]}" if place else ""


def _in_package(file: str) -> str:
    """Return the path of a module from the folder that holds its package: two plugins may have a `blocks.py`."""
    folder, name = os.path.split(os.path.abspath(file))
    while os.path.basename(folder) and os.path.isfile(os.path.join(folder, "__init__.py")):
        folder, parent = os.path.split(folder)
        name = f"{parent}/{name}"
    return name


def own_place(error: BaseException) -> tuple[str, int] | None:
    """Return the file and the innermost line of the traceback outside libraries; for a wrong syntax, its line."""
    import traceback  # slow to import, and needed only after a failure

    if isinstance(error, SyntaxError) and error.filename and error.lineno and os.path.isfile(error.filename):
        return error.filename, error.lineno
    for frame, line in reversed([*traceback.walk_tb(error.__traceback__)]):
        if str(frame.f_globals.get("__name__")).partition(".")[0] not in LIBRARIES:
            return frame.f_code.co_filename, line
    return None
