"""Draw `docs/pictures/train.svg`: `python docs/pictures/terminal.py`.

It runs `resnetctl train` in a terminal of 80 columns, keeps what is on the screen at the end, and has rich draw it.
"""

import io
import os
import pty
import re
import subprocess
import sys
import tempfile
import termios
from collections import defaultdict
from pathlib import Path
from xml.etree import ElementTree

from rich.console import Console
from rich.text import Text

PICTURE = Path(__file__).parent / "train.svg"
COMMAND = "resnetctl train --arch resnet20 --data digits"
COLUMNS, ROWS = 80, 40
CELL = 12.2  # width of a character in rich's drawing
INDENTED = re.compile(r'x="([\d.]+)" y="([\d.]+)" textLength="([\d.]+)"([^>]*)>((?:&#160;)+)(?=[^&<])')
# The moves that resnetctl makes: up N lines, erase below, next line, back to the first column.
ESCAPE = re.compile(r"(\x1b\[\d*[FJ]|\r?\n|\r)")


def main() -> None:
    """Train in a temporary folder and write the picture."""
    with tempfile.TemporaryDirectory() as folder:
        lines = [f"\x1b[1;32m$\x1b[0m {COMMAND}", *screen(record(Path(folder)))]
    PICTURE.write_text(draw(lines), encoding="utf-8")


def record(folder: Path) -> str:
    """Run the command in `folder` and return every character that its terminal gets."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (ROWS, COLUMNS))
    environment = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS", "LINES")}
    environment |= {"TERM": "xterm-256color", "RESNETCTL_DEVICE": "cpu", "RESNETCTL_RUNS_DIR": "runs"}
    environment |= {"RESNETCTL_DATA_DIR": str(folder / "data")}
    command = [sys.executable, "-m", *COMMAND.split()]
    process = subprocess.Popen(command, cwd=folder, env=environment, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        output = b"".join(iter(lambda: _read(terminal), b""))
    if process.wait() != 0:
        raise SystemExit(f"{COMMAND} failed:\n{output.decode()}")
    return output.decode()


def screen(output: str) -> list[str]:
    """Return the lines that a terminal shows after `output`."""
    lines, row, column = [""], 0, 0
    for token in ESCAPE.split(output):
        if not ESCAPE.fullmatch(token):
            end = column + len(token)
            lines[row] = lines[row][:column] + token + lines[row][end:]
            column = end
            continue
        column = 0
        if token.endswith("\n"):
            row += 1
            lines += [""] * (row == len(lines))
        elif token.endswith("F"):
            row -= int(token[2:-1])
        elif token.endswith("J"):
            lines[row:] = [""]
    return [line.rstrip() for line in "\n".join(lines).rstrip().split("\n")]


def draw(lines: list[str]) -> str:
    """Return an SVG of a terminal with these lines, colours included."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(Text.from_ansi("\n".join(lines)))
    return INDENTED.sub(_indent, console.export_svg(title="resnetctl", unique_id="train"))


def read(picture: str) -> list[str]:
    """Return the lines that an SVG made by `draw` shows, without colours."""
    rows: dict[float, dict[float, str]] = defaultdict(dict)
    for node in ElementTree.fromstring(picture).iter("{http://www.w3.org/2000/svg}text"):
        if "clip-path" in node.attrib:  # the title of the window has none
            rows[float(node.attrib["y"])][float(node.attrib["x"])] = node.text or ""
    lines = []
    for _, parts in sorted(rows.items()):
        line = ""
        for left, text in sorted(parts.items()):
            line = line.ljust(round(left / CELL)) + text
        lines.append(line.replace("\xa0", " ").rstrip())
    return lines


def _indent(match: re.Match[str]) -> str:
    """Move a text to the right in place of leading spaces: some programs that show SVG drop them."""
    left, top, length, rest, spaces = match.groups()
    shift = CELL * spaces.count("&")
    return f'x="{float(left) + shift:g}" y="{top}" textLength="{float(length) - shift:g}"{rest}>'


def _read(terminal: io.FileIO) -> bytes:
    try:
        return terminal.read(4096)
    except OSError:  # Linux says that the other side is closed in this way
        return b""


if __name__ == "__main__":
    main()
