"""`export`."""

from typing import TYPE_CHECKING

from resnetctl.cli.parser.command import Command, Parsed
from resnetctl.cli.parser.option_models import ExportOptions
from resnetctl.cli.screen import streams, tables
from resnetctl.cli.screen.loading import load_torch, working
from resnetctl.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from resnetctl.compress.int8 import Int8Report
    from resnetctl.deploy.parity import Parity
    from resnetctl.tasks.export import ExportReport

INT8 = ("calibrate", "max_drop", "allow_slower")  # options that need --int8


def run(parsed: Parsed[ExportOptions]) -> None:
    """Run `export`."""
    options = parsed.options
    places = {"triton": options.triton, "hub": options.hub}
    named = [name for name, place in places.items() if place is not None]
    forms = [*named, *filter(None, ["web" if options.web else None, options.to, "onnx" if options.onnx else None])]
    if len(forms) != 1:
        target = f"{options.target} " if options.target else ""
        choice = "choose one format" if forms else "choose a format"
        raise UsageError(
            f"{choice}: --onnx, --web, --triton DIR, --hub DIR or --to NAME", hint=f"resnetctl export {target}--onnx"
        )
    place = options.triton or options.hub
    if place is not None and options.out is not None:
        raise UsageError(f"--{forms[0]} names the folder already", where="--out", hint="remove one of the two")
    int8 = {key: value for key in INT8 if (value := getattr(options, key)) is not None and value is not False}
    if int8 and not options.int8:
        flag = "--" + next(iter(int8)).replace("_", "-")
        raise UsageError(f"{flag} needs --int8", where=flag)
    if options.ort_web is not None and not options.web:
        raise UsageError("--ort-web needs --web", where="--ort-web")
    from resnetctl.system import settings

    load_torch()
    from resnetctl.tasks.export import Form, export

    form: Form = {"input": "raw" if options.web else options.input}
    if options.ort_web is not None:
        form["assets"] = options.ort_web
    if not options.onnx:
        form["to"] = forms[0]
    if options.data is not None:
        form["data"] = options.data
    if options.int8:
        form["int8"] = int8  # type: ignore[typeddict-item]
    with working("Exporting, and checking the answers…"):
        report = export(
            options.target,
            settings=settings.load(),
            out=place or options.out,
            images=options.images,
            gate=options.gate,
            **form,
        )
    show(report, as_json=options.as_json)


def show(report: "ExportReport", *, as_json: bool) -> None:
    """Print the written file and the result of its check."""
    for notice in report.notices:
        streams.say(streams.notice(notice))
    if as_json:
        streams.report(report)
        return
    path = tables.short(report.path)
    kind = f"opset {report.opset}" if report.exporter is None else f"{report.exporter}: {', '.join(report.files)}"
    rows = [("wrote", f"{path}   {tables.size(report.bytes)}, {kind}")]
    if report.int8 is not None:
        rows.extend(_int8(report.int8, report.bytes))
    if report.parity is None:
        rows.append(("unchecked", "nothing opened these files: --gate none"))
    else:
        rows.extend(_checked(report, report.parity))
    tables.pairs([*rows, ("sha256", report.sha256)])
    if report.exporter is None:
        numbers = " --vectors FILE.csv" if report.reads_numbers else ""
        data = "" if report.names_data else " --data NAME"
        lines = ["", "Next", f"  resnetctl eval {path}{data}", f"  resnetctl predict {path} IMAGE...{numbers}"]
        streams.result("\n".join(lines))


def _checked(report: "ExportReport", parity: "Parity") -> "Iterator[tuple[str, str]]":
    """Yield how far the file, or the float32 file that an int8 one was made of, is from torch."""
    gate = report.gate
    source = {"images": "in the folder"}.get(gate.get("source", ""), gate.get("source", ""))
    images = f"{gate['images']} {gate['kind']} images   {source}".rstrip()
    difference = f"{parity.max_abs_diff:.1e}   ({parity.tolerance:.1e} is allowed)"
    agreement = tables.percent(parity.agreement, 2)
    if report.int8 is not None:
        text = f"checked on {images}: difference {difference}, same top-1 {agreement}"
        yield "float32 file", " ".join(text.split())
        return
    yield "checked on", images
    if report.input == "raw":
        yield "pixels", _pixels(gate)
    yield "difference", difference
    yield "same answers" if report.head else "same top-1", agreement


def _pixels(gate: "Mapping[str, Any]") -> str:
    return f"those of Pillow {gate['pillow']}, also on {gate['made_up']} made-up sizes"


def _int8(int8: "Int8Report", size: int) -> "Iterator[tuple[str, str]]":
    """Yield what int8 costs and gains against float32."""
    gap = int8.gap
    low, high = (0.0 - 100 * value for value in reversed(gap.interval))  # no drop is +0.00, not -0.00
    yield "int8", f"{int8.float_bytes / size:.1f} times smaller than float32, calibrated on {int8.calibration} images"
    yield (
        "accuracy on val",
        f"{tables.percent(gap.after, 2)}, float32 {tables.percent(gap.before, 2)}: {0.0 - 100 * gap.drop:+.2f} points "
        f"({low:+.2f} to {high:+.2f}, {gap.count:,} images)",
    )
    for size_of_batch, spread in int8.speedup.items():
        yield (
            f"batch of {size_of_batch}",
            f"{spread.median:.2f} times as fast as float32 here ({spread.low:.2f} to {spread.high:.2f}, one thread)",
        )


COMMAND = Command(
    name="export",
    summary="Write an ONNX file or another format, checked against PyTorch on real images.",
    run=run,
    options=ExportOptions,
    examples=(
        ("resnetctl export --onnx", "the newest run"),
        ("resnetctl export net.safetensors --onnx --out net.onnx", ""),
        ("resnetctl export last --onnx --images ./photos", "checked on these"),
        ("resnetctl export --onnx --input raw", "resizes images itself"),
        ("resnetctl export --web", "a page for a browser, without a network"),
        ("resnetctl export --triton models/pets --input raw", "for a Triton server"),
        ("resnetctl export last --onnx --int8", "a quarter of the size, mostly faster"),
    ),
)
