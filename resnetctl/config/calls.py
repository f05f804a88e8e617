"""Check the types of the arguments that Python gives to `resnetctl`: one check for all functions, from annotations."""

from __future__ import annotations

import functools
import inspect
import sys
import types
import typing
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from numbers import Integral, Real
from os import PathLike, fspath
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal, TypeVar, Union, Unpack, get_args, get_origin

from resnetctl.errors import UsageError
from resnetctl.hints import Setting, suggest
from resnetctl.wording import counted, with_article

Function = TypeVar("Function", bound=Callable[..., Any])
WORDS: tuple[tuple[type, str, str], ...] = (  # class, one, several
    (bool, "True or False", "True or False"),
    (int, "a whole number", "whole numbers"),
    (float, "a number", "numbers"),
    (str, "a text", "texts"),
    (PathLike, "a path", "paths"),
    (Path, "a path", "paths"),
    (bytes, "bytes", "bytes"),
    (Mapping, "a dict", "dicts"),
    (types.NoneType, "None", "None"),
)
TARGETS = ("target", "weights", "run", "source")  # `tasks.targets.text` says what these are
LONGEST = 60  # characters of a value in an error
LISTS = (Sequence, Iterable, list, tuple)


def checked(
    *, options: Callable[[], type] | None = None, except_for: Collection[str] = ()
) -> Callable[[Function], Function]:
    """Return a decorator that raises `UsageError` for an argument of another type than its annotation.

    It also raises for an argument that the function does not have, or does not get though it needs it. A path becomes a
    text where the annotation has only texts.

    Args:
        options: returns the TypedDict of the other keyword arguments, where their annotation cannot be read or is Any.
        except_for: arguments that the function checks itself.
    """

    def decorate(function: Function) -> Function:
        signature = inspect.signature(function)
        known = functools.cache(lambda: _annotations(function, signature, options))

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            try:
                bound = signature.bind(*args, **kwargs)
            except TypeError as error:
                raise _misfit(signature, args, kwargs, name=function.__qualname__) or error from None
            more = next((item.name for item in signature.parameters.values() if item.kind is item.VAR_KEYWORD), "")
            for values in (bound.arguments, bound.arguments.get(more, {})):
                for name in (values.keys() & known().keys()) - {*TARGETS, *except_for, more}:
                    values[name] = _checked(name, values[name], known()[name])
            return function(*bound.args, **bound.kwargs)

        return typing.cast(Function, call)

    return decorate


def _misfit(
    signature: inspect.Signature, args: Sequence[Any], kwargs: Mapping[str, Any], *, name: str
) -> UsageError | None:
    """Return the error for an unknown or missing argument, or one without its name; None if it is of another kind."""
    takes_any = any(item.kind is item.VAR_KEYWORD for item in signature.parameters.values())
    own = signature.parameters.items()
    shown = {key: item for key, item in own if key != "self" and item.kind is not item.VAR_KEYWORD}
    unknown = [] if takes_any else [key for key in kwargs if key not in shown]
    if unknown:
        return UsageError(f"unknown argument '{unknown[0]}'", hint=suggest(unknown[0], shown))
    placed = [key for key, item in shown.items() if item.kind in (item.POSITIONAL_ONLY, item.POSITIONAL_OR_KEYWORD)]
    given = args[int("self" in signature.parameters) :]
    if len(given) > len(placed):
        extra = given[len(placed)]
        hint = Setting("data", extra) if takes_any and not placed and isinstance(extra, str) else None
        count = counted(len(placed), "argument") if placed else "no argument"
        return UsageError(
            f"{name.partition('.')[0]} takes {count} without a name", hint=hint or f"known: {', '.join(shown)}"
        )
    missing = [key for key in placed[len(given) :] if key not in kwargs and shown[key].default is signature.empty]
    return UsageError(f"{name.partition('.')[0]} needs the argument '{missing[0]}'") if missing else None


def _annotations(
    function: Callable[..., Any], signature: inspect.Signature, options: Callable[[], type] | None
) -> dict[str, Any]:
    """Return the annotations of all arguments by name, those of a TypedDict too; without those that cannot be read."""
    names = vars(sys.modules[function.__module__])
    known: dict[str, Any] = {}
    for parameter in signature.parameters.values():
        if parameter.annotation is parameter.empty:  # self
            continue
        one = SimpleNamespace(__annotations__={parameter.name: parameter.annotation})
        try:
            known |= typing.get_type_hints(one, globalns=names)
        except NameError:  # it is imported for type checkers only
            continue
    for name, hint in [*known.items()]:
        if get_origin(hint) is Unpack:
            known |= typing.get_type_hints(get_args(known.pop(name))[0])
    return known | (typing.get_type_hints(options()) if options is not None else {})


def _checked(name: str, value: Any, hint: Any) -> Any:
    """Return the value, a path as text where texts are wanted. Raises `UsageError` if it is of another type."""
    if _fits(value, hint):
        return value
    if isinstance(value, PathLike) and _fits(text := fspath(value), hint):
        return text
    words = list(dict.fromkeys(_words(hint)))
    wanted = [word for word in words if word != "None"] or words
    raise UsageError(f"{name} takes {' or '.join(wanted)}, not {_found(value, hint)}")


def _found(value: Any, hint: Any) -> str:
    """Return the value if it is short, else its type, and what does not belong into a list or a dict that is wanted."""
    shown = repr(value) if isinstance(value, str | int | float | None) else ""
    if 0 < len(shown) <= LONGEST:
        return shown
    kind = with_article(type(value).__name__)
    options = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    inner = [get_args(item)[0] for item in options if get_args(item) and get_origin(item) in (*LISTS, Mapping)]
    if not inner or not isinstance(value, list | tuple | dict):
        return kind
    wrong = next((item for item in value if not any(_fits(item, one) for one in inner)), None)
    return kind if wrong is None else f"{kind} with {_found(wrong, None)}"


def _fits(value: Any, hint: Any) -> bool:
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return any(_fits(value, item) for item in inner)
    if origin is Literal:  # the function lists the values that there are
        return any(isinstance(value, type(item)) for item in inner)
    kind = origin or hint
    if not isinstance(kind, type):  # Any, or a type variable
        return True
    if kind is float:
        return isinstance(value, Real) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, Integral) and not isinstance(value, bool)
    if kind in LISTS:
        return isinstance(value, kind) and not isinstance(value, str | bytes | Mapping) and _items_fit(value, inner)
    if kind is Mapping and inner:
        return isinstance(value, Mapping) and all(_fits(key, inner[0]) for key in value)
    return isinstance(value, kind)


def _items_fit(values: Iterable[Any], inner: tuple[Any, ...]) -> bool:
    """Whether the items fit. Those of an iterator are not taken: that would use them up."""
    return not inner or not isinstance(values, Collection) or all(_fits(value, inner[0]) for value in values)


def _words(hint: Any, *, several: bool = False) -> list[str]:
    """Return the types in words: `["a text", "a list of texts"]`."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return [word for item in inner for word in _words(item, several=several)]
    if origin is Literal:
        return _words(type(inner[0]), several=several)
    kind = origin or hint
    if kind in LISTS:
        items = list(dict.fromkeys(_words(inner[0], several=True))) if inner else ["values"]
        return [f"a list of {' or '.join(items)}"]
    if kind is Mapping and inner and inner[0] is str:
        return ["dicts" if several else "a dict with texts as keys"]
    for known, one, more in WORDS:
        if kind is known:
            return [more if several else one]
    name = getattr(kind, "__name__", str(kind))
    return [name if several else with_article(name)]
