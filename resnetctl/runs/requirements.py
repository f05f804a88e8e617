"""The plugins that the run of a config file used, where a name of the config is not known here."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from resnetctl.errors import ConfigError, PluginError, UsageError
from resnetctl.registry.folders import install_hints, installed
from resnetctl.runs.folder import RunDir
from resnetctl.spec.cards import DISTRIBUTION, VERSION


@contextlib.contextmanager
def naming_plugins(config: str | Path | None) -> Iterator[None]:
    """Re-raise the error for an unknown name as a `PluginError` if the run of `config` used plugins that are missing.

    Args:
        config: the config file; the folder that it is in may be that of a run.
    """
    try:
        yield
    except UsageError as error:
        missing = {} if config is None or isinstance(error, ConfigError) else missing_plugins(Path(config))
        if not missing:
            raise
        names = " and ".join(f"{name}=={version}" for name, version in missing.items())
        verb = "is" if len(missing) == 1 else "are"
        raise PluginError(
            f"{error.message}; the run of this config used {names}, which {verb} not installed",
            where=str(config),
            hint=install_hints(missing),
        ) from None


def missing_plugins(config: Path) -> dict[str, str]:
    """Return the distributions, and their versions, that the run beside a config used and that are not installed."""
    used = RunDir(config.parent).environment().get("plugins")
    if not isinstance(used, dict):
        return {}
    named = {name: str(version) for name, version in used.items() if DISTRIBUTION.fullmatch(name)}
    here = installed(named)
    return {name: version for name, version in named.items() if name not in here and VERSION.fullmatch(version)}
