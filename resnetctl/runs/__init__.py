"""Run folders on disk. Only this package writes their files."""

from resnetctl.runs.finding import all_runs, find, matching, newest_in_groups, remove, runs_in
from resnetctl.runs.folder import CONFIG, LAST, RunDir, automatic_names, create, free_path

__all__ = [
    "CONFIG",
    "LAST",
    "RunDir",
    "all_runs",
    "automatic_names",
    "create",
    "find",
    "free_path",
    "matching",
    "newest_in_groups",
    "remove",
    "runs_in",
]
