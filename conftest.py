"""Which tests run: those of installed plugins, and with `-m fast` the rooms that tell most per second.

CONTRIBUTING.md says how long they take.
"""

import signal
from importlib.util import find_spec
from pathlib import Path

import pytest

# A shell's background job ignores Ctrl-C, and tests of signals would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).parent
PLUGINS = ROOT / "plugins"
MISSING = sorted(
    folder.name for folder in PLUGINS.glob("resnetctl-*") if find_spec(folder.name.replace("-", "_")) is None
)  # fmt: skip
collect_ignore = [f"plugins/{name}" for name in MISSING]

FAST = (
    "config", "cli/parser", "cli/screen", "system", "engine/test_loop.py",
    "engine/test_schedule.py", "engine/test_metrics.py", "data/test_splits.py",
    "data/test_cards.py", "registry/test_index.py", "test_errors.py", "test_hints.py", "test_repository.py",
    "test_rng.py", "runs", "spec",
)  # fmt: skip
NOT_FAST = ("cli/screen/test_help.py", "cli/parser/test_verbs.py")  # they draw every screen, and start shells

LONG = (
    "tests/test_tutorial.py", "tests/test_notebooks.py", "tests/test_notebook.py", "plugins/resnetctl-detect",
    "tests/tasks/compress", "tests/tasks/plugins", "tests/certify",
)  # fmt: skip


def pytest_report_header() -> str | None:
    """Name the plugins that are not installed."""
    return f"not installed, so not tested: {', '.join(MISSING)}" if MISSING else None


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """With `-m fast`, do not import the test modules of other rooms: that takes longer than the tests."""
    is_test = collection_path.name.startswith("test_")
    return True if is_test and config.option.markexpr == "fast" and not is_fast(collection_path) else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the fast tests. The long modules come first: several processes would wait for one at the end."""
    for item in items:
        if is_fast(item.path):
            item.add_marker("fast")
    items.sort(key=lambda item: not item.path.relative_to(ROOT).as_posix().startswith(LONG))


def is_fast(path: Path) -> bool:
    """Whether a test module belongs to a fast room."""
    place = path.relative_to(ROOT / "tests") if path.is_relative_to(ROOT / "tests") else Path()
    return any(place.is_relative_to(room) for room in FAST) and place.as_posix() not in NOT_FAST
