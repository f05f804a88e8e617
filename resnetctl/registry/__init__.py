"""Find objects by name through entry points. Nothing else in the package reads entry points.

Listing and validation read metadata only. `get` imports exactly one object, checks its shape, and turns any failure
into one `PluginError` that names distribution and version. The core's own objects are entries like those of plugins.
If two distributions have one name, it is a clash, and `dist:name` chooses between them; a built-in always wins.
"""

from resnetctl.registry.declared import not_installed, other_versions
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
    require_installed,
    unknown_plugins,
)
from resnetctl.registry.kinds import KINDS, Kind, resolve
from resnetctl.registry.loading import failure, fault, get, guarded, passes, refresh
from resnetctl.registry.metadata import CORE, NAME, Entry, Status
from resnetctl.registry.unknown_groups import declared_hints, unknown_groups

__all__ = [
    "CORE",
    "KINDS",
    "NAME",
    "Entry",
    "Kind",
    "Status",
    "all_entries",
    "declared_hints",
    "disable_plugins",
    "distribution_of",
    "entries",
    "failure",
    "fault",
    "find",
    "get",
    "guarded",
    "names",
    "not_installed",
    "notice",
    "other_versions",
    "overlay",
    "owned",
    "passes",
    "refresh",
    "require_installed",
    "resolve",
    "unknown_groups",
    "unknown_plugins",
]
