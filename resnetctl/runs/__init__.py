"""Run folders on disk. Only this package writes their files."""

from resnetctl.runs.folder import CONFIG, LAST, RunDir, all_runs, automatic_names, create, find, free_path, remove

__all__ = ["CONFIG", "LAST", "RunDir", "all_runs", "automatic_names", "create", "find", "free_path", "remove"]
