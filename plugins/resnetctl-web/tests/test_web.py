"""The page holds the network that it was given, and shows in a browser what Python computes."""

import base64
import hashlib
import io
import json
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms
from resnetctl_web import assets, exporter
from resnetctl_web.exporter import PAGE, web
from support.chromium import BROWSER, Page, browser
from support.onnx_files import small_model
from support.pictures import encode
from support.trained import IMAGE, card, make_run, make_store

from resnetctl import registry
from resnetctl.__main__ import main
from resnetctl.data.reading.decode import read_image
from resnetctl.deploy import onnx_session
from resnetctl.deploy.raw.writer import with_preprocessing
from resnetctl.errors import CheckFailed, InputError, ResnetctlError, UsageError
from resnetctl.exporting import Bundle
from resnetctl.spec import Calibration, Familiar
from resnetctl.system import settings
from resnetctl.testing import conformance
from resnetctl.trust.strangers import distances

HOSTILE = (
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>\"'`\n\t&amp;",
    "\u202egnp.exe" + "x" * 10_000,
)
MEANS = np.eye(2, IMAGE.size**2, dtype=np.int8) * 127  # the features of `small_model` are its pixels
FAMILIAR = Familiar(means=tuple(base64.b64encode(mean).decode() for mean in MEANS), limit=1.25, level=0.99)
KNOWING = {"calibration": Calibration(temperature=1.0, sets={}, images=120, familiar=FAMILIAR)}
MODULE = b"/*! ONNX */var a=1,b=2,c=3;export{a as InferenceSession,b as Tensor,c as env};\n//# sourceMappingURL=x.map\n"


def network(classes: tuple[str, ...] = ("ape", "bee", "cow"), **changes: Any) -> bytes:
    return with_preprocessing(small_model(card(classes=classes, **changes)).SerializeToString(), IMAGE)


def bundle(classes: tuple[str, ...] = ("ape", "bee", "cow"), **changes: Any) -> Bundle:
    known = {"calibration": changes.pop("calibration", None)}
    values: dict[str, Any] = {
        "card": card(classes=classes, **known),
        "input": "raw",
        "weights": Path("none"),
        **changes,
    }
    return Bundle(onnx=network(classes, **known), **values)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder with files in the place of onnxruntime-web, which are taken for it."""
    folder = tmp_path / "dist"
    folder.mkdir()
    for name, data in {assets.MODULE: MODULE, assets.RUNTIME: b"\0asm"}.items():
        (folder / name).write_bytes(data)
        monkeypatch.setitem(assets.DIGESTS, name, hashlib.sha256(data).hexdigest())  # type: ignore[arg-type]
    return folder


def written(folder: Path, small: Path, classes: tuple[str, ...] = ("ape", "bee", "cow")) -> Path:
    folder.mkdir()
    assert web.write(bundle(classes, assets=small), folder) == [folder / PAGE]
    return folder


def test_the_page_holds_the_bytes_of_the_network_and_has_the_same_bytes_twice(tmp_path: Path, small: Path) -> None:
    one, two = (written(tmp_path / name, small) for name in ("one", "two"))
    text = (one / PAGE).read_text()
    assert text == (two / PAGE).read_text()
    assert exporter._unpacked(exporter._part(text, "model")) == network()
    pictures = np.random.default_rng(0).integers(0, 256, (2, 11, 13, 3), dtype=np.uint8)
    assert np.array_equal(web.open(one)(pictures), onnx_session.from_bytes(network(), "").logits(pictures))


def test_nothing_in_the_page_asks_another_host(tmp_path: Path, small: Path) -> None:
    text = (written(tmp_path / "page", small) / PAGE).read_text()
    assert "sourceMappingURL" not in text
    assert not re.findall(r"""(?:src|href)=["']?\w+:""", text)
    assert "default-src &#x27;none&#x27;" in text


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('"ape"', '"bat"', "other classes"),
        ('"familiar": null', '"familiar": {}', "strange pictures"),
        ("sha256-", "sha256-x", "policy"),
        ("const ready = start();", "const ready = start(); fetch('https://x');", "policy"),
        ("main {", "main { color: red;", "policy"),
    ],
)
def test_a_page_that_was_changed_is_refused(tmp_path: Path, small: Path, old: str, new: str, problem: str) -> None:
    page = written(tmp_path / "page", small) / PAGE
    text = page.read_text()
    assert old in text
    page.write_text(text.replace(old, new))
    with pytest.raises(CheckFailed) as caught:
        web.open(page.parent)
    assert any(problem in line for line in caught.value.problems)


