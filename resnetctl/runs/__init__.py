"""Run folders on disk. Only this package writes their files."""

from resnetctl.runs.folder import LAST, RunDir, all_runs, automatic_name, create, find, free_path

__all__ = ["LAST", "RunDir", "all_runs", "automatic_name", "create", "find", "free_path"]
