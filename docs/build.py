"""Build the documentation as a site: `python docs/build.py [FOLDER]`, by default `site`. `pip install zensical` first.

Pages, examples and benchmarks are copied into one folder, as they lie in the repository, so that every link works there
too. A folder that a page links to gets a page that lists its files. After the build every page is read: a link to
nothing, or anything that a browser would fetch from another host, is an error.
"""

import argparse
import ast
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).parents[1]
PAGES = ("*.md", "LICENSE", "CITATION.cff", "docs/**/*", "benchmarks/*.*", "examples/**/*", "plugins/*/README.md")
LISTED = ("benchmarks", "examples", "plugins")  # folders that get a page
INDEX = "README.md"
FENCE_OF_FILE = re.compile(r"^( *```\w+) (\S+)$", re.MULTILINE)  # a fence that names the file of its code
LINK = re.compile(r"(?<=\]\()([^)\s]+)(?=\))|(?<=\]: )(\S+)$", re.MULTILINE)
FETCHED = {"img": "src", "script": "src", "link": "href", "iframe": "src", "source": "src", "video": "src"}
IN_STYLES = re.compile(r"""(?:url\(|@import\s*)["']?\s*((?:https?:)?//[^"')\s]+)""")
KEPT = 50  # problems that are shown


def main() -> int:
    """Build the site, check it, and say how many links it has. Return 1 if something is wrong."""
    parser = argparse.ArgumentParser(description="build the documentation as a site")
    parser.add_argument("folder", type=Path, nargs="?", default=ROOT / "site")
    folder = parser.parse_args().folder.resolve()
    if find_spec("zensical") is None:
        print("the package zensical is not installed: pip install zensical", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as work:
        stage(Path(work))
        built = subprocess.run(
            [sys.executable, "-m", "zensical", "build", "--clean", "--strict"],
            cwd=work, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if built.returncode:
            print(built.stdout + built.stderr, file=sys.stderr)
            return 1
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(Path(work, "site"), folder)
    links, problems = check(folder)
    for problem in problems[:KEPT]:
        print(problem, file=sys.stderr)
    print(f"{folder}: {len(list(folder.rglob('*.html')))} pages, {links:,} links, {len(problems)} problems")
    return 1 if problems else 0


def stage(work: Path) -> None:
    """Copy the pages and what they link to into `work/pages`, and write the configuration."""
    pages = work / "pages"
    tracked = {
        path for pattern in PAGES for path in ROOT.glob(pattern) if path.is_file() and "__pycache__" not in path.parts
    }
    for path in sorted(tracked):
        copy = pages / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    for name in LISTED:
        (pages / name / INDEX).write_text(listing(pages / name), encoding="utf-8")
    for page in pages.rglob("*.md"):
        page.write_text(for_site(page), encoding="utf-8")
    (work / "zensical.toml").write_text(configuration(pages), encoding="utf-8")


def listing(folder: Path) -> str:
    """Return the page of a folder: its files, and what each says of itself."""
    rows = [(path.relative_to(folder).as_posix(), about(path)) for path in sorted(folder.rglob("*")) if path.is_file()]
    lines = [f"- [{name}]({name}){f': {text}' if text else ''}" for name, text in rows if "/tests/" not in name]
    return "\n".join([f"# {folder.name.capitalize()}", "", *lines, ""])


def about(path: Path) -> str:
    """Return the first sentence of a script or the title of a page, in one line; "" for other files."""
    text = path.read_text(encoding="utf-8") if path.suffix in (".py", ".md") else ""
    if path.suffix == ".py":
        first = (ast.get_docstring(ast.parse(text)) or "").partition("\n\n")[0]
        return " ".join(first.split()).rstrip(":")
    return text.partition("\n")[0].removeprefix("# ").strip()


def for_site(page: Path) -> str:
    """Return the text of a page for Zensical: links to folders lead to their pages, and code has its file as title."""

    def link(match: re.Match[str]) -> str:
        target = match.group()
        path, mark, anchor = target.partition("#")
        is_folder = bool(path) and not urlsplit(path).scheme and (page.parent / path).is_dir()
        return f"{path.rstrip('/')}/{INDEX}{mark}{anchor}" if is_folder else target

    return LINK.sub(link, FENCE_OF_FILE.sub(r'\1 title="\2"', page.read_text(encoding="utf-8")))


def configuration(pages: Path) -> str:
    """Return `zensical.toml`: the navigation is that of `docs/README.md`, then benchmarks, plugins and the project."""
    sections = [("resnetctl", [INDEX, "docs/README.md"]), *_sections((pages / "docs" / INDEX).read_text("utf-8"))]
    for name in ("benchmarks", "plugins"):
        own = sorted(path.relative_to(pages).as_posix() for path in (pages / name).rglob("*.md"))
        sections.append((name.capitalize(), [f"{name}/{INDEX}", *(path for path in own if path != f"{name}/{INDEX}")]))
    sections.append(("Project", ["examples/README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"]))
    nav = ",\n".join(f"  {{{json.dumps(title)} = {json.dumps(paths)}}}" for title, paths in sections)
    return f"""[project]
site_name = "resnetctl"
site_description = "From images to a checked ONNX file"
docs_dir = "pages"
site_dir = "site"
nav = [
{nav}
]

[project.theme]
font = false  # a font of the system: others come from another host
features = ["navigation.sections", "navigation.indexes", "search.highlight", "content.code.copy"]
"""


def _sections(index: str) -> Iterator[tuple[str, list[str]]]:
    """Yield title and pages of each section of `docs/README.md`."""
    for part in index.split("\n## ")[1:]:
        title = part.partition("\n")[0].partition(":")[0]
        yield title, [f"docs/{path}" for path in re.findall(r"\]\(([^)#\s]+\.md)\)", part)]


@dataclass
class Page(HTMLParser):
    """What a built page has: names that links can lead to, links, and addresses that a browser fetches."""

    names: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    fetched: list[str] = field(default_factory=list)
    has_fence: bool = False  # Markdown that was not understood

    def __post_init__(self) -> None:
        super().__init__()

    def handle_data(self, data: str) -> None:
        """Note code that stayed Markdown."""
        self.has_fence |= "```" in data

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what an element names, links to and fetches."""
        values = {name: value or "" for name, value in attrs}
        self.names |= {values[name] for name in ("id", "name") if name in values}
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        if tag in FETCHED and values.get("rel") not in ("canonical", "next", "prev") and FETCHED[tag] in values:
            self.fetched.append(values[FETCHED[tag]])


def check(site: Path) -> tuple[int, list[str]]:
    """Return the number of links in a built site, and a line for each that is broken and each foreign address."""
    pages = {path: _read(path) for path in sorted(site.rglob("*.html"))}
    problems = []
    for path, page in pages.items():
        where = path.relative_to(site)
        problems += [f"{where}: fetches {url}" for url in page.fetched if urlsplit(url).netloc]
        problems += [f"{where}: a fence of code was not understood"] if page.has_fence else []
        for url in [*page.links, *page.fetched]:
            if (problem := _broken(url, path, site=site, pages=pages)) and str(where) != "404.html":
                problems.append(f"{where}: {url}: {problem}")
    for style in site.rglob("*.css"):
        problems += [f"{style.relative_to(site)}: fetches {url}" for url in IN_STYLES.findall(style.read_text("utf-8"))]
    return sum(len(page.links) + len(page.fetched) for page in pages.values()), problems


def _broken(url: str, page: Path, *, site: Path, pages: dict[Path, Page]) -> str:
    """Return why a link leads to nothing, "" if it does not."""
    parts = urlsplit(url)
    if parts.scheme or parts.netloc:
        return ""
    path = unquote(parts.path)
    target = (site / path.lstrip("/") if path.startswith("/") else page.parent / path).resolve() if path else page
    if target.is_dir():
        target /= "index.html"
    if not target.is_file():
        return "no such page"
    if parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].names:
        return "no such heading"
    return ""


def _read(path: Path) -> Page:
    page = Page()
    page.feed(path.read_text(encoding="utf-8"))
    return page


if __name__ == "__main__":
    sys.exit(main())
