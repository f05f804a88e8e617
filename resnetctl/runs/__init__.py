"""Run folders on disk. Nothing else in the package writes there."""

from resnetctl.runs.folder import LAST, RunDir, all_runs, automatic_name, create, find, free_path

__all__ = ["LAST", "RunDir", "all_runs", "automatic_name", "create", "find", "free_path"]
