"""The exporter `web`: one HTML file with the network and onnxruntime-web, which needs neither a server nor a network.

The page gives the network the pixels of a picture as they are: the ONNX file with raw input does all preprocessing.
"""

import base64
import gzip
import hashlib
import html
import json
import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from string import Template
from typing import Any

from resnetctl.deploy import onnx_features, onnx_session
from resnetctl.errors import CheckFailed, UsageError
from resnetctl.exporting import Bundle, Predict
from resnetctl.hints import Setting
from resnetctl.spec import ImageSpec, WeightsCard
from resnetctl_web import assets

PAGE = "index.html"
TOP = 5  # classes
MOST_PIXELS = 50_000_000  # of a picture: a browser keeps four bytes for each
DRAWN = 64  # pixels: grey networks up to this side see drawings, such as digits
PAD = 280  # pixels of the side of the drawing
_NAMES = ("InferenceSession", "Tensor", "env")  # of onnxruntime-web, that the page uses
_EXPORTS = re.compile(r"export\{([^{}]*)\};?\s*(//# sourceMappingURL=\S*\s*)?$")


class Web:
    """The exporter `web`."""

    name = "web"
    summary = "one HTML file that classifies images in a browser, without a network"
    input = "raw"
    suffix = ".html"  # --out FILE.html: the page alone

    def write(self, bundle: Bundle, folder: Path) -> Sequence[Path]:
        """Write the page. Raises `UsageError` for other input than raw, `InputError` without onnxruntime-web."""
        if bundle.input != self.input:
            raise UsageError(
                "a page needs a network that takes images as they are",
                where=Setting("input", bundle.input),
                hint=Setting("input", self.input),
            )
        text = page(bundle.card, bundle.onnx, assets.load(bundle.assets))
        (folder / PAGE).write_text(text, encoding="utf-8", newline="\n")
        return [folder / PAGE]

    def open(self, folder: Path) -> Predict:
        """Return the predictor of the network that the page holds.

        Raises:
            CheckFailed: the policy of the page does not allow its script, its card has other classes than the network,
                or it holds another onnxruntime-web.
            WeightsError: the network is refused.
        """
        text = (folder / PAGE).read_text("utf-8")
        model = onnx_session.from_bytes(_unpacked(_part(text, "model")), f"the network in {PAGE}")
        problems = []
        if _policy(style=_between(text, "<style>", "</style>"), script=_script(text)) not in html.unescape(text):
            problems.append("its policy does not allow its own script and style")
        if json.loads(_part(text, "card", "application/json")) != _card(model.card.weights, features=model.features):
            problems.append(
                "its card differs from that of the network: other classes, or another limit for strange pictures"
            )
        if hashlib.sha256(_unpacked(_part(text, "runtime"))).hexdigest() != assets.DIGESTS[assets.RUNTIME]:
            problems.append(f"it does not hold onnxruntime-web {assets.VERSION}")
        if model.card.input != "raw":
            problems.append("its network needs prepared images")
        if problems:
            raise CheckFailed("the page does not hold what it should", where=str(folder / PAGE), problems=problems)
        return model.logits


def page(card: WeightsCard, onnx: bytes, files: dict[str, bytes]) -> str:
    """Return the HTML file. The same network gives the same text."""
    here = Path(__file__).parent
    style = (here / "page.css").read_text("utf-8")
    features = onnx_session.from_bytes(onnx, PAGE).features
    script = f"\n{_module(files[assets.MODULE].decode())}\n{{\n{(here / 'page.js').read_text('utf-8')}}}\n"
    return Template((here / "page.html").read_text("utf-8")).substitute(
        policy=html.escape(_policy(style=style, script=script)),
        style=style,
        card=_in_script(_card(card, features=features)),
        model=_packed(onnx),
        runtime=_packed_runtime(files[assets.RUNTIME]),
        script=script,
    )


def _module(text: str) -> str:
    """Return the source of onnxruntime-web with its exports as constants, and without the address of a source map."""
    exports = _EXPORTS.search(text)
    if exports is None:
        raise CheckFailed(f"{assets.MODULE} has no list of exports")
    named = dict(reversed(item.split(" as ")) for item in exports[1].split(",") if " as " in item)
    return text[: exports.start()] + f"const {', '.join(f'{name}={named[name]}' for name in _NAMES)};"


def _policy(*, style: str, script: str) -> str:
    """Return the content security policy: this script and this style, and nothing from anywhere else."""
    return (
        f"default-src 'none'; script-src '{_sha256(script)}' 'wasm-unsafe-eval'; style-src '{_sha256(style)}'; "
        "base-uri 'none'; form-action 'none'"
    )


def _sha256(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _card(card: WeightsCard, *, features: str | None) -> dict[str, Any]:
    """Return what the script needs to know. `features` names the value of the network that tells strange pictures."""
    is_drawn = card.image.channels == 1 and card.image.size <= DRAWN
    ink, paper = ("white", "black") if _is_dark(card.image) else ("black", "white")
    source = str(card.trained_on.get("name", "")) if card.trained_on else ""
    calibrated = "calibrated on val" if card.temperature != 1 else "not calibrated"
    return {
        "title": f"{card.arch.name}: {len(card.classes)} classes" + (f" of {source}" if source else ""),
        "about": f"The picture stays in this browser. Probabilities are {calibrated}.",
        "classes": list(card.classes),
        "top": TOP,
        "most_pixels": MOST_PIXELS,
        "draw": is_drawn,
        "pen": 1.25 * PAD / card.image.resize,
        "ink": ink,
        "paper": paper,
        "familiar": None if features is None else _familiar(card, features),
    }


def _familiar(card: WeightsCard, features: str) -> dict[str, Any]:
    """Return what tells strange pictures, and the bytes behind the network that make its features an output."""
    known = card.calibration.familiar if card.calibration is not None else None
    assert known is not None  # else the session names no features
    behind = base64.b64encode(onnx_features.as_output(features)).decode()
    return {"output": features, "behind": behind, "means": list(known.means), "limit": known.limit}


def _is_dark(image: ImageSpec) -> bool:
    """Return whether images are dark on average, as light digits on black are."""
    return sum(image.mean) / len(image.mean) < 0.5


def _in_script(values: dict[str, Any]) -> str:
    """Return JSON that cannot end the element that holds it, whatever the class names are."""
    return json.dumps(values, ensure_ascii=True, sort_keys=True).replace("<", "\\u003c").replace(">", "\\u003e")


@lru_cache(maxsize=1)  # onnxruntime-web is 14 MB and the same in each page
def _packed_runtime(data: bytes) -> str:
    return _packed(data)


def _packed(data: bytes) -> str:
    return base64.b64encode(gzip.compress(data, 9, mtime=0)).decode()


def _unpacked(text: str) -> bytes:
    return gzip.decompress(base64.b64decode(text, validate=True))


def _part(text: str, id: str, kind: str = "application/octet-stream") -> str:
    return _between(text, f'<script type="{kind}" id="{id}">', "</script>")


def _script(text: str) -> str:
    return _between(text, '<script type="module">', "</script>")


def _between(text: str, start: str, end: str) -> str:
    """Return the text between two marks. Raises `CheckFailed` unless the first occurs once."""
    _, mark, rest = text.partition(start)
    inside, close, _ = rest.partition(end)
    if not mark or not close or start in rest:
        raise CheckFailed(f"{PAGE} has no single part {start}")
    return inside


web = Web()
