"""Write the example pages of `report` into `examples/pages`: what a classifier and a detector are worth.

    python make_pages.py [BCCD.tar.xz]

`digits.html` is about the handwritten digits that are embedded in resnetctl. `cells.html` is about 364 photos of blood
cells with boxes (BCCD, MIT licence, github.com/Shenggan/BCCD_Dataset): give the archive to write it again.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

PAGES = Path(__file__).parent / "pages"
DIGITS = ("train --arch resnet20 --data digits --name digits", "report digits --html digits.html")
CELLS = (
    "data add {archive} --name bccd",
    "train --data bccd --arch resnet10_wd2 --head ssd --budget 200s --name cells",
    "report cells --html cells.html",
)


def main(archives: Iterable[str]) -> None:
    """Train and report in a temporary folder, and keep the pages."""
    commands = [*DIGITS, *(line.format(archive=Path(path).resolve()) for path in archives for line in CELLS)]
    PAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        own = os.environ | {"RESNETCTL_DATA_DIR": str(Path(folder, "data"))}
        for command in commands:
            subprocess.run([sys.executable, "-m", "resnetctl", *command.split()], cwd=folder, env=own, check=True)
        for page in Path(folder).glob("*.html"):
            (PAGES / page.name).write_bytes(page.read_bytes())


if __name__ == "__main__":
    main(sys.argv[1:2])
