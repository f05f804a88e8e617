"""Names for shell completion, from metadata, packaged files and folders. Imports no torch."""

import contextlib
from collections.abc import Callable

from resnetctl.errors import ResnetctlError


def names(kind: str) -> list[str]:
    """Return the names that complete an option declared with `complete=kind`; none when an error occurs."""
    with contextlib.suppress(ResnetctlError, OSError):
        return _SOURCES[kind]() if kind in _SOURCES else _registered(kind)
    return []


def _registered(kind: str) -> list[str]:
    from resnetctl import registry

    return registry.names(kind)


def _plugins() -> list[str]:
    from resnetctl import registry

    return sorted({name for kind in registry.KINDS for name in registry.names(kind)})


def _datasets() -> list[str]:
    from resnetctl import registry
    from resnetctl.data.cards import store_names
    from resnetctl.system import settings

    return sorted({*registry.names("dataset"), *store_names(settings.load().data_dir)})


def _recipes() -> list[str]:
    from resnetctl.config.layers import recipes

    return recipes()


def _runs() -> list[str]:
    import resnetctl.runs as runs
    from resnetctl.system import settings

    return ["last", *(run.name for run in runs.all_runs(settings.load().runs_dir))]


_SOURCES: dict[str, Callable[[], list[str]]] = {
    "dataset": _datasets,
    "plugin": _plugins,
    "recipe": _recipes,
    "run": _runs,
}
