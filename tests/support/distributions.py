"""Write distributions as pip installs them, without pip: a metadata folder and modules in one directory."""

from collections.abc import Mapping
from pathlib import Path

from resnetctl.registry import KINDS, Kind

ARCH = "from resnetctl.spec import Arch\nnet = Arch(name='net', block='basic', depths=(1,), widths=(8,), summary='s')\n"
BLOCK = "from resnetctl.blocks import BasicBlock\n\n\nclass Net(BasicBlock):\n    pass\n"


def install(
    site: Path, name: str, points: Mapping[Kind, Mapping[str, str]], *, code: str | None, requires: str = ""
) -> None:
    """Write distribution `name` 1.2 into `site`. `code` is the text of every module of `points`; None: no modules."""
    site.mkdir(exist_ok=True)
    info = site / f"{name.replace('-', '_')}-1.2.dist-info"
    info.mkdir()
    needs = [f"Requires-Dist: {requires}"] if requires else []
    lines = ["Metadata-Version: 2.1", f"Name: {name}", "Version: 1.2", *needs]
    (info / "METADATA").write_text("\n".join(lines) + "\n")
    text = ""
    for kind, named in points.items():
        text += f"[{KINDS[kind].group}]\n" + "".join(f"{entry} = {value}\n" for entry, value in named.items())
        for value in named.values():
            if code is not None:
                (site / f"{value.partition(':')[0]}.py").write_text(code)
    (info / "entry_points.txt").write_text(text)


def install_broken(site: Path) -> None:
    """Write all broken plugins of the test plan: distributions `t17-NAME` with modules `t17_NAME`."""
    arch = {
        "raises": "import no_such_module_at_all\n",
        "exits": "raise SystemExit(3)\n",
        "aborts": "import os\nos.abort()\n",
        "lacks": "",
        "wrong": "net = 7\n",
        "slow": "import time\ntime.sleep(1)\n" + ARCH,
        "prints": "print('HELLO FROM A PLUGIN')\n" + ARCH,
        "heavy": "import torch\n" + ARCH,
    }
    for name, code in arch.items():
        install(site, f"t17-{name}", {"arch": {name: f"t17_{name}:net"}}, code=code.replace("'net'", f"'{name}'"))
    install(site, "t17-misnamed", {"arch": {"misnamed": "t17_misnamed:net"}}, code=ARCH)
    install(site, "t17-one", {"arch": {"twin": "t17_one:net"}}, code=ARCH)
    install(site, "t17-two", {"arch": {"twin": "t17_two:net"}}, code=ARCH.replace("(8,)", "(9,)"))
    install(site, "t17-shadows", {"arch": {"resnet20": "t17_shadows:net"}}, code=ARCH)
    install(site, "t17-old", {"arch": {"old": "t17_old:net"}}, code=ARCH, requires="resnetctl>=99")
    install(site, "t17-gone", {"arch": {"gone": "t17_gone:net"}}, code=None)
    patch = "import torch\ntorch.nn.Conv2d.forward = lambda self, images: images\n" + BLOCK
    install(site, "t17-patches", {"block": {"patches": "t17_patches:Net"}}, code=patch)
    install(site, "t17-sound", {"block": {"sound": "t17_sound:Net"}}, code=BLOCK)
