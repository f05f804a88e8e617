"""What this machine is: environment variables, and nothing about the experiment.

`RESNETCTL_DATA_DIR`, `RESNETCTL_RUNS_DIR`, `RESNETCTL_DEVICE`, `RESNETCTL_THREADS`, `RESNETCTL_PLUGINS`.
pydantic-settings is imported inside: it costs more than the whole rest of a `--help`.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from resnetctl.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Resolved machine facts. `threads` 0 means by rule, `plugins` None means all."""

    data_dir: Path
    runs_dir: Path
    device: str
    threads: int
    plugins: tuple[str, ...] | None


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
        plugins: str | None = None

    try:
        found = Environment()
    except ValidationError as error:
        raise UsageError(
            "the environment has a wrong value",
            problems=[f"RESNETCTL_{str(item['loc'][0]).upper()}: {item['msg']}" for item in error.errors()],
        ) from None
    if found.threads < 0:
        raise UsageError(f"RESNETCTL_THREADS={found.threads} must not be negative", hint="0 chooses by rule")
    return Settings(
        data_dir=found.data_dir.expanduser(),
        runs_dir=found.runs_dir.expanduser(),
        device=found.device,
        threads=found.threads,
        plugins=plugin_names(found.plugins),
    )


def plugin_names(text: str | None) -> tuple[str, ...] | None:
    """`None`: all; `"none"`: the core only; else the distributions named, comma-separated."""
    if text is None:
        return None
    return tuple(name.strip() for name in text.split(",") if name.strip() not in ("", "none"))
