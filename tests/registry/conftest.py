"""Write test distributions: modules and metadata folders on the path, as pip installs them."""

import importlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from resnetctl import registry

Editable = Callable[..., Path]
Install = Callable[..., None]
GOOD = "from resnetctl.spec import Arch\nnet = Arch(name='net', block='basic', depths=(1,), widths=(8,))\n"


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """Clear the registry's caches and the imported modules after each test."""
    before = set(sys.modules)
    yield
    registry.refresh()
    for name in set(sys.modules) - before:
        if name.startswith("plug_"):
            del sys.modules[name]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Return `install("dist", {"name": "plug_x:net"}, kind=..., code=..., requires=...)`: it writes a distribution."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))

    def make(
        dist: str, points: dict[str, str], *, kind: str = "arch", code: str | None = GOOD, requires: str = ""
    ) -> None:
        info = site / f"{dist.replace('-', '_')}-1.2.dist-info"
        info.mkdir()
        lines = [f"Requires-Dist: {requires}"] if requires else []
        (info / "METADATA").write_text("\n".join(["Metadata-Version: 2.1", f"Name: {dist}", "Version: 1.2", *lines]))
        group = registry.KINDS[kind].group
        (info / "entry_points.txt").write_text(
            f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in points.items())
        )
        for value in points.values():
            if code is not None:
                (site / f"{value.partition(':')[0]}.py").write_text(code)
        importlib.invalidate_caches()
        registry.refresh()

    return make


@pytest.fixture
def editable(install: Install, tmp_path: Path) -> Editable:
    """Return `editable("dist", "plug_x:net", code=...)`: it writes an editable install, and returns its folder."""

    def make(dist: str, value: str, *, code: str = GOOD, requires: str = "") -> Path:
        folder = tmp_path / "work" / dist
        folder.mkdir(parents=True)
        (folder / "pyproject.toml").write_text(f'[project]\nname = "{dist}"\n')
        (folder / f"{value.partition(':')[0]}.py").write_text(code)
        sys.path.append(str(folder))  # `install` restores the path
        install(dist, {"net": value}, code=None, requires=requires)
        info = tmp_path / "site" / f"{dist.replace('-', '_')}-1.2.dist-info"
        (info / "direct_url.json").write_text(json.dumps({"dir_info": {"editable": True}, "url": folder.as_uri()}))
        return folder

    return make
