"""The page of a report: one HTML file without a script, and the same content for a notebook.

The page may load nothing: its content security policy allows only its own style, by hash.
"""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from resnetctl.report import svg
from resnetctl.report.groups import Row, settings_plot
from resnetctl.report.page_tables import by_score, by_severity
from resnetctl.report.pareto import Point, pareto_plot
from resnetctl.report.pictures import Gallery, data_url
from resnetctl.report.plots import CURVES, Plot, curves, plots, words
from resnetctl.report.rankings import HEADER, ranking_plots, ranking_rows
from resnetctl.report.verdict import net_verdict, percent, short_name, verdict
from resnetctl.spec.dense import class_numbers

Document = Mapping[str, Any]
SUSPECTS, PAIRS = 20, 12  # that the page shows
NO_PICTURES = Gallery()


def page(
    document: Document,
    *,
    epochs: Sequence[Document],
    provenance: Mapping[str, str],
    gallery: Gallery = NO_PICTURES,
) -> bytes:
    """Return the file: the same input gives the same bytes.

    Args:
        document: the JSON document of a report.
        epochs: the run's epochs with their numbers and speed; none for a file outside a run.
        provenance: names and values to list last.
        gallery: pictures, which the file contains.
    """
    digest = base64.b64encode(hashlib.sha256(style().encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    body = _content(document, epochs, provenance, gallery)
    text: str = _template("page.html.jinja").render(
        policy=policy, style=style(), body=body, title=f"{document['target']} on {document['data']} {document['split']}"
    )
    return text.encode("utf-8", "replace")  # a file name that is no Unicode has surrogates


def fragment(
    document: Document,
    *,
    epochs: Sequence[Document],
    provenance: Mapping[str, str],
    gallery: Gallery = NO_PICTURES,
) -> str:
    """Return the content for a notebook. Its style touches nothing outside it."""
    text: str = _template("fragment.html.jinja").render(
        style=style(), body=_content(document, epochs, provenance, gallery)
    )
    return text


def plot_files(document: Document, *, epochs: Sequence[Document]) -> dict[str, bytes]:
    """Return the SVG file of each plot, by file name."""
    return {f"{plot.name}.svg": plot.file(_read("plots.css")) for plot in _plots(document, epochs)}


def curve_files(epochs: Sequence[Document]) -> dict[str, bytes]:
    """Return the SVG files of loss, accuracy, learning rate and speed by name; {} for fewer than two epochs."""
    return {f"{plot.name}.svg": plot.file(_read("plots.css")) for plot in curves(epochs)}


def group_file(rows: Sequence[Row]) -> bytes:
    """Return the SVG file of the settings of a group of runs."""
    return settings_plot(rows).file(_read("plots.css"))


def curve_file(points: Sequence[tuple[float, float]], *, title: str, names: tuple[str, str]) -> bytes:
    """Return the SVG file of one line; `names` are those of x and y."""
    drawing = svg.lines([(names[1], points)], title=title, names=names)
    return Plot(name="curve", title=title, drawing=drawing, header=names, rows=()).file(_read("plots.css"))


def pareto_file(points: Sequence[Point]) -> bytes:
    """Return the SVG file of networks by time and accuracy."""
    return pareto_plot(points).file(_read("plots.css"))


def style() -> str:
    """Return the style of page and notebook."""
    return _read("page.css").replace("/* plots */", _read("plots.css"))


def _content(document: Document, epochs: Sequence[Document], provenance: Mapping[str, str], gallery: Gallery) -> str:
    from markupsafe import Markup

    drawn = {plot.name: (plot, Markup(plot.drawing)) for plot in _plots(document, epochs)}
    of_run = [name for name in (*(name for name, *_ in CURVES), "number") if name in drawn]
    if "task" in document:
        template, own = (
            "net.html.jinja",
            {
                "sentences": net_verdict(document),
                "numbers": class_numbers(document["per_class"]),
                "classes": [entry for name, entry in drawn.items() if name not in of_run],
                "legend": _legend(document),
            },
        )
    else:
        template, own = (
            "report.html.jinja",
            {
                "sentences": verdict(document),
                "plots": drawn,
                "ranked": [drawn[name] for name in ("precision-recall", "roc") if name in drawn],
                "ranking": (HEADER, ranking_rows(document)),
                "shifts": list(by_severity(document["corruptions"])) if "corruptions" in document else [],
                "strange": list(by_score(document.get("ood", []))),
            },
        )
    text: str = _template(template).render(
        report=document, curves=[drawn[name] for name in of_run], provenance=provenance, gallery=gallery, **own
    )
    return text


def _plots(document: Document, epochs: Sequence[Document]) -> list[Plot]:
    """Return the plots of a report; that of its stages, too, for a run that `compress` made."""
    stages = document.get("compressed", {}).get("stages", [])
    points = [
        (item["name"], item["latency"]["1"]["p50"], item["accuracy"]["top1"], tuple(item["accuracy"]["interval"]))
        for item in stages
    ]
    ranked = [] if "task" in document else ranking_plots(document)
    return [*plots(document, epochs), *ranked, *([pareto_plot(points)] if points else [])]


def _legend(document: Document) -> list[tuple[str, str]]:
    """Return name and colour of each class in the pictures."""
    from resnetctl.data.dense.drawing import colour

    return [(row["name"], f"rgb{colour(label)}") for label, row in enumerate(document["per_class"])]


@cache
def _template(name: str) -> Any:
    import jinja2

    loader = jinja2.FunctionLoader(_read)
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "percent": percent,
        "short_name": short_name,
        "data_url": data_url,
        "words": words,
        "broken": broken,
    }
    return environment.get_template(name)


def broken(name: str) -> Any:
    """Return the markup of an image's name that may go on in the next line after each folder."""
    from markupsafe import Markup, escape

    return Markup("/<wbr>").join(escape(part) for part in name.split("/"))


def _read(name: str) -> str:
    return (files("resnetctl.report") / "pages" / name).read_text(encoding="utf-8")
