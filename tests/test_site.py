"""The site of the documentation: built by one command, without broken links and without requests to other hosts."""

import functools
import http.server
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.chromium import BROWSER, browser
from support.scripts import load_script

BUILD = Path(__file__).parents[1] / "docs" / "build.py"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("zensical", reason="zensical is not installed")
    folder = tmp_path_factory.mktemp("docs") / "site"
    done = subprocess.run([sys.executable, BUILD, folder], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert ", 0 problems" in done.stdout
    return folder


def test_the_site_has_every_page_and_the_search_finds_opset(site: Path) -> None:
    docs = BUILD.parent
    pages = {path.relative_to(docs).with_suffix("") for path in docs.rglob("*.md") if path.name != "README.md"}
    assert [page for page in pages if not (site / "docs" / page / "index.html").is_file()] == []
    found = json.loads((site / "search.json").read_text(encoding="utf-8"))["items"]
    hits = {item["location"] for item in found if "opset" in item["text"]}
    assert "docs/tutorial/first-run/#export" in hits


# All elements inside shadow roots, where the search draws itself.
INSIDE = "[...document.querySelectorAll('*')].flatMap((item) => [...(item.shadowRoot?.querySelectorAll('*') ?? [])])"


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *words: Any) -> None:
        pass


@pytest.fixture
def address(site: Path) -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=site)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.mark.skipif(BROWSER is None, reason="there is no Chromium on this machine")
def test_a_browser_searches_the_site_and_asks_no_other_host(address: str, tmp_path: Path) -> None:
    with browser(tmp_path) as page:
        page.open(f"{address}docs/how-to/export/")
        page.wait("document.readyState === 'complete'")
        page.value("document.querySelector('.md-search__button').click()")
        page.wait(f"{INSIDE}.some((item) => item.type === 'text' && (item.focus(), true))")
        page.send("Input.insertText", text="opset")
        page.wait(f"{INSIDE}.some((item) => item.href?.includes('/docs/tutorial/first-run/'))")
        hosts = {url for url in page.requests if not url.startswith((address, "data:"))}
        assert hosts == set()
        assert f"{address}search.json" in page.requests
        assert page.messages == []


def small(folder: Path, body: str) -> tuple[int, list[str]]:
    (folder / "other").mkdir()
    (folder / "other" / "index.html").write_text('<h1 id="title">Other</h1>')
    (folder / "index.html").write_text(f"<html>{body}</html>")
    links, problems = load_script(BUILD).check(folder)
    return links, problems


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ('<a href="gone/">', "index.html: gone/: no such page"),
        ('<a href="other/#nowhere">', "index.html: other/#nowhere: no such heading"),
        ('<img src="https://example.org/x.png">', "index.html: fetches https://example.org/x.png"),
        ('<script src="//example.org/x.js"></script>', "index.html: fetches //example.org/x.js"),
        ('<link rel="stylesheet" href="https://example.org/x.css">', "index.html: fetches https://example.org/x.css"),
        ("<p>```python", "index.html: a fence of code was not understood"),
    ],
)
def test_what_is_wrong_in_a_built_page_is_named(tmp_path: Path, body: str, problem: str) -> None:
    assert small(tmp_path, body)[1] == [problem]


def test_a_style_that_fetches_is_named_and_sound_links_are_counted(tmp_path: Path) -> None:
    (tmp_path / "a.css").write_text("@font-face { src: url('https://example.org/font.woff') }")
    links, problems = small(tmp_path, '<a href="other/#title"><a href="https://example.org/"><a href="#">')
    assert (links, problems) == (3, ["a.css: fetches https://example.org/font.woff"])
