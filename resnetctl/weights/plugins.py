"""Whether the plugins that weights need are installed, and what to do when they are not."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

from resnetctl import registry
from resnetctl.errors import PluginError, ResnetctlError, UsageError, WeightsError
from resnetctl.hints import Hint
from resnetctl.registry.code import Digests, edited
from resnetctl.registry.folders import install_hints, installed, version_hints
from resnetctl.spec import WeightsCard

Function = TypeVar("Function", bound=Callable[..., Any])
OTHER_CODE = "the block has changed since the run began: restore its old code, or start a new run"
NO_PLUGIN = "or ask who made the weights for the plugin, or for their ONNX file, which needs no plugin"


class _Header(Protocol):
    """What a weights file says of itself; `code` has digests of the plugins' code from its training."""

    @property
    def card(self) -> WeightsCard: ...
    @property
    def path(self) -> Path: ...
    @property
    def code(self) -> Mapping[str, Digests] | None: ...


def require_plugins(card: WeightsCard, path: Path, *, resuming: bool = False) -> None:
    """Raise a `PluginError` when a distribution or the block is missing.

    Args:
        path: the weights file or the run, for the message.
        resuming: require every distribution that training used, not only the block's.
    """
    needed = card.plugins.used if resuming else card.plugins.required
    present = installed(needed)
    missing = {name: wanted for name, wanted in needed.items() if name not in present}
    if missing:
        names = " and ".join(f"{name}=={wanted}" for name, wanted in missing.items())
        raise PluginError(
            f"{'resuming this run needs' if resuming else 'these weights need'} {names}, "
            f"which {'is' if len(missing) == 1 else 'are'} not installed",
            where=str(path),
            hint=[*install_hints(missing), *([] if resuming else [NO_PLUGIN])],
        )
    try:
        registry.distribution_of("block", card.arch.block)
    except UsageError as error:  # no installed distribution has it, and the card names none
        reason = f"these weights need the block '{card.arch.block}', and no installed package has it"
        raise PluginError(reason, where=str(path), hint=error.hint) from None


def notice_versions(card: WeightsCard, path: Path) -> None:
    """Give a notice if the network of the weights was built with another version of a plugin."""
    if others := _other_versions(card):
        registry.notice(f"{_shown(path)} was written with {others}")


def has_plugins(card: WeightsCard) -> bool:
    """Return whether `require_plugins` accepts the card."""
    try:
        registry.distribution_of("block", card.arch.block)
    except ResnetctlError:
        return False
    return len(installed(card.plugins.required)) == len(card.plugins.required)


def explained(
    error: ResnetctlError, card: WeightsCard, *, path: Path, code: Mapping[str, Digests] | None = None
) -> ResnetctlError:
    """Return `error`, or a `PluginError` that says what has changed in a plugin since the weights were written.

    Args:
        code: digests of the code of the plugins from then, as `code_digests` gives them.
    """
    needed, others = card.plugins.required, _other_versions(card)
    hints: list[Hint]
    changed = edited({name: digest for name, digest in (code or {}).items() if name in needed})
    if others:
        here = installed(needed)
        wanted = {name: version for name, version in needed.items() if here.get(name, version) != version}
        reason, hints = f"the weights were written with {others}", [*error.hint, *version_hints(wanted)]
    elif changed:
        names = " and ".join(changed)
        reason = f"the code of {names} was changed since the weights were trained"
        own = (hint for hint in error.hint if hint != OTHER_CODE)
        hints = [*own, "restore the code as it was then, or train again with the code of today"]
    else:
        return error
    where = error.where if isinstance(error, PluginError) else str(path)  # the line, or what the plugin registers
    return PluginError(f"{error.message}; {reason}", where=where, problems=error.problems, hint=hints)


def explaining(function: Function, header: _Header) -> Function:
    """Return the function; a `PluginError` that it raises is `explained`."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except PluginError as error:
            raise explained(error, header.card, path=header.path, code=header.code) from error

    return cast(Function, call)


def unbuildable(
    error: ResnetctlError, card: WeightsCard, *, path: Path, code: Mapping[str, Digests] | None = None
) -> ResnetctlError:
    """Return the error for weights whose network cannot be built from their card: no config of the user is wrong.

    Arguments as `explained`.
    """
    error = explained(error, card, path=path, code=code)
    if not isinstance(error, UsageError):
        return error
    names = " and ".join(card.plugins.required)
    if not names:
        return WeightsError(error.message, where=str(path), problems=error.problems, hint=error.hint)
    hints = [*error.hint, f"install {names} with the code that trained the weights"]
    return PluginError(error.message, where=str(path), problems=error.problems, hint=hints)


def _shown(path: Path) -> Path:
    """Return one spelling of a path, so that a notice is given once: relative to this folder if it is inside."""
    whole = path.resolve()
    return whole.relative_to(Path.cwd()) if whole.is_relative_to(Path.cwd()) else whole


def _other_versions(card: WeightsCard) -> str:
    """Return `mine 0.1.0, and 0.2.0 is installed` for each distribution that has another version here."""
    needed = card.plugins.required
    others = {name: here for name, here in installed(needed).items() if here != needed[name]}
    return "; ".join(f"{name} {needed[name]}, and {here} is installed" for name, here in others.items())
