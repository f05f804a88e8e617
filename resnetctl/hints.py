"""Hints: suggestions of errors and notices, as data. Each front end writes them in its own form.

The command line writes `--lr 0.01` and `resnetctl eval runs/last`, Python writes `lr=0.01` and
`rc.evaluate("runs/last")`. So code below the command line names config keys, arguments and verbs, never flags.
"""

import json
import os
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from keyword import iskeyword

PYTHON = {  # verb -> function of `import resnetctl as rc`
    "train": "train",
    "finetune": "finetune",
    "eval": "evaluate",
    "predict": "predict",
    "compress": "compress",
    "export": "export",
    "bench": "bench",
    "runs list": "runs",
    "report": "report",
    "explain": "explain",
    "sweep": "sweep",
    "sweep work": "sweep",
}
ARGUMENTS = {  # config key -> Python argument and flag, where the name is not the key
    "model.arch": "arch",
    "model.head": "head",
    "model.block": "block",
    "model.init": "init",
    "optim.name": "optimizer",
    "schedule.name": "schedule",
    "objective.name": "objective",
    "distill.teacher": "teacher",
}
FUNCTIONS = {"find_lr": "rc.find_lr(...)"}  # flags of a verb that are functions of their own in Python
IMPLIED = ("onnx",)  # settings that the Python functions always imply
PLACEHOLDERS = ("DIR", "FILE", "IMAGE", "N", "NAME", "OTHER", "PATH", "TARGET", "WEIGHTS")  # stand for a value
# what other programs call a setting, as a Python name
OTHER_WORDS = {"learning_rate": "lr", "wd": "weight_decay", "bs": "batch_size"}


@dataclass(frozen=True)
class Setting:
    """A config key or an argument of the verb, with an optional value. `a.b` is a nested config key."""

    name: str
    value: object = None
    note: str = ""


@dataclass(frozen=True)
class Call:
    """A verb to call: `Call("data add", ("./photos",), {"name": "pets"})`. `note` explains its effect."""

    verb: str
    targets: tuple[str | os.PathLike[str], ...] = ()
    settings: Mapping[str, object] = field(default_factory=dict)
    note: str = ""


Hint = str | Setting | Call


def in_shell(hint: Hint, flags: Mapping[str, str] | None = None) -> str:
    """Return the hint as a shell line. `flags` maps a config key to its flag where the names differ."""
    named = flags or {}
    if isinstance(hint, str):
        return hint
    if isinstance(hint, Setting):
        return _noted(_flag(hint.name, hint.value, named), hint.note)
    words = ["resnetctl", *hint.verb.split(), *(shlex.quote(os.fspath(target)) for target in hint.targets)]
    words += [_flag(name, value, named) for name, value in hint.settings.items()]
    return _noted(" ".join(words), hint.note)


def in_python(hint: Hint) -> str:
    """Return the hint as a Python argument or call. A verb without a Python function becomes a shell line."""
    if isinstance(hint, str):
        return hint
    if isinstance(hint, Setting):
        return _noted(FUNCTIONS.get(hint.name) or _argument(hint.name, hint.value), hint.note)
    settings = {name: value for name, value in hint.settings.items() if name not in IMPLIED}
    if hint.verb == "train" and "resume" in settings:
        return _noted(f"rc.resume({os.fspath(str(settings['resume']))!r})", hint.note)
    if hint.verb not in PYTHON:
        return f"in a shell: {in_shell(hint)}"
    targets = [os.fspath(target) for target in hint.targets if target != "--"]
    arguments = [_literal(target) for target in targets]
    if hint.verb == "predict":  # a target, then a list of images
        arguments = [*arguments[:1], f"[{', '.join(arguments[1:])}]"]
    arguments += [_argument(name, value) for name, value in settings.items()]
    return _noted(f"rc.{PYTHON[hint.verb]}({', '.join(arguments)})", hint.note)


def in_file(setting: Setting) -> str:
    """Return the setting as a line of a TOML file."""
    value = setting.value
    if value is None:
        return _noted(setting.name, setting.note)
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, str) else _toml(value)
    return _noted(f"{setting.name} = {text}", setting.note)


def suggest(name: str, known: Iterable[str]) -> str:
    """Return `"did you mean 'x'?"`, or the known names when none is close."""
    names = sorted(known)
    if guess := closest(name, names):
        return guess
    return "known: " + ", ".join(names) if names else "none is known"


def closest(name: str, known: Iterable[str]) -> str | None:
    """Return `"did you mean 'x'?"`, or None when no name is close."""
    guess = nearest(name, known)
    return f"did you mean '{guess}'?" if guess else None


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name closest to `name`, or None. Among equally close names the longest match wins.

    Leading dashes do not count: all flags have them. The only name that begins with `name` is the closest, then what
    other programs call a known name.
    """
    from difflib import SequenceMatcher, get_close_matches

    def closeness(other: str) -> tuple[float, int]:
        matcher = SequenceMatcher(None, other, bare)
        return matcher.ratio(), matcher.find_longest_match().size

    bare, names = name.lstrip("-"), {other.lstrip("-"): other for other in sorted(known)}
    begun = [other for other in names if len(bare) > 2 and other.startswith(bare)]
    if len(begun) == 1:
        return names[begun[0]]
    other = OTHER_WORDS.get(bare.replace("-", "_"), "")
    for word in (other, other.replace("_", "-")):
        if word in names:
            return names[word]
    close = get_close_matches(bare, names, n=5)
    return names[max(close, key=closeness)] if close else None


def _flag(name: str, value: object, named: Mapping[str, str]) -> str:
    if "." in name and name not in named:
        return "--set " + (name if value is None else shlex.quote(f"{name}={_toml(value)}"))
    flag = named.get(name, "--" + name.replace("_", "-"))
    if value is None or value is True:
        return flag
    return flag.replace("--", "--no-", 1) if value is False else f"{flag} {shlex.quote(_number(value))}"


def _argument(name: str, value: object) -> str:
    name = ARGUMENTS.get(name, name) + "_" * iskeyword(name)  # `class_`
    if "." in name:
        return f"set={{{name!r}: {'...' if value is None else repr(value)}}}"
    return name if value is None else f"{name}={_literal(value)}"


def _literal(value: object) -> str:
    """Return a value as Python writes it; a placeholder, such as `N` or `IMAGE...`, is no text and has no quotes."""
    if isinstance(value, str) and value.removesuffix("...") in PLACEHOLDERS:
        return value.removesuffix("...")
    return repr(os.fspath(value) if isinstance(value, os.PathLike) else value)


def _number(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _toml(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else _number(value)


def _noted(text: str, note: str) -> str:
    return f"{text}    {note}" if note else text
