"""What this machine is, from environment variables. Nothing here is about the experiment.

`RESNETCTL_DATA_DIR`, `RESNETCTL_RUNS_DIR`, `RESNETCTL_DEVICE`, `RESNETCTL_THREADS` are `Settings`; pydantic-settings is
imported inside, as it costs more than the whole rest of a `--help`. `RESNETCTL_PLUGINS`, which every listing asks for,
is read without it.
"""

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from resnetctl.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Resolved machine facts. `threads` 0 means by rule."""

    data_dir: Path
    runs_dir: Path
    device: str
    threads: int


@cache
def load() -> Settings:
    """Read the environment once. Raises `UsageError` that names every bad variable."""
    from platformdirs import user_data_path
    from pydantic import ValidationError
    from pydantic_settings import BaseSettings, SettingsConfigDict

    class Environment(BaseSettings):
        model_config = SettingsConfigDict(env_prefix="RESNETCTL_", env_ignore_empty=True)
        data_dir: Path = user_data_path("resnetctl") / "data"
        runs_dir: Path = Path("runs")
        device: str = "auto"
        threads: int = 0

    try:
        values = Environment()
    except ValidationError as error:
        raise UsageError(
            "the environment has a wrong value",
            problems=[f"RESNETCTL_{str(item['loc'][0]).upper()}: {item['msg']}" for item in error.errors()],
        ) from None
    if values.threads < 0:
        raise UsageError(f"RESNETCTL_THREADS={values.threads} must not be negative", hint="0 chooses by rule")
    return Settings(
        data_dir=values.data_dir.expanduser(),
        runs_dir=values.runs_dir.expanduser(),
        device=values.device,
        threads=values.threads,
    )


def chosen_plugins() -> tuple[str, ...] | None:
    """The distributions that `RESNETCTL_PLUGINS` names, comma-separated; `none` is the core alone, unset (None) all."""
    text = os.environ.get("RESNETCTL_PLUGINS")
    if not text:
        return None
    return tuple(name.strip() for name in text.split(",") if name.strip() not in ("", "none"))
