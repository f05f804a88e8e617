"""A virtual environment that sees everything of this one, for commands that install something."""

import os
import subprocess
import sysconfig
import venv
from importlib.util import find_spec
from pathlib import Path

MARK = "shares-its-parent"
SHIMS = {"resnetctl": "resnetctl", "pip": "pip"}


def sharing(folder: Path) -> Path:
    """A new environment in `folder` on top of the running one: what is installed into it stays in it.

    `--system-site-packages` would lead to the base Python's packages; a `.pth` file leads to those of this environment,
    editable installs included. It has no pip of its own: `pip` is this environment's, told to work there.
    """
    venv.create(folder, with_pip=False)
    site = next(folder.glob("lib/python*/site-packages"))
    parents = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    lines = [f"import site; site.addsitedir({parent!r})" for parent in sorted(parents)]
    (folder / MARK).touch()
    (site / "parent.pth").write_text("\n".join(lines) + "\n")
    for name, module in SHIMS.items():
        shim = folder / "bin" / name
        shim.write_text(f'#!/bin/sh\nexec "{folder}/bin/python" -m {module} "$@"\n')
        shim.chmod(0o755)
    return folder


def run(command: str, environment: Path, *, folder: Path, timeout: int = 280) -> subprocess.CompletedProcess[str]:
    """One shell command line with the environment's programs first.

    What a build needs is taken from the running environment where it has it: that saves a download for each build.
    """
    variables = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    variables |= {
        "PATH": f"{environment}/bin{os.pathsep}{os.environ['PATH']}",
        "VIRTUAL_ENV": str(environment),
        "OMP_NUM_THREADS": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }
    if (environment / MARK).exists() and all(map(find_spec, ("hatchling", "editables"))):
        variables["PIP_NO_BUILD_ISOLATION"] = "0"  # pip reads it the other way round: 0 switches isolation off
    return subprocess.run(
        command, shell=True, cwd=folder, env=variables, capture_output=True, text=True, timeout=timeout
    )  # fmt: skip
