"""Settings of this machine, from environment variables. Settings of the experiment are in `config`.

`Settings` holds `RESNETCTL_DATA_DIR`, `RESNETCTL_RUNS_DIR`, `RESNETCTL_DEVICE`, `RESNETCTL_THREADS` and
`RESNETCTL_CACHE_GB`. `load` imports pydantic-settings inside, because the import takes longer than all the rest of
`--help`. Every listing reads `RESNETCTL_PLUGINS`, so it is read without pydantic-settings.
"""

import os
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from resnetctl.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of this machine. 0 `threads` and 0 GB of the cache of each remote dataset: automatic."""

    data_dir: Path
    runs_dir: Path
    device: str
    threads: int
    cache_gb: float = 0.0


@cache
def load() -> Settings:
    """Return the settings from the environment, which is read once. Raises `UsageError` naming each wrong variable."""
    from platformdirs import user_data_path
    from pydantic import ValidationError
    from pydantic_settings import BaseSettings, SettingsConfigDict

    class Environment(BaseSettings):
        model_config = SettingsConfigDict(env_prefix="RESNETCTL_", env_ignore_empty=True)
        data_dir: Path = user_data_path("resnetctl") / "data"
        runs_dir: Path = Path("runs")
        device: str = "auto"
        threads: int = 0
        cache_gb: float = 0.0

    try:
        values = Environment()
    except ValidationError as error:
        raise UsageError(
            "the environment has a wrong value",
            problems=[f"RESNETCTL_{str(item['loc'][0]).upper()}: {item['msg']}" for item in error.errors()],
        ) from None
    if values.threads < 0:
        raise UsageError(f"RESNETCTL_THREADS={values.threads} must not be negative", hint="0: automatic")
    if not 0 <= values.cache_gb < float("inf"):
        raise UsageError(f"RESNETCTL_CACHE_GB={values.cache_gb} must be a number of GB", hint="0: automatic")
    return Settings(
        data_dir=values.data_dir.expanduser(),
        runs_dir=values.runs_dir.expanduser(),
        device=values.device,
        threads=values.threads,
        cache_gb=values.cache_gb,
    )


def load_with(threads: int | None) -> Settings:
    """Return the settings with this number of threads, 0: automatic; None: that of the environment."""
    return load() if threads is None else replace(load(), threads=threads)


def chosen_plugins() -> tuple[str, ...] | None:
    """Return the distributions in `RESNETCTL_PLUGINS`, comma-separated: `none` means no plugin, None (unset) all."""
    text = os.environ.get("RESNETCTL_PLUGINS")
    if not text:
        return None
    return tuple(name.strip() for name in text.split(",") if name.strip() not in ("", "none"))
