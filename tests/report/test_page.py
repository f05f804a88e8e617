"""The page is one harmless file: no script, nothing to load, the same bytes for the same input."""

import base64
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from support.chromium import BROWSER, browser
from support.report_documents import EPOCHS, GALLERY, NAMES, PROVENANCE, make_document

from resnetctl.report.page import broken, fragment, page, plot_files, style
from resnetctl.report.plots import MAX_CLASSES

SECTIONS = [
    "Verdict",
    "Accuracy and confusion",
    "Threshold of each class",
    "Calibration",
    "Sets and abstaining",
    "Corrupted images",
    "Strangers",
    "Suspect labels",
    "Duplicates",
    "What it looked at",
    "Comparison",
    "Curves of the run",
    "Looks and provenance",
]
VOID = {"meta", "img", "br", "wbr"}


class Reader(HTMLParser):
    """Collects elements, attributes and text, and checks that elements close in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def make_page(**changes: object) -> str:
    return page(make_document(**changes), epochs=EPOCHS, provenance=PROVENANCE, gallery=GALLERY).decode()


def test_names_of_classes_and_files_are_harmless_text() -> None:
    reader = Reader(make_page())
    assert "script" not in reader.tags
    assert reader.open == []
    for name in NAMES:
        assert name in reader.texts


def test_nothing_is_loaded_and_nothing_runs() -> None:
    text = make_page()
    reader = Reader(text)
    names = {name for name, _ in reader.attributes}
    assert not names & {"style", "href", "srcset", "action", "data"}
    sources = [value for name, value in reader.attributes if name == "src"]
    assert len(sources) == 5
    assert all(value and value.startswith("data:image/png;base64,") for value in sources)
    assert not [name for name in names if name.startswith("on")]
    assert "url(" not in text
    assert "@import" not in text


def test_the_policy_allows_the_style_by_its_hash_only() -> None:
    text = make_page()
    found = re.search(r"<style>(.*?)</style>", text, re.DOTALL)
    assert found
    digest = base64.b64encode(hashlib.sha256(found[1].encode()).digest()).decode()
    policy = next(value for name, value in Reader(text).attributes if value and value.startswith("default-src 'none'"))
    assert f"style-src 'sha256-{digest}'" in policy
    assert "unsafe" not in policy
    assert "img-src data:;" in policy


def test_the_same_input_gives_the_same_bytes_in_little_room() -> None:
    assert make_page() == make_page()
    assert len(make_page().encode()) < 400_000


def test_the_sections_come_in_the_order_of_the_design() -> None:
    sections = re.findall(r'<section id="(\w+)"', make_page())
    assert sections == [
        "verdict", "accuracy", "ranking", "calibration", "sets", "suspects", "duplicates", "maps", "comparison",
        "curves", "provenance",
    ]  # fmt: skip
    bare = make_document(val=False, against=False, looks=None, suspects=[], rankings=None)
    bare = {key: value for key, value in bare.items() if key not in ("duplicates", "explain")}
    short = page(bare, epochs=(), provenance={}).decode()
    assert re.findall(r'<section id="(\w+)"', short) == ["verdict", "accuracy", "calibration", "sets", "provenance"]


def test_every_picture_says_what_it_shows() -> None:
    text = make_page(against=False)
    assert all(re.findall(r'<img [^>]*alt="([^"]+)"', text))
    assert text.count("<img") == len(re.findall(r'<img [^>]*alt="[^"]+"', text)) == 5
    assert "correlation 0.970, another class" in text
    assert "shown 0.80, hidden 0.10" in text
    without = page(make_document(), epochs=EPOCHS, provenance=PROVENANCE).decode()
    assert "<img" not in without
    assert "correlation 0.970" in without


def test_every_drawing_has_its_alternative_and_a_table() -> None:
    text = make_page()
    assert text.count("<svg") == text.count('role="img"') == text.count("<svg ") == 9
    assert text.count("<table") >= 7
    assert all(title for title in re.findall(r"<svg [^>]*><title>([^<]*)</title>", text))


def test_a_notebook_gets_the_content_with_a_style_that_touches_nothing_else() -> None:
    text = fragment(make_document(), epochs=EPOCHS, provenance=PROVENANCE)
    assert "<html" not in text
    assert "<body" not in text
    rules = re.sub(r"@media[^{]*", "", style())
    depth, selectors = 0, []
    for part in re.findall(r"[^{}]*[{}]", rules):
        if part.endswith("{") and "&" not in part and "--" not in part:
            selectors.append(part[:-1].strip())
        depth += 1 if part.endswith("{") else -1
    assert depth == 0
    assert all(name.startswith((".resnetctl-", ".plot")) for name in selectors if name)


def test_plots_are_files() -> None:
    files = plot_files(make_document(), epochs=EPOCHS)
    assert sorted(files) == [
        "abstaining.svg", "accuracy.svg", "comparison.svg", "confusion.svg", "learning-rate.svg", "loss.svg",
        "precision-recall.svg", "reliability.svg", "roc.svg",
    ]  # fmt: skip
    assert all(data.startswith(b"<svg ") and b"<style>" in data for data in files.values())


@pytest.mark.parametrize("name", ["\udcff.png", "a\x00b"])
def test_names_that_are_not_unicode_are_written(name: str) -> None:
    assert "<h1>" in page(make_document(target=name), epochs=(), provenance={}).decode()


def test_strangers_have_a_section_with_the_positive_side() -> None:
    entry = {"set": "<i>aliens", "n": 1200, "score": "knn", "auroc": 0.9712, "fpr95": 0.125, "positive": "strange"}
    silent = entry | {"flagged": None, "alarms": None}
    text = make_page(ood=[silent])
    assert text.index('id="sets"') < text.index('id="strangers"') < text.index('id="comparison"')
    assert "&lt;i&gt;aliens" in text
    assert "a strange image is the positive case" in text
    assert "&lt;i&gt;aliens (1,200)" in text
    assert "<td>0.971</td>" in text
    assert "<td>12.5</td>" in text
    assert "unlike anything in training" not in text
    judged = make_page(ood=[silent, entry | {"score": "means", "flagged": 0.625, "alarms": 0.011}])
    assert "unlike anything in training" in judged
    assert "1.1\u00a0% of this split" in judged
    assert "62.5\u00a0% (&lt;i&gt;aliens)." in judged


def test_a_run_that_was_compressed_has_its_stages_and_their_plot() -> None:
    stages = [
        {
            "name": name,
            "params": 5000,
            "multiply_adds": 2_000_000,
            "bytes": size,
            "accuracy": {"top1": 0.9, "interval": [0.85, 0.95], "count": 100},
            "latency": {key: {"p50": 1.5, "p95": 2.25, "n": 9} for key in ("1", "64")},
        }
        for name, size in (("whole", 20_000), ("student <b>", 5_000))
    ]
    choice = {"kept": "student", "why": "the student is 2.00 points more accurate on val"}
    assert "How it was compressed" not in make_page()
    made = {"compressed": {"stages": stages, "choice": choice, "undone": ["int8: it is slower"]}}
    text = page(make_document() | made, epochs=EPOCHS, provenance=PROVENANCE, gallery=GALLERY).decode()
    reader = Reader(text)
    assert reader.open == []
    assert {"student <b>", "1.50 / 2.25", "20,000", "int8: it is slower"} <= set(reader.texts)
    assert "The student was kept: the student is 2.00 points more accurate on val." in text
    assert "pareto.svg" in plot_files(make_document() | made, epochs=EPOCHS)


def net_document(**changes: object) -> dict[str, Any]:
    """The document of a network with a head of a plugin: a task with numbers, a unit and a chart of its own."""
    curve = {"name": "a", "axes": ["threshold", "hits/image"], "points": [[0.0, 1.0], [1.0, 0.0]]}
    row = {"name": "a", "count": 1234, "near": 0.5, "interval": [0.4, 0.6]}
    return {
        "task": "locate", "target": "m.safetensors", "data": "d", "split": "test", "count": 2, "near": 0.5,
        "primary": "near", "interval": None, "looks": None, "unit": "points", "per_class": [row], "curves": [curve],
        "worst": [], "best": [], "notices": [], **changes,
    }  # fmt: skip


def test_a_task_of_a_plugin_has_its_unit_and_its_charts_on_the_page() -> None:
    document = net_document()
    text = page(document, epochs=(), provenance={}).decode()
    assert '<th scope="col">points</th>' in text
    assert "Hits/image by threshold" in text
    assert [*plot_files(document, epochs=())] == ["hits-image-threshold.svg"]


def test_a_task_without_numbers_of_classes_has_a_page() -> None:
    text = page(net_document(per_class=[], curves=[]), epochs=(), provenance={}).decode()
    assert 'id="classes"' not in text
    assert "near 50.0" in text


def test_a_plot_for_a_paper_needs_no_variables_and_no_browser() -> None:
    for name, data in plot_files(make_document(), epochs=EPOCHS).items():
        text = data.decode()
        assert "var(" not in text, name
        assert "@media" not in text, name
        assert "transform-box" not in text, name
        assert "#2563a8" in text, name


def test_many_classes_have_a_table_and_no_matrix() -> None:
    document = make_document()
    count = MAX_CLASSES + 1
    rows = [{"name": f"class {n}", "count": 2, "correct": 1, "accuracy": 0.5} for n in range(count)]
    document["accuracy"] |= {"per_class": rows, "confusion": [[1] * count] * count}
    document["rankings"] = [document["rankings"][0] | {"name": row["name"]} for row in rows]
    text = page(document, epochs=EPOCHS, provenance=PROVENANCE, gallery=GALLERY).decode()
    assert Reader(text).open == []
    assert text.count('<th scope="row">class ') == 2 * count, "of the accuracy and of the thresholds"
    assert "Precision by recall" not in text
    assert "<rect" in text, "other plots are drawn"
    assert "Confusion:" not in text


def test_an_image_under_two_labels_names_its_twin() -> None:
    document = make_document()
    document["suspects"] = [document["suspects"][0] | {"twin": "b/<i>2.png"}]
    text = page(document, epochs=EPOCHS, provenance=PROVENANCE, gallery=GALLERY).decode()
    assert "the same image is in &lt;/style&gt;&lt;b&gt;: b/<wbr>&lt;i&gt;2.png" in text


def test_a_name_breaks_after_its_folders_only() -> None:
    assert broken("test/<i>/1.png") == "test/<wbr>&lt;i&gt;/<wbr>1.png"


def test_maps_stand_beside_their_scores_and_the_check_with_a_random_head() -> None:
    assert "shown 0.80, hidden 0.10, random 0.20" in make_page()


def full_page() -> str:
    """A page with every section, long names, and all fifteen kinds of pictures."""
    kinds = ("gaussian_noise", "jpeg_compression")
    values = [
        {"kind": kind, "severity": step, "accuracy": 0.5, "ece": 0.1, "coverage": 0.5}
        for kind in kinds
        for step in range(1, 6)
    ]
    shift = {"source": "resnetctl-c", "n": 600, "level": 0.9, "mean": 0.5, "interval": [0.4, 0.6], "cells": values}
    strange = [
        {"set": name, "n": 5000, "score": score, "auroc": 0.9, "fpr95": 0.1, "flagged": flagged, "alarms": flagged}
        for name in ("fashion-mnist", "noise:gauss", "a" * 60)
        for score, flagged in (("msp", None), ("energy", None), ("knn", None), ("means", 0.5))
    ]
    return make_page(corruptions=shift, ood=strange, target="runs/" + "b" * 120 + "/model.safetensors")


ON_THE_PAGE = """({
    overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    hidden: [...document.querySelectorAll("main *")].filter(
        item => getComputedStyle(item).display === "none" || getComputedStyle(item).visibility !== "visible"
            || (item.matches("img, p, td, h2, .plot") && !item.getBoundingClientRect().height)).length,
    silent: [...document.querySelectorAll("img")].filter(item => !item.alt || !item.naturalWidth).length,
    alone: [...document.querySelectorAll("svg.plot")].filter(
        item => !item.closest("section").querySelector("table") || !item.getAttribute("aria-label")).length,
    ground: getComputedStyle(document.body).backgroundColor,
    clash: [...document.querySelectorAll("svg.plot")].flatMap(plot => {
        const boxes = [...plot.querySelectorAll(".end, .name")].map(item => item.getBoundingClientRect());
        return boxes.filter((one, place) => boxes.slice(place + 1).some(other =>
            one.left < other.right && other.left < one.right && one.top < other.bottom && other.top < one.bottom));
    }).length,
    headings: [...document.querySelectorAll("h2")].map(item => item.textContent),
})"""


@pytest.mark.skipif(BROWSER is None, reason="there is no Chromium on this machine")
@pytest.mark.timeout(600)
def test_a_browser_shows_all_of_the_page_in_both_widths_and_lights(tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    file.write_text(full_page(), encoding="utf-8")
    grounds = set()
    with browser(tmp_path / "profile") as shown:
        shown.open("about:blank")
        for width in (1280, 390):
            for light in ("light", "dark"):
                shown.send(
                    "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False
                )
                shown.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": light}])
                shown.send("Page.navigate", url=file.as_uri())
                shown.wait(f"location.protocol === 'file:' && innerWidth === {width}")
                shown.wait("document.readyState === 'complete'")
                found = shown.value(ON_THE_PAGE)
                grounds.add((light, found.pop("ground")))
                assert found.pop("headings") == SECTIONS
                assert found == {"overflow": 0, "hidden": 0, "silent": 0, "alone": 0, "clash": 0}, (width, light)
        assert shown.messages == [], "the console has a message"
        assert {url for url in shown.requests if not url.startswith("data:")} <= {"about:blank", file.as_uri()}
    assert len(grounds) == 2, "light and dark have a colour each"
