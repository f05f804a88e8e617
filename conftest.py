"""The tests of a plugin run where it is installed; where it is not, they are left out and the header says so."""

from importlib.util import find_spec
from pathlib import Path

PLUGINS = Path(__file__).parent / "plugins"
MISSING = sorted(
    folder.name for folder in PLUGINS.glob("resnetctl-*") if find_spec(folder.name.replace("-", "_")) is None
)  # fmt: skip
collect_ignore = [f"plugins/{name}" for name in MISSING]


def pytest_report_header() -> str | None:
    """One line that names the plugins that are not installed."""
    return f"not installed, so not tested: {', '.join(MISSING)}" if MISSING else None
