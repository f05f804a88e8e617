"""A virtual environment that also has the packages of this one, for commands that install something."""

import os
import subprocess
import sysconfig
import venv
from importlib.util import find_spec
from pathlib import Path

MARK = "shares-its-parent"
SHIMS = {"resnetctl": "resnetctl", "pip": "pip"}


def sharing(folder: Path) -> Path:
    """Create an environment in `folder` on top of the running one; installing into it does not change the running one.

    `--system-site-packages` would add the base Python's packages. A `.pth` file adds those of this environment,
    editable installs included. `pip` is the pip of this environment, run with the new environment's Python.
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
    """Run a shell command line with the environment's programs first in PATH.

    Builds use the running environment's build tools if it has them, which saves a download for each build.
    """
    variables = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    variables |= {
        "PATH": f"{environment}/bin{os.pathsep}{os.environ['PATH']}",
        "VIRTUAL_ENV": str(environment),
        "OMP_NUM_THREADS": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }
    if (environment / MARK).exists() and all(map(find_spec, ("hatchling", "editables"))):
        variables["PIP_NO_BUILD_ISOLATION"] = "0"  # for pip, 0 in this variable switches isolation off
    return subprocess.run(
        command, shell=True, cwd=folder, env=variables, capture_output=True, text=True, timeout=timeout
    )  # fmt: skip
