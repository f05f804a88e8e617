"""Fetch onnxruntime-web when a wheel is built, unless its files are there. Without npm the wheel lacks them."""

import importlib.util
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class Fetch(BuildHookInterface):  # type: ignore[type-arg]
    """The hook that hatchling calls."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Put the files into the package, or say why they are missing."""
        npm = _npm(Path(self.root))
        if npm.are_here():
            return
        try:
            npm.fetch()
        except (OSError, ValueError) as error:
            self.app.display_warning(f"onnxruntime-web is left out: {error}")


def _npm(root: Path) -> Any:
    spec = importlib.util.spec_from_file_location("npm", root / "resnetctl_web" / "npm.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
