"""Errors about config keys name the file and the line that set the keys."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence

from resnetctl.config.layers import full_key
from resnetctl.errors import PluginError, ResnetctlError
from resnetctl.hints import Setting


def is_by_hand(origin: str) -> bool:
    """Return whether the user gave the value with this command or call, so that no automatic choice may replace it."""
    return origin.startswith(("flag ", "argument ")) or origin.lstrip("-") == "set"


@contextlib.contextmanager
def located(origins: Mapping[str, str], *, keys: Sequence[str] = (), otherwise: str | None = None) -> Iterator[None]:
    """Write the origins of the wrong keys into the `where` of an error, unless it names another place already.

    A `PluginError` that names keys keeps the line of its code in front of them.

    Args:
        origins: where each value came from, by dotted key. A value given by hand needs no place.
        keys: the keys that an error is about; by default those that it names.
        otherwise: the place of an error without one.
    """
    try:
        yield
    except ResnetctlError as error:
        places = [origins.get(full_key(key), "") for key in keys or _keys(error)]
        known = dict.fromkeys(place for place in places if place and not is_by_hand(place))
        if known and (error.where is None or isinstance(error.where, Setting)):
            error.where = ", ".join(known)
        elif isinstance(error, PluginError) and error.keys:  # the line of its code, then those that chose the values
            error.where = ", ".join(dict.fromkeys([*str(error.where).split(", "), *known]))
        error.where = error.where or otherwise
        raise


def _keys(error: ResnetctlError) -> Sequence[str]:
    return error.keys or ([error.where.name] if isinstance(error.where, Setting) else [])
