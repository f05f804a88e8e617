"""Names to objects, over entry points. Nothing else in the package reads entry points.

Listing and validation read metadata only; `get` imports exactly one object, checks its shape, and turns any failure
into one `PluginError` that names distribution and version. The core's own entries come through the same door. A
name in two distributions is a clash that `dist:name` settles, except that a built-in is never shadowed.
"""

from resnetctl.registry.index import (
    all_entries,
    disable_plugins,
    distribution_of,
    entries,
    find,
    names,
    notice,
    overlay,
    owned,
    unknown_plugins,
)
from resnetctl.registry.kinds import KINDS, Kind, resolve
from resnetctl.registry.loading import fault, get, guarded, refresh
from resnetctl.registry.metadata import CORE, NAME, Entry, Status

__all__ = [
    "CORE",
    "KINDS",
    "NAME",
    "Entry",
    "Kind",
    "Status",
    "all_entries",
    "disable_plugins",
    "distribution_of",
    "entries",
    "fault",
    "find",
    "get",
    "guarded",
    "names",
    "notice",
    "overlay",
    "owned",
    "refresh",
    "resolve",
    "unknown_plugins",
]
