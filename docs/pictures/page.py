"""Photograph the page of a report, `docs/pictures/report.png`: `python docs/pictures/page.py`. It needs Chromium."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

PICTURE = Path(__file__).parent / "report.png"
COMMANDS = ("train --arch resnet20 --data digits --name digits", "report digits --html report.html")
SIZE = (1000, 860)  # pixels: head, verdict and the first lines below
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def main() -> None:
    """Train and report in a temporary folder, and write the picture."""
    with tempfile.TemporaryDirectory() as folder:
        photograph(write_page(Path(folder)), PICTURE)


def write_page(folder: Path, commands: tuple[str, ...] = COMMANDS) -> Path:
    """Run the commands of resnetctl in `folder`, and return the page that the last one writes."""
    own = os.environ | {"RESNETCTL_DATA_DIR": str(folder / "data")}  # no model was judged here before
    for command in commands:
        subprocess.run([sys.executable, "-m", "resnetctl", *command.split()], cwd=folder, env=own, check=True)
    return folder / "report.html"


def photograph(page: Path, picture: Path) -> None:
    """Write the top of a page as PNG, `SIZE` pixels. Raises `RuntimeError` without a browser."""
    browser = find_browser()
    if browser is None:
        raise RuntimeError(f"no browser is installed: one of {', '.join(BROWSERS)}")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--screenshot={picture}"]
    command = [browser, *options, f"--window-size={SIZE[0]},{SIZE[1]}", page.as_uri()]
    subprocess.run(command, check=True, capture_output=True, timeout=120)


def find_browser() -> str | None:
    """Return the path of an installed Chromium or Chrome, None without one."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


if __name__ == "__main__":
    main()