def test_a_page_with_another_runtime_or_network_is_refused(tmp_path: Path, small: Path) -> None:
    page = written(tmp_path / "page", small) / PAGE
    text = page.read_text()
    page.write_text(text.replace(exporter._packed(b"\0asm"), exporter._packed(b"\0asm2")))
    with pytest.raises(CheckFailed) as caught:
        web.open(page.parent)
    assert "onnxruntime-web" in caught.value.problems[0]
    page.write_text(text.replace(exporter._packed(network()), exporter._packed(b"nonsense")))
    with pytest.raises(ResnetctlError):
        web.open(page.parent)
    page.write_text(text.replace('id="model"', 'id="other"'))
    with pytest.raises(CheckFailed, match="no single part"):
        web.open(page.parent)


def test_hostile_class_names_are_data(tmp_path: Path, small: Path) -> None:
    page = written(tmp_path / "page", small, HOSTILE) / PAGE
    text = page.read_text()
    assert text.count("<script") == text.count("</script>") == 4
    assert json.loads(exporter._part(text, "card", "application/json"))["classes"] == list(HOSTILE)
    web.open(page.parent)


def test_a_network_that_needs_prepared_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        web.write(bundle(input="float"), tmp_path)
    assert "raw" in str(caught.value)


def test_missing_and_other_files_of_onnxruntime_web_are_named(tmp_path: Path, small: Path) -> None:
    with pytest.raises(InputError, match="is not here") as caught:
        assets.load(tmp_path / "gone")
    assert assets.COMMAND in str(caught.value)
    (small / assets.RUNTIME).write_bytes(b"other")
    with pytest.raises(InputError, match="this is not the file of onnxruntime-web"):
        assets.load(small)
    with pytest.raises(InputError):
        web.write(bundle(assets=small), tmp_path)


def test_only_small_grey_networks_see_drawings() -> None:
    digits = exporter._card(card(), features=None)
    assert (digits["draw"], digits["ink"], digits["paper"]) == (True, "white", "black")


if (assets.OWN / assets.RUNTIME).is_file():
    test_the_exporter_keeps_the_rules_of_exporters = conformance("resnetctl-web")


# ---- in a browser


@pytest.fixture(scope="module")
def runtime() -> Path:
    if BROWSER is None:
        pytest.skip("there is no Chromium on this machine")
    if not (assets.OWN / assets.RUNTIME).is_file():
        pytest.skip(f"onnxruntime-web is not here: {assets.COMMAND}")
    return assets.OWN


