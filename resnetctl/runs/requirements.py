"""The plugins that the run of a config file, or the runs of a group, used, where a name is not known here."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from resnetctl.config.layers import from_file
from resnetctl.errors import ConfigError, PluginError, ResnetctlError, UsageError
from resnetctl.registry.folders import install_hints, installed
from resnetctl.runs.finding import runs_in
from resnetctl.runs.folder import GROUP, RunDir
from resnetctl.spec.cards import DISTRIBUTION, VERSION


@contextlib.contextmanager
def naming_plugins(config: str | Path | None, *, group: Path | None = None) -> Iterator[None]:
    """Re-raise the error for an unknown name as a `PluginError` if a run with it used plugins that are missing.

    Args:
        config: the config file; the folder that it is in may be that of a run.
        group: the folder to train in, if it is that of a group; one of its runs may have the name in its config.
    """
    try:
        yield
    except UsageError as error:
        if isinstance(error, ConfigError):
            raise
        whose, where, missing = (
            "the run of this config",
            str(config),
            missing_plugins(None if config is None else Path(config)),
        )
        if not missing and group is not None and (group / GROUP).is_file():
            whose, where, missing = f"a run of the group '{group.name}'", str(group), _missing_in(group, error.message)
        if not missing:
            raise
        names = " and ".join(f"{name}=={version}" for name, version in missing.items())
        verb = "is" if len(missing) == 1 else "are"
        raise PluginError(
            f"{error.message}; {whose} used {names}, which {verb} not installed",
            where=where,
            hint=install_hints(missing),
        ) from None


def _missing_in(group: Path, message: str) -> dict[str, str]:
    """Return the missing plugins of a run of the group whose config has the name that the message quotes."""
    for run in runs_in(group):
        with contextlib.suppress(ResnetctlError):
            values = from_file(run.config).values.values()
            has_name = any(isinstance(value, str) and value and f"'{value}'" in message for value in values)
            if has_name and (missing := missing_plugins(run.config)):
                return missing
    return {}


def missing_plugins(config: Path | None) -> dict[str, str]:
    """Return the distributions, and their versions, that the run beside a config used and that are not installed."""
    if config is None:
        return {}
    used = RunDir(config.parent).environment().get("plugins")
    if not isinstance(used, dict):
        return {}
    named = {name: str(version) for name, version in used.items() if DISTRIBUTION.fullmatch(name)}
    here = installed(named)
    return {name: version for name, version in named.items() if name not in here and VERSION.fullmatch(version)}