@pytest.fixture(scope="module")
def page(runtime: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """A page with hostile class names, ready in a browser."""
    folder = tmp_path_factory.mktemp("page")
    web.write(bundle(HOSTILE, assets=runtime, **KNOWING), folder)
    web.open(folder)
    with browser(tmp_path_factory.mktemp("profile")) as shown:
        shown.open((folder / PAGE).as_uri())
        shown.wait("document.readyState === 'complete'")
        shown.wait("document.getElementById('status').textContent === 'Ready.'")
        shown.value("document.addEventListener('classified', (event) => { window.seen = event.detail; })")
        yield shown
        assert shown.messages == []
        assert shown.requests == [(folder / PAGE).as_uri()]


def pictures() -> dict[str, bytes]:
    """Return small files of every kind that both Pillow and a browser read."""
    generator = np.random.default_rng(0)
    colour = Image.fromarray(generator.integers(0, 256, (17, 23, 3), dtype=np.uint8))
    grey = Image.fromarray(generator.integers(0, 256, (17, 23), dtype=np.uint8))
    clear = colour.convert("RGBA")
    clear.putalpha(grey)
    exif = Image.Exif()
    exif[0x0112] = 6
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    deep = Image.fromarray(generator.integers(0, 2**16, (9, 14), dtype=np.uint16))
    kinds = {
        "palette.png": encode(colour.quantize(16)), "cmyk.jpg": encode(colour.convert("CMYK"), "JPEG"),
        "turned.jpg": encode(colour, "JPEG", exif=exif), "clear.png": encode(clear), "deep.png": encode(deep),
        "icc.jpg": encode(colour, "JPEG", icc_profile=profile), "lossy.webp": encode(colour, "WEBP"),
        "palette.gif": encode(colour.quantize(64), "GIF"), "grey.png": encode(grey), "grey.jpg": encode(grey, "JPEG"),
    }  # fmt: skip
    more = {
        f"{number}.png": encode(Image.fromarray(generator.integers(0, 256, (5 + 3 * number, 40, 3), dtype=np.uint8)))
        for number in range(10)
    }
    return kinds | more


@pytest.mark.parametrize("name", pictures())
def test_the_page_sees_the_pixels_of_pillow_and_shows_the_class_of_python(
    page: Page, tmp_path: Path, name: str
) -> None:
    path = tmp_path / name
    path.write_bytes(pictures()[name])
    page.value("delete window.seen")
    page.choose("#file", path)
    seen = json.loads(page.wait("window.seen && JSON.stringify({...seen, pixels: Array.from(seen.pixels)})"))
    wanted = read_image(path, 3)
    pixels = np.array(seen["pixels"], np.uint8).reshape(seen["height"], seen["width"], 3)
    assert np.array_equal(pixels, wanted)
    model = onnx_session.from_bytes(network(HOSTILE, **KNOWING), "")
    logits, shares = model.outputs(wanted[None])
    (distance,) = distances(model.read(wanted[None])[1], FAMILIAR)
    assert seen["distance"] == pytest.approx(distance, abs=1e-5)
    assert page.value("document.getElementById('strange').hidden") == (distance <= FAMILIAR.limit)
    assert int(np.argmax(seen["shares"])) == int(np.argmax(logits))
    assert seen["shares"] == pytest.approx(shares[0].tolist(), abs=1e-6)
    shown = page.value("Array.from(document.querySelectorAll('#results tr'), (row) => row.cells[0].textContent)")
    assert shown == [HOSTILE[place] for place in np.argsort(-shares[0], kind="stable")]
    assert page.value("document.querySelectorAll('#results img, #results script').length") == 0
    narrowest = "Math.min(...Array.from(document.querySelectorAll('#results progress'), (bar) => bar.offsetWidth))"
    assert page.value(narrowest) > 50, "a long name hides the bars"
    assert page.value("document.getElementById('results').offsetHeight < 500"), "a long name fills the page"


def test_what_is_no_picture_or_too_large_is_one_sentence(page: Page, tmp_path: Path) -> None:
    content = io.BytesIO()
    Image.new("1", (10_000, 10_000)).save(content, "PNG")
    for name, data, text in (
        ("x.png", b"no picture", "is not a picture"),
        ("huge.png", content.getvalue(), "10000x10000 pixels are over the limit of 50,000,000"),
    ):
        (tmp_path / name).write_bytes(data)
        page.choose("#file", tmp_path / name)
        page.wait(f"document.getElementById('problem').textContent.includes({json.dumps(text)})")
    page.choose("#file", _picture(tmp_path))
    page.wait("document.getElementById('problem').hidden && document.getElementById('status').textContent === 'a.png'")


def test_pictures_are_dropped_pasted_drawn_and_taken(page: Page) -> None:
    make = """(async () => {
        delete window.seen;
        const canvas = new OffscreenCanvas(9, 7), context = canvas.getContext("2d");
        context.fillRect(0, 0, 9, 7);
        const transfer = new DataTransfer();
        transfer.items.add(new File([await canvas.convertToBlob()], NAME, {type: "image/png"}));
        document.dispatchEvent(EVENT);
    })()"""
    for name, event in (
        ("dropped.png", "new DragEvent('drop', {dataTransfer: transfer, cancelable: true})"),
        ("pasted.png", "new ClipboardEvent('paste', {clipboardData: transfer})"),
    ):
        page.value(make.replace("NAME", json.dumps(name)).replace("EVENT", event))
        assert page.wait("window.seen && `${seen.name} ${seen.width}x${seen.height}`") == f"{name} 9x7"
    page.value("delete window.seen")
    for kind, x in (("mousePressed", 60), ("mouseMoved", 160), ("mouseReleased", 160)):
        box = page.value("document.getElementById('pad').scrollIntoView(), JSON.stringify(pad.getBoundingClientRect())")
        left, top = (json.loads(box)[side] for side in ("left", "top"))
        page.send(
            "Input.dispatchMouseEvent", type=kind, x=left + x, y=top + 90, button="left", buttons=1, clickCount=1,
        )  # fmt: skip
    assert page.wait("window.seen && seen.name") == "drawing"
    assert page.value("new Set(seen.pixels).has(255)"), "the pen left white on black"
    page.value("document.getElementById('clear').click()")
    page.value("delete window.seen")
    page.value("document.getElementById('camera').click()")
    page.wait("document.getElementById('video').videoWidth > 0")
    page.value("document.getElementById('camera').click()")
    assert page.wait("window.seen && seen.name") == "camera"


def _picture(folder: Path) -> Path:
    path = folder / "a.png"
    path.write_bytes(pictures()["0.png"])
    return path


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A fresh current folder with folders for data and runs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RESNETCTL_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("RESNETCTL_RUNS_DIR", "runs")
    settings.load.cache_clear()
    yield tmp_path
    settings.load.cache_clear()


def test_a_page_of_a_run_is_small_and_the_command_checks_it(
    runtime: Path, machine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert registry.find("exporter", "web").distribution == "resnetctl-web"
    run = make_run(card(make_store()))
    assert main(["export", "--web", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["input"], report["exporter"], report["files"]) == ("raw", "web", [PAGE])
    assert report["agreement"] == 1
    assert (run.path / "export/web" / PAGE).stat().st_size <= 8_000_000
    assert main(["export", "--web", "--out", "other", "--ort-web", "gone"]) == 3
    assert not (machine / "other").exists()


def test_npm_that_is_missing_or_brings_another_file_is_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="npm is not installed"):
        assets.fetch(tmp_path / "assets")
    program = tmp_path / "npm"
    program.write_text("#!/bin/sh\necho no registry >&2\nexit 1\n")
    program.chmod(0o755)
    with pytest.raises(InputError, match="npm pack failed: no registry"):
        assets.fetch(tmp_path / "assets")
    package = tmp_path / "source.tgz"
    with tarfile.open(package, "w:gz") as archive:
        for name in assets.DIGESTS:
            info = tarfile.TarInfo(f"package/dist/{name}")
            info.size = 5
            archive.addfile(info, io.BytesIO(b"other"))
    program.write_text(f"#!/bin/sh\n/bin/cp {package} onnxruntime-web-1.tgz\n")
    with pytest.raises(InputError, match="is not that of onnxruntime-web"):
        assets.fetch(tmp_path / "assets")
    assert not (tmp_path / "assets").exists()
